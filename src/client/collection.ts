/** Records of one collection: write, read, search, scroll. */
import { invalidField } from '../shared/checks.js';
import type { ExplainResponse } from '../shared/codec/explain-messages.js';
import { API, type ApiMethod } from '../shared/codec/public-api.js';
import type { SearchRequest } from '../shared/codec/search-messages.js';
import type { ServedShard } from '../shared/consistency.js';
import { LIMITS } from '../shared/limits.js';
import { type Caller, READ, REPEATABLE } from './caller.js';
import type { CallOptions } from './options.js';

import {
  type CountOptions,
  type DeleteByFilterOptions,
  type FetchOptions,
  hit,
  optionalFilter,
  optionalText,
  type Query,
  queryMessage,
  type ScanOptions,
  type ScrollOptions,
  type ScrollPage,
  type SearchBatchResult,
  type SearchOptions,
  type SearchResult,
  type StoredRecord,
  scopeKeys,
  sourceOf,
  storedRecord,
  type TenantReadOptions,
} from './reads.js';
import type { Destination } from './routing.js';
import { SearchCall } from './search-call.js';
import {
  checkedTtl,
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
  type RecordName,
  type UpsertOptions,
  type VersionedId,
  type WriteResult,
  writeResult,
} from './writes.js';

/** What answers of reads tell beside what was read. */
interface ReadAnswer {
  readonly served?: readonly ServedShard[] | undefined;
  readonly epoch?: number;
}

/** Get one from `Flotilla.collection`. Everything rejects with `FlotillaError`. */
export class Collection<M extends object> {
  readonly name: string;
  /** Whose records it reads and writes; empty for those of nobody. */
  readonly tenant: string;
  readonly #caller: Caller;

