/** What the router is asked and what it answers. Vectors and metadata stay bytes throughout. */
import type { Explanation } from '../engine/engine.js';
import type { RequestKey } from '../shared/codec/command.js';
import type { Consistency, SeenShard, ServedShard } from '../shared/consistency.js';
import type { Deadline } from '../shared/deadline.js';
import type { ScrollPosition } from '../shared/scroll-position.js';
import type { ErrorBody, Version, WriteCondition, WriteOutcome } from '../shared/types.js';
import type { ReplicaChoice } from './replica-tour.js';

/** Every call ends by its deadline, or when its signal is aborted. */
export type RequestOptions = Deadline;

/** Whose records a call is about: those of one tenant. */
export interface TenantScope {
  /** @default '' which is a tenant like any other, and none where records are routed by tenant */
  readonly tenant?: string | undefined;
}

/** Whose records a read is about. */
export interface TenantChoice extends TenantScope {
  /** Those of all tenants, which is for administrators (M-20). @default false */
  readonly allTenants?: boolean | undefined;
}

/** Of which entity groups the records are that a read goes over. */
export interface GroupChoice {
  /** Those of these shard keys, in a collection that is routed by them. @default all */
  readonly shardKeys?: readonly string[] | undefined;
}

/** float32 values, or the same as little-endian bytes. Must not change while the call lasts. */
export type VectorValues = Float32Array | Uint8Array;

export interface UpsertRecord {
  readonly id: string;
  /** Of the collection's dimension. */
  readonly values: VectorValues;
  /** An encoded `google.protobuf.Struct`; empty for none. */
  readonly metadata: Uint8Array;
  /** @default none */
  readonly condition?: WriteCondition | undefined;
  /** How long the record lives; 0 for ever. @default the collection's */
  readonly ttlMs?: number | undefined;
  /** Part of the identity where records are routed by shard key, and nowhere else. */
  readonly shardKey?: string | undefined;
}

export interface PatchRecord {
  readonly id: string;
  /** An encoded Struct to merge into the record's metadata (RFC 7396). */
  readonly metadata: Uint8Array;
  /** @default none: the record has to exist in any case */
  readonly condition?: WriteCondition | undefined;
  /** As in `UpsertRecord`. */
  readonly shardKey?: string | undefined;
}

export interface DeleteOptions extends WriteOptions {
  /** One per id: the version that the record must have. @default any, and none will do as well */
  readonly ifVersions?: readonly (Version | undefined)[] | undefined;
  /** One per id, as in `UpsertRecord`. @default none */
  readonly shardKeys?: readonly string[] | undefined;
}

export interface WriteOptions extends RequestOptions, TenantScope {
  /** The caller's own key for exactly-once. @default the router makes one */
  readonly idempotencyKey?: RequestKey | undefined;
  /**
   * Who sends the write again after an unknown outcome. `client` needs an `idempotencyKey`: the
   * router then answers `unknown` at once and leaves the rest to the caller. @default 'router'
   */
  readonly retry?: 'router' | 'client' | undefined;
}

export interface WriteAnswer {
  /** One per record, in the order of the request; at least one is `applied`. */
  readonly outcomes: readonly WriteOutcome[];
  /** How far each shard's log had to be applied for that. */
  readonly written: readonly SeenShard[];
  readonly epoch: number;
}

/** Searches near a given vector. */
export interface VectorQueryTarget {
  readonly kind: 'vector';
  readonly values: VectorValues;
}

/** Searches near a stored record, which is itself among the hits. */
export interface RecordQueryTarget {
  readonly kind: 'record';
  readonly id: string;
  /** As in `UpsertRecord`. */
  readonly shardKey?: string | undefined;
}

export interface SearchRequestQuery {
  readonly target: VectorQueryTarget | RecordQueryTarget;
  /** Hits to answer with, at most. */
  readonly limit: number;
  /** Closest hits to leave out. @default 0 */
  readonly offset?: number | undefined;
  /**
   * How many hits each shard is asked for. Fewer than `offset + limit` may miss some, as the answer
   * says; more let graphs look wider. @default offset + limit
   */
  readonly shardK?: number | undefined;
  /** HNSW candidates per shard. @default the engine's */
  readonly ef?: number | undefined;
  /** Hits farther than this distance are left out. @default none */
  readonly scoreThreshold?: number | undefined;
  /** An encoded filter on the collection. @default all records */
  readonly filter?: Uint8Array | undefined;
  readonly includeValues: boolean;
  readonly includeMetadata: boolean;
}

export interface ReadOptions extends RequestOptions, TenantChoice {
  /** @default 'strong' */
  readonly consistency?: Consistency | undefined;
  /**
   * Who tries again where this node reaches no replica: a `client` is told so soon, and goes to
   * another node. @default 'router'
   */
  readonly retry?: 'router' | 'client' | undefined;
}

export interface FetchOptions extends Omit<ReadOptions, 'allTenants'> {
  /** One per id, as in `UpsertRecord`. @default none */
  readonly shardKeys?: readonly string[] | undefined;
}

export interface DeleteByFilterOptions extends RequestOptions, TenantScope, GroupChoice {}

/** A read that goes over records instead of naming them. */
export interface ScanOptions extends ReadOptions, GroupChoice {}

export interface SearchOptions extends ScanOptions {
  /** Answer with what the other shards found when a shard fails. @default false */
  readonly allowPartial?: boolean | undefined;
}

