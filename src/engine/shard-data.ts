/**
 * The replicated state of a shard in memory, and how entries change it: ownership, collections,
 * sessions. Deterministic and synchronous; what changes goes into the batch that it is given.
 */
import { isDeepStrictEqual } from 'node:util';
import { assert, unreachable } from '../shared/assert.js';
import { floatsOf, MalformedBytesError } from '../shared/bytes.js';
import { type Command, decodeCommand, type WriteCommand } from '../shared/codec/command.js';
import { FlotillaError } from '../shared/errors.js';
import type { CommittedEntry } from '../shared/state-machine.js';
import type { CollectionConfig, ErrorBody, Version } from '../shared/types.js';
import type { Collection } from './collection.js';
import { CollectionIndex } from './collection-index.js';
import type { CollectionStats, CommandResult, ReadScope } from './engine.js';
import type { VectorIndexFactory } from './index/vector-index.js';
import { type PointStore, putCollection, type StoredEntry } from './point-store.js';
import { recordName } from './record-name.js';
import { Sessions } from './sessions.js';
import type { Slices } from './slices.js';
import type { ShardState } from './state-codec.js';
import { applyWrite, collectionMissing } from './write-applier.js';
import type { WriteBatch } from './write-batch.js';

const DONE: CommandResult = { kind: 'done' };

export class ShardData {
  readonly #state: ShardState;
  readonly #slots: ReadonlySet<number>;
  readonly #sessions: Sessions;
  readonly #createIndex: VectorIndexFactory;
  readonly #collections = new Map<number, Collection>();
  /** Ids of collections that were dropped: they are never used again. */
  readonly #dropped = new Set<number>();
  /** Dropped, and their records not known to be erased. */
  #unerased: number[] = [];

  constructor(state: ShardState, createIndex: VectorIndexFactory) {
    this.#state = state;
    this.#slots = new Set(state.slots);
    this.#sessions = new Sessions(state.sessionLimits);
    this.#createIndex = createIndex;
  }

  /**
   * Loads everything into a new object. Building the graphs is an insert a stored record; without,
   * the collections are left to be filled.
   */
  async load(store: PointStore, slices: Slices, graphs: 'built' | 'later'): Promise<void> {
    await this.#sessions.load(store);
    for (const [collectionId, state] of await store.collections()) {
      if (state.kind === 'active') {
        const { index } = this.#addCollection(collectionId, state.config);
        for await (const page of slices.between(store.allRecords(collectionId))) {
          await loadPage(index, page, slices, graphs);
        }
        continue;
      }
      this.#dropped.add(collectionId);
      if (state.kind === 'dropping') this.#unerased.push(collectionId);
    }
  }

