/**
 * The vocabulary of the consensus core: etcd's message fields and names, the paper's words.
 *
 * The core imports nothing and does no I/O. Replica ids, terms and indexes are non-negative safe
 * integers; 0 means "none". Byte arrays are never changed once handed over, by either side.
 */

/** Id of a replica within its group. Never reused after its data was lost or removed (M8). */
export type ReplicaId = number;

/** No replica. */
export const NONE: ReplicaId = 0;

/** Targets of storage messages in asynchronous mode; they print as AppendThread, ApplyThread. */
export const LOCAL_APPEND_THREAD = Number.MAX_SAFE_INTEGER - 1;
export const LOCAL_APPLY_THREAD = Number.MAX_SAFE_INTEGER;

export type EntryType = 'EntryNormal' | 'EntryConfChange' | 'EntryConfChangeV2';

export interface Entry {
  readonly type: EntryType;
  readonly term: number;
  readonly index: number;
  /** Empty for the no-op that a new leader appends. */
  readonly data: Uint8Array;
}

/** What must be durable before any response that depends on it leaves (E1). */
export interface HardState {
  readonly term: number;
  /** Replica voted for in `term`, or `NONE`. */
  readonly vote: ReplicaId;
  readonly commit: number;
}

export type Role = 'StateFollower' | 'StateCandidate' | 'StateLeader' | 'StatePreCandidate';

/** What may be lost: useful to the host, never persisted. */
export interface SoftState {
  readonly lead: ReplicaId;
  readonly role: Role;
}

/** A group's configuration. Joint while `votersOutgoing` is not empty. All arrays ascend. */
export interface ConfState {
  readonly voters: readonly ReplicaId[];
  readonly votersOutgoing: readonly ReplicaId[];
  readonly learners: readonly ReplicaId[];
  readonly learnersNext: readonly ReplicaId[];
  readonly autoLeave: boolean;
}

/** `update` changes nothing in the core: it lets the host replicate facts about a replica. */
export type ConfChangeKind = 'add-voter' | 'add-learner' | 'remove' | 'update';

export interface ConfChangeStep {
  readonly kind: ConfChangeKind;
  /** Steps about `NONE` are ignored. */
  readonly replicaId: ReplicaId;
}

/** A change of the configuration, as one entry of the log (M1). */
export interface ConfChange {
  /**
   * - `auto`: one step takes effect at once; several go through a joint configuration, which is
   *   left by itself (M5).
   * - `joint-implicit`: through a joint configuration in any case, left by itself.
   * - `joint-explicit`: the joint configuration stays until a change without steps leaves it.
   */
  readonly transition: 'auto' | 'joint-implicit' | 'joint-explicit';
  /** Carried out in order. Empty: leave the joint configuration. */
  readonly changes: readonly ConfChangeStep[];
  /** Opaque to the core: the host's records of the members. */
  readonly context: Uint8Array;
}

export interface SnapshotMeta {
  readonly index: number;
  readonly term: number;
  readonly confState: ConfState;
}

export interface Snapshot {
  readonly meta: SnapshotMeta;
  /** Opaque to the core; the host sends large state on its own stream and keeps this small. */
  readonly data: Uint8Array;
}

export type MessageType =
  | 'MsgHup'
  | 'MsgBeat'
  | 'MsgProp'
  | 'MsgApp'
  | 'MsgAppResp'
  | 'MsgVote'
  | 'MsgVoteResp'
  | 'MsgSnap'
  | 'MsgHeartbeat'
  | 'MsgHeartbeatResp'
  | 'MsgUnreachable'
  | 'MsgSnapStatus'
  | 'MsgCheckQuorum'
  | 'MsgTransferLeader'
  | 'MsgTimeoutNow'
  | 'MsgReadIndex'
  | 'MsgReadIndexResp'
  | 'MsgPreVote'
  | 'MsgPreVoteResp'
  | 'MsgStorageAppend'
  | 'MsgStorageAppendResp'
  | 'MsgStorageApply'
  | 'MsgStorageApplyResp'
  | 'MsgForgetLeader';

