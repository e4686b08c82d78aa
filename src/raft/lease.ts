import { type JointConfig, jointCommittedIndex } from './quorum.js';
import type { LeaseConfig, ReplicaId } from './types.js';

/** No moment of any clock is earlier. */
const NEVER = Number.NEGATIVE_INFINITY;
const OFF_STAMP: HeartbeatStamp = { sentAtMs: 0, promiseMs: 0 };

/** What a heartbeat says about leases; zeros while they are off. */
export interface HeartbeatStamp {
  readonly sentAtMs: number;
  readonly promiseMs: number;
}

/**
 * Leader leases (R6-R9), all three parts that a replica may play in them. Times are milliseconds
 * of this replica's own monotonic clock; only durations travel.
 *
 * - A voter that answers a heartbeat promises: for so long no other leader commits because of me.
 *   It votes all the same, but says how much of its promises is left, to whomever they were made.
 * - A candidate that wins must not commit before the promises of all who voted for it are over,
 *   with the drift of the clocks added: the commit barrier.
 * - A leader may read by itself as long as the promises of a quorum hold. It counts from when it
 *   sent the heartbeats, which is before anyone answered, and for less time than was promised.
 *
 * So a quorum that holds a lease and one that elects share a voter, whose promise the new leader
 * waits for. Whether elections begin early or late (E5) does not matter to this argument. It needs
 * clocks whose rates differ by less than the drift, and no suspended machine (R9).
 */
export class Leases {
  readonly #config: LeaseConfig | undefined;
  readonly #nowMs: () => number;
  /** As a voter: end of all promises that were made, or forgotten in a restart. */
  #promisedUntilMs = NEVER;
  /** As a voter: until then there may be promises that nobody remembers, so no vote is given. */
  readonly #withheldUntilMs: number = NEVER;
  /** As a candidate and leader: nothing is committed before. */
  #commitBarrierMs = NEVER;
  /** As a leader: when the newest heartbeat was sent that each replica has answered. */
  readonly #answered = new Map<ReplicaId, number>();
  #revoked = false;

  constructor(config: LeaseConfig | undefined, nowMs: () => number, restarted: boolean) {
    this.#config = config;
    this.#nowMs = nowMs;
    if (config === undefined || !restarted) return;
    this.#withheldUntilMs = nowMs() + config.promiseMs;
    this.#promisedUntilMs = this.#withheldUntilMs;
  }

  /** Voter: a heartbeat is being answered. */
  promise(promiseMs: number): void {
    if (promiseMs === 0) return;
    this.#promisedUntilMs = Math.max(this.#promisedUntilMs, this.#nowMs() + promiseMs);
  }

  /** Voter: what is left of its promises, for the one it votes for. */
  remainingPromiseMs(): number {
    if (this.#promisedUntilMs === NEVER) return 0;
    return Math.max(0, Math.ceil(this.#promisedUntilMs - this.#nowMs()));
  }

  /** Voter: whether votes and pre-votes are withheld because of a restart (R7). */
  get withholdsVotes(): boolean {
    return this.#withheldUntilMs !== NEVER && this.#nowMs() < this.#withheldUntilMs;
  }

  /**
   * Candidate: its own vote is bound by its own promises, as others' are. Not so if it campaigns
   * because its leader said so: that one has no lease any more, and earlier ones had none when it
   * committed (R8).
   */
  beginCandidacy(campaignTransfer: boolean): void {
    this.#commitBarrierMs = campaignTransfer ? NEVER : this.#promisedUntilMs;
  }

  /** Candidate: a vote was received. */
  granted(promiseMs: number): void {
    if (promiseMs === 0) return;
    const drift = this.#config?.driftFraction ?? 0;
    const untilMs = this.#nowMs() + promiseMs * (1 + drift);
    this.#commitBarrierMs = Math.max(this.#commitBarrierMs, untilMs);
  }

  /** Leader: its term begins. */
  beginTerm(): void {
    this.#answered.clear();
    this.#revoked = false;
  }

  /** Leader: whether the last question whether it may commit was answered with no. */
  get isBarred(): boolean {
    return this.#commitBarrierMs !== NEVER;
  }

  /** Leader: whether all promises that it has to wait for are over. Then they stay so. */
  mayCommit(): boolean {
    if (this.#commitBarrierMs === NEVER) return true;
    if (this.#nowMs() < this.#commitBarrierMs) return false;
    this.#commitBarrierMs = NEVER;
    return true;
  }

  /** Leader: for the heartbeats that are made now. */
  stamp(): HeartbeatStamp {
    if (this.#config === undefined) return OFF_STAMP;
    return { sentAtMs: Math.floor(this.#nowMs()), promiseMs: this.#config.promiseMs };
  }

  /** Leader: `id` answered the heartbeat that was sent at `sentAtMs`. Late answers do nothing. */
  answered(id: ReplicaId, sentAtMs: number): void {
    if (sentAtMs === 0 || this.#config === undefined || sentAtMs > this.#nowMs()) return;
    if (sentAtMs > (this.#answered.get(id) ?? NEVER)) this.#answered.set(id, sentAtMs);
  }

  /**
   * Leader: no lease any more in this term, because somebody was told to campaign at once (R8):
   * that order may arrive late, and voters do not wait for promises when it is carried out.
   */
  revoke(): void {
    this.#revoked = true;
  }

  /** Leader: whether the promises of a quorum, `self` among it, hold at this moment (R6). */
  isHeld(voters: JointConfig, self: ReplicaId): boolean {
    if (this.#config === undefined || this.#revoked) return false;
    const nowMs = this.#nowMs();
    const sentAtMs = jointCommittedIndex(voters, (id) =>
      id === self ? nowMs : (this.#answered.get(id) ?? NEVER),
    );
    return nowMs < sentAtMs + this.#config.durationMs;
  }
}
