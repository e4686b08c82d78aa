/** Records of one collection: write, read, search, scroll. */
import { floatsOf } from '../shared/bytes.js';
import { invalidField } from '../shared/checks.js';
import type { StoredRecordMessage } from '../shared/codec/api-messages.js';
import type { ExplainResponse } from '../shared/codec/explain-messages.js';
import { NO_BYTES } from '../shared/codec/protobuf-wire.js';
import { API } from '../shared/codec/public-api.js';
import type {
  HitMessage,
  SearchProvenance,
  SearchQueryMessage,
  ShardSummary,
} from '../shared/codec/search-messages.js';
import { decodeStruct } from '../shared/codec/struct.js';
import { FlotillaError } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';
import { READ_CONSISTENCIES, type ReadConsistency } from '../shared/types.js';
import type { Caller } from './caller.js';
import type { CallOptions } from './options.js';
import {
  checkedTtl,
  type Metadata,
  metadataBytes,
  vectorBytes,
  versionText,
  wellFormed,
  wholeList,
  wholeNumber,
} from './values.js';
import { filterBytes, type Where } from './where.js';
import {
  checkedMode,
  type MetadataPatch,
  type NewRecord,
  type UpsertOptions,
  type VersionedId,
  type WriteResult,
  writeResult,
} from './writes.js';

export interface StoredRecord<M extends object> {
  readonly id: string;
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
    | { readonly vector: Float32Array | readonly number[]; readonly id?: never }
    | { readonly id: string; readonly vector?: never }
  );

export interface ReadOptions extends CallOptions {
  /**
   * `strong` reads see every write that was acknowledged before they began; a quorum confirms the
   * leader for each. `leased` reads see the same as long as the clocks of the nodes run equally
   * fast (5 % apart at most), and pay where the cluster setting `leases` is on: they then take no
   * round trip between nodes, which counts when reads are many or nodes far apart. Where the
   * setting is off they are strong. @default 'strong'
   */
  readonly consistency?: ReadConsistency;
}

export interface FetchOptions extends ReadOptions {
  /** @default true */
  readonly includeValues?: boolean;
  /** @default true */
  readonly includeMetadata?: boolean;
}

export interface CountOptions<M extends object> extends ReadOptions {
  /** Only records whose metadata match. @default all */
  readonly filter?: Where<M>;
}

export interface ScrollOptions<M extends object> extends ReadOptions {
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
}

export interface DeleteByFilterOptions {
  /** How long one step may take, retries included; there are as many as it needs. */
  readonly timeoutMs?: number;
  /** Ends it after the step under way: what was deleted by then stays deleted. */
  readonly signal?: AbortSignal;
  /** Called after each step. */
  readonly onProgress?: (progress: { readonly deletedCount: number }) => void;
}

export interface SearchOptions extends ReadOptions {
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
}

export interface SearchResult<M extends object> extends SearchSource {
  /** Nearest first. */
  readonly hits: readonly Hit<M>[];
}

export interface SearchBatchResult<M extends object> extends SearchSource {
  /** The hits of each query, in order. */
  readonly results: readonly (readonly Hit<M>[])[];
}

const READ = { kind: 'repeatable', writes: false } as const;
const REPEATABLE = { kind: 'repeatable', writes: true } as const;

/** Get one from `Flotilla.collection`. Everything rejects with `FlotillaError`. */
export class Collection<M extends object> {
  readonly name: string;
  readonly #caller: Caller;

  /** @internal */
  constructor(name: string, caller: Caller) {
    this.name = name;
    this.#caller = caller;
  }

