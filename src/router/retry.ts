/**
 * Everything that the router knows about trying again: which errors are worth it, where to go
 * next, how long to wait. All operations retry through here.
 */
import type { Random, Scheduler } from '../shared/environment.js';
import { sleep } from '../shared/environment.js';
import type { ErrorReason } from '../shared/error-codes.js';
import type { FlotillaError } from '../shared/errors.js';
import { FullJitter } from '../shared/full-jitter.js';
import { GiveUp } from '../shared/give-up.js';
import type { TopologyView } from '../topology/view.js';
import type { Leaders } from './leaders.js';
import type { TimeBudget } from './time-budget.js';

export type RetryAdvice =
  /** Ask the replica that the error names as leader, else any other one. */
  | 'follow-leader'
  /** This replica is of no use now; another one may be. */
  | 'next-replica'
  /** The replica has too much to do. */
  | 'wait'
  /** Nobody would answer differently. */
  | 'give-up';

const ADVICE: Partial<Record<ErrorReason, RetryAdvice>> = {
  NOT_LEADER: 'follow-leader',
  NO_LEADER: 'next-replica',
  REPLICA_BEHIND: 'next-replica',
  SHARD_UNAVAILABLE: 'next-replica',
  NODE_NOT_READY: 'next-replica',
  OUTCOME_UNKNOWN: 'next-replica',
  DEADLINE_EXCEEDED: 'next-replica',
  CANCELLED: 'next-replica',
  STORE_POISONED: 'next-replica',
  LOG_DAMAGED: 'next-replica',
  WRONG_CLUSTER: 'next-replica',
  WRONG_STORE: 'next-replica',
  PROPOSAL_DROPPED: 'wait',
  TOO_MANY_REQUESTS: 'wait',
};

/**
 * What to do about one replica's error while the request has time left. STALE_TOPOLOGY is not
 * among them: the whole request has to be laid out again, see `newerTopology`.
 */
export function adviceFor(error: FlotillaError): RetryAdvice {
  return ADVICE[error.reason] ?? 'give-up';
}

const DELAY_MIN_MS = 10;
const DELAY_MAX_MS = 250;

/** Pauses of a random length, up to a bound that grows: 10 ms, doubling up to 250 ms. */
export class Backoff {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  #jitter: FullJitter | undefined;

  constructor(environment: { readonly scheduler: Scheduler; readonly random: Random }) {
    this.#scheduler = environment.scheduler;
    this.#random = environment.random;
  }

  /** Waits, but no longer than the budget lasts. */
  async pause(budget: TimeBudget): Promise<void> {
    await sleep(this.#scheduler, Math.min(this.#nextMs(), budget.leftMs), budget.signal);
  }

  /**
   * Waits until this node hears of another election of the shard than the first `seen`, but no
   * longer than a pause: there may be none to come, and not every node hears of them.
   */
  async newLeader(
    leaders: Leaders,
    shardId: number,
    seen: number,
    budget: TimeBudget,
  ): Promise<void> {
    if (leaders.electionsOf(shardId) > seen) return;
    await this.#pauseUntil((wake) => leaders.onElected(shardId, wake), budget);
  }

  /**
   * Waits until the view has a newer document than `epoch`, but no longer than a pause: a replica
   * may also refuse because it has yet to learn what this node knows already.
   */
  async newerTopology(view: TopologyView, epoch: number, budget: TimeBudget): Promise<void> {
    if ((view.current()?.epoch ?? 0) > epoch) return;
    await this.#pauseUntil((wake) => view.onChange(wake), budget);
  }

  /** Most calls never wait. */
  #nextMs(): number {
    this.#jitter ??= new FullJitter({
      minMs: DELAY_MIN_MS,
      maxMs: DELAY_MAX_MS,
      random: () => this.#random.next(),
    });
    return this.#jitter.nextMs();
  }

  /** A pause that also ends when `watch`, which returns what stops it, calls back. */
  async #pauseUntil(watch: (wake: () => void) => () => void, budget: TimeBudget): Promise<void> {
    if (budget.isCancelled) return;
    const news = new GiveUp();
    const wake = (): void => news.abort();
    const stop = watch(wake);
    budget.signal?.addEventListener('abort', wake, { once: true });
    await sleep(this.#scheduler, Math.min(this.#nextMs(), budget.leftMs), news);
    budget.signal?.removeEventListener('abort', wake);
    stop();
  }
}
