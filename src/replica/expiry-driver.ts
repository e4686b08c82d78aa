/**
 * Deletes the records of a shard whose time is over, while its replica leads. Only the leader's
 * clock decides; the delete itself is an entry of the log, bound to the versions that have expired,
 * so that replicas agree and a record that was written again meanwhile stays.
 *
 * A record goes within `LOOK_EVERY_MS` after its time, plus a second for every 10,000 records of
 * the shard that expire together, and what committing takes. Until then it is visible (W3).
 */
import type { Engine, ExpiredRecords } from '../engine/engine.js';
import { encodeCommand } from '../shared/codec/command.js';
import { type Environment, sleep, type Timer } from '../shared/environment.js';
import type { CallContext, ProposalAnswer } from './replica.js';

const LOOK_EVERY_MS = 1_000;
/** Records of one round: with the longest ids and tenants an entry of them has half its limit. */
const ROUND_RECORDS = 500;
const ROUND_PAUSE_MS = 50;
/** After an attempt that took as long others are to have their turn. */
const PROPOSAL_TIMEOUT_MS = 5_000;

export interface ExpiryDriverOptions {
  readonly environment: Pick<Environment, 'clock' | 'scheduler'>;
  readonly engine: Pick<Engine, 'expired'>;
  readonly replica: {
    readonly isLeader: boolean;
    propose(commands: readonly Uint8Array[], context: CallContext): Promise<ProposalAnswer[]>;
  };
  /** Told how many records were removed. @default nobody is */
  readonly onExpired?: ((records: number) => void) | undefined;
}

export class ExpiryDriver {
  readonly #options: ExpiryDriverOptions;
  readonly #timer: Timer;
  #isRunning = false;
  #closed = false;

  /** Works until it is closed. */
  constructor(options: ExpiryDriverOptions) {
    this.#options = options;
    this.#timer = options.environment.scheduler.every(LOOK_EVERY_MS, () => void this.#look());
  }

  /** Begins no other round. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#timer.cancel();
  }

  get #mayWork(): boolean {
    return !this.#closed && this.#options.replica.isLeader;
  }

  async #look(): Promise<void> {
    if (this.#isRunning || !this.#mayWork) return;
    this.#isRunning = true;
    try {
      while (this.#mayWork && (await this.#round())) {
        await sleep(this.#options.environment.scheduler, ROUND_PAUSE_MS);
      }
    } catch {
      // No leader any more, a full disk, or a replica that stops: what is due stays due.
    } finally {
      this.#isRunning = false;
    }
  }

  /** Whether there may be more. */
  async #round(): Promise<boolean> {
    const { environment, engine, replica } = this.#options;
    const expired = await engine.expired(environment.clock.wallMs(), ROUND_RECORDS);
    if (expired.length === 0 || !this.#mayWork) return false;
    const commands = expired.map((one) => encodeCommand({ kind: 'expire', ...one }));
    const answers = await replica.propose(commands, { epoch: 0, timeoutMs: PROPOSAL_TIMEOUT_MS });
    const removed = answers.reduce((sum, answer) => sum + removedBy(answer), 0);
    if (removed > 0) this.#options.onExpired?.(removed);
    return removed > 0 && countOf(expired) === ROUND_RECORDS;
  }
}

function countOf(expired: readonly ExpiredRecords[]): number {
  return expired.reduce((sum, { records }) => sum + records.length, 0);
}

function removedBy(answer: ProposalAnswer): number {
  if (answer.kind !== 'applied' || answer.result.kind !== 'expired') return 0;
  return answer.result.removed;
}