  /** @internal */
  constructor(name: string, caller: Caller, tenant: string) {
    this.name = name;
    this.tenant = tenant;
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
      shardKey: optionalText(record.shardKey, `records[${index}].shardKey`),
    }));
    const outcomes = await this.#caller.write(
      API.upsert,
      (idempotencyKey) => ({ ...this.#scope, records: messages, idempotencyKey, mode }),
      options,
      this.#destination(messages),
    );
    return writeResult(messages, outcomes);
  }

  /**
   * Changes the metadata of records that exist, as `upsert` writes them; their vectors, and when
   * they expire, stay as they are. The outcome of others is RECORD_NOT_FOUND.
   *
   * @example
   *     await notes.patch([{ id: 'a', metadata: { title: 'Anchors' } }]);
   */
  async patch(
    patches: readonly MetadataPatch<M>[],
    options: CallOptions = {},
  ): Promise<WriteResult> {
    const messages = wholeList(patches, 'patches').map((patch, index) => ({
      id: wellFormed(patch.id, `patches[${index}].id`),
      metadata: metadataBytes(patch.metadata, `patches[${index}].metadata`),
      ifVersion: versionText(patch.ifVersion, `patches[${index}].ifVersion`),
      shardKey: optionalText(patch.shardKey, `patches[${index}].shardKey`),
    }));
    const outcomes = await this.#caller.write(
      API.patch,
      (idempotencyKey) => ({ ...this.#scope, patches: messages, idempotencyKey }),
      options,
      this.#destination(messages),
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
    const shardKeys = shardKeysOf(targets);
    const request = { ...this.#scope, ids: checked, ifVersions, shardKeys };
    const outcomes = await this.#caller.write(
      API.delete,
      (idempotencyKey) => ({ ...request, idempotencyKey }),
      options,
      this.#destination(targets),
    );
    return writeResult(targets, outcomes);
  }

  /** The records that exist, in the order of `ids`. */
  async fetch(
    ids: readonly (string | RecordName)[],
    options: FetchOptions = {},
  ): Promise<StoredRecord<M>[]> {
    const { includeValues, includeMetadata } = options;
    const names = wholeList(ids, 'ids').map(
      (one): RecordName => (typeof one === 'object' ? one : { id: one }),
    );
    const checked = names.map(({ id }, index) => wellFormed(id, `ids[${index}]`));
    const include = { includeValues, includeMetadata };
    const request = { ...this.#scope, ids: checked, shardKeys: shardKeysOf(names), ...include };
    const { records } = await this.#read(API.fetch, request, options, names);
    return records.map((record) => storedRecord<M>(record));
  }

  /**
   * The records nearest to a vector, or to the vector of a stored record, nearest first. Awaited it
   * is the whole answer, in a `for await` the hits; either way it is sent once, by this call.
   *
   * @example
   *     const { hits } = await notes.search({ vector: [0.1, 0.2, 0.3], k: 10 });
   *     console.log(hits.length);
   *     for await (const hit of notes.search({ id: 'a', k: 10 })) console.log(hit.metadata?.title);
   */
  search(query: Query<M>, options: SearchOptions = {}): SearchCall<M> {
    return new SearchCall(this.#search(query, options));
  }

  async #search(query: Query<M>, options: SearchOptions): Promise<SearchResult<M>> {
    const request = this.#searchRequest(query, options);
    const answer = await this.#read(API.search, request, options, recordsOf(request));
    const { cutQueries = [] } = answer;
    const hits = answer.hits.map((found) => hit<M>(found));
    return { hits, cut: cutQueries.length > 0, ...sourceOf(answer) };
  }

  /** Several searches in one call, answered in order. */
  async searchBatch(
    queries: readonly Query<M>[],
    options: SearchOptions = {},
  ): Promise<SearchBatchResult<M>> {
    const request = {
      ...this.#readScope(options),
      queries: wholeList(queries, 'queries').map((query, index) =>
        queryMessage(query, `queries[${index}]`),
      ),
      allowPartial: options.allowPartial ?? false,
    };
    const answer = await this.#read(API.searchBatch, request, options, recordsOf(request));
    const { cutQueries = [] } = answer;
    const results = answer.results.map((hits) => hits.map((found) => hit<M>(found)));
    const cut = results.map((_, at) => cutQueries.includes(at));
    return { results, cut, ...sourceOf(answer) };
  }

  /** Number of records, or of those that match a filter. */
  async count(options: CountOptions<M> = {}): Promise<number> {
    const request = {
      ...this.#readScope(options),
      filter: optionalFilter(options.filter, 'filter'),
    };
    return (await this.#read(API.count, request, options, recordsOf(request))).count;
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
      ...this.#readScope(options),
      filter: optionalFilter(options.filter, 'filter'),
      limit: wholeNumber(options.limit ?? 0, 'limit'),
      cursor: wellFormed(options.cursor ?? '', 'cursor'),
      includeValues,
      includeMetadata,
    };
    const {
      records,
      cursor,
      served = [],
    } = await this.#read(API.scroll, request, options, recordsOf(request));
    return {
      records: records.map((record) => storedRecord<M>(record)),
      ...(cursor !== '' && { cursor }),
      served,
    };
  }

  /**
   * Deletes the records that match a filter, of some shard keys or of all; `{}` matches all. Goes
   * on until it has looked at every record, and rejects at the first step that fails: what was
   * deleted by then stays deleted, and doing it again is safe. The count leaves out what a step
   * deleted whose answer was lost. With shard keys, a node of a version that knows none here
   * deletes nothing, and the next one is asked: where no node knows them the call rejects with
   * INVALID_REQUEST or UNIMPLEMENTED.
   */
  async deleteByFilter(
    filter: Where<M>,
    options: DeleteByFilterOptions = {},
  ): Promise<{ deletedCount: number }> {
    const { onProgress, ...callOptions } = options;
    // Where it was meant to be a key, the records of all keys would go.
    if ('shardKey' in options && options.shardKey === undefined) {
      throw invalidField('shardKey', 'is undefined: leave it out for the records of all keys');
    }
    const bytes = filterBytes<M>(filter, 'filter');
    const { shardKeys } = scopeKeys(options);
    const selection =
      shardKeys === undefined
        ? { filter: bytes }
        : { shardKeyFilter: { shardKeys, filter: bytes } };
    const destination = this.#destination(recordsOf({ shardKeys }));
    const manner = { ...REPEATABLE, destination, isKeyedDelete: shardKeys !== undefined };
    let deletedCount = 0;
    let cursor = '';
    do {
      const request = { ...this.#scope, ...selection, cursor };
      const step = await this.#caller.call(API.deleteByFilter, request, callOptions, manner);
      // Also where it deleted nothing: a step may tell what one before it did that was not heard.
      this.#caller.readSession.note(step.written);
      deletedCount += step.deletedCount;
      cursor = step.cursor;
      onProgress?.({ deletedCount });
    } while (cursor !== '');
    return { deletedCount };
  }

  /** Carries a search out, and tells how each shard did it instead of what it found. */
  async explain(query: Query<M>, options: SearchOptions = {}): Promise<ExplainResponse> {
    const request = this.#searchRequest(query, options);
    return this.#read(API.explain, request, options, recordsOf(request));
  }

  #searchRequest(query: Query<M>, options: SearchOptions): SearchRequest {
    return {
      query: queryMessage(query, 'query'),
      allowPartial: options.allowPartial ?? false,
      ...this.#readScope(options),
    };
  }

  /** Every read: as fresh as asked for, to where that can be had, and noted where it came from. */
  async #read<Request extends object, Response extends ReadAnswer>(
    method: ApiMethod<Request, Response>,
    request: NoInfer<Request>,
    { consistency, onServed, allTenants = false, ...options }: TenantReadOptions,
    records: Destination['records'],
  ): Promise<Response> {
    const { readSession, routing } = this.#caller;
    const fields = readSession.fieldsOf(consistency);
    // Any replica may serve what is not asked of leaders.
    const isOfLeaders = fields.freshness === undefined;
    const destination = {
      servedBy: isOfLeaders ? ('leaders' as const) : ('replicas' as const),
      ...this.#destination(records),
      ...(allTenants && { tenant: undefined }),
    };
    const manner = { destination, ...READ };
    const fresh = { consistency: fields.consistency, freshness: fields.freshness, ...request };
    const answer = await this.#caller.call(method, fresh, options, manner);
    const { served = [], epoch = 0 } = answer;
    readSession.note(served);
    routing?.noteEpoch(epoch);
    if (isOfLeaders) routing?.noteLeaders(served);
    routing?.noteTenant(destination, served);
    onServed?.(served);
    return answer;
  }

  #destination(records: Destination['records']): Destination {
    return { collection: this.name, tenant: this.tenant, records };
  }

  get #scope(): { readonly collection: string; readonly tenant: string } {
    return { collection: this.name, tenant: this.tenant };
  }

  #readScope(options: ScanOptions) {
    const { allTenants = false } = options;
    return { allTenants, ...this.#scope, ...scopeKeys(options) };
  }
}

/** Where a call goes: to the shards of its shard keys, or to all. */
function recordsOf({ shardKeys }: Pick<SearchRequest, 'shardKeys'>): Destination['records'] {
  return shardKeys?.map((shardKey) => ({ id: '', shardKey })) ?? 'all';
}

/** One per record; none at all where no record has one. */
function shardKeysOf(names: readonly RecordName[]): readonly string[] {
  if (names.every(({ shardKey }) => shardKey === undefined)) return [];
  return names.map(({ shardKey }, index) => wellFormed(shardKey ?? '', `ids[${index}].shardKey`));
}
