/** The client of a Flotilla cluster. */
import type { ClusterStatus, CollectionInfo } from '../shared/codec/admin-messages.js';
import { API } from '../shared/codec/public-api.js';
import { FlotillaError } from '../shared/errors.js';
import { type IndexedField, METRICS, type Metric } from '../shared/types.js';
import { Caller } from './caller.js';
import { Collection, type Metadata, wholeNumber } from './collection.js';
import { Connections } from './connections.js';
import type { CallOptions, FlotillaOptions } from './options.js';

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
}

const READ = { kind: 'repeatable', writes: false } as const;

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

  /** Each address is "host:port". Connects when the first call needs it. */
  constructor(addresses: string | readonly string[], options: FlotillaOptions = {}) {
    this.#connections = new Connections(typeof addresses === 'string' ? [addresses] : addresses);
    this.#caller = new Caller(this.#connections, options);
  }

  /** Creates a collection on all shards. Again with equal settings succeeds. */
  async createCollection(
    collection: NewCollection,
    options: CallOptions = {},
  ): Promise<CollectionInfo> {
    const { metric } = collection;
    if (metric !== undefined && !METRICS.includes(metric)) {
      // On the wire it would look like the default.
      throw new FlotillaError(
        'INVALID_REQUEST',
        `config.metric is "${metric}", it must be one of ${METRICS.join(', ')}`,
        {
          field: 'config.metric',
        },
      );
    }
    const request = {
      name: collection.name,
      dimension: wholeNumber(collection.dimension, 'config.dimension'),
      metric,
      m: wholeNumber(collection.m ?? 0, 'config.m'),
      efConstruction: wholeNumber(collection.efConstruction ?? 0, 'config.efConstruction'),
      indexedFields: collection.indexedFields ?? [],
    };
    const manner = { kind: 'repeatable', writes: true } as const;
    return this.#caller.call(API.createCollection, request, options, manner);
  }

  /** Settings, state and number of records. */
  describeCollection(name: string, options: CallOptions = {}): Promise<CollectionInfo> {
    return this.#caller.call(API.describeCollection, name, options, READ);
  }

  /** All collections by name, without record counts. */
  listCollections(options: CallOptions = {}): Promise<readonly CollectionInfo[]> {
    return this.#caller.call(API.listCollections, undefined, options, READ);
  }

  /** Drops a collection with all of its records. */
  dropCollection(name: string, options: CallOptions = {}): Promise<void> {
    // Sent twice it could drop a collection that someone made in between.
    const manner = { kind: 'once', writes: true } as const;
    return this.#caller.call(API.dropCollection, name, options, manner);
  }

  /** The records of a collection. `M` is the type of their metadata, as the caller knows it. */
  collection<M extends Metadata = Metadata>(name: string): Collection<M> {
    return new Collection<M>(name, this.#caller);
  }

  /** Nodes, shards and replicas as the node that answers sees them. */
  status(options: CallOptions = {}): Promise<ClusterStatus> {
    return this.#caller.call(API.getStatus, undefined, options, READ);
  }

  /** Closes all connections. Idempotent. */
  async close(): Promise<void> {
    this.#connections.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
