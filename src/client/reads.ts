/** What reads of records take, and what they answer. */
import { floatsOf } from '../shared/bytes.js';
import { invalidField } from '../shared/checks.js';
import type { StoredRecordMessage } from '../shared/codec/api-messages.js';
import { NO_BYTES } from '../shared/codec/protobuf-wire.js';
import type {
  HitMessage,
  SearchProvenance,
  SearchQueryMessage,
  ShardSummary,
} from '../shared/codec/search-messages.js';
import { decodeStruct } from '../shared/codec/struct.js';
import type { ServedShard } from '../shared/consistency.js';
import type { CallOptions } from './options.js';
import type { Consistency } from './read-session.js';
import { type Metadata, vectorBytes, wellFormed, wholeList, wholeNumber } from './values.js';
import { filterBytes, type Where } from './where.js';

export interface StoredRecord<M extends object> {
  readonly id: string;
  /** Absent where it belongs to nobody. */
  readonly tenant?: string;
  /** Where records are routed by shard key. */
  readonly shardKey?: string;
  readonly version: string;
  /**
   * When it expires, in milliseconds since 1970; absent where it lives for ever. It is deleted, and
   * seen until then, some seconds later.
   */
  readonly expiresAtMs?: number;
  /** Absent when not asked for. */
  readonly values?: Float32Array;
  /** Absent when not asked for, and where there is none. */
  readonly metadata?: M;
}

export interface Hit<M extends object> extends Omit<StoredRecord<M>, 'expiresAtMs'> {
  /** Distance in the collection's metric. Smaller is closer. */
  readonly distance: number;
}

interface QueryOptions<M extends object> {
  /** How many hits to return. */
  readonly k: number;
  /** HNSW candidates: more finds better and takes longer. The server's default where absent. */
  readonly ef?: number;
  /** How many of the nearest hits to leave out first. @default 0 */
  readonly offset?: number;
  /**
   * How many hits each shard is asked for. Fewer cost less and may miss some, see `cut` of the
   * result; more let graphs look wider. @default k and offset together
   */
  readonly shardK?: number;
  /** Leaves out hits at a greater distance than this. */
  readonly scoreThreshold?: number;
  /** Only records whose metadata match. @default all */
  readonly filter?: Where<M>;
  /** @default false */
  readonly includeValues?: boolean;
  /** @default true */
  readonly includeMetadata?: boolean;
}

/** Near to a vector, or to the vector of a stored record. */
export type Query<M extends object = Metadata> = QueryOptions<M> &
  (
    | {
        readonly vector: Float32Array | readonly number[];
        readonly id?: never;
        readonly shardKey?: never;
      }
    | { readonly id: string; readonly shardKey?: string; readonly vector?: never }
  );

export interface ReadOptions extends CallOptions {
  /** See `Consistency`. @default 'strong' */
  readonly consistency?: Consistency;
  /** Told which replica answered for each shard, and how fresh that is, before the answer. */
  readonly onServed?: (served: readonly ServedShard[]) => void;
}

/** Reads that may be asked of all tenants at once. */
export interface TenantReadOptions extends ReadOptions {
  /**
   * The records of all tenants instead of the collection's: for administrators, whose collection
   * then names none. @default false
   */
  readonly allTenants?: boolean;
}

/** Reads that go over records instead of naming them. */
export interface ScanOptions extends TenantReadOptions {
  /**
   * Only records of this shard key, or of these, up to 256: only the shards that own them are
   * asked. In collections that are routed by shard key. @default all
   */
  readonly shardKey?: string | readonly string[];
}

export interface FetchOptions extends ReadOptions {
  /** @default true */
  readonly includeValues?: boolean;
  /** @default true */
  readonly includeMetadata?: boolean;
}

export interface CountOptions<M extends object> extends ScanOptions {
  /** Only records whose metadata match. @default all */
  readonly filter?: Where<M>;
}

export interface ScrollOptions<M extends object> extends ScanOptions {
  /** Only records whose metadata match. @default all */
  readonly filter?: Where<M>;
  /** Records of one page, up to 1,000. @default 100, and 1,000 for a whole scroll */
  readonly limit?: number;
  /** Where to begin: the `cursor` of a page. @default at the first record */
  readonly cursor?: string;
  /** @default false */
  readonly includeValues?: boolean;
  /** @default true */
  readonly includeMetadata?: boolean;
}

export interface ScrollPage<M extends object> {
  /** By id. There may be fewer than `limit`, or none, before the last page. */
  readonly records: readonly StoredRecord<M>[];
  /** Where the next page begins; absent after the last one. */
  readonly cursor?: string;
  /** Which replica answered for each shard, as far as it tells, and how fresh that is. */
  readonly served: readonly ServedShard[];
}

