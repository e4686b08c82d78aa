/**
 * The router: takes a request at any node and brings it to the shards that it concerns, whichever
 * replicas lead them. It holds no data, decides nothing that lasts, and believes nothing: replicas
 * check for themselves whether they lead and whether the router's table is theirs.
 */

import type { TenantsQuery } from '../engine/engine.js';
import { defined } from '../shared/assert.js';
import {
  type CreateCollectionCommand,
  type DropCollectionCommand,
  encodeCommand,
  type MarkCommand,
  type OwnershipCommand,
  type WriteOperation,
} from '../shared/codec/command.js';
import type { Environment } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import { type Logger, silentLogger } from '../shared/logger.js';
import { RETRY_BUDGET, type RetryBudgetOptions } from '../shared/retry-budget.js';
import type { SessionReach } from '../shared/session-reach.js';
import type { Version } from '../shared/types.js';
import type { CollectionEntry } from '../topology/document.js';
import { routeOf } from '../topology/routes.js';
import type { TopologyView } from '../topology/view.js';
import { targetOf } from './addresses.js';
import { type DeleteSelection, deleteByFilter } from './filter-delete.js';
import type { RouterHooks } from './hooks.js';
import type { ReadManner } from './read-scope.js';
import { Reader } from './reader.js';
import { RequestKeys } from './request-keys.js';
import type {
  CountAnswer,
  CountOptions,
  DeleteByFilterAnswer,
  DeleteByFilterOptions,
  DeleteOptions,
  ExplainAnswer,
  FetchAnswer,
  FetchInclude,
  FetchOptions,
  PatchRecord,
  RequestOptions,
  ScanOptions,
  ScrollAnswer,
  ScrollRequestQuery,
  SearchAnswer,
  SearchOptions,
  SearchRequestQuery,
  TenantScope,
  UpsertRecord,
  WriteAnswer,
  WriteOptions,
} from './requests.js';
import { SearchCache } from './search-cache.js';
import { ShardClient } from './shard-client.js';
import { vectorBytes } from './shard-queries.js';
import type { ReplicaResolver } from './shard-survey.js';
import { writtenTenant } from './tenancy.js';
import type { TenantsPage } from './tenant-pages.js';
import { TimeBudget } from './time-budget.js';
import { TopologyRefresh } from './topology-refresh.js';
import type { RecordTarget } from './write-split.js';
import { type WriteRequest, WriteRun } from './writer.js';

export interface RouterOptions {
  readonly view: TopologyView;
  /** The replica to talk to, here or on another node. Called for each attempt: keep them. */
  readonly replicas: ReplicaResolver;
  readonly environment: Environment;
  /** @default nothing is logged */
  readonly logger?: Logger;
  /** @default nothing is measured */
  readonly hooks?: RouterHooks;
  /** Client id of the keys that the router makes; never used before. @default a random UUID */
  readonly clientId?: string;
  /** The node that the router runs on; its replicas are asked first. @default none */
  readonly localNodeId?: number;
  /** Memory for answers of searches that need not be the newest. @default 0, which keeps none */
  readonly searchCacheBytes?: number;
  /** How many repeats all calls together may make. @default a fifth of them, and ten a second */
  readonly retryBudget?: RetryBudgetOptions;
  /** Whether slow reads that any replica may serve ask a second one. @default true */
  readonly hedgedReads?: boolean;
  /**
   * Looks whether other nodes have a newer topology, and has the view take it. Called where a shard
   * has refused a call for an older table than its own: one at a time, four times a second at most.
   * No call waits for it beyond its own time. @default calls wait until the view hears of it
   */
  readonly refreshTopology?: () => Promise<void>;
}

/** Where a record of a request is, as its shards know it. */
type PlaceRecord = (ordinal: number, id: string, shardKey?: string | undefined) => RecordTarget;

/**
 * All calls throw `FlotillaError`: NODE_NOT_READY without a topology, COLLECTION_NOT_FOUND,
 * COLLECTION_NOT_READY, and what each method names. None outlasts its deadline.
 */
export class Router {
  readonly #view: TopologyView;
  readonly #environment: Environment;
  readonly #keys: RequestKeys;
  readonly #shards: ShardClient;
  readonly #cache: SearchCache | undefined;
  readonly #reader: Reader;
  readonly #refresh: TopologyRefresh;

