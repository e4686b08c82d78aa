/**
 * One replica of a shard as the router sees it: on this node or on another, the same interface.
 *
 * A replica answers for itself. It refuses with NOT_LEADER (`details.leaderNodeId` where known)
 * when it does not lead, and with STALE_TOPOLOGY when the asker's ownership version is not its own.
 */
import type {
  CommandResult,
  ContentQuery,
  ContentReport,
  EngineStats,
  Explanation,
  Hit,
  ReadScope,
  RecordKey,
  ScrollPage,
  ScrollQuery,
  SearchQuery,
  Selection,
  StoredRecord,
  TenantCount,
  TenantsQuery,
} from '../engine/engine.js';
import type { ProgressStatus, Role } from '../raft/types.js';
import type { ShardConsistency } from '../shared/consistency.js';
import type { GiveUpSignal } from '../shared/give-up.js';
import type { ErrorBody } from '../shared/types.js';
import type { TransferProgress } from './transfer-meter.js';

/** Travels with every internal call. */
export interface CallContext {
  /** Epoch of the asker's topology; for diagnosis and refreshes, not for correctness. */
  readonly epoch: number;
  /** What is left of the caller's deadline, counted from the call. */
  readonly timeoutMs: number;
  readonly signal?: GiveUpSignal | undefined;
  /**
   * How fresh a read has to be. A `leased` one asks nobody while the leader holds a lease, and is a
   * strong one where it holds none; both are for leaders. @default 'strong'
   */
  readonly consistency?: ShardConsistency;
  /**
   * Whether a replica on another node that does not lead hands the call to the leader it knows,
   * instead of refusing it: for askers that do not reach the leader. Done once, never further.
   * @default false
   */
  readonly passOn?: boolean | undefined;
}

/** What a read shows of its shard's log. */
export interface ShownState {
  /** Nothing that the read has seen is later in the log. */
  readonly appliedIndex: number;
  /**
   * All that was acknowledged so many milliseconds before the answer left, or earlier, is shown.
   * Absent where that is not known.
   */
  readonly ageMs?: number;
  /** The node whose replica has answered: absent where it is the one that was asked. */
  readonly nodeId?: number;
}

export interface ReadAnswer<T> {
  readonly value: T;
  /** Absent where the replica is on a node of a version that does not tell. */
  readonly state?: ShownState;
}

/** What became of one proposed command; in the order of the request's commands. */
export type ProposalAnswer =
  | { readonly kind: 'applied'; readonly index: number; readonly result: CommandResult }
  /** Not proposed, or known to be lost: it will never be applied. */
  | { readonly kind: 'not-applied'; readonly error: ErrorBody }
  /** Appended by a leader that lost its term, or no answer in time. */
  | { readonly kind: 'unknown'; readonly error: ErrorBody };

export interface ReplicaStatus {
  readonly groupId: number;
  readonly shardId: number;
  readonly replicaId: number;
  readonly nodeId: number;
  readonly role: Role;
  readonly term: number;
  /** Node that leads, as far as this replica knows; 0 for none. */
  readonly leaderNodeId: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  readonly leaderChanges: number;
  /**
   * Reads for which a majority has confirmed that this replica leads, since it was opened. Not told
   * to other nodes.
   */
  readonly confirmedReads?: number;
  /** Only while leading. */
  readonly followers: readonly FollowerStatus[];
  readonly engine: EngineStats | undefined;
  /** Why the replica does not take part, where it does not. */
  readonly fault: string | undefined;
  /** The snapshot that arrives for it. */
  readonly receiving?: TransferProgress;
}

export interface FollowerStatus extends ProgressStatus {
  readonly nodeId: number;
  /** Entries that the follower is behind the leader's last one. */
  readonly lagEntries: number;
  /** How long ago the follower last had everything that was committed then. */
  readonly lagMs: number;
  /** The snapshot that is being sent to it. */
  readonly snapshot?: TransferProgress;
}

export interface ShardReplica {
  readonly shardId: number;
  readonly nodeId: number;
  /**
   * Proposes encoded commands in order, one log entry each, and waits until each is applied.
   * Takes the byte arrays over: the leader stamps its version into them. Rejects (NOT_LEADER,
   * SHARD_UNAVAILABLE, ...) only when none of them was proposed.
   */
  propose(commands: readonly Uint8Array[], context: CallContext): Promise<ProposalAnswer[]>;
  /**
   * Reads are as fresh as the context says. A replica that does not lead refuses strong and leased
   * ones (NOT_LEADER), others where it cannot serve them now (REPLICA_BEHIND, NO_LEADER).
   */
  search(
    scope: ReadScope,
    queries: readonly SearchQuery[],
    context: CallContext,
  ): Promise<ReadAnswer<Hit[][]>>;
  fetch(
    scope: ReadScope,
    keys: readonly RecordKey[],
    include: { values: boolean; metadata: boolean },
    context: CallContext,
  ): Promise<ReadAnswer<(StoredRecord | undefined)[]>>;
  count(scope: ReadScope, selection: Selection, context: CallContext): Promise<ReadAnswer<number>>;
  /** One page; each record of it as a read of its own would find it. */
  scroll(
    scope: ReadScope,
    query: ScrollQuery,
    context: CallContext,
  ): Promise<ReadAnswer<ScrollPage>>;
  /** Tenants that have records in the collection, as `Engine` has it. */
  tenants(
    scope: ReadScope,
    query: TenantsQuery,
    context: CallContext,
  ): Promise<ReadAnswer<TenantCount[]>>;
  /** How the search is carried out; see `Engine`. */
  explain(
    scope: ReadScope,
    query: SearchQuery,
    context: CallContext,
  ): Promise<ReadAnswer<Explanation>>;
  /** What this very replica holds, leader or not; waits until the mark is applied here. */
  contents(query: ContentQuery, context: CallContext): Promise<ContentReport>;
  /** Proves that the replica leads and has applied all that was committed before the call. */
  barrier(context: CallContext): Promise<void>;
  status(context: CallContext): Promise<ReplicaStatus>;
}
