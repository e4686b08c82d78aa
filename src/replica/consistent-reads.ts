/**
 * Reads of one replica, each as fresh as it has to be: by a proof that its leader leads, by the age
 * of what is applied here, or by an index of the log. docs/consistency.md has the promises.
 */
import type { ShardConsistency } from '../shared/consistency.js';
import { type Deadline, withDeadline } from '../shared/deadline.js';
import type { Clock, Scheduler } from '../shared/environment.js';
import type { ErrorReason } from '../shared/error-codes.js';
import { FlotillaError, isFlotillaError, toFlotillaError } from '../shared/errors.js';
import { FreshnessMark, type Moment } from './freshness-mark.js';
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

/** A question to the leader under way. What is answered by it is complete up to `asked`. */
interface Round {
  readonly asked: Moment;
  readonly done: Promise<Moment>;
}

/** How often a bounded read is carried out, at most, until it is young enough when it is done. */
const BOUNDED_TURNS_MAX = 3;
/** Replicas that serve eventual reads ask once in so long how old their state is. */
const AGE_KEPT_MS = 1_000;
/** Of the time of a read: what a replica that does not lead may take to come up to it. */
const PATIENCE_SHARE = 0.25;
const PATIENCE_MAX_MS = 1_000;

/** What a replica that is behind may say of what others have. */
const OUT_OF_DATE: ReadonlySet<ErrorReason> = new Set<ErrorReason>([
  'COLLECTION_NOT_FOUND',
  'STALE_TOPOLOGY',
]);

export class ConsistentReads {
  readonly #options: ConsistentReadsOptions;
  readonly #group: ReadableGroup;
  readonly #mark: FreshnessMark;
  #round: Round | undefined;
  /** When a round was last begun for the age alone. */
  #ageAsked: Moment | undefined;

  constructor(options: ConsistentReadsOptions) {
    this.#options = options;
    this.#group = options.group;
    this.#mark = new FreshnessMark(options.clock);
  }

  /**
   * Carries the read out when it may be, perhaps more than once. Rejects with NOT_LEADER or
   * NO_LEADER, which is what a replica that cannot serve the read by itself answers, and with
   * REPLICA_BEHIND where it did not come up to the freshness in its part of the deadline.
   */
  async read<T>(
    read: () => Promise<T>,
    consistency: ShardConsistency,
    deadline: Deadline,
  ): Promise<ReadAnswer<T>> {
    if (consistency === 'strong') return this.#strong(read);
    if (consistency === 'leased') return this.#leased(read);
    const { absence } = this.#group;
    if (absence !== undefined) throw behind(absence);
    try {
      return await this.#relaxed(read, consistency, deadline);
    } catch (thrown) {
      const isKnownBetter = isFlotillaError(thrown) && OUT_OF_DATE.has(thrown.reason);
      if (!isKnownBetter) throw thrown;
      // It may only not have come here yet: whether it is there, the leader says.
      return this.#strong(read);
    }
  }

