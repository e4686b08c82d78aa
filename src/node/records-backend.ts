/** The server's view of the router. What is said to be missing is missing in the whole cluster. */
import type { Router } from '../router/router.js';
import type {
  BackendQuery,
  BackendScroll,
  CallOptions,
  CountAnswer,
  DeleteByFilterAnswer,
  DeleteByFilterOptions,
  DeleteOptions,
  FetchAnswer,
  FetchOptions,
  NewRecord,
  RecordPatch,
  RecordsBackend,
  ScanOptions,
  ScrollAnswer,
  SearchAnswer,
  SearchOptions,
  WriteAnswer,
  WriteOptions,
} from '../server/backend.js';
import { defined } from '../shared/assert.js';
import type { ExplainResponse } from '../shared/codec/explain-messages.js';
import type { ScrollPosition } from '../shared/scroll-position.js';
import type { CollectionConfig } from '../shared/types.js';
import type { TopologyGroup } from '../topology/topology-group.js';
import type { TopologyView } from '../topology/view.js';
import { NewestTopology } from './newest-topology.js';

export interface RecordsBackendOptions {
  readonly router: Router;
  readonly view: TopologyView;
  readonly topology: () => TopologyGroup | undefined;
}

export class RouterBackend implements RecordsBackend {
  readonly #options: RecordsBackendOptions;
  readonly #newest: NewestTopology;

  constructor(options: RecordsBackendOptions) {
    this.#options = options;
    this.#newest = new NewestTopology(options);
  }

  collection(name: string, options: CallOptions): CollectionConfig | Promise<CollectionConfig> {
    try {
      return this.#options.view.collection(name).config;
    } catch {
      return this.#newest.tried(options, async () => this.#options.view.collection(name).config);
    }
  }

  async newestCollection(name: string, options: CallOptions): Promise<CollectionConfig> {
    await this.#newest.refresh(options);
    return this.#options.view.collection(name).config;
  }

  upsert(
    collection: string,
    records: readonly NewRecord[],
    options: WriteOptions,
  ): Promise<WriteAnswer> {
    return this.#newest.tried(options, () =>
      this.#options.router.upsert(collection, records, options),
    );
  }

  patch(
    collection: string,
    patches: readonly RecordPatch[],
    options: WriteOptions,
  ): Promise<WriteAnswer> {
    return this.#newest.tried(options, () =>
      this.#options.router.patch(collection, patches, options),
    );
  }

  delete(collection: string, ids: readonly string[], options: DeleteOptions): Promise<WriteAnswer> {
    return this.#newest.tried(options, () => this.#options.router.delete(collection, ids, options));
  }

  fetch(
    collection: string,
    ids: readonly string[],
    include: { readonly values: boolean; readonly metadata: boolean },
    options: FetchOptions,
  ): Promise<FetchAnswer> {
    return this.#newest.tried(options, () =>
      this.#options.router.fetch(collection, ids, include, options),
    );
  }

  async search(
    collection: string,
    queries: readonly BackendQuery[],
    options: SearchOptions,
  ): Promise<SearchAnswer> {
    const answer = await this.#newest.tried(options, () =>
      this.#options.router.search(collection, queries.map(routerQuery), options),
    );
    const { total, ok, failed } = answer.shards;
    return { ...answer, shards: { total, ok, failed: failed.map(({ shardId }) => shardId) } };
  }

  count(
    collection: string,
    filter: Uint8Array | undefined,
    options: ScanOptions,
  ): Promise<CountAnswer> {
    return this.#newest.tried(options, () =>
      this.#options.router.count(collection, { filter, ...options }),
    );
  }

  scroll(collection: string, query: BackendScroll, options: ScanOptions): Promise<ScrollAnswer> {
    return this.#newest.tried(options, () =>
      this.#options.router.scroll(collection, query, options),
    );
  }

  deleteByFilter(
    collection: string,
    selection: { readonly filter: Uint8Array; readonly after?: ScrollPosition },
    options: DeleteByFilterOptions,
  ): Promise<DeleteByFilterAnswer> {
    return this.#newest.tried(options, () =>
      this.#options.router.deleteByFilter(collection, selection, options),
    );
  }

  async explain(
    collection: string,
    query: BackendQuery,
    options: SearchOptions,
  ): Promise<ExplainResponse> {
    const answer = await this.#newest.tried(options, () =>
      this.#options.router.explain(collection, routerQuery(query), options),
    );
    return { ...answer, failed: answer.failed.map(({ shardId }) => shardId) };
  }
}

function routerQuery(query: BackendQuery): Parameters<Router['search']>[1][number] {
  const { vector, id, shardKey, k, ef, offset, shardK, scoreThreshold, filter } = query;
  const { includeValues, includeMetadata } = query;
  return {
    target:
      id === undefined
        ? { kind: 'vector', values: defined(vector, 'vector of a query') }
        : { kind: 'record', id, shardKey },
    limit: k,
    offset,
    ef,
    shardK,
    scoreThreshold,
    filter,
    includeValues,
    includeMetadata,
  };
}
