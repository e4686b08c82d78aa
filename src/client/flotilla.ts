/** The client of a Flotilla cluster. */
import { invalidField } from '../shared/checks.js';
import type {
  ClusterStatus,
  CollectionInfo,
  CollectionRequest,
} from '../shared/codec/admin-messages.js';
import { API } from '../shared/codec/public-api.js';
import type {
  GroupRequest,
  LeaderResponse,
  ReadmitNodeResponse,
  ReplicaResponse,
} from '../shared/codec/replica-messages.js';
import type {
  CountTenantsResponse,
  TenantChangeResponse,
  TenantsDescription,
} from '../shared/codec/tenant-messages.js';
import type { ShardVerification } from '../shared/codec/verify-messages.js';
import {
  FIELD_TYPES,
  type IndexedField,
  METRICS,
  type Metric,
  PLACEMENT_NAMES,
  type PlacementName,
  ROUTINGS,
  type RoutedBy,
} from '../shared/types.js';
import { Caller, CHANGE, READ, REPEATABLE } from './caller.js';
import { Collection } from './collection.js';
import { Connections } from './connections.js';
import { CALL_TRANSPORTS, type CallOptions, type FlotillaOptions } from './options.js';
import {
  checkedTtl,
  type Metadata,
  type MetadataShape,
  oneOf,
  wellFormed,
  wholeList,
  wholeNumber,
} from './values.js';

export interface VerifyOptions extends CallOptions {
  /** @default all */
  readonly collection?: string;
  /** Also reads all stored records, and compares them with the hashes of them. @default false */
  readonly deep?: boolean;
}

export interface NewCollection {
  /** 1 to 255 letters, digits, '_', '-' and '.'. */
  readonly name: string;
  /** Number of floats in each vector. */
  readonly dimension: number;
  /** @default 'cosine' */
  readonly metric?: Metric;
  /** HNSW: links per point and layer. @default 16 */
  readonly m?: number;
  /** HNSW: candidates kept while a point is inserted. @default 200 */
  readonly efConstruction?: number;
  /** Metadata fields to index for filters. */
  readonly indexedFields?: readonly IndexedField[];
  /** How long records live that do not say it themselves, in milliseconds. @default for ever */
  readonly ttlMs?: number;
  /**
   * What decides on the shard of a record: its `id`, its `shardKey` (records of one key stay
   * together), or its `tenant` (all of them are on one shard, so are its queries). @default 'id'
   */
  readonly routing?: RoutedBy;
  /** How that is spread over shards; docs/placement.md compares them. @default 'ring' */
  readonly placement?: PlacementName;
  /** With the placement `range`: the first keys of all ranges but the first. */
  readonly splitPoints?: readonly string[];
}

/** Whose records a collection is to read and write. */
export interface TenantOptions {
  /** Up to 512 bytes of UTF-8. @default '' for those of nobody */
  readonly tenant?: string;
}

/** A change of the tenant directory. */
export interface TenantChangeOptions extends CallOptions {
  /** Who asks for it, for the audit log; nobody checks it. @default '' */
  readonly by?: string;
}

export interface TenantDescriptionOptions extends CallOptions {
  /**
   * Whether to count what the shards hold, which asks them all; where one does not answer, nothing
   * is told of any. @default true
   */
  readonly withUsage?: boolean;
}

export interface TenantCountOptions extends CallOptions {
  /** Only tenants after this one, in the order of their UTF-8 bytes. @default from the first on */
  readonly after?: string;
  /** Tenants of the page, up to 1,000. @default 100 */
  readonly limit?: number;
}

export interface TenantAssignment {
  readonly tenant: string;
  readonly shardId: number;
}

/** A Raft group: a shard by its number, or the topology's. */
export type GroupPlace =
  | { readonly shardId: number; readonly topology?: never }
  | { readonly topology: true; readonly shardId?: never };

export type ReplicaPlace = GroupPlace & { readonly nodeId: number };
/** A change of replicas, by the `id` that `status` shows. */
export type ChangePlace = GroupPlace & { readonly changeId: number };
export type LeaderPlace = GroupPlace & { readonly nodeId?: number };

function groupRequest(
  where: GroupPlace & { readonly nodeId?: number; readonly changeId?: number },
): GroupRequest {
  const { shardId, topology = false, nodeId = 0, changeId = 0 } = where;
  return {
    shardId: shardId === undefined ? undefined : wholeNumber(shardId, 'shardId'),
    topology,
    nodeId: wholeNumber(nodeId, 'nodeId'),
    changeId: wholeNumber(changeId, 'changeId'),
  };
}

