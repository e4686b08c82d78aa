/**
 * The replicated state of a shard in memory, and how entries change it: ownership, collections,
 * sessions. Deterministic and synchronous; what changes goes into the batch that it is given.
 */
import { isDeepStrictEqual } from 'node:util';
import { assert, unreachable } from '../shared/assert.js';
import { floatsOf, MalformedBytesError } from '../shared/bytes.js';
import {
  type Command,
  type CreateCollectionCommand,
  decodeCommand,
  type ExpireCommand,
  type OwnershipCommand,
} from '../shared/codec/command.js';
import { collectionSettingsFault } from '../shared/collection-settings.js';
import { FlotillaError } from '../shared/errors.js';
import { DEFAULT_PLACEMENT_ID, mayLose } from '../shared/ownership.js';
import type { CommittedEntry } from '../shared/state-machine.js';
import { shardKeyOf } from '../shared/stored-id.js';
import type { ErrorBody, Version } from '../shared/types.js';
import type { Collection } from './collection.js';
import { CollectionIndex, type IndexSettings } from './collection-index.js';
import type {
  CollectionContent,
  CollectionStats,
  CommandResult,
  ExpiredRecords,
  ReadScope,
  RecordKey,
} from './engine.js';
import { type OwnedKey, Ownership } from './ownership.js';
import { PayloadIndex } from './payload/payload-index.js';
import { type PointStore, putCollection, putShardState, type StoredEntry } from './point-store.js';
import { recordName, recordOfName } from './record-name.js';
import { Sessions } from './sessions.js';
import type { Slices } from './slices.js';
import type { CollectionState, ShardState } from './state-codec.js';
import { applyWrite, collectionMissing, type WriteEntry } from './write-applier.js';
import { WriteBatch } from './write-batch.js';
import { ContentHash } from './writes/content-hash.js';
import { ContentMarks, contentsOf } from './writes/content-marks.js';
import { ExpiryQueue } from './writes/expiry-queue.js';
import { type ReadRecord, RecordWriter } from './writes/record-writer.js';
import { checkStoredSums, deleteSums, putChangedSums } from './writes/stored-sums.js';

const DONE: CommandResult = { kind: 'done' };

/** A committed entry that can be applied. */
export interface ReadEntry {
  readonly index: number;
  readonly version: Version;
  readonly command: Command;
}

export class ShardData {
  readonly #ownership: Ownership;
  readonly #sessions: Sessions;
  readonly #indexSettings: IndexSettings;
  readonly #collections = new Map<number, Collection>();
  /** Ids of collections that were dropped: they are never used again. */
  readonly #dropped = new Set<number>();
  readonly #marks = new ContentMarks();
  /** Made, or written to, since they were last taken. */
  #changed = new Set<Collection>();
  /** Dropped, and their records not known to be erased. */
  #unerased: number[] = [];

  constructor(state: ShardState, indexSettings: IndexSettings) {
    this.#ownership = new Ownership(state);
    this.#sessions = new Sessions(state.sessionLimits);
    this.#indexSettings = indexSettings;
  }

