/**
 * Reads of one replica, each as fresh as it has to be: by a proof that its leader leads, by the age
 * of what is applied here, or by an index of the log. docs/consistency.md has the promises.
 */
import { type ShardConsistency, TOO_SLOW } from '../shared/consistency.js';
import { type Deadline, withDeadline } from '../shared/deadline.js';
import type { Clock, Scheduler } from '../shared/environment.js';
import type { ErrorReason } from '../shared/error-codes.js';
import { FlotillaError, isFlotillaError, toFlotillaError } from '../shared/errors.js';
import { GiveUp, type GiveUpSignal } from '../shared/give-up.js';
import { FreshnessMark, type Moment } from './freshness-mark.js';
import { FreshnessRounds } from './freshness-rounds.js';
import type { RaftGroup } from './group.js';
import type { ReadAnswer } from './replica.js';

/** The part of a replica's Raft group that reads need. */
export type ReadableGroup = Pick<
  RaftGroup<unknown>,
  | 'isLeader'
  | 'term'
  | 'appliedIndex'
  | 'commitIndex'
  | 'leasedIndex'
  | 'absence'
  | 'readBarrier'
  | 'waitApplied'
>;

export interface ConsistentReadsOptions {
  readonly group: ReadableGroup;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** No read can have seen what comes after it in the log. */
  readonly reachedIndex: () => number;
}

type Relaxed = Exclude<ShardConsistency, 'strong' | 'leased'>;

/** A read with the deadline that it began with. */
interface TimedRead<T> {
  readonly read: () => Promise<T>;
  readonly deadline: Deadline;
  readonly begun: Moment;
}

/** Waits of a bounded read for a young enough state, at most. */
const BOUNDED_TURNS_MAX = 3;
/** Of the time of a read: what a replica that does not lead may take to come up to it. */
const PATIENCE_SHARE = 0.25;
const PATIENCE_MAX_MS = 1_000;

/** What a replica that is behind may say of what others have. */
const OUT_OF_DATE: ReadonlySet<ErrorReason> = new Set<ErrorReason>([
  'COLLECTION_NOT_FOUND',
  'STALE_TOPOLOGY',
]);

/** What a wait ends with where another replica may be the better one. */
const HELD_UP: ReadonlySet<ErrorReason> = new Set<ErrorReason>([
  'DEADLINE_EXCEEDED',
  'TOO_MANY_REQUESTS',
]);

export class ConsistentReads {
  readonly #options: ConsistentReadsOptions;
  readonly #group: ReadableGroup;
  readonly #mark: FreshnessMark;
  readonly #rounds: FreshnessRounds;
  #confirmed = 0;

  constructor(options: ConsistentReadsOptions) {
    const { group, clock } = options;
    this.#options = options;
    this.#group = group;
    this.#mark = new FreshnessMark(clock);
    this.#rounds = new FreshnessRounds({ group, mark: this.#mark });
  }

  /** How often a read had a majority confirm the leader: never those that a lease covers (R6). */
  get confirmed(): number {
    return this.#confirmed;
  }

  /**
   * Carries the read out when it may be, perhaps more than once. Rejects with NOT_LEADER or
   * NO_LEADER, which is what a replica that cannot serve the read by itself answers, and with
   * REPLICA_BEHIND where it did not come up to the freshness in its part of the deadline; see
   * `isTooSlow` for one of the causes.
   */
  read<T>(
    read: () => Promise<T>,
    consistency: ShardConsistency,
    deadline: Deadline,
  ): Promise<ReadAnswer<T>> {
    if (consistency === 'strong') return this.#strong(read);
    if (consistency === 'leased') return this.#leased(read);
    return this.#anywhere(read, consistency, deadline);
  }

