/**
 * The directory of a collection's live records: each has a row, a small number that everything in
 * memory is keyed by. Rows are dense, kept by an update, and used again after a delete. They are
 * this replica's own: nothing about them is stored, replicated or hashed.
 *
 * Per record: an entry of a hash map (24 to 48 bytes), its name (about 24 bytes and the id), a
 * reference to it (8) and its version (8).
 */
import { defined } from '../shared/assert.js';
import type { Version } from '../shared/types.js';
import { compareRecordNames, type RecordName } from './record-name.js';

/** Below 2^32 - 1, see `NONE`. */
export type Row = number;

const INITIAL_CAPACITY = 64;

/** Bytes of a record's map entry, on average, and of the characters and header of its name. */
const MAP_ENTRY_BYTES = 36;
const NAME_BYTES = 48;

interface RetiredRow {
  readonly row: Row;
  /** The newest pin when it was released. */
  readonly pin: number;
}

export class RowTable {
  readonly #rows = new Map<RecordName, Row>();
  /** By row; `undefined` where it is free. */
  readonly #names: (RecordName | undefined)[] = [];
  /** By row. */
  #versions = new BigUint64Array(INITIAL_CAPACITY);
  readonly #free: Row[] = [];
  /** Released, and not free before the pins up to theirs have ended; oldest first. */
  #retired: RetiredRow[] = [];
  /** Ascending. */
  readonly #pins = new Set<number>();
  #lastPin = 0;

  /** Live records. */
  get size(): number {
    return this.#rows.size;
  }

  /** Above every row that is in use; grows only. */
  get limit(): number {
    return this.#names.length;
  }

  get memoryBytes(): number {
    const references = 8 * this.#names.length;
    return this.#versions.byteLength + references + this.size * (MAP_ENTRY_BYTES + NAME_BYTES);
  }

  rowOf(name: RecordName): Row | undefined {
    return this.#rows.get(name);
  }

  hasRow(row: Row): boolean {
    return this.#names[row] !== undefined;
  }

  /** Of a row in use. */
  nameOf(row: Row): RecordName {
    return defined(this.#names[row], 'the record of a row in use');
  }

  /** Of a row in use. */
  versionOf(row: Row): Version {
    return defined(this.#versions[row], 'the version of a row in use');
  }

  /** By the names of the records, which are the same on all replicas; of free rows any order. */
  compare(a: Row, b: Row): number {
    const [one, other] = [this.#names[a], this.#names[b]];
    if (one === undefined || other === undefined) return a - b;
    return compareRecordNames(one, other);
  }

  /** Gives a record its row, or an existing one its new version. */
  put(name: RecordName, version: Version): { row: Row; existed: boolean } {
    const known = this.#rows.get(name);
    const row = known ?? this.#take(name);
    this.#versions[row] = version;
    return { row, existed: known !== undefined };
  }

  /** Ends the use of a record's row and returns it; `undefined` where there is no such record. */
  release(name: RecordName): Row | undefined {
    const row = this.#rows.get(name);
    if (row === undefined) return undefined;
    this.#rows.delete(name);
    this.#names[row] = undefined;
    if (this.#pins.size === 0) this.#free.push(row);
    else this.#retired.push({ row, pin: this.#lastPin });
    return row;
  }

  /** Releases all rows, for good: nothing may be put any more. */
  clear(): void {
    this.#rows.clear();
    this.#names.length = 0;
  }

  /** A copy of the rows in use, ascending. */
  toArray(): Uint32Array {
    const rows = new Uint32Array(this.size);
    let at = 0;
    for (let row = 0; row < this.#names.length; row++) {
      if (this.#names[row] !== undefined) rows[at++] = row;
    }
    return rows;
  }

  /**
   * Until the returned function is called, no row that is released from now on is used again: a row
   * noted by now stands for the same record, or for none.
   */
  pin(): () => void {
    const pin = ++this.#lastPin;
    this.#pins.add(pin);
    return () => {
      this.#pins.delete(pin);
      this.#freeRetired();
    };
  }

  #take(name: RecordName): Row {
    const row = this.#free.pop() ?? this.#names.length;
    if (row === this.#versions.length) {
      const grown = new BigUint64Array(2 * row);
      grown.set(this.#versions);
      this.#versions = grown;
    }
    this.#names[row] = name;
    this.#rows.set(name, row);
    return row;
  }

  #freeRetired(): void {
    const [oldest = Number.POSITIVE_INFINITY] = this.#pins;
    const kept = this.#retired.findIndex(({ pin }) => pin >= oldest);
    const freed = this.#retired.splice(0, kept < 0 ? this.#retired.length : kept);
    for (const { row } of freed) this.#free.push(row);
  }
}
