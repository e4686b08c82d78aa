/**
 * What the server stands in front of: the router and the topology, wired by `src/node`. The server
 * checks every request first; a backend gets only what is within docs/limits.md.
 */
import type { ClusterStatus, CollectionInfo } from '../shared/codec/admin-messages.js';
import type { RequestKey } from '../shared/codec/command.js';
import type { ExplainResponse } from '../shared/codec/explain-messages.js';
import type {
  LeaderResponse,
  ReadmitNodeResponse,
  ReplicaResponse,
} from '../shared/codec/replica-messages.js';
import type { Routes, RoutesRequest } from '../shared/codec/routes-messages.js';
import type { HitMessage, ShardSummary } from '../shared/codec/search-messages.js';
import type {
  CountTenantsResponse,
  DescribeTenantsRequest,
  TenantChangeResponse,
  TenantsDescription,
} from '../shared/codec/tenant-messages.js';
import type { VerifyResponse } from '../shared/codec/verify-messages.js';
import type { Consistency, SeenShard, ServedShard } from '../shared/consistency.js';
import type { GiveUpSignal } from '../shared/give-up.js';
import type { ScrollPosition } from '../shared/scroll-position.js';
import type { CollectionConfig, Version, WriteCondition, WriteOutcome } from '../shared/types.js';

export interface CallOptions {
  /** The backend answers or rejects within this time, counted from the call. */
  readonly timeoutMs: number;
  /** Aborted when the caller gives up or its deadline passes. */
  readonly signal: GiveUpSignal;
}

/** Whose records a call is about. */
export interface TenantScope {
  /** @default '' whose records are those of nobody */
  readonly tenant?: string | undefined;
}

export interface WriteOptions extends CallOptions, TenantScope {
  /** Absent where the caller gave none: the backend makes one of its own. */
  readonly idempotencyKey?: RequestKey | undefined;
  /** Who sends the write again after an unknown outcome. 'client' comes with a key only. */
  readonly retry: 'client' | 'router';
}

export interface ReadOptions extends CallOptions, TenantScope {
  /** The records of all tenants. @default false */
  readonly allTenants?: boolean | undefined;
  readonly consistency: Consistency;
  /** Who tries another node where this one reaches no replica. @default 'router' */
  readonly retry?: 'client' | 'router' | undefined;
}

export interface FetchOptions extends Omit<ReadOptions, 'allTenants'> {
  /** One per id, where records are routed by shard key. */
  readonly shardKeys?: readonly string[] | undefined;
}

/** A read that goes over records instead of naming them. */
export interface ScanOptions extends ReadOptions {
  /** Only records of these, where records are routed by shard key. @default all */
  readonly shardKeys?: readonly string[] | undefined;
}

export interface SearchOptions extends ScanOptions {
  readonly allowPartial: boolean;
}

export type DeleteByFilterOptions = CallOptions & TenantScope & Pick<ScanOptions, 'shardKeys'>;

/** A record to write: aligned little-endian float32, and an encoded Struct or no bytes. */
export interface NewRecord {
  readonly id: string;
  readonly values: Uint8Array;
  readonly metadata: Uint8Array;
  readonly condition?: WriteCondition | undefined;
  /** 0 for ever. @default what the collection says */
  readonly ttlMs?: number | undefined;
  /** Where records are routed by shard key. */
  readonly shardKey?: string | undefined;
}

export interface RecordPatch {
  readonly id: string;
  /** An encoded Struct. */
  readonly metadata: Uint8Array;
  readonly condition?: WriteCondition | undefined;
  /** As in `NewRecord`. */
  readonly shardKey?: string | undefined;
}

export interface DeleteOptions extends WriteOptions {
  /** One per id. */
  readonly ifVersions?: readonly (Version | undefined)[] | undefined;
  /** As in `FetchOptions`. */
  readonly shardKeys?: readonly string[] | undefined;
}

export interface StoredRecord {
  readonly id: string;
  readonly tenant?: string | undefined;
  /** As in `NewRecord`. */
  readonly shardKey?: string | undefined;
  readonly version: Version;
  /** Absent where it lives for ever. */
  readonly expiresAtMs?: number;
  readonly values?: Uint8Array;
  readonly metadata?: Uint8Array;
}