function collectionRequest(collection: NewCollection): CollectionRequest {
  if (typeof collection !== 'object' || collection === null) {
    throw invalidField('collection', 'is no object, send { name, dimension }');
  }
  const { name, dimension, metric, m = 0, efConstruction = 0, ttlMs } = collection;
  if (metric !== undefined) oneOf(metric, METRICS, 'config.metric');
  const indexedFields = wholeList(collection.indexedFields ?? [], 'config.indexedFields');
  for (const [index, { path, type }] of indexedFields.entries()) {
    const field = `config.indexedFields[${index}]`;
    wellFormed(path, `${field}.path`);
    oneOf(type, FIELD_TYPES, `${field}.type`);
  }
  const { routing, placement, splitPoints } = collection;
  if (routing !== undefined) oneOf(routing, ROUTINGS, 'config.routing');
  if (placement !== undefined) oneOf(placement, PLACEMENT_NAMES, 'config.placement');
  return {
    name: wellFormed(name, 'config.name'),
    dimension: wholeNumber(dimension, 'config.dimension'),
    metric,
    m: wholeNumber(m, 'config.m'),
    efConstruction: wholeNumber(efConstruction, 'config.efConstruction'),
    indexedFields,
    ttlMs: checkedTtl(ttlMs, 'config.ttlMs'),
    routing,
    placement,
    splitPoints:
      splitPoints === undefined
        ? undefined
        : wholeList(splitPoints, 'config.splitPoints').map((one, at) =>
            wellFormed(one, `config.splitPoints[${at}]`),
          ),
  };
}

/** Where the cluster is; the environment knows where the code does not. */
function addressesOf(given: string | readonly string[] | undefined): readonly string[] {
  const addresses = given ?? process.env.FLOTILLA_URL;
  if (addresses === undefined) {
    throw invalidField('addresses', 'is missing, give "host:port" or set FLOTILLA_URL');
  }
  return typeof addresses === 'string' ? addresses.split(',').map((one) => one.trim()) : addresses;
}

/**
 * Talks to any node of the cluster; with several addresses round robin, failing over to the next
 * when one does not answer, and directly to the leaders of shards as soon as it knows them.
 * Everything rejects with `FlotillaError`.
 *
 * @example
 *     await using flotilla = new Flotilla('localhost:7700');
 *     const settings = { name: 'notes', dimension: 3 };
 *     const notes = await flotilla.openCollection<{ title: string }>(settings);
 *     await notes.upsert([{ id: 'a', values: [0.1, 0.2, 0.3], metadata: { title: 'One' } }]);
 *     const { hits } = await notes.search({ vector: [0.1, 0.2, 0.3], k: 10 });
 *     console.log(hits[0]?.metadata?.title);
 */
export class Flotilla {
  readonly #connections: Connections;
  readonly #caller: Caller;

  /**
   * Each address is "host:port"; throws INVALID_REQUEST for one that is not. A string may hold
   * several, separated by commas, as FLOTILLA_URL does, which is taken where none are given.
   * Connects when the first call needs it.
   */
  constructor(addresses?: string | readonly string[], options: FlotillaOptions = {}) {
    const { transport = 'stream' } = options;
    oneOf(transport, CALL_TRANSPORTS, 'transport');
    this.#connections = new Connections(addressesOf(addresses), transport);
    this.#caller = new Caller(this.#connections, options);
  }

  /** Creates a collection on all shards. Again with equal settings succeeds. */
  async createCollection(
    collection: NewCollection,
    options: CallOptions = {},
  ): Promise<CollectionInfo> {
    const request = collectionRequest(collection);
    return this.#caller.call(API.createCollection, request, options, REPEATABLE);
  }

