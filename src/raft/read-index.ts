import { type JointConfig, jointCommittedIndex } from './quorum.js';
import type { ReplicaId } from './types.js';

/** Who wants to read: this replica's host, or a follower, under a number of its own (R10). */
export interface ReadAsker {
  readonly from: ReplicaId;
  readonly requestId: number;
}

export interface PendingRead {
  readonly asker: ReadAsker;
  readonly index: number;
}

/**
 * A leader's reads that wait for the proof that it still leads (ReadIndex, thesis 6.4).
 *
 * Reads get positions 1, 2, ... in the order of their arrival, anew in every term. A heartbeat
 * carries the newest position; an answer to it proves leadership after all reads up to there, so
 * that one round serves whatever is waiting, and no id of a caller can be mistaken for it (R3).
 */
export class ReadIndexQueue {
  readonly #maxPending: number;
  /** Came before the first commit of the term: the commit index may still be stale (R2). */
  #early: ReadAsker[] = [];
  #pending: PendingRead[] = [];
  /** Position of the last read that was confirmed. */
  #confirmed = 0;
  /** Newest position that a heartbeat carried. */
  #announced = 0;
  #acknowledged = new Map<ReplicaId, number>();

  constructor(maxPending: number) {
    this.#maxPending = maxPending;
  }

  get isFull(): boolean {
    return this.#early.length + this.#pending.length >= this.#maxPending;
  }

  get hasEarly(): boolean {
    return this.#early.length > 0;
  }

  /** Whether reads wait that no heartbeat has spoken of yet. */
  get needsRound(): boolean {
    return this.#pending.length > 0 && this.#announced < this.#newest();
  }

  /** Keeps a read until the leader has committed an entry of its own term. */
  addEarly(asker: ReadAsker): void {
    this.#early.push(asker);
  }

  add(asker: ReadAsker, commit: number): void {
    this.#pending.push({ asker, index: commit });
  }

  /** The term has its first commit: the early reads take part from now on. */
  admitEarly(commit: number): void {
    for (const asker of this.#early) this.add(asker, commit);
    this.#early = [];
  }

  /** The position for a heartbeat that leaves now; 0 when nothing waits. */
  announce(): number {
    if (this.#pending.length === 0) return 0;
    this.#announced = this.#newest();
    return this.#announced;
  }

  /** A replica answered a heartbeat that carried `position`. Late and made-up ones do nothing. */
  acknowledge(id: ReplicaId, position: number): void {
    if (position > this.#announced) return;
    if (position > (this.#acknowledged.get(id) ?? 0)) this.#acknowledged.set(id, position);
  }

  /** Takes out the reads that a quorum of the voters, `self` among them, has confirmed (R1, R4). */
  takeConfirmed(voters: JointConfig, self: ReplicaId): readonly PendingRead[] {
    if (this.#pending.length === 0) return [];
    const newest = this.#newest();
    const position = jointCommittedIndex(voters, (id) =>
      id === self ? newest : this.#acknowledged.get(id),
    );
    const count = Math.min(position, newest) - this.#confirmed;
    if (count <= 0) return [];
    this.#confirmed += count;
    return this.#pending.splice(0, count);
  }

  /** The term is over: forgets everything and returns who got no answer (R5). */
  abort(): readonly ReadAsker[] {
    const aborted = [...this.#pending.map((read) => read.asker), ...this.#early];
    this.#early = [];
    this.#pending = [];
    this.#confirmed = 0;
    this.#announced = 0;
    this.#acknowledged.clear();
    return aborted;
  }

  #newest(): number {
    return this.#confirmed + this.#pending.length;
  }
}
