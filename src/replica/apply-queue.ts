/**
 * Committed entries on their way into the state machine: in log order, one batch after the other.
 *
 * Handing a batch to an engine's thread and syncing its store cost the same for one entry as for
 * many. Where nobody waits for the result, as on followers, entries may linger for a moment, so
 * that several share a batch. A configuration change ends its batch: nothing behind it is applied
 * before it is in force.
 */
import type { Entry } from '../raft/types.js';
import { assert } from '../shared/assert.js';
import type { Scheduler, Timer } from '../shared/environment.js';
import type { CommittedEntry, StateMachine } from '../shared/state-machine.js';

export interface ApplyQueueOptions<Result> {
  readonly stateMachine: Pick<StateMachine<Result>, 'apply'>;
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
  /** What waits for a moment in which nothing is being applied. */
  #quietTasks: (() => void)[] = [];
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

  /** Runs `task` as soon as no batch is under way: between two, or at once. */
  whenQuiet(task: () => void): void {
    if (this.#running === undefined) task();
    else this.#quietTasks.push(task);
  }

  /**
   * Replaces the state by one that covers all that waits: drops that, lets the batch under way
   * finish, then runs `install`, unless the queue has stopped by then. Nothing may be pushed until
   * it settles, as `install` does.
   */
  async replaceState(install: () => Promise<void>): Promise<void> {
    this.#dropWaiting();
    await this.#running;
    if (this.#stopped) return;
    const installed = install();
    this.#running = installed.catch(() => undefined).then(() => this.#becomeQuiet());
    await installed;
  }

  /** Drops what waits, and resolves when the batch under way is through. Idempotent. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#dropWaiting();
    this.#quietTasks = [];
    await this.#running;
  }

  #dropWaiting(): void {
    this.#lingering?.cancel();
    this.#lingering = undefined;
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  #linger(): void {
    const { scheduler, lingerMs } = this.#options;
    this.#lingering ??= scheduler.after(lingerMs, () => this.hurry());
  }

  async #run(): Promise<void> {
    try {
      while (this.#waiting.length > 0 && !this.#stopped) {
        await this.#apply(this.#takeBatch());
        this.#runQuietTasks();
      }
    } catch (error) {
      this.#stopped = true;
      this.#options.onError(error);
    } finally {
      this.#becomeQuiet();
    }
  }

  #becomeQuiet(): void {
    this.#running = undefined;
    this.#runQuietTasks();
  }

  #takeBatch(): readonly Entry[] {
    const change = this.#waiting.findIndex(isConfChange);
    const count = change < 0 ? this.#waiting.length : change + 1;
    const batch = this.#waiting.splice(0, count);
    for (const { data } of batch) this.#waitingBytes -= data.length;
    return batch;
  }

  #runQuietTasks(): void {
    const tasks = this.#quietTasks;
    this.#quietTasks = [];
    for (const task of tasks) task();
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

export function isConfChange(entry: Entry): boolean {
  return entry.type !== 'EntryNormal';
}

/** Whether the entry means something to the state machine: no-ops and configurations do not. */
export function hasCommand(entry: Entry): boolean {
  return entry.type === 'EntryNormal' && entry.data.length > 0;
}
