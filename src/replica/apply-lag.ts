/**
 * How much of what a leader has proposed a quorum has not applied yet (A6). The leader alone would
 * hear of slow followers only when their logs are far ahead of their states.
 *
 * Followers tell how far they are with each answer to a heartbeat, so what is known of them is a
 * heartbeat old. One that has told nothing to this leader (it has just restarted, its version does
 * not tell) is taken to keep pace with the leader: it slows nobody down until it says that it lags.
 *
 * Bytes are counted between marks in the log. There are at most about a thousand of them, whatever
 * is proposed: small entries share one, and those beyond the bound are forgotten.
 */
import { jointCommittedIndex } from '../raft/quorum.js';
import type { ConfState, ReplicaId } from '../raft/types.js';

export interface ApplyLagOptions {
  readonly replicaId: ReplicaId;
  /** The index that this replica has applied. */
  readonly appliedIndex: () => number;
  /** The configuration in force. */
  readonly confState: () => ConfState;
  /** A quorum that is farther behind is said to be this far behind, or somewhat more. */
  readonly boundBytes: number;
}

/** All entries up to `index` that were proposed have `endBytes` in all. */
interface Mark {
  readonly index: number;
  readonly endBytes: number;
}

/** Entries share a mark up to this part of the bound: so wrong is the answer at most, upwards. */
const SHARED_PART = 1 / 512;

export class ApplyLag {
  readonly #options: ApplyLagOptions;
  /** By follower, the applied index that it told last. */
  readonly #told = new Map<ReplicaId, number>();
  /** Ascending in both numbers. */
  #marks: Mark[] = [];
  /** `endBytes` of the newest mark that was forgotten. */
  #forgottenBytes = 0;

  constructor(options: ApplyLagOptions) {
    this.#options = options;
  }

  /** A leadership begins or ends. */
  reset(): void {
    this.#told.clear();
    this.#marks = [];
    this.#forgottenBytes = 0;
  }

  /** What a follower tells counts also where it is less than before: its state may be a new one. */
  told(replicaId: ReplicaId, appliedIndex: number): void {
    this.#told.set(replicaId, appliedIndex);
  }

  /** This leader has appended an entry. What was at its index and behind it is gone. */
  proposed(index: number, sizeBytes: number): void {
    const { boundBytes } = this.#options;
    while ((this.#marks.at(-1)?.index ?? 0) >= index) this.#marks.pop();
    const endBytes = this.#endBytes + sizeBytes;
    const beforeLast = this.#marks.at(-2)?.endBytes ?? this.#forgottenBytes;
    const isShared = endBytes - beforeLast <= boundBytes * SHARED_PART;
    if (isShared) this.#marks.pop();
    this.#marks.push({ index, endBytes });
    for (;;) {
      const [oldest] = this.#marks;
      if (oldest === undefined || endBytes - oldest.endBytes < boundBytes) return;
      this.#forgottenBytes = oldest.endBytes;
      this.#marks.shift();
    }
  }

  /** Bytes between what the slowest member of the fastest quorum has applied and the last entry. */
  get bytes(): number {
    const { replicaId, appliedIndex, confState } = this.#options;
    const own = appliedIndex();
    const { voters, votersOutgoing } = confState();
    const applied = jointCommittedIndex({ incoming: voters, outgoing: votersOutgoing }, (id) =>
      id === replicaId ? own : (this.#told.get(id) ?? own),
    );
    return this.#endBytes - this.#bytesUpTo(applied);
  }

  get #endBytes(): number {
    return this.#marks.at(-1)?.endBytes ?? this.#forgottenBytes;
  }

  /** The newest mark at or before `index` says. Asked by all who wait, so by halving. */
  #bytesUpTo(index: number): number {
    let low = 0;
    let high = this.#marks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#marks[middle]?.index ?? 0) <= index) low = middle + 1;
      else high = middle;
    }
    return this.#marks[low - 1]?.endBytes ?? this.#forgottenBytes;
  }
}