  /**
   * Inserts or replaces records, each with an outcome of its own. Rejects when none was applied.
   * Safe to lose the answer of: retries inside apply once.
   *
   * `ifVersion` and `mode` are looked at by the shard when it writes: of several writers that read
   * the same version, one gets through. What they exclude is `not-applied`, and not tried again.
   */
  async upsert(
    records: readonly NewRecord<M>[],
    options: UpsertOptions = {},
  ): Promise<WriteResult> {
    const mode = checkedMode(options);
    const messages = wholeList(records, 'records').map((record, index) => ({
      id: wellFormed(record.id, `records[${index}].id`),
      values: vectorBytes(record.values, `records[${index}].values`),
      metadata: metadataBytes(record.metadata, `records[${index}].metadata`),
      ifVersion: versionText(record.ifVersion, `records[${index}].ifVersion`),
      ttlMs: checkedTtl(record.ttlMs, `records[${index}].ttlMs`),
    }));
    const outcomes = await this.#caller.write(
      API.upsert,
      (idempotencyKey) => ({ collection: this.name, records: messages, idempotencyKey, mode }),
      options,
    );
    return writeResult(messages, outcomes);
  }

  /**
   * Changes the metadata of records that exist, as `upsert` writes them; their vectors, and when
   * they expire, stay as they are. The outcome of others is RECORD_NOT_FOUND.
   */
  async patch(patches: readonly MetadataPatch[], options: CallOptions = {}): Promise<WriteResult> {
    const messages = wholeList(patches, 'patches').map((patch, index) => ({
      id: wellFormed(patch.id, `patches[${index}].id`),
      metadata: metadataBytes(patch.metadata, `patches[${index}].metadata`),
      ifVersion: versionText(patch.ifVersion, `patches[${index}].ifVersion`),
    }));
    const outcomes = await this.#caller.write(
      API.patch,
      (idempotencyKey) => ({ collection: this.name, patches: messages, idempotencyKey }),
      options,
    );
    return writeResult(messages, outcomes);
  }

  /**
   * Deletes records. Those that do not exist count as applied; with an `ifVersion` they are a
   * conflict, as records of another version are.
   */
  async delete(
    ids: readonly (string | VersionedId)[],
    options: CallOptions = {},
  ): Promise<WriteResult> {
    const targets = wholeList(ids, 'ids').map(
      (one): VersionedId => (typeof one === 'object' ? one : { id: one }),
    );
    const checked = targets.map(({ id }, index) => wellFormed(id, `ids[${index}]`));
    const ifVersions = targets.some(({ ifVersion }) => ifVersion !== undefined)
      ? targets.map(({ ifVersion }, index) => versionText(ifVersion, `ids[${index}].ifVersion`))
      : [];
    const outcomes = await this.#caller.write(
      API.delete,
      (idempotencyKey) => ({ collection: this.name, ids: checked, idempotencyKey, ifVersions }),
      options,
    );
    return writeResult(targets, outcomes);
  }

  /** The records that exist, in the order of `ids`. */
  async fetch(ids: readonly string[], options: FetchOptions = {}): Promise<StoredRecord<M>[]> {
    const { includeValues, includeMetadata } = options;
    const consistency = checkedConsistency(options);
    const checked = wholeList(ids, 'ids').map((id, index) => wellFormed(id, `ids[${index}]`));
    const include = { includeValues, includeMetadata };
    const request = { collection: this.name, ids: checked, ...include, consistency };
    const { records } = await this.#caller.call(API.fetch, request, options, READ);
    return records.map((record) => storedRecord<M>(record));
  }

  /** The records nearest to a vector, or to the vector of a stored record. */
  async search(query: Query<M>, options: SearchOptions = {}): Promise<SearchResult<M>> {
    const request = {
      collection: this.name,
      query: queryMessage(query, 'query'),
      allowPartial: options.allowPartial ?? false,
      consistency: checkedConsistency(options),
    };
    const answer = await this.#caller.call(API.search, request, options, READ);
    return { hits: answer.hits.map((found) => hit<M>(found)), ...sourceOf(answer) };
  }

  /** Several searches in one call, answered in order. */
  async searchBatch(
    queries: readonly Query<M>[],
    options: SearchOptions = {},
  ): Promise<SearchBatchResult<M>> {
    const request = {
      collection: this.name,
      queries: wholeList(queries, 'queries').map((query, index) =>
        queryMessage(query, `queries[${index}]`),
      ),
      allowPartial: options.allowPartial ?? false,
      consistency: checkedConsistency(options),
    };
    const answer = await this.#caller.call(API.searchBatch, request, options, READ);
    const results = answer.results.map((hits) => hits.map((found) => hit<M>(found)));
    return { results, ...sourceOf(answer) };
  }

  /** Number of records, or of those that match a filter. */
  async count(options: CountOptions<M> = {}): Promise<number> {
    const request = {
      collection: this.name,
      consistency: checkedConsistency(options),
      filter: optionalFilter(options.filter, 'filter'),
    };
    return (await this.#caller.call(API.count, request, options, READ)).count;
  }

  /**
   * All records, or those that match a filter, in the order of their ids (of their UTF-8 bytes).
   * Reads page by page, `timeoutMs` for each: a record that is written meanwhile is seen where it
   * has not been passed, one that is there all the time exactly once.
   */
  async *scroll(options: ScrollOptions<M> = {}): AsyncGenerator<StoredRecord<M>, void, undefined> {
    let { cursor } = options;
    // The larger the pages, the less often each shard looks for where one begins.
    const whole = { limit: LIMITS.scrollLimitMax.value, ...options };
    do {
      const page = await this.scrollPage({ ...whole, ...(cursor !== undefined && { cursor }) });
      yield* page.records;
      cursor = page.cursor;
    } while (cursor !== undefined);
  }

  /** One page of a scroll, for callers that keep its cursor. */
  async scrollPage(options: ScrollOptions<M> = {}): Promise<ScrollPage<M>> {
    const { includeValues = false, includeMetadata } = options;
    const request = {
      collection: this.name,
      filter: optionalFilter(options.filter, 'filter'),
      limit: wholeNumber(options.limit ?? 0, 'limit'),
      cursor: wellFormed(options.cursor ?? '', 'cursor'),
      includeValues,
      includeMetadata,
      consistency: checkedConsistency(options),
    };
    const { records, cursor } = await this.#caller.call(API.scroll, request, options, READ);
    return {
      records: records.map((record) => storedRecord<M>(record)),
      ...(cursor !== '' && { cursor }),
    };
  }

  /**
   * Deletes the records that match a filter; `{}` matches all. Goes on until it has looked at every
   * record, and rejects at the first step that fails: what was deleted by then stays deleted, and
   * doing it again is safe. The count leaves out what a step deleted whose answer was lost.
   */
  async deleteByFilter(
    filter: Where<M>,
    options: DeleteByFilterOptions = {},
  ): Promise<{ deletedCount: number }> {
    const { onProgress, ...callOptions } = options;
    const bytes = filterBytes<M>(filter, 'filter');
    let deletedCount = 0;
    let cursor = '';
    do {
      const request = { collection: this.name, filter: bytes, cursor };
      const step = await this.#caller.call(API.deleteByFilter, request, callOptions, REPEATABLE);
      deletedCount += step.deletedCount;
      cursor = step.cursor;
      onProgress?.({ deletedCount });
    } while (cursor !== '');
    return { deletedCount };
  }

  /** Carries a search out, and tells how each shard did it instead of what it found. */
  async explain(query: Query<M>, options: SearchOptions = {}): Promise<ExplainResponse> {
    const request = {
      collection: this.name,
      query: queryMessage(query, 'query'),
      allowPartial: options.allowPartial ?? false,
      consistency: checkedConsistency(options),
    };
    return this.#caller.call(API.explain, request, options, READ);
  }
}

