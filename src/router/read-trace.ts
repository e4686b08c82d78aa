/** What became of the attempts to get a shard's part of a read, for explain (M-55). */
import type { Clock } from '../shared/environment.js';
import { toFlotillaError } from '../shared/errors.js';
import type { ReplicaChoice } from './replica-tour.js';
import type { FailedAttempt } from './requests.js';

/** One attempt at one replica. */
export interface Attempt {
  readonly nodeId: number;
  readonly choice: ReplicaChoice;
  /** After the first attempt of the shard could begin. */
  readonly startMs: number;
  /** Of its error. */
  reason?: string;
  endMs?: number;
}

/** What an attempt that nobody waited for any more ended with, as far as is known. */
const GIVEN_UP = 'GIVEN_UP';

export class ShardTrace {
  readonly shardId: number;
  readonly #clock: Clock;
  readonly #startMs: number;
  readonly #attempts: Attempt[] = [];

  constructor(shardId: number, clock: Clock) {
    this.shardId = shardId;
    this.#clock = clock;
    this.#startMs = clock.monotonicMs();
  }

  /** Since the trace was begun. */
  get nowMs(): number {
    return this.#clock.monotonicMs() - this.#startMs;
  }

  /** Carries an attempt out, and hands it to the work, which may come with an answer. */
  async attempt<T>(
    nodeId: number,
    choice: ReplicaChoice,
    work: (attempt: Attempt) => Promise<T>,
  ): Promise<T> {
    const attempt: Attempt = { nodeId, choice, startMs: this.nowMs };
    this.#attempts.push(attempt);
    try {
      return await work(attempt);
    } catch (thrown) {
      attempt.reason = toFlotillaError(thrown).reason;
      throw thrown;
    } finally {
      attempt.endMs = this.nowMs;
    }
  }

  /** The attempts that did not give the answer. */
  failed(answered: Attempt | undefined): FailedAttempt[] {
    return this.#attempts
      .filter((attempt) => attempt !== answered)
      .map(({ nodeId, choice, startMs, endMs = this.nowMs, reason = GIVEN_UP }) => ({
        shardId: this.shardId,
        nodeId,
        choice,
        reason,
        durationMs: endMs - startMs,
      }));
  }
}
