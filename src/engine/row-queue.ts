/**
 * Distinct rows in order of arrival, which may leave from anywhere: an array with holes, and the
 * place of each row in it. Everything is O(1), amortised; 4 bytes a row of the table, 4 to 16 more
 * for each that is queued.
 */
import { assert } from '../shared/assert.js';
import { NONE, RowColumn } from './row-column.js';
import type { Row } from './rows.js';

const INITIAL_CAPACITY = 64;

export class RowQueue {
  /** `NONE` where a row has left. There is a row at `#first`, or nothing is queued. */
  #rows = new Uint32Array(INITIAL_CAPACITY);
  #first = 0;
  #end = 0;
  #size = 0;
  readonly #places = new RowColumn();

  get size(): number {
    return this.#size;
  }

  get memoryBytes(): number {
    return this.#rows.byteLength + this.#places.memoryBytes;
  }

  has(row: Row): boolean {
    return this.#places.get(row) !== NONE;
  }

  /** The row that has waited longest. */
  get first(): Row | undefined {
    return this.#size === 0 ? undefined : this.#rows[this.#first];
  }

  /** Adds a row, which must not be there, at the end. */
  push(row: Row): void {
    assert(!this.has(row), () => `row ${row} waits already`);
    if (this.#end === this.#rows.length) this.#makeRoom();
    this.#rows[this.#end] = row;
    this.#places.set(row, this.#end);
    this.#end++;
    this.#size++;
  }

  /** Returns whether the row was there. */
  remove(row: Row): boolean {
    const place = this.#places.get(row);
    if (place === NONE) return false;
    this.#places.clear(row);
    this.#rows[place] = NONE;
    this.#size--;
    while (this.#first < this.#end && this.#rows[this.#first] === NONE) this.#first++;
    return true;
  }

  /** Calls `visit` for each row, in order. The queue must not change meanwhile. */
  each(visit: (row: Row) => void): void {
    for (let place = this.#first; place < this.#end; place++) {
      const row = this.#rows[place] as Row;
      if (row !== NONE) visit(row);
    }
  }

  /** A queue of the rows that `keep` accepts, in their order. */
  filter(keep: (row: Row) => boolean): RowQueue {
    const kept = new RowQueue();
    this.each((row) => {
      if (keep(row)) kept.push(row);
    });
    return kept;
  }

  toArray(): Uint32Array {
    const rows = new Uint32Array(this.#size);
    let at = 0;
    this.each((row) => {
      rows[at++] = row;
    });
    return rows;
  }

  /** Closes the holes; doubles the array where less than half of it were holes. */
  #makeRoom(): void {
    const capacity = this.#rows.length;
    const target = this.#size * 2 > capacity ? new Uint32Array(2 * capacity) : this.#rows;
    let end = 0;
    // A row moves to a place that was read already, also where the array stays the same.
    this.each((row) => {
      target[end] = row;
      this.#places.set(row, end);
      end++;
    });
    this.#rows = target;
    this.#first = 0;
    this.#end = end;
  }
}
