/** Searches, fetches, counts and scrolls over all shards, each under one table. */
import type { SearchQuery, TenantsQuery } from '../engine/engine.js';
import type { CallContext, ReadAnswer, ShardReplica } from '../replica/replica.js';
import { defined } from '../shared/assert.js';
import { floatBytes } from '../shared/bytes.js';
import type { Consistency, ServedShard } from '../shared/consistency.js';
import type { Environment } from '../shared/environment.js';
import { FlotillaError, isFlotillaError } from '../shared/errors.js';
import type { CollectionEntry, TopologyDocument } from '../topology/document.js';
import { type CollectionRoute, routeOf } from '../topology/routes.js';
import type { TopologyView } from '../topology/view.js';
import { publicRecord, publicRecords, targetOf } from './addresses.js';
import type { RouterHooks, RouterOperation } from './hooks.js';
import { mergeHits } from './merge.js';
import type {
  CountAnswer,
  ExplainAnswer,
  FetchAnswer,
  FetchedRecord,
  FetchInclude,
  ScrollAnswer,
  ScrollRequestQuery,
  SearchAnswer,
  SearchHit,
  SearchRequestQuery,
  TenantChoice,
  VectorValues,
} from './requests.js';
import { Backoff } from './retry.js';
import { type Gathered, scatter } from './scatter.js';
import { mergePages, shareOfPage } from './scroll-merge.js';
import type { ShardClient } from './shard-client.js';
import { answerOf, freshnessByShard, type ShardAnswer } from './shard-freshness.js';
import { readTenant } from './tenancy.js';
import { mergeTenants, type TenantsPage } from './tenant-pages.js';
import type { TimeBudget } from './time-budget.js';
import { splitByShard } from './write-split.js';

/** A partial answer must leave before the caller's deadline, or it would be of no use. */
const PARTIAL_SHARE = 0.9;

export interface ReaderOptions {
  readonly view: TopologyView;
  readonly shards: ShardClient;
  readonly environment: Environment;
  readonly hooks: RouterHooks;
}

/** How long a read may take, how fresh it is to be, and whose records it sees. */
export interface ReadManner extends TenantChoice {
  readonly budget: TimeBudget;
  readonly consistency: Consistency;
  /** Whether the caller goes to another node after an error that may pass. */
  readonly callerRetries: boolean;
}

/** The table and collection that one round of a read is carried out under. */
interface Scope extends ReadManner {
  readonly document: TopologyDocument;
  readonly collection: CollectionEntry;
  readonly route: CollectionRoute;
  /** The shards that may have records of those tenants. */
  readonly shardIds: readonly number[];
  /** What the engine selects by: nothing for all tenants. */
  readonly selection: { readonly tenant?: string };
}

/** A record to fetch. */
export interface WantedRecord {
  readonly id: string;
  readonly shardKey?: string | undefined;
}

type ShardRead<T> = (
  replica: ShardReplica,
  scope: { readonly collectionId: number; readonly ownershipVersion: number },
  context: CallContext,
) => Promise<ReadAnswer<T>>;

interface GatheredReads<T> extends Gathered<T> {
  readonly served: readonly ServedShard[];
}

