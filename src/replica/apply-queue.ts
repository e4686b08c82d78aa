/**
 * Committed entries on their way into the state machine: in log order, one batch after the other.
 *
 * Handing a batch to an engine's thread and syncing its store cost the same for one entry as for
 * many. Where nobody waits for the result, as on followers, entries may linger for a moment, so
 * that several share a batch.
 */
import type { Entry } from '../raft/types.js';
import { assert } from '../shared/assert.js';
import type { Scheduler, Timer } from '../shared/environment.js';
import type { CommittedEntry, StateMachine } from '../shared/state-machine.js';

export interface ApplyQueueOptions<Result> {
  readonly stateMachine: StateMachine<Result>;
  readonly scheduler: Scheduler;
  /** How long entries that are not urgent may wait. 0 for not at all. */
  readonly lingerMs: number;
  /** A batch is applied. `results` has one element per entry with a command, in order. */
  readonly onApplied: (entries: readonly Entry[], results: readonly Result[]) => void;
  /** The state machine has failed; nothing more is applied. */
  readonly onError: (error: unknown) => void;
}

/** A batch of this size does not linger. */
const LINGER_ENTRIES_MAX = 64;
const LINGER_BYTES_MAX = 256 * 1024;

export class ApplyQueue<Result> {
  readonly #options: ApplyQueueOptions<Result>;
  #waiting: Entry[] = [];
  #waitingBytes = 0;
  #lingering: Timer | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(options: ApplyQueueOptions<Result>) {
    this.#options = options;
  }

  /** Takes entries over, which follow those before them. */
  push(entries: readonly Entry[], isUrgent: boolean): void {
    if (entries.length === 0 || this.#stopped) return;
    for (const entry of entries) {
      this.#waiting.push(entry);
      this.#waitingBytes += entry.data.length;
    }
    const isFull =
      this.#waiting.length >= LINGER_ENTRIES_MAX || this.#waitingBytes >= LINGER_BYTES_MAX;
    if (isUrgent || isFull || this.#options.lingerMs === 0) this.hurry();
    else this.#linger();
  }

  /** Applies what lingers at once: somebody waits for it. */
  hurry(): void {
    this.#lingering?.cancel();
    this.#lingering = undefined;
    if (this.#waiting.length === 0 || this.#stopped) return;
    this.#running ??= this.#run();
  }

  /** Drops what waits, and resolves when the batch under way is through. Idempotent. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#lingering?.cancel();
    await this.#running;
  }

  #linger(): void {
    const { scheduler, lingerMs } = this.#options;
    this.#lingering ??= scheduler.after(lingerMs, () => this.hurry());
  }

  async #run(): Promise<void> {
    try {
      while (this.#waiting.length > 0 && !this.#stopped) {
        const entries = this.#waiting;
        this.#waiting = [];
        this.#waitingBytes = 0;
        await this.#apply(entries);
      }
    } catch (error) {
      this.#stopped = true;
      this.#options.onError(error);
    } finally {
      this.#running = undefined;
    }
  }

  async #apply(entries: readonly Entry[]): Promise<void> {
    const commands = entries.filter(hasCommand);
    const lastIndex = (entries.at(-1) as Entry).index;
    const results = await this.#options.stateMachine.apply(commands as CommittedEntry[], lastIndex);
    assert(
      results.length === commands.length,
      () => `${results.length} results for ${commands.length} entries`,
    );
    this.#options.onApplied(entries, results);
  }
}

/** Whether the entry means something to the state machine: no-ops and configurations do not. */
export function hasCommand(entry: Entry): boolean {
  return entry.type === 'EntryNormal' && entry.data.length > 0;
}
