/** Searches, fetches, counts and scrolls over all shards, each under one table. */
import type { TenantsQuery } from '../engine/engine.js';
import { FreshnessMark } from '../replica/freshness-mark.js';
import type { ServedShard } from '../shared/consistency.js';
import type { Environment } from '../shared/environment.js';
import type { TopologyView } from '../topology/view.js';
import { publicRecords } from './addresses.js';
import { explain } from './explain.js';
import type { RouterHooks } from './hooks.js';
import { isCutShort, mergeHits } from './merge.js';
import type { ReadManner, Scope } from './read-scope.js';
import { fetchRecords, type WantedRecord } from './record-fetch.js';
import type {
  CountAnswer,
  ExplainAnswer,
  FetchAnswer,
  FetchInclude,
  ScrollAnswer,
  ScrollRequestQuery,
  SearchAnswer,
  SearchHit,
  SearchRequestQuery,
} from './requests.js';
import { ScopedReads } from './scoped-reads.js';
import { mergePages, shareOfPage } from './scroll-merge.js';
import type { SearchCache, WholeAnswer } from './search-cache.js';
import type { ShardClient } from './shard-client.js';
import { servedInTurn } from './shard-freshness.js';
import { askedHits, shardQueries } from './shard-queries.js';
import { mergeTenants, type TenantsPage } from './tenant-pages.js';
import type { TopologyRefresh } from './topology-refresh.js';

export interface ReaderOptions {
  readonly view: TopologyView;
  readonly shards: ShardClient;
  readonly environment: Environment;
  readonly hooks: RouterHooks;
  readonly refresh: TopologyRefresh;
  /** @default no answer is kept */
  readonly cache?: SearchCache | undefined;
}

/** What a search has found, and all parts that went into it. */
interface FoundHits extends WholeAnswer, Pick<SearchAnswer, 'shards'> {
  readonly sources: readonly ServedShard[];
}

export class Reader {
  readonly #options: ReaderOptions;
  readonly #reads: ScopedReads;
  readonly #mark: FreshnessMark;

  constructor(options: ReaderOptions) {
    const { cache } = options;
    this.#options = options;
    this.#mark = new FreshnessMark(options.environment.clock);
    this.#reads = new ScopedReads({ ...options, onServed: (served) => cache?.noteAnswer(served) });
  }

  /**
   * One search on each shard, all in parallel, for all queries together; or what is kept of an
   * equal one (V1).
   */
  search(
    collection: string,
    queries: readonly SearchRequestQuery[],
    manner: ReadManner,
    allowPartial: boolean,
  ): Promise<SearchAnswer> {
    const { cache } = this.#options;
    return this.#reads.underOneTable(collection, manner, async (scope) => {
      const question = cache?.question(scope, queries, scope.consistency);
      const kept = question && cache?.find(question);
      if (kept !== undefined) {
        const { length } = scope.shardIds;
        return answered(scope, { ...kept, shards: { total: length, ok: length, failed: [] } });
      }
      const found = await this.#found(scope, queries, allowPartial);
      const isWhole = found.shards.failed.length === 0;
      if (question !== undefined && isWhole) cache?.keep(question, found, found.sources);
      return answered(scope, found);
    });
  }

  fetch(
    collection: string,
    wanted: readonly WantedRecord[],
    include: FetchInclude,
    manner: ReadManner,
  ): Promise<FetchAnswer> {
    return this.#reads.underOneTable(collection, manner, async (scope) => ({
      ...(await fetchRecords(this.#reads, scope, wanted, include)),
      epoch: scope.document.epoch,
    }));
  }

  count(
    collection: string,
    filter: Uint8Array | undefined,
    manner: ReadManner,
  ): Promise<CountAnswer> {
    return this.#reads.underOneTable(collection, manner, async (scope) => {
      const selection = { ...scope.selection, ...(filter !== undefined && { filter }) };
      const round = { operation: 'count', scope } as const;
      const { values, served } = await this.#reads.scatter(
        round,
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
    return this.#reads.underOneTable(collection, manner, async (scope) => {
      const { shardIds, collection: entry } = scope;
      const query = {
        ...scope.selection,
        ...(filter !== undefined && { filter }),
        ...(after !== undefined && { after }),
        limit: shareOfPage(limit, shardIds.length),
        includeValues,
        includeMetadata,
      };
      const round = { operation: 'scroll', scope } as const;
      const { values, served } = await this.#reads.scatter(
        round,
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
    return this.#reads.underOneTable(collection, manner, async (scope) => {
      const round = { operation: 'tenants', scope } as const;
      const { values } = await this.#reads.scatter(
        round,
        (shardId) => async (replica, readScope, context) => {
          const { value: tenants, ...answer } = await replica.tenants(readScope, query, context);
          return { ...answer, value: { shardId, tenants } };
        },
      );
      return mergeTenants(values, query.limit);
    });
  }

  /** See `explain` in explain.ts. */
  explain(
    collection: string,
    query: SearchRequestQuery,
    manner: ReadManner,
    allowPartial: boolean,
  ): Promise<ExplainAnswer> {
    const { cache, environment } = this.#options;
    const options = { reads: this.#reads, cache, clock: environment.clock };
    return this.#reads.underOneTable(collection, manner, (scope) =>
      explain(options, scope, query, allowPartial),
    );
  }

  async #found(
    scope: Scope,
    queries: readonly SearchRequestQuery[],
    allowPartial: boolean,
  ): Promise<FoundHits> {
    const begun = this.#mark.now();
    const asked = await shardQueries(this.#reads, scope, queries);
    const round = {
      operation: 'search',
      scope,
      allowPartial,
    } as const;
    const {
      values,
      shards,
      served: searched,
    } = await this.#reads.scatter(
      round,
      () => (replica, readScope, context) => replica.search(readScope, asked.queries, context),
    );
    const sources = [...asked.sources, ...searched];
    const served = servedInTurn(asked.sources, this.#mark.ageMs(begun), searched);
    return { shards, served, sources, ...this.#merge(queries, values) };
  }

  #merge(
    queries: readonly SearchRequestQuery[],
    shardHits: readonly (readonly (readonly SearchHit[])[])[],
  ): Pick<WholeAnswer, 'results' | 'cutQueries'> {
    const { clock } = this.#options.environment;
    const startMs = clock.monotonicMs();
    const cutQueries: number[] = [];
    const results = queries.map((query, at) => {
      const window = { offset: query.offset ?? 0, limit: query.limit };
      const lists = shardHits.map((hits) => hits[at] ?? []);
      const hits = mergeHits(lists, window);
      const asked = askedHits(query);
      const isFewer = asked < window.offset + window.limit;
      if (isFewer && isCutShort(lists, hits, window, asked)) cutQueries.push(at);
      return hits;
    });
    const durationMs = clock.monotonicMs() - startMs;
    this.#options.hooks.onMerge?.({
      queries: queries.length,
      shards: shardHits.length,
      durationMs,
    });
    return { results, cutQueries };
  }
}

function answered(
  { collection, document }: Scope,
  { results, cutQueries, served, shards }: WholeAnswer & Pick<SearchAnswer, 'shards'>,
): SearchAnswer {
  return {
    results: results.map((hits) => publicRecords(collection, hits)),
    shards,
    degraded: shards.failed.length > 0,
    cutQueries,
    served,
    epoch: document.epoch,
  };
}
