/**
 * The replicated state in a point store as it was at one moment: what a snapshot holds.
 *
 * Leaves out what differs between replicas at the same applied index: how far each has erased the
 * records of the collections that were dropped.
 */
import { unreachable } from '../shared/assert.js';
import type { KvEntry, KvSnapshot } from '../shared/kv.js';
import { RECORD_VALUE_VERSION_MAX } from './record-value.js';
import { checkValue, openValue, sealValue } from './sealed-value.js';
import { type CollectionState, readCollectionState, writeCollectionState } from './state-codec.js';
import { collectionIdOf, isCollectionKey, recordsRange, SHARD_TABLES_RANGE } from './store-keys.js';

const DROPPED: CollectionState = { kind: 'dropped' };

export class PinnedStore {
  readonly appliedIndex: number;
  readonly #snapshot: KvSnapshot;

  constructor(snapshot: KvSnapshot, appliedIndex: number) {
    this.#snapshot = snapshot;
    this.appliedIndex = appliedIndex;
  }

  /** All entries in key order, each checked; fails as `openValue` does. */
  async *pages(): AsyncGenerator<KvEntry[]> {
    const active: number[] = [];
    for await (const page of this.#snapshot.scan(SHARD_TABLES_RANGE)) {
      yield page.map((entry) => sharedEntry(entry, active));
    }
    for (const collectionId of active) {
      for await (const page of this.#snapshot.scan(recordsRange(collectionId))) {
        for (const { key, value } of page) checkValue(key, value, RECORD_VALUE_VERSION_MAX);
        yield page;
      }
    }
  }

  /** Idempotent. */
  close(): Promise<void> {
    return this.#snapshot.close();
  }
}

/** The entry as all replicas have it. Notes the collections that have records. */
function sharedEntry({ key, value }: KvEntry, active: number[]): KvEntry {
  if (!isCollectionKey(key)) {
    checkValue(key, value);
    return { key, value };
  }
  const state = openValue(key, value, readCollectionState);
  switch (state.kind) {
    case 'active':
      active.push(collectionIdOf(key));
      return { key, value };
    case 'dropping':
      return { key, value: sealValue(key, (body) => writeCollectionState(body, DROPPED)) };
    case 'dropped':
      return { key, value };
    default:
      return unreachable(state);
  }
}