  /** Loads everything into a new object: reads each record once, and leaves the graphs empty. */
  async load(store: PointStore, slices: Slices): Promise<void> {
    await this.#sessions.load(store);
    for (const [collectionId, state] of await store.collections()) {
      if (state.kind === 'active') {
        const collection = this.#addCollection(collectionId, state);
        for await (const page of slices.between(store.allRecords(collectionId))) {
          await loadPage(collection, page, slices);
        }
        continue;
      }
      this.#dropped.add(collectionId);
      if (state.kind === 'dropping') this.#unerased.push(collectionId);
    }
    const batch = new WriteBatch();
    await checkStoredSums(store, this.#collections, batch);
    if (batch.size > 0) await store.commit(batch, store.appliedIndex());
  }

  get ownershipVersion(): number {
    return this.#ownership.version;
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  collections(): Iterable<Collection> {
    return this.#collections.values();
  }

  /** `undefined` where there is none, or none any more. */
  collection(collectionId: number): Collection | undefined {
    return this.#collections.get(collectionId);
  }

  collectionStats(): CollectionStats[] {
    return [...this.#collections.values()].map((collection) => {
      const { collectionId, index, payload, contents, expiries } = collection;
      const stats = index.stats();
      const account = contents.memoryBytes + expiries.memoryBytes;
      const memoryBytes = stats.memoryBytes + payload.memoryBytes + account;
      return { collectionId, ...stats, memoryBytes, contentHash: contents.sums.total() };
    });
  }

  /** The collection that a read asks for. Throws STALE_TOPOLOGY or COLLECTION_NOT_FOUND. */
  collectionFor(scope: ReadScope): Collection {
    this.#ownership.assertVersion(scope.ownershipVersion);
    const collection = this.#collections.get(scope.collectionId);
    if (collection === undefined) {
      throw FlotillaError.fromBody(collectionMissing(scope.collectionId));
    }
    return collection;
  }

  /** The same for a read of these keys, all of which the shard has to own. */
  collectionOf(scope: ReadScope, keys: readonly RecordKey[]): Collection {
    const collection = this.collectionFor(scope);
    const { placementId } = collection;
    if (keys.every((key) => this.#ownership.owns(placementId, key))) return collection;
    throw FlotillaError.fromBody(this.#ownership.stale(scope.ownershipVersion));
  }

  /** Hands out the collections whose records are to be erased, once. */
  takeUnerased(): readonly number[] {
    const unerased = this.#unerased;
    this.#unerased = [];
    return unerased;
  }

  /** The collection whose head has no room for all that the entry may write, if there is one. */
  withoutRoomFor({ command }: ReadEntry): Collection | undefined {
    if (command.kind !== 'write') return undefined;
    const collection = this.#collections.get(command.collectionId);
    const puts = command.operations.filter(({ kind }) => kind === 'upsert').length;
    return collection?.index.hasRoomFor(puts) === false ? collection : undefined;
  }

  /** Applies one entry. */
  apply(entry: ReadEntry, batch: WriteBatch, read: ReadRecord): CommandResult {
    const { command } = entry;
    switch (command.kind) {
      case 'write':
        return this.#write({ ...entry, command }, batch, read);
      case 'createCollection':
        return this.#createCollection(command, batch);
      case 'dropCollection':
        return this.#dropCollection(command.collectionId, batch);
      case 'expire':
        return this.#expire(command, batch, read);
      case 'mark':
        this.#marks.note(entry.index, this.#collections.values());
        return DONE;
      case 'fenceUnits':
      case 'changeOwnership':
      case 'liftFence':
        return this.#changeOwnership(command, entry, batch);
      default:
        return unreachable(command);
    }
  }

  /** Hands out the collections that are new, or were written to, once. */
  takeChanged(): Iterable<Collection> {
    const changed = this.#changed;
    if (changed.size > 0) this.#changed = new Set();
    return changed;
  }

  /** Puts what keeps account of the records into the batch, after all entries of it. */
  finish(batch: WriteBatch): void {
    putChangedSums(batch, this.#changed);
  }

  /** What the shard held at the log index of a mark; `undefined` where that is not kept. */
  contentsAt(index: number): readonly CollectionContent[] | undefined {
    return this.#marks.at(index);
  }

  /** What it holds now. */
  contentsNow(): readonly CollectionContent[] {
    return contentsOf(this.#collections.values());
  }

  /** Up to `limit` records whose time was over at `nowMs`. */
  expired(nowMs: number, limit: number): ExpiredRecords[] {
    const found: ExpiredRecords[] = [];
    let left = limit;
    for (const { collectionId, index, expiries } of this.#collections.values()) {
      if (left === 0) break;
      const rows = expiries.due(nowMs, left);
      if (rows.length === 0) continue;
      left -= rows.length;
      const records = rows.map((row) => {
        const version = index.rows.versionOf(row);
        return { ...recordOfName(index.rows.nameOf(row)), version };
      });
      found.push({ collectionId, records });
    }
    return found;
  }

  /** Frees the graphs. */
  dispose(): void {
    for (const { index } of this.#collections.values()) index.dispose();
    this.#collections.clear();
  }

  #write(entry: WriteEntry, batch: WriteBatch, read: ReadRecord): CommandResult {
    const { command } = entry;
    const ownership = this.#ownership;
    const collection = this.#collections.get(command.collectionId);
    const { placementId = DEFAULT_PLACEMENT_ID } = collection ?? {};
    const ownsAll =
      collection === undefined ||
      command.operations.every((operation) => ownership.mayWrite(placementId, operation));
    if (command.ownershipVersion !== ownership.version || !ownsAll) {
      return { kind: 'refused', error: ownership.stale(command.ownershipVersion) };
    }
    if (collection !== undefined) this.#changed.add(collection);
    const writer = collection && new RecordWriter(collection, batch, read);
    const mayHaveMoved = placementId !== DEFAULT_PLACEMENT_ID;
    return applyWrite(entry, { writer, mayHaveMoved }, this.#sessions, batch);
  }

  /** Whose time is over is gone already where the shard does not have it in this version. */
  #expire(command: ExpireCommand, batch: WriteBatch, read: ReadRecord): CommandResult {
    const collection = this.#collections.get(command.collectionId);
    if (collection === undefined) return { kind: 'expired', removed: 0 };
    this.#changed.add(collection);
    const writer = new RecordWriter(collection, batch, read);
    const removed = command.records.filter((record) => writer.removeVersion(record));
    return { kind: 'expired', removed: removed.length };
  }

  #createCollection(command: CreateCollectionCommand, batch: WriteBatch): CommandResult {
    const { collectionId, config, ownership } = command;
    if (this.#dropped.has(collectionId)) {
      return { kind: 'refused', error: collectionMissing(collectionId) };
    }
    const existing = this.#collections.get(collectionId);
    if (existing !== undefined) {
      if (isDeepStrictEqual(existing.config, config)) return DONE;
      return refused('COLLECTION_EXISTS', `collection ${collectionId} has other settings`);
    }
    const fault = collectionSettingsFault(config);
    if (fault !== undefined) return { kind: 'refused', error: fault.body };
    const placement = ownership === undefined ? {} : { placementId: ownership.placementId };
    const state = { kind: 'active', config, ...placement } as const;
    this.#addCollection(collectionId, state);
    putCollection(batch, collectionId, state);
    this.#ownership.install(command);
    if (ownership !== undefined) putShardState(batch, this.#ownership.state);
    return DONE;
  }

  /** Also notes an id that was never created: its creation may still be on the way. */
  #dropCollection(collectionId: number, batch: WriteBatch): CommandResult {
    if (this.#dropped.has(collectionId)) return DONE;
    this.#dropped.add(collectionId);
    this.#unerased.push(collectionId);
    const dropped = this.#collections.get(collectionId);
    if (dropped !== undefined) {
      dropped.index.dispose();
      deleteSums(batch, dropped);
      this.#changed.delete(dropped);
    }
    this.#collections.delete(collectionId);
    putCollection(batch, collectionId, { kind: 'dropping' });
    if (dropped !== undefined) this.#forgetPlacement(dropped, batch);
    return DONE;
  }

  #forgetPlacement({ placementId }: Collection, batch: WriteBatch): void {
    const collections = [...this.#collections.values()];
    if (placementId === DEFAULT_PLACEMENT_ID) return;
    if (collections.some((one) => one.placementId === placementId)) return;
    this.#ownership.forget(placementId);
    putShardState(batch, this.#ownership.state);
  }

  /** What a shard that loses tells of its sessions, one that gains notes in its own (O5). */
  #changeOwnership(
    command: OwnershipCommand,
    { index, version }: ReadEntry,
    batch: WriteBatch,
  ): CommandResult {
    const ownershipVersion = this.#ownership.version;
    const result = this.#ownershipAfter(command);
    if (result.kind !== 'done') return result;
    putShardState(batch, this.#ownership.state);
    if (command.kind !== 'changeOwnership') return result;
    const { reach, change } = command;
    if (reach !== undefined && this.#ownership.version > ownershipVersion) {
      this.#sessions.absorb(reach, index, batch);
    }
    return mayLose(change) ? { ...result, reach: this.#sessions.reach(version) } : result;
  }

  #ownershipAfter(command: OwnershipCommand): CommandResult {
    switch (command.kind) {
      case 'fenceUnits':
        return this.#ownership.fence(command, (isLost) => this.#holds(command, isLost));
      case 'changeOwnership':
        return this.#ownership.change(command);
      case 'liftFence':
        return this.#ownership.lift(command);
      default:
        return unreachable(command);
    }
  }

  /** Whether a collection of the placement has records of such a key. Costs its tenants. */
  #holds({ placementId }: OwnershipCommand, isLost: (key: OwnedKey) => boolean): boolean {
    return [...this.#collections.values()]
      .filter((collection) => collection.placementId === placementId)
      .some(({ index, payload }) => {
        // In a tenant directory all records of a tenant are of one slot.
        return [...payload.tenantRows()].some(({ rows }) => {
          return rows.first !== undefined && isLost(recordOfName(index.rows.nameOf(rows.first)));
        });
      });
  }

  #addCollection(
    collectionId: number,
    { config, placementId = DEFAULT_PLACEMENT_ID }: Extract<CollectionState, { kind: 'active' }>,
  ): Collection {
    assert(!this.#collections.has(collectionId), `collection ${collectionId} exists`);
    const index = new CollectionIndex(config, this.#indexSettings);
    const payload = new PayloadIndex(config.indexedFields);
    const collection: Collection = {
      collectionId,
      config,
      placementId,
      index,
      payload,
      contents: new ContentHash(),
      expiries: new ExpiryQueue(),
    };
    this.#collections.set(collectionId, collection);
    this.#changed.add(collection);
    return collection;
  }
}

async function loadPage(
  { config, index, payload, contents, expiries }: Collection,
  page: readonly StoredEntry[],
  slices: Slices,
): Promise<void> {
  for (const { key, value } of page) {
    const name = recordName(key);
    const row = index.load(name, value.version, floatsOf(value.values));
    payload.put(row, key.tenant, value.metadata, shardKeyOf(config, key.id));
    contents.put(row, key, value, false);
    expiries.set(row, value.expiresAtMs);
    if (slices.isOver) await slices.pause();
  }
}

/**
 * Throws UNSUPPORTED_VERSION for an entry that cannot be read: another version of Flotilla can, so
 * that answering it here would let replicas differ.
 */
export function readEntry(entry: CommittedEntry): ReadEntry {
  try {
    return { index: entry.index, ...decodeCommand(entry.data) };
  } catch (error) {
    if (!(error instanceof MalformedBytesError)) throw error;
    const message = `entry ${entry.index} cannot be read: ${error.message}`;
    throw new FlotillaError('UNSUPPORTED_VERSION', message, { cause: error });
  }
}

function refused(reason: ErrorBody['reason'], message: string): CommandResult {
  return { kind: 'refused', error: { reason, message } };
}
