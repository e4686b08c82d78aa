import { Inflights } from './inflights.js';
import { invariant } from './invariant.js';
import type { ProgressState, ProgressStatus, ReplicaId } from './types.js';

export interface ProgressLimits {
  readonly maxInflightMessages: number;
  readonly maxInflightBytes: number;
}

/**
 * What a leader knows of one replica's log, and how fast it may send to it (L6):
 *
 * - probe: where the logs meet is not known; one MsgApp, then silence until an answer or heartbeat.
 * - replicate: `next` runs ahead of `match` as far as the window of inflights reaches.
 * - snapshot: the log no longer reaches back far enough; nothing is sent until it is installed.
 *
 * Always `match < next` (L10).
 */
export class Progress {
  readonly #inflights: Inflights;
  #match = 0;
  #next: number;
  #state: ProgressState = 'StateProbe';
  #pendingSnapshot = 0;
  /** Highest commit index that was sent, as far as the replica may use it (L9). */
  #sentCommit = 0;
  /** One message is out that has to be answered before the next: a probe, or a full window. */
  #flowPaused = false;
  /** The replica begins with nothing, not even a configuration: no entries will do. */
  #isBlank = false;
  /** Heard from since the last check of the quorum (E6). */
  recentActive = false;

  /** Nothing is known of the replica yet; the first probe asks about the entry before `next`. */
  constructor(limits: ProgressLimits, next: number) {
    this.#inflights = new Inflights(limits.maxInflightMessages, limits.maxInflightBytes);
    this.#next = next;
  }

  /** Last entry known to be durable at the replica. */
  get match(): number {
    return this.#match;
  }

  /** The entry to send next. */
  get next(): number {
    return this.#next;
  }

  get state(): ProgressState {
    return this.#state;
  }

  /** Whether nothing at all may be sent now. */
  get isPaused(): boolean {
    return this.#state === 'StateSnapshot' || this.#flowPaused;
  }

  /** Whether entries may be sent now; an empty MsgApp may go even to a full window (L7). */
  get acceptsEntries(): boolean {
    return this.#state !== 'StateReplicate' || !this.#inflights.isFull;
  }

  /** Whether only a snapshot helps, whatever the log reaches back to. */
  get needsSnapshot(): boolean {
    return this.#isBlank;
  }

  /** The replica refused to begin at the beginning. False for a late answer. */
  becomeBlank(): boolean {
    if (this.#match > 0 || this.#state !== 'StateProbe') return false;
    this.#isBlank = true;
    this.#flowPaused = false;
    return true;
  }

  becomeProbe(): void {
    const next =
      this.#state === 'StateSnapshot'
        ? Math.max(this.#match, this.#pendingSnapshot) + 1
        : this.#match + 1;
    this.#enter('StateProbe');
    this.#moveNextBackTo(next);
  }

  becomeReplicate(): void {
    this.#enter('StateReplicate');
    this.#next = this.#match + 1;
  }

  becomeSnapshot(index: number): void {
    this.#enter('StateSnapshot');
    this.#isBlank = false;
    this.#pendingSnapshot = index;
    this.#next = index + 1;
    this.#sentCommit = index;
  }

  /**
   * The host is done with sending a snapshot (P2). After a success probing goes on behind it, after
   * a failure where it stood; either way only when the replica was heard from again.
   */
  snapshotReported(ok: boolean): void {
    if (this.#state !== 'StateSnapshot') return;
    if (!ok) this.#pendingSnapshot = 0;
    this.becomeProbe();
    this.#flowPaused = true;
  }

  /** A MsgApp with `count` entries of `sizeBytes` in all was sent. */
  sentEntries(count: number, sizeBytes: number): void {
    switch (this.#state) {
      case 'StateReplicate':
        if (count > 0) {
          this.#next += count;
          this.#inflights.add(this.#next - 1, sizeBytes);
        }
        this.#flowPaused = this.#inflights.isFull;
        return;
      case 'StateProbe':
        if (count > 0) this.#flowPaused = true;
        return;
      case 'StateSnapshot':
        invariant(false, () => `entries sent behind snapshot ${this.#pendingSnapshot}`);
    }
  }

  sentCommit(commit: number): void {
    this.#sentCommit = commit;
  }

  /** Whether sending this commit index now would tell the replica something (L9). */
  canBumpCommit(commit: number): boolean {
    return commit > this.#sentCommit && this.#sentCommit < this.#next - 1;
  }

  /** Everything up to `index` is durable there. False when that was known: a late answer. */
  maybeUpdate(index: number): boolean {
    if (index <= this.#match) return false;
    this.#match = index;
    this.#isBlank = false;
    this.#next = Math.max(this.#next, index + 1);
    this.#flowPaused = false;
    return true;
  }

  /** Frees the window for what was answered. */
  acknowledged(index: number): void {
    this.#inflights.freeUpTo(index);
  }

  /** A heartbeat came back: whatever was in flight had its time (L8). */
  resumeFlow(): void {
    this.#flowPaused = false;
  }

  /**
   * The replica refused the entries after `rejected`; its log may match up to `matchHint`. Moves
   * `next` back. False for an answer that a newer one has overtaken (L10).
   */
  maybeDecreaseTo(rejected: number, matchHint: number): boolean {
    if (this.#state === 'StateReplicate') {
      if (rejected <= this.#match) return false;
      this.#moveNextBackTo(this.#match + 1);
      return true;
    }
    if (this.#next - 1 !== rejected) return false;
    this.#moveNextBackTo(Math.max(Math.min(rejected, matchHint + 1), this.#match + 1));
    this.#flowPaused = false;
    return true;
  }

  status(id: ReplicaId, isLearner: boolean): ProgressStatus {
    return {
      id,
      match: this.#match,
      next: this.#next,
      state: this.#state,
      isLearner,
      recentActive: this.recentActive,
      paused: this.isPaused,
      pendingSnapshot: this.#pendingSnapshot,
      inflightCount: this.#inflights.count,
      inflightFull: this.#inflights.isFull,
    };
  }

  #enter(state: ProgressState): void {
    this.#state = state;
    this.#flowPaused = false;
    this.#pendingSnapshot = 0;
    this.#inflights.reset();
  }

  /** What was sent from there on is probably lost, and the commit indexes with it. */
  #moveNextBackTo(next: number): void {
    this.#next = next;
    this.#sentCommit = Math.min(this.#sentCommit, next - 1);
  }
}
