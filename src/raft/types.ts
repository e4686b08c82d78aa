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
  readonly commit: number;
  /** Vote in the HardState that a MsgStorageAppend carries. */
  readonly vote: ReplicaId;
  readonly reject: boolean;
  readonly rejectHint: number;
  /**
   * MsgHeartbeat and its response: position of the newest pending read (R3), a number that the
   * leader makes; 0 for none. MsgReadIndex and its response: the asking host's request id.
   */
  readonly context: number;
  /** MsgVote: the sender campaigns because its leader told it to (transfer). */
  readonly campaignTransfer: boolean;
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
      readonly why: 'uncommitted-limit' | 'transferring' | 'not-in-configuration';
    };

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
  /** Reads that will never be answered: this replica lost its leadership (R5). */
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
  /** Reads waiting for a quorum round or for the first commit of the term. @default 16384 */
  readonly maxPendingReads?: number;
  /** Storage as message targets, as in etcd; for the conformance replay. @default false */
  readonly asyncStorageWrites?: boolean;
  /** Whether a leader that is removed steps down at once. @default true */
  readonly stepDownOnRemoval?: boolean;
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