/** Exactly one of `vector` and `id` is there. */
export interface BackendQuery {
  readonly vector?: Uint8Array;
  readonly id?: string;
  /** Of the record of that id. */
  readonly shardKey?: string;
  readonly k: number;
  readonly offset: number;
  /** 0 for the default. */
  readonly ef: number;
  /** Hits that each shard is asked for. @default k and the offset */
  readonly shardK?: number;
  readonly scoreThreshold?: number;
  /** An encoded Struct that is a filter on the collection. */
  readonly filter?: Uint8Array;
  readonly includeValues: boolean;
  readonly includeMetadata: boolean;
}

export interface BackendScroll {
  /** As in `BackendQuery`. */
  readonly filter?: Uint8Array;
  readonly after?: ScrollPosition;
  readonly limit: number;
  readonly includeValues: boolean;
  readonly includeMetadata: boolean;
}

/** What every read tells beside what it found. */
export interface ReadSource {
  /** Where each shard's part comes from. */
  readonly served: readonly ServedShard[];
}

export interface FetchAnswer extends ReadSource {
  /** One element per id, in order, `undefined` where there is no such record. */
  readonly records: readonly (StoredRecord | undefined)[];
}

export interface CountAnswer extends ReadSource {
  readonly count: number;
}

export interface WriteAnswer {
  /** One per record, in order. */
  readonly outcomes: readonly WriteOutcome[];
  /** How far each shard's log had to be applied for that. */
  readonly written: readonly SeenShard[];
}

export interface ScrollAnswer extends ReadSource {
  readonly records: readonly StoredRecord[];
  /** Where the next page begins; absent after the last one. */
  readonly next?: ScrollPosition;
  readonly epoch: number;
}

export interface DeleteByFilterAnswer {
  readonly deletedCount: number;
  /** As in `WriteAnswer`; of the shards that were only looked through, where they were read. */
  readonly written: readonly SeenShard[];
  /** Where to go on; absent where everything was looked at. */
  readonly next?: ScrollPosition;
}

export interface SearchAnswer extends ReadSource {
  /** One list per query, nearest first, offset and threshold already applied. */
  readonly results: readonly (readonly HitMessage[])[];
  readonly shards: ShardSummary;
  readonly degraded: boolean;
  readonly epoch: number;
  /** See `SearchProvenance`. */
  readonly cutQueries: readonly number[];
}

/** Reads and writes of records. Everything rejects with `FlotillaError`. */
export interface RecordsBackend {
  /**
   * The settings of a collection, at once where they are known here. Throws or rejects with
   * COLLECTION_NOT_FOUND or COLLECTION_NOT_READY.
   */
  collection(name: string, options: CallOptions): CollectionConfig | Promise<CollectionConfig>;
  /** The same, after asking the cluster whether there is something newer. */
  newestCollection(name: string, options: CallOptions): Promise<CollectionConfig>;
  /** One outcome per record, in order. Rejects only when nothing was written. */
  upsert(
    collection: string,
    records: readonly NewRecord[],
    options: WriteOptions,
  ): Promise<WriteAnswer>;
  patch(
    collection: string,
    patches: readonly RecordPatch[],
    options: WriteOptions,
  ): Promise<WriteAnswer>;
  delete(collection: string, ids: readonly string[], options: DeleteOptions): Promise<WriteAnswer>;
  fetch(
    collection: string,
    ids: readonly string[],
    include: { readonly values: boolean; readonly metadata: boolean },
    options: FetchOptions,
  ): Promise<FetchAnswer>;
  search(
    collection: string,
    queries: readonly BackendQuery[],
    options: SearchOptions,
  ): Promise<SearchAnswer>;
  /** Of all records, or of those that match the filter. */
  count(
    collection: string,
    filter: Uint8Array | undefined,
    options: ScanOptions,
  ): Promise<CountAnswer>;
  /** One page, by id. */
  scroll(collection: string, query: BackendScroll, options: ScanOptions): Promise<ScrollAnswer>;
  /** Ends well before its time is over. Rejects only when nothing was deleted. */
  deleteByFilter(
    collection: string,
    selection: { readonly filter: Uint8Array; readonly after?: ScrollPosition },
    options: DeleteByFilterOptions,
  ): Promise<DeleteByFilterAnswer>;
  explain(
    collection: string,
    query: BackendQuery,
    options: SearchOptions,
  ): Promise<ExplainResponse>;
}