/** On the wire a word that is not known would look like the default. */
function checkedConsistency({ consistency }: ReadOptions): ReadConsistency | undefined {
  if (consistency === undefined || READ_CONSISTENCIES.includes(consistency)) return consistency;
  const words = READ_CONSISTENCIES.join(', ');
  const message = `consistency is "${consistency}", it must be one of ${words}`;
  throw new FlotillaError('INVALID_REQUEST', message, { field: 'consistency' });
}

function optionalFilter<M>(filter: Where<M> | undefined, field: string): Uint8Array | undefined {
  return filter === undefined ? undefined : filterBytes<M>(filter, field);
}

function queryMessage<M extends object>(query: Query<M>, field: string): SearchQueryMessage {
  if (typeof query !== 'object' || query === null) {
    throw invalidField(field, 'is no object, send { vector, k }');
  }
  return {
    vector: query.vector === undefined ? NO_BYTES : vectorBytes(query.vector, `${field}.vector`),
    id: query.id === undefined ? undefined : wellFormed(query.id, `${field}.id`),
    k: wholeNumber(query.k, `${field}.k`),
    offset: wholeNumber(query.offset ?? 0, `${field}.offset`),
    ef: wholeNumber(query.ef ?? 0, `${field}.ef`),
    scoreThreshold: query.scoreThreshold,
    filter: optionalFilter(query.filter, `${field}.filter`),
    includeValues: query.includeValues ?? false,
    includeMetadata: query.includeMetadata,
  };
}

function storedRecord<M extends object>(message: StoredRecordMessage): StoredRecord<M> {
  const { id, version, expiresAtMs, values, metadata } = message;
  return {
    id,
    version: String(version),
    ...(expiresAtMs !== undefined && { expiresAtMs }),
    ...(values !== undefined && { values: floatsOf(values) }),
    // The type is the caller's promise about what the collection holds.
    ...(metadata !== undefined && { metadata: decodeStruct(metadata) as M }),
  };
}

function hit<M extends object>(message: HitMessage): Hit<M> {
  return { ...storedRecord<M>(message), distance: message.distance };
}

function sourceOf({ shards, degraded, epoch }: SearchProvenance): SearchSource {
  return { shards, degraded, epoch };
}
