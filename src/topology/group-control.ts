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

/** Who votes, as one replica has it synced: what it goes on with after a loss of power. */
export interface DurableVoters {
  readonly replicaId: number;
  /** Log index of that configuration, which the synced commit index covers. */
  readonly index: number;
  readonly voters: readonly number[];
  readonly outgoingVoters: readonly number[];
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
  /** Of each replica that answers, in no order. Rejects for a group that does not exist only. */
  durableVoters(groupId: number, deadline: Deadline): Promise<readonly DurableVoters[]>;
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
  const needed = majorityOf(voters);
  if (voters.length - silent.length >= needed) return undefined;
  return (
    `of the voters ${voters.join(', ')} only ${voters.length - silent.length} would be there, ` +
    `${needed} are needed (missing: replica ${silent.join(', ')})`
  );
}

/**
 * Why the logs of replicas that left the group, and of those `gone`, must not be destroyed yet, as
 * one sentence; undefined where a majority of the voters has synced that it is the voters (M12).
 *
 * A change is committed by who votes before it and, where it is joint, by who votes after it. That
 * it is committed is known first to the leader, and to nobody for sure after a loss of power: a
 * commit index is not synced by itself (S2). A replica that restarts with the old configuration
 * asks the old voters, and may need a vote that nobody can give any more:
 *
 * - 2 -> 1: the one left needs the vote of the one that went, though it has every entry;
 * - 3 -> 2: one of the two left needs the other and, if that is down or has the shorter log, the
 *   one that went;
 * - a replacement: the old voters are a quorum of their own until the joint configuration is left,
 *   so it is the voters behind that, and no outgoing ones, that have to be synced;
 * - the leader went: it knew alone that the change is committed. It steps down (M7) and tells who
 *   asks for its vote (M11), and this is asked of the next leader.
 *
 * Once a majority has the new voters synced it needs nobody else, whatever the rest comes back
 * with: of that majority the one with the best log gets all of its votes. Each change waits for
 * this before the next one begins, so never is more than one configuration behind.
 */
export function survivalRisk(
  state: GroupState,
  durable: readonly DurableVoters[],
  gone: readonly number[] = [],
): string | undefined {
  const { voters } = state;
  const missing = unsyncedVoters(state, durable, gone);
  const needed = majorityOf(voters);
  if (voters.length - missing.length >= needed) return undefined;
  return (
    `of the voters ${voters.join(', ')} only ${voters.length - missing.length} would go on as ` +
    `such after a loss of power, ${needed} are needed (missing: replica ${missing.join(', ')})`
  );
}

/** The voters that have not synced that it is them who vote, or did not answer, or are `gone`. */
export function unsyncedVoters(
  { voters }: GroupState,
  durable: readonly DurableVoters[],
  gone: readonly number[] = [],
): readonly number[] {
  const isSynced = (replicaId: number): boolean =>
    !gone.includes(replicaId) &&
    durable.some((one) => one.replicaId === replicaId && hasOnly(one, voters));
  return voters.filter((replicaId) => !isSynced(replicaId));
}

/**
 * By the voters, not by the index: a snapshot gives the same configuration a higher one. Replica
 * ids are never used again (M8), so the same voters are the same configuration but for learners.
 */
function hasOnly({ voters, outgoingVoters }: DurableVoters, wanted: readonly number[]): boolean {
  return (
    outgoingVoters.length === 0 &&
    voters.length === wanted.length &&
    voters.every((replicaId) => wanted.includes(replicaId))
  );
}

function majorityOf(voters: readonly number[]): number {
  return Math.floor(voters.length / 2) + 1;
}