/** What is done to the tenant directory. */
export type TenantAction =
  | { readonly kind: 'assignTenant'; readonly tenant: string; readonly shardId: number }
  | { readonly kind: 'releaseTenant'; readonly tenant: string }
  | { readonly kind: 'dedicateShard' | 'shareShard'; readonly shardId: number };

export interface TenantPage {
  /** Only tenants after this one. */
  readonly after?: string;
  readonly limit: number;
}

/** Looking after tenants. Everything rejects with `FlotillaError`. */
export interface TenantAdmin {
  /**
   * Resolves when the change holds, on all shards. Rejects with TENANT_HAS_DATA, SHARD_NOT_FOUND,
   * TENANT_CHANGE_IN_PROGRESS, TENANT_CHANGE_CANCELLED; with SHARD_UNAVAILABLE, and nothing has
   * begun, where a shard that it is about does not answer.
   */
  changeTenants(
    action: TenantAction,
    by: string,
    options: CallOptions,
  ): Promise<TenantChangeResponse>;
  /**
   * Gives up the change of that id while it is not decided. One that was given up, or refused,
   * before is no error. Rejects with CHANGE_NOT_FOUND.
   */
  cancelTenantChange(changeId: number, options: CallOptions): Promise<TenantChangeResponse>;
  /** Without usage no shard is asked. */
  describeTenants(
    request: DescribeTenantsRequest,
    options: CallOptions,
  ): Promise<TenantsDescription>;
  /** Of all tenants that have records in the collection, one page. */
  countTenants(
    collection: string,
    page: TenantPage,
    options: CallOptions,
  ): Promise<CountTenantsResponse>;
}

/** Looking after collections and the cluster. Everything rejects with `FlotillaError`. */
export interface ClusterAdmin extends TenantAdmin {
  /** The same settings again succeed; others are COLLECTION_EXISTS. */
  createCollection(config: CollectionConfig, options: CallOptions): Promise<CollectionInfo>;
  dropCollection(name: string, options: CallOptions): Promise<void>;
  /** By name, without record counts. */
  listCollections(options: CallOptions): Promise<readonly CollectionInfo[]>;
  describeCollection(name: string, options: CallOptions): Promise<CollectionInfo>;
  status(options: CallOptions): Promise<ClusterStatus>;
  /** The cluster that the node belongs to, as soon as it does. */
  clusterId(): string | undefined;
  /** What this node knows, without asking others. Throws NODE_NOT_READY. */
  routes(request: RoutesRequest): Routes;
  /** Compares the replicas of all shards. `collection` is a name; absent for all of them. */
  verify(
    scope: { readonly collection?: string; readonly deep: boolean },
    options: CallOptions,
  ): Promise<VerifyResponse>;
  /**
   * Begins a change of replicas, or tells what is under way already. Rejects with SHARD_NOT_FOUND,
   * NODE_NOT_FOUND, REPLICA_NOT_FOUND, CHANGE_IN_PROGRESS, QUORUM_AT_RISK.
   */
  changeReplicas(
    action: ReplicaAction,
    group: GroupName,
    nodeId: number,
    options: CallOptions,
  ): Promise<ReplicaResponse>;
  /**
   * Gives up the change of that id, and no other; tells what is under way then. May be repeated:
   * one that was given up before is no error. Rejects with SHARD_NOT_FOUND, CHANGE_NOT_FOUND for
   * one that is through or never was, CHANGE_IN_PROGRESS where it is too late.
   */
  cancelReplicaChange(
    group: GroupName,
    changeId: number,
    options: CallOptions,
  ): Promise<ReplicaResponse>;
  /** Resolves when the group has a leader again. `nodeId` is 0 for any. */
  changeLeader(
    action: LeaderAction,
    group: GroupName,
    nodeId: number,
    options: CallOptions,
  ): Promise<LeaderResponse>;
  /** Rejects with NODE_NOT_READY where the node does not answer. */
  readmitNode(nodeId: number, options: CallOptions): Promise<ReadmitNodeResponse>;
}

export type ReplicaAction = 'add' | 'remove' | 'reset';
export type LeaderAction = 'transfer' | 'step-down' | 'elect';

/** A Raft group as operators name it. */
export type GroupName =
  | { readonly kind: 'shard'; readonly shardId: number }
  | { readonly kind: 'topology' };