  async #anywhere<T>(
    read: () => Promise<T>,
    consistency: Relaxed,
    deadline: Deadline,
  ): Promise<ReadAnswer<T>> {
    const { absence } = this.#group;
    if (absence !== undefined) throw behind(absence);
    try {
      return await this.#relaxed({ read, deadline, begun: this.#mark.now() }, consistency);
    } catch (thrown) {
      const isKnownBetter = isFlotillaError(thrown) && OUT_OF_DATE.has(thrown.reason);
      if (!isKnownBetter) throw thrown;
      // It may only not have come here yet: whether it is there, the leader says.
      return this.#strongWithin(read, consistency);
    }
  }

  #relaxed<T>(timed: TimedRead<T>, consistency: Relaxed): Promise<ReadAnswer<T>> {
    if (consistency === 'eventual') return this.#eventual(timed.read);
    if ('boundedMs' in consistency) return this.#bounded(timed, consistency.boundedMs);
    return this.#session(timed, consistency.minIndex);
  }

  async #strong<T>(read: () => Promise<T>): Promise<ReadAnswer<T>> {
    const asked = this.#mark.now();
    await this.#group.readBarrier();
    this.#confirmed += 1;
    this.#mark.note(asked);
    return this.#show(read, asked);
  }

  /** A bound holds for a strong read as well: the engine may have taken longer (R12). */
  async #strongWithin<T>(read: () => Promise<T>, consistency: Relaxed): Promise<ReadAnswer<T>> {
    const answer = await this.#strong(read);
    if (consistency === 'eventual' || !('boundedMs' in consistency)) return answer;
    const ageMs = answer.state?.ageMs ?? Number.POSITIVE_INFINITY;
    if (ageMs > consistency.boundedMs) throw tooSlow(consistency.boundedMs);
    return answer;
  }

  /**
   * The lease has to hold, in the same term, from before the state is read until after it was: the
   * process may have been stopped in between (P-5). Where it does not, the read begins anew as a
   * strong one, never weaker.
   */
  async #leased<T>(read: () => Promise<T>): Promise<ReadAnswer<T>> {
    const asked = this.#mark.now();
    const { leasedIndex, term } = this.#group;
    if (leasedIndex === undefined) return this.#strong(read);
    await this.#group.waitApplied(leasedIndex);
    this.#mark.note(asked);
    const answer = await this.#show(read, asked);
    const stillHeld = this.#group.leasedIndex !== undefined && this.#group.term === term;
    return stillHeld ? answer : this.#strong(read);
  }

  async #eventual<T>(read: () => Promise<T>): Promise<ReadAnswer<T>> {
    const { newest } = this.#mark;
    this.#rounds.keepAge();
    return this.#show(read, newest);
  }

  /**
   * The age counts when the read is done, from a mark that was there before it (R12). A read that
   * was too old by then is carried out once more, from a state so young that the same time will do;
   * where that cannot be had, it would only keep the engine busier.
   */
  async #bounded<T>(timed: TimedRead<T>, boundedMs: number): Promise<ReadAnswer<T>> {
    let ageMsMax = boundedMs;
    for (let turn = 1; turn <= BOUNDED_TURNS_MAX; turn++) {
      this.#assertWanted(timed);
      const complete = await this.#completeWithin(ageMsMax, timed);
      if (this.#mark.ageMs(complete) > ageMsMax) continue;
      const begun = this.#mark.now();
      const answer = await this.#show(timed.read, complete);
      if (this.#mark.ageMs(complete) <= boundedMs) return answer;
      const engineMs = this.#mark.ageMs(begun);
      const isSecond = ageMsMax < boundedMs;
      if (isSecond || engineMs >= boundedMs) throw tooSlow(boundedMs);
      ageMsMax = boundedMs - engineMs;
    }
    // Also where the rounds to the leader took longer than that: other replicas have the same way.
    throw tooSlow(boundedMs);
  }

  /** A moment that is at most so old when it is told, which may be a while before it is used. */
  async #completeWithin(ageMsMax: number, timed: TimedRead<unknown>): Promise<Moment> {
    const { newest } = this.#mark;
    if (newest !== undefined && this.#mark.ageMs(newest) <= ageMsMax) {
      // As old as a wide bound allows, the answer would be of no use to a router's cache.
      this.#rounds.keepAge();
      return newest;
    }
    return this.#patiently((givenUp) => this.#rounds.confirmed(ageMsMax, givenUp), timed);
  }

  async #session<T>(timed: TimedRead<T>, minIndex: number): Promise<ReadAnswer<T>> {
    if (this.#group.appliedIndex < minIndex) {
      await this.#patiently((givenUp) => this.#reach(minIndex, givenUp), timed);
    }
    return this.#show(timed.read, this.#mark.newest);
  }

  /** Waits only for what is committed: an index that is not may be none of this log (R14). */
  async #reach(minIndex: number, givenUp: GiveUpSignal): Promise<void> {
    if (minIndex <= this.#group.commitIndex) return this.#group.waitApplied(minIndex, givenUp);
    const asked = this.#mark.now();
    await this.#group.readBarrier('anywhere', givenUp);
    this.#mark.note(asked);
    const { appliedIndex } = this.#group;
    if (appliedIndex >= minIndex) return;
    const message = `The session has seen entry ${minIndex} of a log that ends at ${appliedIndex}`;
    throw new FlotillaError('INVALID_REQUEST', `${message}: it is another cluster's`, {
      field: 'session',
    });
  }

  async #show<T>(read: () => Promise<T>, complete: Moment | undefined): Promise<ReadAnswer<T>> {
    const value = await read();
    const appliedIndex = this.#options.reachedIndex();
    if (complete === undefined) return { value, state: { appliedIndex } };
    return { value, state: { appliedIndex, ageMs: this.#mark.ageMs(complete) } };
  }

  /**
   * Of a follower that takes long, or that many others wait for, another replica may be the better
   * one. All waits of a read share the patience with it; what is not waited for any more is given
   * up.
   */
  async #patiently<T>(
    begin: (givenUp: GiveUpSignal) => Promise<T>,
    timed: TimedRead<unknown>,
  ): Promise<T> {
    const { isLeader } = this.#group;
    const { timeoutMs, signal } = timed.deadline;
    const ownMs = isLeader ? timeoutMs : Math.min(PATIENCE_MAX_MS, timeoutMs * PATIENCE_SHARE);
    const patience = { timeoutMs: ownMs - this.#spentMs(timed), signal };
    const givenUp = new GiveUp();
    const work = begin(givenUp);
    try {
      return await withDeadline(this.#options.scheduler, work, patience, 'catching up');
    } catch (thrown) {
      givenUp.abort();
      const error = toFlotillaError(thrown);
      if (isLeader || !HELD_UP.has(error.reason)) throw error;
      throw behind(`it did not catch up within ${Math.round(ownMs)} ms`);
    }
  }

  /** Throws where nobody would see the answer. */
  #assertWanted(timed: TimedRead<unknown>): void {
    const { timeoutMs, signal } = timed.deadline;
    if (signal?.aborted) throw new FlotillaError('CANCELLED', 'The caller of a read gave up');
    if (this.#spentMs(timed) < timeoutMs) return;
    throw new FlotillaError('DEADLINE_EXCEEDED', `A read took longer than ${timeoutMs} ms`);
  }

  #spentMs({ begun }: TimedRead<unknown>): number {
    return this.#options.clock.monotonicMs() - begun.monotonicMs;
  }
}

function behind(why: string): FlotillaError {
  return new FlotillaError('REPLICA_BEHIND', `The replica does not serve the read: ${why}`);
}

/** Of a read that other replicas would hardly answer in time either, see `isTooSlow`. */
export function tooSlow(boundedMs: number): FlotillaError {
  const message = `The read, or the way to the leader, takes longer than its ${boundedMs} ms`;
  return new FlotillaError('REPLICA_BEHIND', message, { details: TOO_SLOW });
}