  #relaxed<T>(
    read: () => Promise<T>,
    consistency: Extract<ShardConsistency, 'eventual' | object>,
    deadline: Deadline,
  ): Promise<ReadAnswer<T>> {
    if (consistency === 'eventual') return this.#eventual(read);
    if ('boundedMs' in consistency) return this.#bounded(read, consistency.boundedMs, deadline);
    return this.#session(read, consistency.minIndex, deadline);
  }

  async #strong<T>(read: () => Promise<T>): Promise<ReadAnswer<T>> {
    const asked = this.#mark.now();
    await this.#group.readBarrier();
    this.#mark.note(asked);
    return this.#show(read, asked);
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
    this.#keepAge();
    return this.#show(read, newest);
  }

  /** The age counts when the read is done, from a mark that was there before it (R12). */
  async #bounded<T>(
    read: () => Promise<T>,
    boundedMs: number,
    deadline: Deadline,
  ): Promise<ReadAnswer<T>> {
    for (let turn = 1; turn <= BOUNDED_TURNS_MAX; turn++) {
      const { newest } = this.#mark;
      const complete =
        newest !== undefined && this.#mark.ageMs(newest) <= boundedMs
          ? newest
          : await this.#patiently(this.#confirmed(boundedMs), deadline);
      if (this.#mark.ageMs(complete) > boundedMs) continue;
      const answer = await this.#show(read, complete);
      if (this.#mark.ageMs(complete) <= boundedMs) return answer;
    }
    throw behind(`its state was never younger than ${boundedMs} ms when the read was done`);
  }

  async #session<T>(
    read: () => Promise<T>,
    minIndex: number,
    deadline: Deadline,
  ): Promise<ReadAnswer<T>> {
    if (this.#group.appliedIndex < minIndex) {
      await this.#patiently(this.#reach(minIndex), deadline);
    }
    return this.#show(read, this.#mark.newest);
  }

  /** Waits only for what is committed: an index that is not may be none of this log (R14). */
  async #reach(minIndex: number): Promise<void> {
    if (minIndex <= this.#group.commitIndex) return this.#group.waitApplied(minIndex);
    const asked = this.#mark.now();
    await this.#group.readBarrier('anywhere');
    this.#mark.note(asked);
    const { appliedIndex } = this.#group;
    if (appliedIndex >= minIndex) return;
    const message = `The session has seen entry ${minIndex} of a log that ends at ${appliedIndex}`;
    throw new FlotillaError('INVALID_REQUEST', `${message}: it is another cluster's`, {
      field: 'session',
    });
  }

  /** One round serves all reads that it is young enough for. */
  #confirmed(boundedMs: number): Promise<Moment> {
    const round = this.#round;
    if (round !== undefined && this.#mark.ageMs(round.asked) <= boundedMs) return round.done;
    return this.#ask().done;
  }

  #ask(): Round {
    const asked = this.#mark.now();
    const round: Round = { asked, done: this.#complete(asked) };
    this.#round = round;
    const forget = (): void => {
      if (this.#round === round) this.#round = undefined;
    };
    round.done.then(forget, forget);
    return round;
  }

  /** A leader's lease says the same as a round to a quorum, at the moment at which it is held. */
  async #complete(asked: Moment): Promise<Moment> {
    const { leasedIndex } = this.#group;
    if (leasedIndex === undefined) await this.#group.readBarrier('anywhere');
    else await this.#group.waitApplied(leasedIndex);
    this.#mark.note(asked);
    return asked;
  }

  /** Nobody waits for it: the next read may tell its age. */
  #keepAge(): void {
    const isRecent = (moment: Moment | undefined): boolean =>
      moment !== undefined && this.#mark.ageMs(moment) < AGE_KEPT_MS;
    if (isRecent(this.#mark.newest) || isRecent(this.#ageAsked)) return;
    this.#ageAsked = this.#mark.now();
    this.#ask().done.catch(() => undefined);
  }

  async #show<T>(read: () => Promise<T>, complete: Moment | undefined): Promise<ReadAnswer<T>> {
    const value = await read();
    const appliedIndex = this.#options.reachedIndex();
    if (complete === undefined) return { value, state: { appliedIndex } };
    return { value, state: { appliedIndex, ageMs: this.#mark.ageMs(complete) } };
  }

  /** Of a follower that takes long, another replica may be the better one. */
  async #patiently<T>(work: Promise<T>, { timeoutMs }: Deadline): Promise<T> {
    if (this.#group.isLeader) return work;
    const patienceMs = Math.min(PATIENCE_MAX_MS, timeoutMs * PATIENCE_SHARE);
    const { scheduler } = this.#options;
    try {
      return await withDeadline(scheduler, work, { timeoutMs: patienceMs }, 'catching up');
    } catch (thrown) {
      const error = toFlotillaError(thrown);
      if (error.reason !== 'DEADLINE_EXCEEDED') throw error;
      throw behind(`it did not catch up within ${patienceMs} ms`);
    }
  }
}

function behind(why: string): FlotillaError {
  return new FlotillaError('REPLICA_BEHIND', `The replica does not serve the read: ${why}`);
}
