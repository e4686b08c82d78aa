import { Progress, type ProgressLimits } from './progress.js';
import {
  type JointConfig,
  jointCommittedIndex,
  jointVoteResult,
  type VoteResult,
} from './quorum.js';
import type { ConfState, ProgressStatus, ReplicaId } from './types.js';

/**
 * The configuration in force, what the leader knows of each replica in it, and the votes of an
 * election. Replicas are visited by ascending id, so that equal inputs give equal messages.
 */
export class Tracker {
  readonly #limits: ProgressLimits;
  readonly #progress = new Map<ReplicaId, Progress>();
  readonly #votes = new Map<ReplicaId, boolean>();
  readonly #acked = (id: ReplicaId): number | undefined => this.#progress.get(id)?.match;
  readonly #confState: ConfState;
  readonly #learners: ReadonlySet<ReplicaId>;
  readonly voters: JointConfig;
  /** Everyone with a progress: voters of both halves and learners, ascending. */
  readonly ids: readonly ReplicaId[];
  /** Who is asked for votes, ascending. */
  readonly voterIds: readonly ReplicaId[];

  constructor(confState: ConfState, limits: ProgressLimits) {
    this.#limits = limits;
    this.#learners = new Set(confState.learners);
    this.voters = {
      incoming: ascending(confState.voters),
      outgoing: ascending(confState.votersOutgoing),
    };
    this.voterIds = ascending([...this.voters.incoming, ...this.voters.outgoing]);
    this.ids = ascending([...this.voterIds, ...this.#learners]);
    this.#confState = {
      voters: this.voters.incoming,
      votersOutgoing: this.voters.outgoing,
      learners: ascending(confState.learners),
      learnersNext: ascending(confState.learnersNext),
      autoLeave: confState.autoLeave,
    };
    this.resetProgress(0);
  }

  get confState(): ConfState {
    return this.#confState;
  }

  get(id: ReplicaId): Progress | undefined {
    return this.#progress.get(id);
  }

  has(id: ReplicaId): boolean {
    return this.#progress.has(id);
  }

  isLearner(id: ReplicaId): boolean {
    return this.#learners.has(id);
  }

  /** Forgets what was known of the replicas' logs: sending would begin after `lastIndex`. */
  resetProgress(lastIndex: number): void {
    for (const id of this.ids) {
      const isLearner = this.#learners.has(id);
      this.#progress.set(id, new Progress(this.#limits, lastIndex + 1, isLearner));
    }
  }

  /** The highest index that both majorities hold durably (M1). */
  committed(): number {
    return jointCommittedIndex(this.voters, this.#acked);
  }

  /** Whether the voters heard from since the last check make up a quorum (E6). */
  isQuorumActive(): boolean {
    const active = new Map<ReplicaId, boolean>();
    for (const id of this.voterIds) active.set(id, this.#progress.get(id)?.recentActive === true);
    return jointVoteResult(this.voters, active) === 'won';
  }

  /** The first vote of a replica counts, later ones do not. */
  recordVote(id: ReplicaId, granted: boolean): void {
    if (!this.#votes.has(id)) this.#votes.set(id, granted);
  }

  hasVoteOf(id: ReplicaId): boolean {
    return this.#votes.has(id);
  }

  resetVotes(): void {
    this.#votes.clear();
  }

  tallyVotes(): VoteResult {
    return jointVoteResult(this.voters, this.#votes);
  }

  progressStatus(): ProgressStatus[] {
    return this.ids.flatMap((id) => this.#progress.get(id)?.status(id) ?? []);
  }
}

function ascending(ids: Iterable<ReplicaId>): readonly ReplicaId[] {
  return [...new Set(ids)].sort((a, b) => a - b);
}
