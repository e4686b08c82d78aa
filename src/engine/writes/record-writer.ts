/**
 * The one place where a record changes: what is searched, filtered, hashed, expired and stored of
 * it changes together. Synchronous, and a function of the entry and the replicated state.
 */
import { defined, unreachable } from '../../shared/assert.js';
import type {
  PatchOperation,
  RecordVersion,
  UpsertOperation,
  WriteOperation,
} from '../../shared/codec/command.js';
import { versionMs } from '../../shared/hlc.js';
import { shardKeyOf } from '../../shared/stored-id.js';
import type { ErrorBody, Version, WriteOutcome } from '../../shared/types.js';
import type { Collection } from '../collection.js';
import type { RecordKey } from '../engine.js';
import { checkedVector } from '../index/vector-math.js';
import { type RecordName, recordName } from '../record-name.js';
import type { RecordValue } from '../record-value.js';
import type { WriteBatch } from '../write-batch.js';
import { conditionFault, recordMissing } from './conditions.js';
import { mergedMetadata } from './merge-patch.js';

/** Reads a record in the turn of the call, as the entries before have left it. */
export type ReadRecord = (collectionId: number, name: RecordName) => RecordValue | undefined;

export class RecordWriter {
  readonly #collection: Collection;
  readonly #batch: WriteBatch;
  readonly #read: ReadRecord;

  constructor(collection: Collection, batch: WriteBatch, read: ReadRecord) {
    this.#collection = collection;
    this.#batch = batch;
    this.#read = read;
  }

  /** Does what the operation says, or tells why it must not. `version` is its entry's. */
  apply(operation: WriteOperation, version: Version): WriteOutcome {
    const name = recordName(operation);
    const { condition } = operation;
    const fault = condition && conditionFault(condition, this.#versionOf(name));
    if (fault !== undefined) return { kind: 'not-applied', error: fault };
    switch (operation.kind) {
      case 'upsert':
        return this.#upsert(operation, name, version);
      case 'patch':
        return this.#patch(operation, name, version);
      case 'delete':
        return { kind: 'applied', version, existed: this.#remove(operation, name) };
      default:
        return unreachable(operation);
    }
  }

  /** Removes a record if it has this version; tells whether it had. */
  removeVersion(record: RecordVersion): boolean {
    const name = recordName(record);
    return this.#versionOf(name) === record.version && this.#remove(record, name);
  }

  /** Costs a copy of the vector, a hash of the record, and what its declared fields take. */
  #upsert(operation: UpsertOperation, name: RecordName, version: Version): WriteOutcome {
    const { collectionId, config, index, payload, contents, expiries } = this.#collection;
    const vector = checkedVector(operation.values, config);
    if (!(vector instanceof Float32Array)) return notApplied(vector);
    const { values, metadata, tenant, ttlMs = config.ttlMs } = operation;
    const expiresAtMs = expiryOf(version, ttlMs);
    const value = { version, values, metadata, ...(expiresAtMs !== undefined && { expiresAtMs }) };
    const { row, existed } = index.put(name, version, vector);
    payload.put(row, tenant, metadata, shardKeyOf(config, operation.id));
    contents.put(row, operation, value, existed);
    expiries.set(row, expiresAtMs);
    this.#batch.putRecord(collectionId, name, value);
    return { kind: 'applied', version, existed };
  }

  /** Reads the record; its vector, and when it expires, stay as they are (W2). */
  #patch(operation: PatchOperation, name: RecordName, version: Version): WriteOutcome {
    const { collectionId, config, index, payload, contents } = this.#collection;
    if (!index.has(name)) return notApplied(recordMissing());
    const stored = defined(this.#read(collectionId, name), `stored record of ${name}`);
    const metadata = mergedMetadata(stored.metadata, operation.metadata);
    if (!(metadata instanceof Uint8Array)) return notApplied(metadata);
    const value = { ...stored, version, metadata };
    const row = index.touch(name, version);
    payload.put(row, operation.tenant, metadata, shardKeyOf(config, operation.id));
    contents.put(row, operation, value, true);
    this.#batch.putRecord(collectionId, name, value);
    return { kind: 'applied', version, existed: true };
  }

  #remove(key: RecordKey, name: RecordName): boolean {
    const { collectionId, index, payload, contents, expiries } = this.#collection;
    const row = index.remove(name);
    if (row === undefined) return false;
    payload.remove(row);
    contents.remove(row, key);
    expiries.set(row, undefined);
    this.#batch.deleteRecord(collectionId, name);
    return true;
  }

  #versionOf(name: RecordName): Version | undefined {
    const { rows } = this.#collection.index;
    const row = rows.rowOf(name);
    return row === undefined ? undefined : rows.versionOf(row);
  }
}

/** Counted from the version, which is the same on all replicas: no clock is asked. */
function expiryOf(version: Version, ttlMs: number | undefined): number | undefined {
  if (ttlMs === undefined || ttlMs === 0) return undefined;
  return Math.min(versionMs(version) + ttlMs, Number.MAX_SAFE_INTEGER);
}

function notApplied(error: ErrorBody): WriteOutcome {
  return { kind: 'not-applied', error };
}