export class Reader {
  readonly #options: ReaderOptions;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  /** One search on each shard, all in parallel, for all queries together. */
  search(
    collection: string,
    queries: readonly SearchRequestQuery[],
    manner: ReadManner,
    allowPartial: boolean,
  ): Promise<SearchAnswer> {
    return this.#underOneTable(collection, manner, async (scope) => {
      const shardQueries = await this.#shardQueries(scope, queries);
      const gathered = await this.#scatter(
        'search',
        allowPartial ? partialScope(scope) : scope,
        scope.shardIds,
        () => (replica, readScope, context) => replica.search(readScope, shardQueries, context),
        allowPartial,
      );
      return {
        results: this.#merge(queries, gathered.values).map((hits) =>
          publicRecords(scope.collection, hits),
        ),
        shards: gathered.shards,
        degraded: gathered.shards.failed.length > 0,
        served: gathered.served,
        epoch: scope.document.epoch,
      };
    });
  }

  fetch(
    collection: string,
    wanted: readonly WantedRecord[],
    include: FetchInclude,
    manner: ReadManner,
  ): Promise<FetchAnswer> {
    return this.#underOneTable(collection, manner, async (scope) => ({
      ...(await this.#fetchRecords(scope, wanted, include)),
      epoch: scope.document.epoch,
    }));
  }

  count(
    collection: string,
    filter: Uint8Array | undefined,
    manner: ReadManner,
  ): Promise<CountAnswer> {
    return this.#underOneTable(collection, manner, async (scope) => {
      const selection = { ...scope.selection, ...(filter !== undefined && { filter }) };
      const { values, served } = await this.#scatter(
        'count',
        scope,
        scope.shardIds,
        () => (replica, readScope, context) => replica.count(readScope, selection, context),
      );
      return {
        count: values.reduce((sum, count) => sum + count, 0),
        served,
        epoch: scope.document.epoch,
      };
    });
  }

  /** One page of each shard, all in parallel, merged. */
  scroll(
    collection: string,
    { filter, after, limit, includeValues, includeMetadata }: ScrollRequestQuery,
    manner: ReadManner,
  ): Promise<ScrollAnswer> {
    return this.#underOneTable(collection, manner, async (scope) => {
      const { shardIds, collection: entry } = scope;
      const query = {
        ...scope.selection,
        ...(filter !== undefined && { filter }),
        ...(after !== undefined && { after }),
        limit: shareOfPage(limit, shardIds.length),
        includeValues,
        includeMetadata,
      };
      const { values, served } = await this.#scatter(
        'scroll',
        scope,
        shardIds,
        () => (replica, readScope, context) => replica.scroll(readScope, query, context),
      );
      const { records, ...page } = mergePages(values, limit);
      return {
        ...page,
        records: publicRecords(entry, records),
        served,
        collectionId: entry.collectionId,
        epoch: scope.document.epoch,
      };
    });
  }

  /** One page of the counts of each shard, all in parallel, merged. */
  tenants(collection: string, query: TenantsQuery, manner: ReadManner): Promise<TenantsPage> {
    return this.#underOneTable(collection, manner, async (scope) => {
      const { values } = await this.#scatter(
        'tenants',
        scope,
        scope.shardIds,
        (shardId) => async (replica, readScope, context) => {
          const { value: tenants, ...answer } = await replica.tenants(readScope, query, context);
          return { ...answer, value: { shardId, tenants } };
        },
      );
      return mergeTenants(values, query.limit);
    });
  }

  explain(
    collection: string,
    query: SearchRequestQuery,
    manner: ReadManner,
    allowPartial: boolean,
  ): Promise<ExplainAnswer> {
    return this.#underOneTable(collection, manner, async (scope) => {
      const [shardQuery] = await this.#shardQueries(scope, [query]);
      const asked = defined(shardQuery, 'the query');
      const gathered = await this.#scatter(
        'explain',
        allowPartial ? partialScope(scope) : scope,
        scope.shardIds,
        (shardId) => async (replica, readScope, context) => {
          const { value, ...answer } = await replica.explain(readScope, asked, context);
          return { ...answer, value: { ...value, shardId } };
        },
        allowPartial,
      );
      const { failed } = gathered.shards;
      return {
        shards: [...gathered.values].sort((a, b) => a.shardId - b.shardId),
        failed,
        degraded: failed.length > 0,
        served: gathered.served,
        epoch: scope.document.epoch,
      };
    });
  }

  /** The queries as each shard is asked them. */
  async #shardQueries(
    scope: Scope,
    queries: readonly SearchRequestQuery[],
  ): Promise<SearchQuery[]> {
    const vectors = await this.#vectorsOf(scope, queries);
    return queries.map(({ scoreThreshold, filter, ...query }, at) => ({
      vector: vectors[at] as Uint8Array,
      ...scope.selection,
      k: (query.offset ?? 0) + query.limit,
      ef: query.ef ?? 0,
      ...(scoreThreshold !== undefined && { scoreThreshold }),
      ...(filter !== undefined && { filter }),
      includeValues: query.includeValues,
      includeMetadata: query.includeMetadata,
    }));
  }

  /** Asks only the shards that own an id, each once for all of its ids. */
  async #fetchRecords(
    scope: Scope,
    wanted: readonly WantedRecord[],
    include: FetchInclude,
  ): Promise<Pick<FetchAnswer, 'records' | 'served'>> {
    const { collection, route } = scope;
    const { tenant } = scope.selection;
    if (tenant === undefined) throw needsTenant();
    const keys = wanted.map(({ id, shardKey }, ordinal) => {
      const address = { id, tenant, ...(shardKey !== undefined && { shardKey }) };
      return targetOf(collection, route, ordinal, address);
    });
    const parts = splitByShard(route, keys);
    const { values, served } = await this.#scatter('fetch', scope, [...parts.keys()], (shardId) => {
      const part = defined(parts.get(shardId), `part of shard ${shardId}`);
      return async (replica, readScope, context) => {
        const found = await replica.fetch(readScope, part, include, context);
        const value = part.map(({ ordinal }, at) => ({ ordinal, record: found.value[at] }));
        return { ...found, value };
      };
    });
    const records = new Array<FetchedRecord | undefined>(wanted.length).fill(undefined);
    for (const { ordinal, record } of values.flat()) {
      records[ordinal] = record && publicRecord(collection, record);
    }
    return { records, served };
  }

  /** Each query's vector as bytes; those of stored records are fetched first. */
  async #vectorsOf(scope: Scope, queries: readonly SearchRequestQuery[]): Promise<Uint8Array[]> {
    const wanted = queries.flatMap(({ target }) => (target.kind === 'record' ? [target] : []));
    const include = { values: true, metadata: false };
    const { records } =
      wanted.length === 0 ? { records: [] } : await this.#fetchRecords(scope, wanted, include);
    const found = new Map(wanted.map((target, at) => [target, records[at]]));
    return queries.map(({ target }, at) => {
      if (target.kind === 'vector') {
        return vectorBytes(target.values, scope.collection, `queries[${at}].vector`);
      }
      const values = found.get(target)?.values;
      if (values === undefined) {
        throw new FlotillaError('RECORD_NOT_FOUND', `There is no record ${target.id}`, {
          field: `queries[${at}].id`,
        });
      }
      return values;
    });
  }

  #merge(
    queries: readonly SearchRequestQuery[],
    shardHits: readonly (readonly (readonly SearchHit[])[])[],
  ): SearchHit[][] {
    const { clock } = this.#options.environment;
    const startMs = clock.monotonicMs();
    const results = queries.map(({ offset = 0, limit }, at) =>
      mergeHits(
        shardHits.map((hits) => hits[at] ?? []),
        { offset, limit },
      ),
    );
    const durationMs = clock.monotonicMs() - startMs;
    this.#options.hooks.onMerge?.({
      queries: queries.length,
      shards: shardHits.length,
      durationMs,
    });
    return results;
  }

  async #scatter<T>(
    operation: RouterOperation,
    scope: Scope,
    shardIds: readonly number[],
    readOf: (shardId: number) => ShardRead<T>,
    allowPartial = false,
  ): Promise<GatheredReads<T>> {
    const { document, budget, callerRetries } = scope;
    const freshnessOf = freshnessByShard(scope.consistency, document);
    const { collectionId } = scope.collection;
    const { clock } = this.#options.environment;
    const versions = new Map(document.shards.map((one) => [one.shardId, one.ownershipVersion]));
    const startMs = clock.monotonicMs();
    let failed = 0;
    try {
      const gathered = await scatter(shardIds, { allowPartial }, async (shardId) => {
        const ownershipVersion = defined(versions.get(shardId), `shard ${shardId}`);
        const consistency = freshnessOf(shardId);
        const read = readOf(shardId);
        const ask = async (
          replica: ShardReplica,
          context: CallContext,
        ): Promise<ShardAnswer<T>> => {
          const answer = await read(replica, { collectionId, ownershipVersion }, context);
          return answerOf(answer, { shardId, nodeId: replica.nodeId, ownershipVersion });
        };
        try {
          return await this.#options.shards.call({
            operation,
            shardId,
            budget,
            consistency,
            callerRetries,
            ask,
          });
        } catch (error) {
          failed++;
          throw error;
        }
      });
      const values = gathered.values.map(({ value }) => value);
      const served = gathered.values.map((answer) => answer.served);
      return { values, shards: gathered.shards, served };
    } finally {
      const durationMs = clock.monotonicMs() - startMs;
      this.#options.hooks.onFanOut?.({ operation, shards: shardIds.length, failed, durationMs });
    }
  }

  /**
   * Runs a whole read with one document. When a replica refuses that document's ownership, all of
   * it starts again under a newer one: parts of two tables may hold a record twice, or not at all.
   */
  async #underOneTable<T>(
    collection: string,
    manner: ReadManner,
    run: (scope: Scope) => Promise<T>,
  ): Promise<T> {
    const { view, environment } = this.#options;
    const { budget } = manner;
    const backoff = new Backoff(environment);
    for (;;) {
      // The collection first: it tells when there is no document at all.
      const entry = view.collection(collection);
      const document = defined(view.current(), 'the topology');
      try {
        return await run(scopeOf(document, entry, manner));
      } catch (error) {
        const isStale = isFlotillaError(error) && error.reason === 'STALE_TOPOLOGY';
        if (!isStale || budget.isSpent) throw error;
      }
      await backoff.newerTopology(view, document.epoch, budget);
    }
  }
}