/** One message between two replicas of a group, or between the core and its storage. */
export interface Message {
  readonly type: MessageType;
  readonly to: ReplicaId;
  readonly from: ReplicaId;
  readonly term: number;
  /** Term of the entry at `index` (MsgApp), or of the hinted entry (rejected MsgAppResp). */
  readonly logTerm: number;
  readonly index: number;
  readonly entries: readonly Entry[];
  /**
   * The sender's commit index, or as much of it as concerns the receiver (L3). In MsgHeartbeatResp
   * it is the host's: one more than the index that it has applied (A6), 0 where it does not tell.
   */
  readonly commit: number;
  /**
   * Requests for votes and pre-votes, and their answers: term of the entry at `commit`, because an
   * index alone proves nothing to who has another log (E13). 0 where the sender does not know it.
   */
  readonly commitTerm: number;
  /** MsgStorageAppend: vote of its HardState. MsgTransferLeader: the replica that is to lead. */
  readonly vote: ReplicaId;
  readonly reject: boolean;
  readonly rejectHint: number;
  /**
   * MsgHeartbeat and its response: position of the newest pending read (R3), a number that the
   * leader makes; 0 for none. MsgReadIndex and its response: a number that the asking follower
   * makes, never again after its restart either (R10).
   */
  readonly context: number;
  /** MsgVote: the sender campaigns because its leader told it to (transfer). */
  readonly campaignTransfer: boolean;
  /**
   * MsgHeartbeat: the leader's monotonic clock when it was made, in whole milliseconds;
   * MsgHeartbeatResp gives it back (R6). 0 for none.
   */
  readonly sentAtMs: number;
  /**
   * MsgHeartbeat: how long who answers it promises to let no other leader commit; 0 without leases.
   * MsgVoteResp: how long such promises of the voter still hold, counted from sending (R7).
   */
  readonly promiseMs: number;
  readonly snapshot?: Snapshot;
  /** Messages to hand on when a storage message has been carried out (asynchronous mode). */
  readonly responses?: readonly Message[];
}

/** A read that was confirmed: the state is fresh enough once `index` is applied. */
export interface ReadState {
  readonly requestId: number;
  readonly index: number;
}

export type ProposeResult =
  | { readonly kind: 'accepted'; readonly index: number; readonly term: number }
  | { readonly kind: 'not-leader'; readonly lead: ReplicaId }
  | {
      readonly kind: 'dropped';
      readonly why: ProposalDropReason;
    };

export type ProposalDropReason =
  | 'uncommitted-limit'
  /** A transfer of the leadership is under way (T1). */
  | 'transferring'
  | 'not-in-configuration'
  /** An earlier configuration change is not applied here yet (M2), or the joint one not left. */
  | 'conf-change-pending'
  /** The leader has not committed an entry of its own term (M3). */
  | 'term-not-committed'
  /** The change does not apply to the configuration in force, or would leave no voter (M9). */
  | 'conf-change-invalid';

/** `forwarded`: the leader was asked. `refused`: not possible here, or not known whom to ask. */
export type TransferResult = 'started' | 'forwarded' | 'refused';

/** Leader leases: all replicas of a group should have the same (R6-R9). */
export interface LeaseConfig {
  /** How long after sending a heartbeat that a quorum answers the leader may read by itself. */
  readonly durationMs: number;
  /** How long after answering a heartbeat a voter keeps other leaders from committing. */
  readonly promiseMs: number;
  /** By how much clocks may run too fast or too slow, 0.05 for 5 %. */
  readonly driftFraction: number;
}

/** Thrown when a local invariant is broken (a conflict below the commit index, say). */
export class FatalRaftError extends Error {
  override readonly name = 'FatalRaftError';
}

/** The entries that were asked for are compacted away; a snapshot is needed (L5). */
export class CompactedError extends Error {
  override readonly name = 'CompactedError';
}

/** The entries that were asked for are beyond the end of the log. */
export class UnavailableError extends Error {
  override readonly name = 'UnavailableError';
}

/**
 * The durable part of a group's log, as the core reads it: synchronous, and only what has been
 * persisted. The host's log store implements it; `MemoryStorage` is the reference.
 */
export interface LogReader {
  /** What was durable when the group was opened. */
  initialState(): { readonly hardState: HardState; readonly confState: ConfState };
  /**
   * Entries with `low <= index < high`, cut off after `maxSizeBytes` of data but never before the
   * first one (L11). Throws `CompactedError` when low < firstIndex(), `UnavailableError` when
   * high > lastIndex() + 1.
   */
  entries(low: number, high: number, maxSizeBytes: number): readonly Entry[];
  /** Term of the entry at `index`, which may be firstIndex() - 1. Throws as `entries` does. */
  term(index: number): number;
  firstIndex(): number;
  lastIndex(): number;
  /** The newest snapshot, or undefined while the host is still making one (P1). */
  snapshot(): Snapshot | undefined;
}