  /**
   * Creates a collection where there is none of its name, and opens it. Rejects with
   * COLLECTION_EXISTS where there is one with other settings.
   *
   * @example
   *     interface Note {
   *       title: string;
   *       year: number;
   *     }
   *     const opened = await flotilla.openCollection<Note>({
   *       name: 'typed-notes',
   *       dimension: 3,
   *       indexedFields: [{ path: 'year', type: 'integer' }],
   *     });
   *     console.log(await opened.count({ filter: { year: { $gte: 2020 } } }));
   */
  openCollection<M extends Metadata = Metadata>(
    collection: NewCollection,
    options?: CallOptions & TenantOptions,
  ): Promise<Collection<M>>;
  openCollection<M extends object & MetadataShape<M>>(
    collection: NewCollection,
    options?: CallOptions & TenantOptions,
  ): Promise<Collection<M>>;
  async openCollection<M extends object>(
    collection: NewCollection,
    options: CallOptions & TenantOptions = {},
  ): Promise<Collection<M>> {
    const { tenant = '', ...callOptions } = options;
    const checked = wellFormed(tenant, 'tenant');
    await this.createCollection(collection, callOptions);
    return new Collection<M>(collection.name, this.#caller, checked);
  }

  /** Settings, state and number of records. */
  async describeCollection(name: string, options: CallOptions = {}): Promise<CollectionInfo> {
    const checked = wellFormed(name, 'name');
    return this.#caller.call(API.describeCollection, checked, options, READ);
  }

  /** All collections by name, without record counts. */
  listCollections(options: CallOptions = {}): Promise<readonly CollectionInfo[]> {
    return this.#caller.call(API.listCollections, undefined, options, READ);
  }

  /** Drops a collection with all of its records. */
  async dropCollection(name: string, options: CallOptions = {}): Promise<void> {
    // Sent twice it could drop a collection that someone made in between.
    return this.#caller.call(API.dropCollection, wellFormed(name, 'name'), options, CHANGE);
  }

  /**
   * The records of a collection. `M` is the type of their metadata, as the caller knows it: an
   * interface or a type of what JSON can hold. What was stored is not checked against it. Throws
   * INVALID_REQUEST for a name that is no string.
   *
   * With a `tenant` all that it reads and writes are that tenant's records, and without one those
   * of nobody: a tenant never sees, counts or deletes what another has.
   */
  collection<M extends Metadata = Metadata>(name: string, options?: TenantOptions): Collection<M>;
  collection<M extends object & MetadataShape<M>>(
    name: string,
    options?: TenantOptions,
  ): Collection<M>;
  collection<M extends object>(name: string, { tenant = '' }: TenantOptions = {}): Collection<M> {
    const checked = wellFormed(tenant, 'tenant');
    return new Collection<M>(wellFormed(name, 'collection'), this.#caller, checked);
  }

  /**
   * What this client has written and read so far, for another one to read at least as fresh:
   * `{ consistency: { session: token } }`. Text of at most 8 KiB that means nothing to callers.
   */
  get sessionToken(): string {
    return this.#caller.readSession.token;
  }

  /** Nodes, shards and replicas as the node that answers sees them. */
  status(options: CallOptions = {}): Promise<ClusterStatus> {
    return this.#caller.call(API.getStatus, undefined, options, READ);
  }

  /**
   * Compares what the replicas of each shard hold, each shard at one position of its log. Resolves
   * also where they differ; `problem`s say what could not be compared.
   */
  async verify(options: VerifyOptions = {}): Promise<readonly ShardVerification[]> {
    const { collection = '', deep = false } = options;
    const request = { collection: wellFormed(collection, 'collection'), deep };
    return (await this.#caller.call(API.verify, request, options, READ)).shards;
  }

  /**
   * Gives a shard one more replica, on a node that has none of it. Of the topology, which has a
   * replica on every node, lets that one vote. Like the other changes of replicas it resolves when
   * the change has begun; `status` shows how it goes on.
   */
  addReplica(where: ReplicaPlace, options: CallOptions = {}): Promise<ReplicaResponse> {
    return this.#caller.call(API.addReplica, groupRequest(where), options, CHANGE);
  }

  /**
   * Takes a shard's replica away from a node; of the topology, lets it vote no more. Refused while
   * the others are no majority.
   */
  removeReplica(where: ReplicaPlace, options: CallOptions = {}): Promise<ReplicaResponse> {
    return this.#caller.call(API.removeReplica, groupRequest(where), options, CHANGE);
  }

  /** Replaces a damaged or lost replica by a new one on the same node, filled by the others. */
  resetReplica(where: ReplicaPlace, options: CallOptions = {}): Promise<ReplicaResponse> {
    return this.#caller.call(API.resetReplica, groupRequest(where), options, CHANGE);
  }

  /**
   * Gives up a change of replicas, as long as the new replica does not vote. Rejects with
   * CHANGE_NOT_FOUND for one that is through or never was; to have given it up before is no error.
   */
  cancelReplicaChange(which: ChangePlace, options: CallOptions = {}): Promise<ReplicaResponse> {
    // Sent twice it cannot hit the next change: that has another id.
    return this.#caller.call(API.cancelReplicaChange, groupRequest(which), options, REPEATABLE);
  }

  /** Hands the leadership over, to the replica on `nodeId` or to the fittest. */
  transferLeadership(where: LeaderPlace, options: CallOptions = {}): Promise<LeaderResponse> {
    return this.#caller.call(API.transferLeadership, groupRequest(where), options, CHANGE);
  }

  /** Makes the leader give up its office; resolves when there is a leader again. */
  stepDown(group: GroupPlace, options: CallOptions = {}): Promise<LeaderResponse> {
    return this.#caller.call(API.stepDown, groupRequest(group), options, CHANGE);
  }

  /** Makes the replica on `nodeId`, or any, seek the leadership. A majority has to agree. */
  elect(where: LeaderPlace, options: CallOptions = {}): Promise<LeaderResponse> {
    return this.#caller.call(API.elect, groupRequest(where), options, CHANGE);
  }

  /**
   * Assigns a tenant to a shard, in all collections that are routed by tenant; resolves when that
   * holds. Rejects with TENANT_HAS_DATA where it has records on another shard.
   */
  assignTenant(
    { tenant, shardId }: TenantAssignment,
    options: TenantChangeOptions = {},
  ): Promise<TenantChangeResponse> {
    const where = wholeNumber(shardId, 'shardId');
    return this.#changeTenants(API.assignTenant, { tenant, shardId: where }, options);
  }

  /** Lets a tenant be spread by its hash again, which must be where it is. */
  releaseTenant(tenant: string, options: TenantChangeOptions = {}): Promise<TenantChangeResponse> {
    return this.#changeTenants(API.releaseTenant, { tenant }, options);
  }

  /** From now on the shard takes assigned tenants only. Rejects with TENANT_HAS_DATA. */
  dedicateShard(shardId: number, options: TenantChangeOptions = {}): Promise<TenantChangeResponse> {
    const where = { tenant: '', shardId: wholeNumber(shardId, 'shardId') };
    return this.#changeTenants(API.dedicateShard, where, options);
  }

  /** The shard may take tenants that are not assigned again; none moves by this. */
  shareShard(shardId: number, options: TenantChangeOptions = {}): Promise<TenantChangeResponse> {
    const where = { tenant: '', shardId: wholeNumber(shardId, 'shardId') };
    return this.#changeTenants(API.shareShard, where, options);
  }

  /**
   * Gives up a change that is not decided, by the id that `describeTenants` shows. Rejects with
   * CHANGE_NOT_FOUND for one that is decided or never was.
   */
  cancelTenantChange(changeId: number, options: CallOptions = {}): Promise<TenantChangeResponse> {
    // Sent twice it cannot hit the next change: that has another id.
    const which = wholeNumber(changeId, 'changeId');
    return this.#caller.call(API.cancelTenantChange, which, options, REPEATABLE);
  }

  /** The tenant directory: assignments, what each shard holds, limits that are near, the log. */
  describeTenants(options: TenantDescriptionOptions = {}): Promise<TenantsDescription> {
    const { withUsage = true, ...callOptions } = options;
    const request = { withoutUsage: !withUsage };
    return this.#caller.call(API.describeTenants, request, callOptions, READ);
  }

  /** One page of how many records each tenant of a collection has, by tenant and shard. */
  countTenants(name: string, options: TenantCountOptions = {}): Promise<CountTenantsResponse> {
    const { after, limit = 0, ...callOptions } = options;
    const request = {
      collection: wellFormed(name, 'collection'),
      after: after === undefined ? undefined : wellFormed(after, 'after'),
      limit: wholeNumber(limit, 'limit'),
    };
    return this.#caller.call(API.countTenants, request, callOptions, READ);
  }

  #changeTenants(
    method: typeof API.assignTenant,
    { tenant, shardId }: { readonly tenant: string; readonly shardId?: number },
    { by = '', ...options }: TenantChangeOptions,
  ): Promise<TenantChangeResponse> {
    const request = { tenant: wellFormed(tenant, 'tenant'), shardId, by: wellFormed(by, 'by') };
    return this.#caller.call(method, request, options, CHANGE);
  }

  /** Takes a node in again that has lost its data directory, under its old id and with new ones. */
  readmitNode(nodeId: number, options: CallOptions = {}): Promise<ReadmitNodeResponse> {
    return this.#caller.call(API.readmitNode, wholeNumber(nodeId, 'nodeId'), options, CHANGE);
  }

  /** Closes all connections. Idempotent. */
  async close(): Promise<void> {
    this.#connections.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