export interface CountOptions extends ScanOptions {
  /** An encoded filter on the collection. @default all records */
  readonly filter?: Uint8Array | undefined;
}

export interface FetchedRecord {
  readonly tenant: string;
  readonly id: string;
  /** Where records are routed by shard key. */
  readonly shardKey?: string;
  readonly version: Version;
  /** When it is to be deleted, by wall clocks; absent for never. */
  readonly expiresAtMs?: number;
  /** Little-endian float32. Absent when not asked for. */
  readonly values?: Uint8Array;
  /** Encoded `google.protobuf.Struct`. Absent when not asked for. */
  readonly metadata?: Uint8Array;
}

export interface SearchHit extends Omit<FetchedRecord, 'expiresAtMs'> {
  /** Smaller is closer, in every metric. */
  readonly distance: number;
}

export interface FailedShard {
  readonly shardId: number;
  readonly error: ErrorBody;
}

export interface ShardsSummary {
  readonly total: number;
  readonly ok: number;
  readonly failed: readonly FailedShard[];
}

export interface SearchAnswer {
  /** Hits of each query, closest first. */
  readonly results: readonly (readonly SearchHit[])[];
  readonly shards: ShardsSummary;
  /** Whether a shard is missing from the answer. */
  readonly degraded: boolean;
  /**
   * Positions of the queries whose hits may leave out closer ones: all that a shard was asked for
   * (`shardK`) are among the hits, and it may have more.
   */
  readonly cutQueries: readonly number[];
  /** Where each shard's part comes from. */
  readonly served: readonly ServedShard[];
  /** Epoch of the table that all shards were asked under. */
  readonly epoch: number;
}

export interface FetchInclude {
  readonly values: boolean;
  readonly metadata: boolean;
}

export interface FetchAnswer {
  /** One per id, in the order of the request; `undefined` where there is no such record. */
  readonly records: readonly (FetchedRecord | undefined)[];
  /** Where each shard's part comes from. */
  readonly served: readonly ServedShard[];
  readonly epoch: number;
}

export interface CountAnswer {
  readonly count: number;
  /** Where each shard's part comes from. */
  readonly served: readonly ServedShard[];
  readonly epoch: number;
}

export interface ScrollRequestQuery {
  /** An encoded filter on the collection. @default all records */
  readonly filter?: Uint8Array | undefined;
  /** @default from the first record on */
  readonly after?: ScrollPosition | undefined;
  /** Records of the page, at most. */
  readonly limit: number;
  readonly includeValues: boolean;
  readonly includeMetadata: boolean;
}

export interface ScrollAnswer {
  /** In order. There may be fewer than asked for before the last page. */
  readonly records: readonly FetchedRecord[];
  /** Where the next page begins; absent after the last one. */
  readonly next?: ScrollPosition;
  /** Where each shard's part comes from. */
  readonly served: readonly ServedShard[];
  /** Which collection the name stood for. */
  readonly collectionId: number;
  readonly epoch: number;
}

export interface DeleteByFilterAnswer {
  readonly deletedCount: number;
  /** As in `WriteAnswer`; of the shards that were only looked through, where they were read. */
  readonly written: readonly SeenShard[];
  /** Where to go on; absent where everything was looked at. */
  readonly next?: ScrollPosition;
}

/** A shard that a read does not ask, and why: it has none of the tenant, the keys, or anything. */
export interface SkippedShard {
  readonly shardId: number;
  readonly why: 'tenant' | 'shard-key' | 'owns-nothing';
}

/** An attempt at a replica that did not give the answer. */
export interface FailedAttempt {
  readonly shardId: number;
  readonly nodeId: number;
  readonly choice: ReplicaChoice;
  /** Of its error; GIVEN_UP where nobody waited for it any more. */
  readonly reason: string;
  readonly durationMs: number;
}

/** How one shard's part was found. `waitedMs`, `networkMs` and `durationMs` are the whole time. */
export interface ShardExplanation extends Explanation {
  readonly shardId: number;
  readonly choice: ReplicaChoice;
  /** Until the attempt began that was answered: others before it, and pauses. */
  readonly waitedMs: number;
  /** The attempt without what the engine took: network, queues, and the proof of freshness. */
  readonly networkMs: number;
  readonly foundHits: number;
  /** How many of them are among the hits of the whole search. */
  readonly usedHits: number;
}

/** Where the time of a search went; the parts add up to the whole. */
export interface SearchStages {
  /** Until the shards were chosen; the vector of a query by id is read here. */
  readonly routeMs: number;
  /** Until the last shard that was waited for had answered. */
  readonly fanOutMs: number;
  readonly mergeMs: number;
}

/** Whether a search would have been answered without asking any shard. */
export interface CacheVerdict {
  /** `not-asked`: it has to be fresher than what is kept. */
  readonly verdict: 'hit' | 'miss' | 'off' | 'not-asked';
  /** Why, in a sentence. */
  readonly reason: string;
}

export interface ExplainAnswer {
  /** Of the shards that answered, by shard id. */
  readonly shards: readonly ShardExplanation[];
  /** By shard id. */
  readonly skipped: readonly SkippedShard[];
  /** Of all shards. */
  readonly attempts: readonly FailedAttempt[];
  readonly stages: SearchStages;
  readonly cache: CacheVerdict;
  readonly failed: readonly FailedShard[];
  /** Whether a shard is missing from the answer. */
  readonly degraded: boolean;
  /** Where each shard's part comes from. */
  readonly served: readonly ServedShard[];
  readonly epoch: number;
}