export interface DeleteByFilterOptions extends Pick<ScanOptions, 'shardKey'> {
  /** How long one step may take, retries included; there are as many as it needs. */
  readonly timeoutMs?: number;
  /** Ends it after the step under way: what was deleted by then stays deleted. */
  readonly signal?: AbortSignal;
  /** Called after each step. */
  readonly onProgress?: (progress: { readonly deletedCount: number }) => void;
}

export interface SearchOptions extends ScanOptions {
  /** Answer from the shards that could be reached instead of failing. @default false */
  readonly allowPartial?: boolean;
}

/** Where the hits come from. */
export interface SearchSource {
  readonly shards: ShardSummary;
  /** True when a shard is missing; only with `allowPartial`. */
  readonly degraded: boolean;
  /** Version of the topology that the search was routed by. */
  readonly epoch: number;
  /** Which replica answered for each shard, as far as it tells, and how fresh that is. */
  readonly served: readonly ServedShard[];
}

export interface SearchResult<M extends object> extends SearchSource {
  /** Nearest first. */
  readonly hits: readonly Hit<M>[];
  /**
   * Whether nearer records may be missing, or some of k, because `shardK` is low: all that a shard
   * was asked for are among the hits, and it may have more.
   */
  readonly cut: boolean;
}

export interface SearchBatchResult<M extends object> extends SearchSource {
  /** The hits of each query, in order. */
  readonly results: readonly (readonly Hit<M>[])[];
  /** One per query, as in `SearchResult`. */
  readonly cut: readonly boolean[];
}

export function optionalFilter<M>(
  filter: Where<M> | undefined,
  field: string,
): Uint8Array | undefined {
  return filter === undefined ? undefined : filterBytes<M>(filter, field);
}

export function queryMessage<M extends object>(query: Query<M>, field: string): SearchQueryMessage {
  if (typeof query !== 'object' || query === null) {
    throw invalidField(field, 'is no object, send { vector, k }');
  }
  return {
    vector: query.vector === undefined ? NO_BYTES : vectorBytes(query.vector, `${field}.vector`),
    id: query.id === undefined ? undefined : wellFormed(query.id, `${field}.id`),
    shardKey: optionalText(query.shardKey, `${field}.shardKey`),
    k: wholeNumber(query.k, `${field}.k`),
    offset: wholeNumber(query.offset ?? 0, `${field}.offset`),
    ef: wholeNumber(query.ef ?? 0, `${field}.ef`),
    ...(query.shardK !== undefined && { shardK: wholeNumber(query.shardK, `${field}.shardK`) }),
    scoreThreshold: query.scoreThreshold,
    filter: optionalFilter(query.filter, `${field}.filter`),
    includeValues: query.includeValues ?? false,
    includeMetadata: query.includeMetadata,
  };
}

/** Text that may be left out. */
export function optionalText(text: string | undefined, field: string): string | undefined {
  return text === undefined ? undefined : wellFormed(text, field);
}

/** What limits a call to shard keys; to none at all where the list is empty, which is refused. */
export function scopeKeys({ shardKey }: Pick<ScanOptions, 'shardKey'>): {
  readonly shardKeys?: readonly string[];
} {
  if (shardKey === undefined) return {};
  const shardKeys = typeof shardKey === 'string' ? [shardKey] : wholeList(shardKey, 'shardKey');
  if (shardKeys.length === 0)
    throw invalidField('shardKey', 'is an empty list: leave it out for all');
  return { shardKeys: shardKeys.map((key, at) => wellFormed(key, `shardKey[${at}]`)) };
}

export function storedRecord<M extends object>(message: StoredRecordMessage): StoredRecord<M> {
  const { id, tenant, shardKey, version, expiresAtMs, values, metadata } = message;
  return {
    id,
    ...(tenant !== undefined && { tenant }),
    ...(shardKey !== undefined && { shardKey }),
    version: String(version),
    ...(expiresAtMs !== undefined && { expiresAtMs }),
    ...(values !== undefined && { values: floatsOf(values) }),
    // The type is the caller's promise about what the collection holds.
    ...(metadata !== undefined && { metadata: decodeStruct(metadata) as M }),
  };
}

export function hit<M extends object>(message: HitMessage): Hit<M> {
  return { distance: message.distance, ...storedRecord<M>(message) };
}

export function sourceOf({ shards, degraded, epoch, served = [] }: SearchProvenance): SearchSource {
  return { shards, degraded, epoch, served };
}
