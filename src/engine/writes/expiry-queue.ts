/**
 * The rows of a collection that expire, the first to do so first: a binary heap with the place of
 * each row beside it. O(log n) a change, 20 bytes a row that expires and 4 for each row below the
 * highest of them; nothing where no record ever had a ttl. Made anew when the shard is opened.
 */
import { NONE, RowColumn } from '../row-column.js';
import type { Row } from '../rows.js';

interface Expiry {
  readonly row: Row;
  readonly expiresAtMs: number;
}

export class ExpiryQueue {
  readonly #heap: Expiry[] = [];
  #places: RowColumn | undefined;

  get memoryBytes(): number {
    return 20 * this.#heap.length + (this.#places?.memoryBytes ?? 0);
  }

  /** Sets when the row expires; `undefined` for never. */
  set(row: Row, expiresAtMs: number | undefined): void {
    const place = this.#places?.get(row) ?? NONE;
    if (place !== NONE) this.#removeAt(place);
    if (expiresAtMs === undefined) return;
    this.#places ??= new RowColumn();
    this.#heap.push({ row, expiresAtMs });
    this.#rise(this.#heap.length - 1);
  }

  /** Up to `limit` rows that expire at `nowMs` or before, in no order that can be relied on. */
  due(nowMs: number, limit: number): Row[] {
    const rows: Row[] = [];
    const open = [0];
    for (let at = open.pop(); at !== undefined && rows.length < limit; at = open.pop()) {
      const one = this.#heap[at];
      if (one === undefined || one.expiresAtMs > nowMs) continue;
      rows.push(one.row);
      open.push(2 * at + 1, 2 * at + 2);
    }
    return rows;
  }

  #removeAt(place: number): void {
    const removed = this.#heap[place] as Expiry;
    const last = this.#heap.pop() as Expiry;
    this.#places?.clear(removed.row);
    if (last === removed) return;
    this.#set(place, last);
    this.#rise(place);
    this.#sink(this.#places?.get(last.row) ?? place);
  }

  #rise(from: number): void {
    let place = from;
    const one = this.#heap[place] as Expiry;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const other = this.#heap[above] as Expiry;
      if (other.expiresAtMs <= one.expiresAtMs) break;
      this.#set(place, other);
      place = above;
    }
    this.#set(place, one);
  }

  #sink(from: number): void {
    let place = from;
    const one = this.#heap[place] as Expiry;
    for (;;) {
      const left = this.#heap[2 * place + 1];
      const right = this.#heap[2 * place + 2];
      if (left === undefined) break;
      const isRight = right !== undefined && right.expiresAtMs < left.expiresAtMs;
      const least = isRight ? right : left;
      if (least.expiresAtMs >= one.expiresAtMs) break;
      this.#set(place, least);
      place = 2 * place + (isRight ? 2 : 1);
    }
    this.#set(place, one);
  }

  #set(place: number, one: Expiry): void {
    this.#heap[place] = one;
    this.#places?.set(one.row, place);
  }
}