/** What the host has to do after a turn of the core. Produced by `RawNode.ready()`. */
export interface Ready {
  /** Counts up; handed back with `persisted`. */
  readonly sequence: number;
  /** Present when it changed. */
  readonly softState?: SoftState;
  /** Present when it changed. */
  readonly hardState?: HardState;
  /** To append; entries at and after the first one's index are replaced. */
  readonly entries: readonly Entry[];
  /** To install before `entries` are appended. */
  readonly snapshot?: Snapshot;
  /** Whether entries, term or vote changed: the batch needs an fsync (S2). */
  readonly mustSync: boolean;
  /** To send at once, in this order. */
  readonly messages: readonly Message[];
  /** To send only when everything above is durable (E1), in this order. */
  readonly messagesAfterPersist: readonly Message[];
  /** To apply, in order. May be applied before `persisted`; they are durable on a quorum. */
  readonly committed: readonly Entry[];
  readonly readStates: readonly ReadState[];
  /** Reads that will never be answered: the leader that was to confirm them is lost (R5, R10). */
  readonly readsAborted: readonly number[];
}

export interface RaftConfig {
  readonly id: ReplicaId;
  readonly storage: LogReader;
  /** Index up to which the state machine was applied before the restart. @default 0 */
  readonly applied?: number;
  /** Minimum election timeout in ticks; the real one is drawn from [T, 2T). */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** Seeded in tests. Returns a float in [0, 1). */
  readonly random: () => number;
  /** @default true */
  readonly preVote?: boolean;
  /** @default true */
  readonly checkQuorum?: boolean;
  /** Largest sum of entry sizes in one MsgApp; one entry always goes. @default 512 KiB */
  readonly maxSizePerMessageBytes?: number;
  /** Largest sum of entry sizes handed out to be applied at a time. @default maxSizePerMessage */
  readonly maxCommittedSizeBytes?: number;
  /** MsgApps in flight per follower. @default 64 */
  readonly maxInflightMessages?: number;
  /** Bytes of entries in flight per follower. @default 8 MiB */
  readonly maxInflightBytes?: number;
  /** Bytes of entries appended by this leader and not committed. @default 64 MiB */
  readonly maxUncommittedBytes?: number;
  /**
   * Reads waiting for a quorum round or the first commit of the term, and at a follower those
   * waiting for the leader's answer. @default 16384
   */
  readonly maxPendingReads?: number;
  /** Storage as message targets, as in etcd; for the conformance replay. @default false */
  readonly asyncStorageWrites?: boolean;
  /** Whether a leader that is removed steps down at once. @default true */
  readonly stepDownOnRemoval?: boolean;
  /**
   * The node's monotonic clock in milliseconds, for leases alone. Needed by every replica of a
   * group where any of them uses leases. @default () => 0
   */
  readonly nowMs?: () => number;
  /** @default undefined: off; nothing waits and nobody is refused because of leases */
  readonly leases?: LeaseConfig | undefined;
  /**
   * The group was open before on this disk: what was promised then is forgotten, so that with
   * leases on no vote is given for `promiseMs` (R7). @default false
   */
  readonly restarted?: boolean;
  /**
   * What happens to a configuration change against the rules (M1-M4, M9): it is refused; as in
   * etcd an empty entry takes its place; or nobody looks. The latter two are for the conformance
   * replay. @default 'refuse'
   */
  readonly confChangeValidation?: 'refuse' | 'empty-entry' | 'none';
  /**
   * Whether followers hand proposals on to the leader, and leaders take such. Their fate is not
   * told, and a lost one is lost: for the conformance replay (A9). @default false
   */
  readonly forwardProposals?: boolean;
  /** Where the core tells what it does; nothing of it is needed for correctness. */
  readonly trace?: (line: string) => void;
}

export type ProgressState = 'StateProbe' | 'StateReplicate' | 'StateSnapshot';

/** What a leader knows of one replica. */
export interface ProgressStatus {
  readonly id: ReplicaId;
  readonly match: number;
  readonly next: number;
  readonly state: ProgressState;
  readonly isLearner: boolean;
  readonly recentActive: boolean;
  readonly paused: boolean;
  readonly pendingSnapshot: number;
  readonly inflightCount: number;
  readonly inflightFull: boolean;
}

export interface RaftStatus {
  readonly id: ReplicaId;
  readonly hardState: HardState;
  readonly softState: SoftState;
  readonly applied: number;
  readonly lastIndex: number;
  readonly confState: ConfState;
  /** By ascending id; empty unless this replica leads. */
  readonly progress: readonly ProgressStatus[];
}