  constructor(options: RouterOptions) {
    const { view, replicas, environment, localNodeId, hooks = {} } = options;
    const { searchCacheBytes: sizeMaxBytes = 0 } = options;
    const { clock } = environment;
    this.#view = view;
    this.#environment = environment;
    this.#keys = new RequestKeys(environment, options.clientId);
    const logger = options.logger ?? silentLogger;
    const { retryBudget = RETRY_BUDGET, hedgedReads = true } = options;
    this.#shards = new ShardClient({
      view,
      replicas,
      environment,
      logger,
      hooks,
      localNodeId,
      retryBudget,
      hedgedReads,
    });
    if (sizeMaxBytes > 0) this.#cache = new SearchCache({ sizeMaxBytes, clock, hooks });
    this.#refresh = new TopologyRefresh({ view, clock, refresh: options.refreshTopology });
    this.#reader = new Reader({
      view,
      shards: this.#shards,
      environment,
      hooks,
      refresh: this.#refresh,
      cache: this.#cache,
    });
  }

  /**
   * Writes records, by ids that are distinct (DUPLICATE_ID), of the collection's dimension
   * (DIMENSION_MISMATCH). Each shard's part is cut into log entries, which are atomic each; there
   * is an outcome for every record, and an error only when none was applied.
   *
   * A condition is looked at when the record is written; where it does not hold the outcome is
   * VERSION_CONFLICT, RECORD_EXISTS or RECORD_NOT_FOUND, for this attempt and every retry.
   *
   * Without a key of the caller's the router makes one, so that its own retries apply once.
   * Costs one hash per record and one copy of its bytes per attempt.
   */
  async upsert(
    collection: string,
    records: readonly UpsertRecord[],
    options: WriteOptions,
  ): Promise<WriteAnswer> {
    const entry = this.#view.collection(collection);
    const place = this.#placing(entry, options);
    const operations = records.map(
      ({ id, shardKey, values, metadata, condition, ttlMs }, at): WriteOperation => ({
        kind: 'upsert',
        ...place(at, id, shardKey),
        ...(condition !== undefined && { condition }),
        ...(ttlMs !== undefined && { ttlMs }),
        values: vectorBytes(values, entry, `records[${at}].values`),
        metadata,
      }),
    );
    return this.#write(entry, operations, 'records', options);
  }

  /**
   * Merges into the metadata of records that exist (RECORD_NOT_FOUND), as `upsert` writes: vectors,
   * and when a record expires, stay as they are. Costs the shard a read of each record.
   */
  async patch(
    collection: string,
    records: readonly PatchRecord[],
    options: WriteOptions,
  ): Promise<WriteAnswer> {
    const entry = this.#view.collection(collection);
    const place = this.#placing(entry, options);
    const operations = records.map(
      ({ id, shardKey, metadata, condition }, at): WriteOperation => ({
        kind: 'patch',
        ...place(at, id, shardKey),
        ...(condition !== undefined && { condition }),
        metadata,
      }),
    );
    return this.#write(entry, operations, 'patches', options);
  }

  /** Deletes by id, as `upsert` writes. An id without a record is `applied`, not `existed`. */
  async delete(
    collection: string,
    ids: readonly string[],
    options: DeleteOptions,
  ): Promise<WriteAnswer> {
    const entry = this.#view.collection(collection);
    const place = this.#placing(entry, options);
    const { ifVersions, shardKeys } = options;
    const operations = ids.map((id, at) =>
      deleteOperation(place(at, id, shardKeys?.[at]), ifVersions?.[at]),
    );
    return this.#write(entry, operations, 'ids', options);
  }

  /**
   * Reads by id, linearizable unless the options say otherwise (see `Consistency`). Throws
   * SHARD_UNAVAILABLE, naming the shards that are missing.
   */
  async fetch(
    collection: string,
    ids: readonly string[],
    include: FetchInclude,
    options: FetchOptions,
  ): Promise<FetchAnswer> {
    const { shardKeys, ...readOptions } = options;
    const wanted = ids.map((id, at) => ({ id, shardKey: shardKeys?.[at] }));
    return this.#reader.fetch(collection, wanted, include, this.#readManner(readOptions));
  }

  /**
   * Searches: unless the options say otherwise, each sees every write that was acknowledged before
   * it began. All shards that may have such records are asked under one table for `offset + limit`
   * hits of each query, or its `shardK`, and their hits merged. A bounded or eventual one may be
   * answered from the cache.
   *
   * Throws DIMENSION_MISMATCH, RECORD_NOT_FOUND for a query by id, and SHARD_UNAVAILABLE naming
   * the shards that are missing, unless `allowPartial` is set and at least one shard answered.
   * A query by id needs its record's shard in any case, and one round trip more.
   */
  async search(
    collection: string,
    queries: readonly SearchRequestQuery[],
    options: SearchOptions,
  ): Promise<SearchAnswer> {
    const allowPartial = options.allowPartial ?? false;
    return this.#reader.search(collection, queries, this.#readManner(options), allowPartial);
  }

  /** Records of the collection, by one linearizable read per shard. Throws as `fetch` does. */
  async count(collection: string, options: CountOptions): Promise<CountAnswer> {
    return this.#reader.count(collection, options.filter, this.#readManner(options));
  }

  /**
   * One page of records in the order of their ids, by one linearizable read per shard. Throws as
   * `fetch` does. Costs each shard a look at all of its ids.
   */
  async scroll(
    collection: string,
    query: ScrollRequestQuery,
    options: ScanOptions,
  ): Promise<ScrollAnswer> {
    return this.#reader.scroll(collection, query, this.#readManner(options));
  }

  /**
   * How many records each tenant of the collection has on each shard, one page of tenants. For
   * administrators. Throws as `fetch` does.
   */
  async countTenants(
    collection: string,
    query: TenantsQuery,
    options: RequestOptions,
  ): Promise<TenantsPage> {
    const manner = this.#readManner({ ...options, allTenants: true });
    return this.#reader.tenants(collection, query, manner);
  }

  /** Deletes what matches, see `deleteByFilter`. Doing it again is safe, whatever came of it. */
  async deleteByFilter(
    collection: string,
    selection: DeleteSelection,
    options: DeleteByFilterOptions,
  ): Promise<DeleteByFilterAnswer> {
    // Writes are about one tenant, and this is one.
    const manner = { ...this.#readManner(options), allTenants: false };
    const { budget } = manner;
    return deleteByFilter(
      {
        budget,
        scroll: (query) => this.#reader.scroll(collection, query, manner),
        remove: async (collectionId, records) => {
          const entry = this.#sameCollection(collection, collectionId);
          const place = this.#placing(entry, options);
          const operations = records.map(({ id, shardKey, version }, at) =>
            deleteOperation(place(at, id, shardKey), version),
          );
          const request = { collection: entry, operations, field: 'ids', budget };
          const run = this.#writeRun({ ...request, retriesUnknown: true });
          return run.run();
        },
      },
      selection,
    );
  }

  /** Searches as `search` does, and tells how each shard did it. Throws as `search` does. */
  async explain(
    collection: string,
    query: SearchRequestQuery,
    options: SearchOptions,
  ): Promise<ExplainAnswer> {
    const allowPartial = options.allowPartial ?? false;
    return this.#reader.explain(collection, query, this.#readManner(options), allowPartial);
  }

  /**
   * Puts an idempotent command that is not a write through a shard's log: creating or dropping a
   * collection there. Sent again after an unknown outcome. Throws what the shard refuses it with.
   */
  async command(
    shardId: number,
    command: CreateCollectionCommand | DropCollectionCommand,
    options: RequestOptions,
  ): Promise<void> {
    await this.#command(shardId, command, options);
  }

  /** The same for what changes the keys that it owns; resolves with what one tells that loses. */
  async changeOwnership(
    shardId: number,
    command: OwnershipCommand,
    options: RequestOptions,
  ): Promise<SessionReach | undefined> {
    return (await this.#command(shardId, command, options)).reach;
  }

  /**
   * Marks a position of the shard's log and returns its index: each replica that applies it notes
   * what it holds there. Sent again after an unknown outcome, which leaves two marks.
   */
  async mark(shardId: number, options: RequestOptions): Promise<number> {
    return (await this.#command(shardId, { kind: 'mark' }, options)).index;
  }

  /**
   * Resolves when a leader of the shard has proved that it leads and has applied everything that
   * was committed before the call. Throws SHARD_UNAVAILABLE.
   */
  async barrier(shardId: number, options: RequestOptions): Promise<void> {
    await this.#shards.call({
      operation: 'barrier',
      shardId,
      budget: this.#budget(options),
      ask: (replica, context) => replica.barrier(context),
    });
  }

  /** Log index at which the command was applied, and what came of it. */
  async #command(
    shardId: number,
    command: CreateCollectionCommand | DropCollectionCommand | OwnershipCommand | MarkCommand,
    options: RequestOptions,
  ): Promise<{ readonly index: number; readonly reach?: SessionReach | undefined }> {
    return this.#shards.call({
      operation: 'command',
      shardId,
      budget: this.#budget(options),
      ask: async (replica, context) => {
        const [answer] = await replica.propose([encodeCommand(command)], context);
        if (answer?.kind === 'applied' && answer.result.kind === 'done') {
          return { index: answer.index, reach: answer.result.reach };
        }
        if (answer?.kind === 'applied' && answer.result.kind === 'refused') {
          throw FlotillaError.fromBody(answer.result.error);
        }
        if (answer?.kind === 'not-applied' || answer?.kind === 'unknown') {
          throw FlotillaError.fromBody(answer.error);
        }
        throw new FlotillaError('INTERNAL', `Shard ${shardId} did not answer a command as one`);
      },
    });
  }

  /**
   * The replica of the group on this node has a leader since now. Calls that wait for one go on at
   * once. Groups that are no shard's are ignored.
   */
  noteLeader(groupId: number, nodeId: number): void {
    const shard = this.#view.current()?.shards.find((one) => one.groupId === groupId);
    if (shard !== undefined) this.#shards.noteLeader(shard.shardId, nodeId);
  }

  /** The node that leads a shard, as far as this router has heard; `undefined` where it has not. */
  leaderOf(shardId: number): number | undefined {
    return this.#shards.leaderOf(shardId);
  }

  /** The collection, where the name still stands for what was read. */
  #sameCollection(collection: string, collectionId: number): CollectionEntry {
    const entry = this.#view.collection(collection);
    if (entry.collectionId === collectionId) return entry;
    const message = `Collection ${collection} was dropped and made anew meanwhile`;
    throw new FlotillaError('COLLECTION_NOT_READY', message);
  }

  /** How the records of a write are laid out: all are of the call's tenant. */
  #placing(entry: CollectionEntry, scope: TenantScope): PlaceRecord {
    const document = defined(this.#view.current(), 'the topology');
    const route = defined(routeOf(document, entry.placementId), 'the route of the collection');
    const tenant = writtenTenant(entry, scope);
    return (ordinal, id, shardKey) =>
      targetOf(entry, route, ordinal, { id, tenant, ...(shardKey !== undefined && { shardKey }) });
  }

  #write(
    collection: CollectionEntry,
    operations: readonly WriteOperation[],
    field: string,
    options: WriteOptions,
  ): Promise<WriteAnswer> {
    checkIdsDistinct(operations, field);
    const { idempotencyKey, retry = 'router' } = options;
    if (retry === 'client' && idempotencyKey === undefined) {
      throw new FlotillaError('INVALID_REQUEST', 'A client that retries needs a key of its own', {
        field: 'idempotencyKey',
      });
    }
    const run = this.#writeRun({
      collection,
      operations,
      field,
      budget: this.#budget(options),
      requestKey: idempotencyKey,
      retriesUnknown: retry === 'router',
    });
    return run.run();
  }

  #writeRun(request: WriteRequest): WriteRun {
    return new WriteRun(
      {
        view: this.#view,
        shards: this.#shards,
        keys: this.#keys,
        environment: this.#environment,
        refresh: this.#refresh,
        onWritten: (written) => this.#cache?.noteWrite(written),
      },
      request,
    );
  }

  #readManner(options: ScanOptions): ReadManner {
    const { consistency = 'strong', retry = 'router', tenant, allTenants, shardKeys } = options;
    const callerRetries = retry === 'client';
    const records = { tenant, allTenants, shardKeys };
    return { budget: this.#budget(options), consistency, callerRetries, ...records };
  }

  #budget(options: RequestOptions): TimeBudget {
    return new TimeBudget(this.#environment.clock, options);
  }
}

/** Deletes a record; with a version, not where it was written since it had that. */
function deleteOperation(target: RecordTarget, version: Version | undefined): WriteOperation {
  if (version === undefined) return { kind: 'delete', ...target };
  return { kind: 'delete', ...target, condition: { kind: 'version', version } };
}

function checkIdsDistinct(operations: readonly WriteOperation[], field: string): void {
  const seen = new Set<string>();
  operations.forEach(({ id }, at) => {
    if (seen.has(id)) {
      throw new FlotillaError(
        'DUPLICATE_ID',
        `${field}[${at}] has an id that the request has before, send each id once`,
        { field: `${field}[${at}]` },
      );
    }
    seen.add(id);
  });
}
