/**
 * The records of one collection: what is not in the store yet over what is stored. Everything a
 * method reads, it reads as of the turn in which it is called.
 */
import type { StoredRecord } from './engine.js';
import type { PointStore } from './point-store.js';
import { type RecordName, recordOfName } from './record-name.js';
import type { RecordValue } from './record-value.js';
import type { PendingRecord } from './write-batch.js';

export interface Include {
  readonly values: boolean;
  readonly metadata: boolean;
}

export class RecordView {
  readonly #store: PointStore;
  readonly #pendingOf: (name: RecordName) => PendingRecord | undefined;
  readonly #collectionId: number;

  /** `pendingOf` gives what the store does not have yet of a record of the collection. */
  constructor(
    store: PointStore,
    pendingOf: (name: RecordName) => PendingRecord | undefined,
    collectionId: number,
  ) {
    this.#store = store;
    this.#pendingOf = pendingOf;
    this.#collectionId = collectionId;
  }

  /** One element per name, `undefined` where there is no such record. */
  async read(names: readonly RecordName[]): Promise<(RecordValue | undefined)[]> {
    const found = new Array<RecordValue | undefined>(names.length);
    const stored: { readonly at: number; readonly name: RecordName }[] = [];
    for (const [at, name] of names.entries()) {
      const record = this.#pendingOf(name);
      if (record === undefined) stored.push({ at, name });
      else if (record.kind === 'put') found[at] = record.value;
    }
    if (stored.length === 0) return found;
    const keys = stored.map(({ name }) => recordOfName(name));
    const values = await this.#store.records(this.#collectionId, keys);
    for (const [position, { at }] of stored.entries()) found[at] = values[position];
    return found;
  }

  /** The record, in the turn of the call: it holds up the thread, so only for a few. */
  readNow(name: RecordName): RecordValue | undefined {
    const record = this.#pendingOf(name);
    if (record !== undefined) return record.kind === 'put' ? record.value : undefined;
    return this.#store.recordNow(this.#collectionId, recordOfName(name));
  }
}

/** A record as a hit has it. */
export function foundRecord(
  name: RecordName,
  { version, values, metadata }: RecordValue,
  include: Include,
): Omit<StoredRecord, 'expiresAtMs'> {
  const { tenant, id } = recordOfName(name);
  return {
    tenant,
    id,
    version,
    ...(include.values && { values }),
    ...(include.metadata && { metadata }),
  };
}

/** A record as reads by id and scrolls answer it. */
export function storedRecord(name: RecordName, value: RecordValue, include: Include): StoredRecord {
  const { expiresAtMs } = value;
  const record = foundRecord(name, value, include);
  return expiresAtMs === undefined ? record : { expiresAtMs, ...record };
}
