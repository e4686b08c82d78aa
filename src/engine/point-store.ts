/**
 * What a shard replica keeps on disk: records, collections, sessions, ownership and the applied
 * index, each change together with the applied index that it brought (A3).
 *
 * Changes are synced, although the Raft log would replay what a crash takes from the end: between
 * two files of LevelDB's own log a power loss can take a piece from the middle, below an applied
 * index that survives, and nothing would replay that. Nobody waits for it (`PendingWrites`).
 */
import type { ByteReader } from '../shared/bytes.js';
import type { Kv, KvEntry } from '../shared/kv.js';
import type { Version } from '../shared/types.js';
import type { RecordKey } from './engine.js';
import { PinnedStore } from './pinned-store.js';
import { openRecordValue, RECORD_VALUE_VERSION_MAX, type RecordValue } from './record-value.js';
import { checkValue, openValue, sealValue } from './sealed-value.js';
import {
  type CollectionState,
  readCollectionState,
  readShardState,
  type ShardState,
  writeCollectionState,
  writeShardState,
} from './state-codec.js';
import {
  APPLIED_INDEX_KEY,
  COLLECTIONS_RANGE,
  collectionIdOf,
  collectionKey,
  isRecordKey,
  type KeyRange,
  LAST_VERSION_KEY,
  recordKey,
  recordKeyParts,
  recordsRange,
  SHARD_KEY,
} from './store-keys.js';
import { WriteBatch } from './write-batch.js';
import { putContentFormat } from './writes/stored-sums.js';

export interface StoredEntry {
  readonly key: RecordKey;
  readonly value: RecordValue;
}

/** Records of a page: enough to make a page's overhead small, few enough to decode in a slice. */
const PAGE_SIZE = 256;

/** Checks the checksum of all that it reads; throws as `openValue` does. */
export class PointStore {
  readonly #kv: Kv;

  constructor(kv: Kv) {
    this.#kv = kv;
  }

  /** `undefined` in a store that is new. */
  shardState(): ShardState | undefined {
    return this.#read(SHARD_KEY, readShardState);
  }

  appliedIndex(): number {
    return this.#read(APPLIED_INDEX_KEY, (body) => body.varint()) ?? 0;
  }

  /** The highest version of an applied entry; 0 where none was applied. */
  lastVersion(): Version {
    return this.#read(LAST_VERSION_KEY, (body) => body.u64()) ?? 0n;
  }

  /** Makes a new store this shard's, with nothing applied. */
  async initialize(state: ShardState): Promise<void> {
    const batch = new WriteBatch();
    putShardState(batch, state);
    putContentFormat(batch);
    await this.commit(batch, 0);
  }

  async collections(): Promise<Map<number, CollectionState>> {
    const collections = new Map<number, CollectionState>();
    for await (const page of this.pages(COLLECTIONS_RANGE)) {
      for (const { key, value } of page) {
        collections.set(collectionIdOf(key), openValue(key, value, readCollectionState));
      }
    }
    return collections;
  }

  /** One element per key. Reads a snapshot that is taken when it is called. */
  async records(
    collectionId: number,
    keys: readonly RecordKey[],
  ): Promise<(RecordValue | undefined)[]> {
    const stored = keys.map((key) => recordKey(collectionId, key));
    const values = await this.#kv.getMany(stored);
    return values.map((value, at) =>
      value === undefined ? undefined : openRecordValue(stored[at] as Uint8Array, value),
    );
  }

  /** One record, read in the turn of the call. */
  recordNow(collectionId: number, key: RecordKey): RecordValue | undefined {
    const stored = recordKey(collectionId, key);
    const value = this.#kv.getSync(stored);
    return value === undefined ? undefined : openRecordValue(stored, value);
  }

  /** All records of a collection in key order, over a snapshot taken when iteration starts. */
  async *allRecords(collectionId: number): AsyncGenerator<StoredEntry[]> {
    for await (const page of this.pages(recordsRange(collectionId))) {
      yield page.map(({ key, value }) => ({
        key: recordKeyParts(key),
        value: openRecordValue(key, value),
      }));
    }
  }

  /** The raw entries of a table, over a snapshot taken when iteration starts. */
  pages(range: KeyRange): AsyncIterable<KvEntry[]> {
    return this.#kv.scan(range, { pageSize: PAGE_SIZE });
  }

  /** The value of a key, which is small and asked for once. */
  get(key: Uint8Array): Uint8Array | undefined {
    return this.#kv.getSync(key);
  }

  /** Pins what is stored now: a consistent view, where no commit is under way. */
  pin(): PinnedStore {
    return new PinnedStore(this.#kv.snapshot(), this.appliedIndex());
  }

  /** Stores entries of another store's pinned view in a new store, durably. */
  async restore(entries: readonly KvEntry[]): Promise<void> {
    for (const { key, value } of entries) {
      checkValue(key, value, isRecordKey(key) ? RECORD_VALUE_VERSION_MAX : 1);
    }
    await this.#kv.batch(
      entries.map(({ key, value }) => ({ type: 'put', key, value })),
      { sync: true },
    );
  }

  /** Stores the batch and the applied index, all or nothing. An index alone may be lost. */
  async commit(batch: WriteBatch, appliedIndex: number): Promise<void> {
    const changes = batch.operations();
    const value = sealValue(APPLIED_INDEX_KEY, (body) => body.varint(appliedIndex));
    await this.#kv.batch([...changes, { type: 'put', key: APPLIED_INDEX_KEY, value }], {
      sync: changes.length > 0,
    });
  }

  /**
   * Erases the records of a dropped collection page by page; `proceed` is asked before each page,
   * and stops the erasure when it says no. A stopped erasure is simply begun again.
   */
  async erase(collectionId: number, proceed: () => boolean): Promise<void> {
    for await (const page of this.pages(recordsRange(collectionId))) {
      if (!proceed()) return;
      await this.#kv.batch(
        page.map(({ key }) => ({ type: 'del', key })),
        { sync: false },
      );
    }
    if (!proceed()) return;
    const batch = new WriteBatch();
    putCollection(batch, collectionId, { kind: 'dropped' });
    await this.#kv.batch(batch.operations(), { sync: false });
  }

  async close(): Promise<void> {
    await this.#kv.close();
  }

  #read<T>(key: Uint8Array, read: (body: ByteReader) => T): T | undefined {
    const value = this.#kv.getSync(key);
    return value === undefined ? undefined : openValue(key, value, read);
  }
}

export function putShardState(batch: WriteBatch, state: ShardState): void {
  batch.put(
    SHARD_KEY,
    sealValue(SHARD_KEY, (body) => writeShardState(body, state)),
  );
}

export function putLastVersion(batch: WriteBatch, version: Version): void {
  batch.put(
    LAST_VERSION_KEY,
    sealValue(LAST_VERSION_KEY, (body) => body.u64(version)),
  );
}

export function putCollection(
  batch: WriteBatch,
  collectionId: number,
  state: CollectionState,
): void {
  const key = collectionKey(collectionId);
  batch.put(
    key,
    sealValue(key, (body) => writeCollectionState(body, state)),
  );
}
