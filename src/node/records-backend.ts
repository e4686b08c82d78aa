/**
 * The server's view of the router. A collection that this node has not heard of may have been
 * created a moment ago through another node: before saying NOT_FOUND the topology is refreshed, and
 * where that cannot be done nothing definite is said.
 */
import type { Router } from '../router/router.js';
import type {
  BackendQuery,
  BackendScroll,
  CallOptions,
  CountAnswer,
  DeleteByFilterAnswer,
  DeleteOptions,
  FetchAnswer,
  FetchOptions,
  NewRecord,
  ReadOptions,
  RecordPatch,
  RecordsBackend,
  ScrollAnswer,
  SearchAnswer,
  SearchOptions,
  TenantScope,
  WriteAnswer,
  WriteOptions,
} from '../server/backend.js';
import { defined } from '../shared/assert.js';
import type { ExplainResponse } from '../shared/codec/explain-messages.js';
import { FlotillaError, isFlotillaError, toFlotillaError } from '../shared/errors.js';
import type { ScrollPosition } from '../shared/scroll-position.js';
import type { CollectionConfig } from '../shared/types.js';
import type { TopologyGroup } from '../topology/topology-group.js';
import type { TopologyView } from '../topology/view.js';

export interface RecordsBackendOptions {
  readonly router: Router;
  readonly view: TopologyView;
  readonly topology: () => TopologyGroup | undefined;
}

/** A refresh that takes longer than this says more about the cluster than about the collection. */
const REFRESH_TIMEOUT_MAX_MS = 2_000;

export class RouterBackend implements RecordsBackend {
  readonly #options: RecordsBackendOptions;

  constructor(options: RecordsBackendOptions) {
    this.#options = options;
  }

  collection(name: string, options: CallOptions): CollectionConfig | Promise<CollectionConfig> {
    try {
      return this.#options.view.collection(name).config;
    } catch {
      return this.#fresh(options, async () => this.#options.view.collection(name).config);
    }
  }

  async newestCollection(name: string, options: CallOptions): Promise<CollectionConfig> {
    await this.#refresh(options);
    return this.#options.view.collection(name).config;
  }

  upsert(
    collection: string,
    records: readonly NewRecord[],
    options: WriteOptions,
  ): Promise<WriteAnswer> {
    return this.#fresh(options, () => this.#options.router.upsert(collection, records, options));
  }

  patch(
    collection: string,
    patches: readonly RecordPatch[],
    options: WriteOptions,
  ): Promise<WriteAnswer> {
    return this.#fresh(options, () => this.#options.router.patch(collection, patches, options));
  }

  delete(collection: string, ids: readonly string[], options: DeleteOptions): Promise<WriteAnswer> {
    return this.#fresh(options, () => this.#options.router.delete(collection, ids, options));
  }

  fetch(
    collection: string,
    ids: readonly string[],
    include: { readonly values: boolean; readonly metadata: boolean },
    options: FetchOptions,
  ): Promise<FetchAnswer> {
    return this.#fresh(options, () =>
      this.#options.router.fetch(collection, ids, include, options),
    );
  }

  async search(
    collection: string,
    queries: readonly BackendQuery[],
    options: SearchOptions,
  ): Promise<SearchAnswer> {
    const answer = await this.#fresh(options, () =>
      this.#options.router.search(collection, queries.map(routerQuery), options),
    );
    const { total, ok, failed } = answer.shards;
    return { ...answer, shards: { total, ok, failed: failed.map(({ shardId }) => shardId) } };
  }

  count(
    collection: string,
    filter: Uint8Array | undefined,
    options: ReadOptions,
  ): Promise<CountAnswer> {
    return this.#fresh(options, () =>
      this.#options.router.count(collection, { ...options, filter }),
    );
  }

  scroll(collection: string, query: BackendScroll, options: ReadOptions): Promise<ScrollAnswer> {
    return this.#fresh(options, () => this.#options.router.scroll(collection, query, options));
  }

  deleteByFilter(
    collection: string,
    selection: { readonly filter: Uint8Array; readonly after?: ScrollPosition },
    options: CallOptions & TenantScope,
  ): Promise<DeleteByFilterAnswer> {
    return this.#fresh(options, () =>
      this.#options.router.deleteByFilter(collection, selection, options),
    );
  }

  async explain(
    collection: string,
    query: BackendQuery,
    options: SearchOptions,
  ): Promise<ExplainResponse> {
    const answer = await this.#fresh(options, () =>
      this.#options.router.explain(collection, routerQuery(query), options),
    );
    return { ...answer, failed: answer.failed.map(({ shardId }) => shardId) };
  }

  /**
   * Rejects with NODE_NOT_READY where this node cannot learn what is newest: what it knows may be
   * as old as the cluster, and another node may know better.
   */
  async #refresh({ timeoutMs, signal }: CallOptions): Promise<void> {
    const topology = this.#options.topology();
    if (topology === undefined) throw outOfDate('its replica of the topology does not run');
    const patience = { timeoutMs: Math.min(timeoutMs / 2, REFRESH_TIMEOUT_MAX_MS), signal };
    await topology.refresh(patience).catch((thrown: unknown) => {
      const error = toFlotillaError(thrown);
      throw error.reason === 'CANCELLED' ? error : outOfDate(error.message, error);
    });
  }

  /** Tries again, once, where a newer topology may tell something else. */
  async #fresh<T>(options: CallOptions, work: () => Promise<T>): Promise<T> {
    const epoch = this.#options.view.current()?.epoch;
    try {
      return await work();
    } catch (error) {
      const stale =
        isFlotillaError(error) &&
        (error.reason === 'COLLECTION_NOT_FOUND' || error.reason === 'COLLECTION_NOT_READY');
      if (!stale) throw error;
      await this.#refresh(options);
      if (this.#options.view.current()?.epoch === epoch) throw error;
      return work();
    }
  }
}

function outOfDate(why: string, cause?: FlotillaError): FlotillaError {
  const message = `This node cannot tell what collections there are now: ${why}`;
  return new FlotillaError('NODE_NOT_READY', message, { cause });
}

function routerQuery(query: BackendQuery): Parameters<Router['search']>[1][number] {
  const { vector, id, shardKey, k, ef, offset, scoreThreshold, filter } = query;
  const { includeValues, includeMetadata } = query;
  return {
    target:
      id === undefined
        ? { kind: 'vector', values: defined(vector, 'vector of a query') }
        : { kind: 'record', id, shardKey },
    limit: k,
    offset,
    ef,
    scoreThreshold,
    filter,
    includeValues,
    includeMetadata,
  };
}
