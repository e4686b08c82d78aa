/**
 * A Raft group as the one who changes its replicas deals with it: through its leader, wherever that
 * is. Plain data, because it crosses nodes.
 */
import type { Deadline } from '../shared/deadline.js';
import type { GroupMember } from '../storage/log-store.js';

/** The group as its leader sees it. */
export interface GroupState {
  /** Log index of the configuration below; changes with each change of it. */
  readonly configurationIndex: number;
  readonly leaderReplicaId: number;
  readonly voters: readonly number[];
  /** Voters of the configuration that is being left; empty unless it is joint (M1). */
  readonly outgoingVoters: readonly number[];
  /** Those that are to become learners when a joint configuration is left count. */
  readonly learners: readonly number[];
  /** Last index in the leader's log. */
  readonly lastIndex: number;
  /** All other replicas of the configuration. */
  readonly followers: readonly FollowerState[];
}

export interface FollowerState {
  readonly replicaId: number;
  /** Highest log index known to be the same there. */
  readonly matchIndex: number;
  /** Whether it has answered within the last election timeout. */
  readonly isActive: boolean;
  /** Whether entries flow to it, as opposed to being probed or sent a snapshot (L6). */
  readonly isReplicating: boolean;
  /** The snapshot that is being sent to it. */
  readonly snapshot?: {
    readonly doneBytes: number;
    readonly sizeBytes: number;
    readonly bytesPerSecond: number;
  };
}

export interface ReconfigurationStep {
  readonly kind: 'add-voter' | 'add-learner' | 'remove';
  readonly replicaId: number;
}

export interface Reconfiguration {
  /**
   * `configurationIndex` of the state that the change was made for. A leader whose configuration is
   * another one refuses with CHANGE_IN_PROGRESS: a change that was decided on yesterday, and held
   * up on its way, does not hit today's group.
   */
  readonly expectedIndex: number;
  readonly steps: readonly ReconfigurationStep[];
  /** Where the added replicas live. */
  readonly members: readonly GroupMember[];
}

/** Rejects with NO_LEADER, SHARD_UNAVAILABLE or DEADLINE_EXCEEDED where nobody leads in time. */
export interface GroupControl {
  state(groupId: number, deadline: Deadline): Promise<GroupState>;
  /** Resolves once the change is applied, and a joint configuration left. May be repeated. */
  reconfigure(groupId: number, change: Reconfiguration, deadline: Deadline): Promise<void>;
  /** Hands the leadership over. @param toReplicaId default: the voter that is best caught up */
  transfer(groupId: number, toReplicaId: number | undefined, deadline: Deadline): Promise<void>;
}

export function isInConfiguration(state: GroupState, replicaId: number): boolean {
  const { voters, outgoingVoters, learners } = state;
  return [...voters, ...outgoingVoters, ...learners].includes(replicaId);
}

/**
 * Why a group with these voters could not commit now, as one sentence; undefined where a majority
 * of them answers. `gone` are those that would not take part although they may answer still.
 */
export function quorumRisk(
  state: GroupState,
  voters: readonly number[],
  gone: readonly number[] = [],
): string | undefined {
  const answers = (replicaId: number): boolean =>
    !gone.includes(replicaId) &&
    (replicaId === state.leaderReplicaId ||
      state.followers.some((one) => one.replicaId === replicaId && one.isActive));
  const silent = voters.filter((replicaId) => !answers(replicaId));
  const needed = Math.floor(voters.length / 2) + 1;
  if (voters.length - silent.length >= needed) return undefined;
  return (
    `of the voters ${voters.join(', ')} only ${voters.length - silent.length} would be there, ` +
    `${needed} are needed (missing: replica ${silent.join(', ')})`
  );
}