/** Asks one shard only where it has all records that the tenant may have (M-20). */
function scopeOf(
  document: TopologyDocument,
  collection: CollectionEntry,
  manner: ReadManner,
): Scope {
  const tenant = readTenant(collection, manner);
  const route = defined(routeOf(document, collection.placementId), 'the route of the collection');
  const common = { ...manner, document, collection, route };
  if (tenant === undefined) return { ...common, shardIds: route.shardIds, selection: {} };
  const shardIds =
    collection.config.routing === 'tenant'
      ? [route.shardOf({ slot: route.unitOf(tenant), tenant })]
      : route.shardIds;
  return { ...common, shardIds, selection: { tenant } };
}

function needsTenant(): FlotillaError {
  const message = 'A record is named by its tenant too: leave allTenants out, and name the tenant';
  return new FlotillaError('INVALID_REQUEST', message, { field: 'allTenants' });
}

/** Less time for a fan-out that may be partial. */
function partialScope(scope: Scope): Scope {
  return { ...scope, budget: scope.budget.firstPart(PARTIAL_SHARE) };
}

/** A vector's bytes, checked against the collection: only here both are known. */
export function vectorBytes(
  values: VectorValues,
  collection: CollectionEntry,
  field: string,
): Uint8Array {
  const bytes = values instanceof Float32Array ? floatBytes(values) : values;
  const { dimension, name } = collection.config;
  if (bytes.length !== 4 * dimension) {
    const message = `${field} has ${bytes.length / 4} floats, the vectors of ${name} ${dimension}`;
    throw new FlotillaError('DIMENSION_MISMATCH', message, { field });
  }
  return bytes;
}
