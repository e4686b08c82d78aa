/**
 * What an apply call changes, on its way to the store. Reads look here before they look there, so
 * that they see every entry whole as soon as it is applied.
 */
import type { KvOperation } from '../shared/kv.js';
import { type RecordName, recordOfName } from './record-name.js';
import { type RecordValue, sealRecordValue } from './record-value.js';
import { recordKey } from './store-keys.js';

export type PendingRecord =
  | { readonly kind: 'put'; readonly value: RecordValue }
  | { readonly kind: 'deleted' };

const DELETED: PendingRecord = { kind: 'deleted' };
const NO_RECORDS: ReadonlyMap<RecordName, PendingRecord> = new Map();

export class WriteBatch {
  /** By collection and name, the last write of each record only. */
  readonly #records = new Map<number, Map<RecordName, PendingRecord>>();
  readonly #operations: KvOperation[] = [];

  putRecord(collectionId: number, name: RecordName, value: RecordValue): void {
    this.#recordsOf(collectionId).set(name, { kind: 'put', value });
  }

  deleteRecord(collectionId: number, name: RecordName): void {
    this.#recordsOf(collectionId).set(name, DELETED);
  }

  /** What the batch holds of a collection. The map changes with the batch. */
  records(collectionId: number): ReadonlyMap<RecordName, PendingRecord> {
    return this.#records.get(collectionId) ?? NO_RECORDS;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.#operations.push({ type: 'put', key, value });
  }

  delete(key: Uint8Array): void {
    this.#operations.push({ type: 'del', key });
  }

  /** Changes of the batch, a record's counted once. */
  get size(): number {
    let size = this.#operations.length;
    for (const records of this.#records.values()) size += records.size;
    return size;
  }

  /** The operations for the database, in the order in which they were made. */
  operations(): KvOperation[] {
    const operations = [...this.#operations];
    for (const [collectionId, records] of this.#records) {
      for (const [name, record] of records) {
        operations.push(recordOperation(collectionId, name, record));
      }
    }
    return operations;
  }

  #recordsOf(collectionId: number): Map<RecordName, PendingRecord> {
    let records = this.#records.get(collectionId);
    if (records === undefined) {
      records = new Map();
      this.#records.set(collectionId, records);
    }
    return records;
  }
}

function recordOperation(
  collectionId: number,
  name: RecordName,
  record: PendingRecord,
): KvOperation {
  const key = recordKey(collectionId, recordOfName(name));
  if (record.kind === 'deleted') return { type: 'del', key };
  return { type: 'put', key, value: sealRecordValue(key, record.value) };
}
