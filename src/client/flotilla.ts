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
import type { ShardVerification } from '../shared/codec/verify-messages.js';
import { FIELD_TYPES, type IndexedField, METRICS, type Metric } from '../shared/types.js';
import { Caller } from './caller.js';
import { Collection } from './collection.js';
import { Connections } from './connections.js';
import type { CallOptions, FlotillaOptions } from './options.js';
import {
  checkedTtl,
  type Metadata,
  type MetadataShape,
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
}

/** A Raft group: a shard by its number, or the topology's. */
export type GroupPlace =
  | { readonly shardId: number; readonly topology?: never }
  | { readonly topology: true; readonly shardId?: never };

export type ReplicaPlace = GroupPlace & { readonly nodeId: number };
/** A change of replicas, by the `id` that `status` shows. */
export type ChangePlace = GroupPlace & { readonly changeId: number };
export type LeaderPlace = GroupPlace & { readonly nodeId?: number };

const READ = { kind: 'repeatable', writes: false } as const;
/** Sent twice it could undo or redo what somebody else has done in between. */
const CHANGE = { kind: 'once', writes: true } as const;

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

/** Words that are not known are refused here: on the wire they would look like the default. */
function collectionRequest(collection: NewCollection): CollectionRequest {
  if (typeof collection !== 'object' || collection === null) {
    throw invalidField('collection', 'is no object, send { name, dimension }');
  }
  const { name, dimension, metric, m = 0, efConstruction = 0, ttlMs } = collection;
  if (metric !== undefined && !METRICS.includes(metric)) {
    throw invalidField('config.metric', `is "${metric}", it must be one of ${METRICS.join(', ')}`);
  }
  const indexedFields = wholeList(collection.indexedFields ?? [], 'config.indexedFields');
  for (const [index, { path, type }] of indexedFields.entries()) {
    const field = `config.indexedFields[${index}]`;
    wellFormed(path, `${field}.path`);
    if (FIELD_TYPES.includes(type)) continue;
    throw invalidField(
      `${field}.type`,
      `is "${type}", it must be one of ${FIELD_TYPES.join(', ')}`,
    );
  }
  return {
    name: wellFormed(name, 'config.name'),
    dimension: wholeNumber(dimension, 'config.dimension'),
    metric,
    m: wholeNumber(m, 'config.m'),
    efConstruction: wholeNumber(efConstruction, 'config.efConstruction'),
    indexedFields,
    ttlMs: checkedTtl(ttlMs, 'config.ttlMs'),
  };
}

/**
 * Talks to any node of the cluster; with several addresses round robin, failing over to the next
 * when one does not answer. Everything rejects with `FlotillaError`.
 *
 * @example
 *     await using flotilla = new Flotilla('localhost:7700');
 *     await flotilla.createCollection({ name: 'notes', dimension: 3 });
 *     const notes = flotilla.collection<{ title: string }>('notes');
 *     await notes.upsert([{ id: 'a', values: [0.1, 0.2, 0.3], metadata: { title: 'One' } }]);
 *     const { hits } = await notes.search({ vector: [0.1, 0.2, 0.3], k: 10 });
 */
export class Flotilla {
  readonly #connections: Connections;
  readonly #caller: Caller;

  /**
   * Each address is "host:port"; throws INVALID_REQUEST for one that is not. Connects when the
   * first call needs it.
   */
  constructor(addresses: string | readonly string[], options: FlotillaOptions = {}) {
    this.#connections = new Connections(typeof addresses === 'string' ? [addresses] : addresses);
    this.#caller = new Caller(this.#connections, options);
  }

  /** Creates a collection on all shards. Again with equal settings succeeds. */
  async createCollection(
    collection: NewCollection,
    options: CallOptions = {},
  ): Promise<CollectionInfo> {
    const request = collectionRequest(collection);
    const manner = { kind: 'repeatable', writes: true } as const;
    return this.#caller.call(API.createCollection, request, options, manner);
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
    const manner = { kind: 'once', writes: true } as const;
    return this.#caller.call(API.dropCollection, wellFormed(name, 'name'), options, manner);
  }

  /**
   * The records of a collection. `M` is the type of their metadata, as the caller knows it: an
   * interface or a type of what JSON can hold. What was stored is not checked against it. Throws
   * INVALID_REQUEST for a name that is no string.
   */
  collection<M extends Metadata = Metadata>(name: string): Collection<M>;
  collection<M extends object & MetadataShape<M>>(name: string): Collection<M>;
  collection<M extends object>(name: string): Collection<M> {
    return new Collection<M>(wellFormed(name, 'collection'), this.#caller);
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
   * Gives a shard one more replica, on a node that has none of it. Like the other changes of
   * replicas it resolves when the change has begun; `status` shows how it goes on.
   */
  addReplica(where: ReplicaPlace, options: CallOptions = {}): Promise<ReplicaResponse> {
    return this.#caller.call(API.addReplica, groupRequest(where), options, CHANGE);
  }

  /** Takes a shard's replica away from a node. Refused while the others are no majority. */
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
    const manner = { kind: 'repeatable', writes: true } as const;
    return this.#caller.call(API.cancelReplicaChange, groupRequest(which), options, manner);
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