  get ownershipVersion(): number {
    return this.#state.ownershipVersion;
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  collections(): Iterable<Collection> {
    return this.#collections.values();
  }

  collectionStats(): CollectionStats[] {
    return [...this.#collections.values()].map(({ collectionId, index }) => ({
      collectionId,
      records: index.size,
      graphPoints: index.graphPoints,
    }));
  }

  /** The collection that a read asks for. Throws STALE_TOPOLOGY or COLLECTION_NOT_FOUND. */
  collectionFor(scope: ReadScope): Collection {
    if (scope.ownershipVersion !== this.#state.ownershipVersion) {
      throw FlotillaError.fromBody(this.#stale(scope.ownershipVersion));
    }
    const collection = this.#collections.get(scope.collectionId);
    if (collection === undefined) {
      throw FlotillaError.fromBody(collectionMissing(scope.collectionId));
    }
    return collection;
  }

  /** Hands out the collections whose records are to be erased, once. */
  takeUnerased(): readonly number[] {
    const unerased = this.#unerased;
    this.#unerased = [];
    return unerased;
  }

  /**
   * Applies one entry. Throws UNSUPPORTED_VERSION for one that it cannot read: another version of
   * Flotilla can, so that answering it here would let replicas differ.
   */
  applyEntry(entry: CommittedEntry, batch: WriteBatch): CommandResult {
    const { command, version } = decodeEntry(entry);
    switch (command.kind) {
      case 'write':
        return this.#write(entry.index, version, command, batch);
      case 'createCollection':
        return this.#createCollection(command.collectionId, command.config, batch);
      case 'dropCollection':
        return this.#dropCollection(command.collectionId, batch);
      default:
        return unreachable(command);
    }
  }

  /** Frees the graphs. */
  dispose(): void {
    for (const { index } of this.#collections.values()) index.dispose();
    this.#collections.clear();
  }

  #write(index: number, version: Version, command: WriteCommand, batch: WriteBatch): CommandResult {
    const ownsAll = command.operations.every(({ slot }) => this.#slots.has(slot));
    if (command.ownershipVersion !== this.#state.ownershipVersion || !ownsAll) {
      return { kind: 'refused', error: this.#stale(command.ownershipVersion) };
    }
    const collection = this.#collections.get(command.collectionId);
    return applyWrite({ index, version, command }, collection, this.#sessions, batch);
  }

  #createCollection(
    collectionId: number,
    config: CollectionConfig,
    batch: WriteBatch,
  ): CommandResult {
    if (this.#dropped.has(collectionId)) {
      return { kind: 'refused', error: collectionMissing(collectionId) };
    }
    const existing = this.#collections.get(collectionId);
    if (existing !== undefined) {
      if (isDeepStrictEqual(existing.config, config)) return DONE;
      return refused('COLLECTION_EXISTS', `collection ${collectionId} has other settings`);
    }
    if (config.dimension < 1 || config.m < 2 || config.efConstruction < 1) {
      return refused('INVALID_REQUEST', `no graph can have ${JSON.stringify(config)}`);
    }
    this.#addCollection(collectionId, config);
    putCollection(batch, collectionId, { kind: 'active', config });
    return DONE;
  }

  /** Also notes an id that was never created: its creation may still be on the way. */
  #dropCollection(collectionId: number, batch: WriteBatch): CommandResult {
    if (this.#dropped.has(collectionId)) return DONE;
    this.#dropped.add(collectionId);
    this.#unerased.push(collectionId);
    this.#collections.get(collectionId)?.index.dispose();
    this.#collections.delete(collectionId);
    putCollection(batch, collectionId, { kind: 'dropping' });
    return DONE;
  }

  #addCollection(collectionId: number, config: CollectionConfig): Collection {
    assert(!this.#collections.has(collectionId), `collection ${collectionId} exists`);
    const index = new CollectionIndex(config, this.#createIndex);
    const collection: Collection = { collectionId, config, index };
    this.#collections.set(collectionId, collection);
    return collection;
  }

  #stale(asked: number): ErrorBody {
    const { shardId, ownershipVersion } = this.#state;
    return {
      reason: 'STALE_TOPOLOGY',
      message: `shard ${shardId} has ownership version ${ownershipVersion}, asked for ${asked}`,
      details: { shardId: String(shardId), ownershipVersion: String(ownershipVersion) },
    };
  }
}

async function loadPage(
  index: CollectionIndex,
  page: readonly StoredEntry[],
  slices: Slices,
  graphs: 'built' | 'later',
): Promise<void> {
  for (const { key, value } of page) {
    if (graphs === 'later') index.expect(recordName(key));
    else index.put(recordName(key), value.version, floatsOf(value.values));
    if (slices.isOver) await slices.pause();
  }
}

function decodeEntry(entry: CommittedEntry): { command: Command; version: Version } {
  try {
    return decodeCommand(entry.data);
  } catch (error) {
    if (!(error instanceof MalformedBytesError)) throw error;
    const message = `entry ${entry.index} cannot be read: ${error.message}`;
    throw new FlotillaError('UNSUPPORTED_VERSION', message, { cause: error });
  }
}

function refused(reason: ErrorBody['reason'], message: string): CommandResult {
  return { kind: 'refused', error: { reason, message } };
}
