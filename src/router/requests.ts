/** What the router is asked and what it answers. Vectors and metadata stay bytes throughout. */

import type { RequestKey } from '../shared/codec/command.js';
import type { Deadline } from '../shared/deadline.js';
import type { ErrorBody, ReadConsistency, Version, WriteOutcome } from '../shared/types.js';

/** Every call ends by its deadline, or when its signal is aborted. */
export type RequestOptions = Deadline;

/** float32 values, or the same as little-endian bytes. Must not change while the call lasts. */
export type VectorValues = Float32Array | Uint8Array;

export interface UpsertRecord {
  readonly id: string;
  /** Of the collection's dimension. */
  readonly values: VectorValues;
  /** An encoded `google.protobuf.Struct`; empty for none. */
  readonly metadata: Uint8Array;
}

export interface WriteOptions extends RequestOptions {
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
}

export interface SearchRequestQuery {
  readonly target: VectorQueryTarget | RecordQueryTarget;
  /** Hits to answer with, at most. */
  readonly limit: number;
  /** Closest hits to leave out. Each shard still finds `offset + limit`. @default 0 */
  readonly offset?: number | undefined;
  /** HNSW candidates per shard. @default the engine's */
  readonly ef?: number | undefined;
  /** Hits farther than this distance are left out. @default none */
  readonly scoreThreshold?: number | undefined;
  readonly includeValues: boolean;
  readonly includeMetadata: boolean;
}

export interface ReadOptions extends RequestOptions {
  /** @default 'strong' */
  readonly consistency?: ReadConsistency | undefined;
  /**
   * Who tries again where this node reaches no replica: a `client` is told so soon, and goes to
   * another node. @default 'router'
   */
  readonly retry?: 'router' | 'client' | undefined;
}

export interface SearchOptions extends ReadOptions {
  /** Answer with what the other shards found when a shard fails. @default false */
  readonly allowPartial?: boolean | undefined;
}

export interface FetchedRecord {
  readonly tenant: string;
  readonly id: string;
  readonly version: Version;
  /** Little-endian float32. Absent when not asked for. */
  readonly values?: Uint8Array;
  /** Encoded `google.protobuf.Struct`. Absent when not asked for. */
  readonly metadata?: Uint8Array;
}

export interface SearchHit extends FetchedRecord {
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
  readonly epoch: number;
}

export interface CountAnswer {
  readonly count: number;
  readonly epoch: number;
}
