import { restore } from './confchange.js';
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
  readonly #learners: ReadonlySet<ReplicaId>;
  /** All lists ascend. */
  readonly confState: ConfState;
  readonly voters: JointConfig;
  /** Everyone with a progress: voters of both halves and learners, ascending. */
  readonly ids: readonly ReplicaId[];
  /** Who is asked for votes, ascending. */
  readonly voterIds: readonly ReplicaId[];

  /** Throws a `ConfChangeError` for a configuration that contradicts itself. */
  constructor(confState: ConfState, limits: ProgressLimits) {
    this.#limits = limits;
    this.confState = restore(confState);
    const { voters, votersOutgoing, learners } = this.confState;
    this.#learners = new Set(learners);
    this.voters = { incoming: voters, outgoing: votersOutgoing };
    this.voterIds = ascending([...voters, ...votersOutgoing]);
    this.ids = ascending([...this.voterIds, ...learners]);
    this.resetProgress(0);
  }

  /**
   * The same group under another configuration. What is known of replicas that stay, and the votes,
   * are kept. New ones are probed from the leader's `lastIndex`, and count as active until the next
   * check of the quorum, since nobody could have heard from them yet.
   */
  reconfigured(confState: ConfState, lastIndex: number): Tracker {
    const next = new Tracker(confState, this.#limits);
    for (const id of next.ids)
      next.#progress.set(id, this.#progress.get(id) ?? this.#new(lastIndex));
    for (const [id, granted] of this.#votes) next.#votes.set(id, granted);
    return next;
  }

  #new(lastIndex: number): Progress {
    const progress = new Progress(this.#limits, Math.max(lastIndex, 1));
    progress.recentActive = true;
    return progress;
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

  isVoter(id: ReplicaId): boolean {
    return this.voterIds.includes(id);
  }

  /** Forgets what was known of the replicas' logs: sending would begin after `lastIndex`. */
  resetProgress(lastIndex: number): void {
    for (const id of this.ids) this.#progress.set(id, new Progress(this.#limits, lastIndex + 1));
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
    return this.ids.flatMap((id) => {
      return this.#progress.get(id)?.status(id, this.#learners.has(id)) ?? [];
    });
  }
}

function ascending(ids: Iterable<ReplicaId>): readonly ReplicaId[] {
  return [...new Set(ids)].sort((a, b) => a - b);
}
