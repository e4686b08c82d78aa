/**
 * Vectors by row, as float32 in blocks: what exact searches and the graph's inserts read.
 *
 * 4 x dimension + 4 bytes a row. The first block grows by doubling, so that small collections stay
 * small; the others are whole, and are freed when nothing is left in them.
 */
import { assert, defined } from '../shared/assert.js';
import type { Meter } from './index/meter.js';
import { NONE, RowColumn } from './row-column.js';
import type { Row } from './rows.js';

/** Half a MiB: little waste in the last block, few blocks. */
const BLOCK_FLOATS_MAX = 2 ** 17;
const FIRST_BLOCK_SLOTS = 16;
/** Rows that are measured before the first of their distances is told. */
const PAGE_ROWS = 64;

interface Block {
  floats: Float32Array;
  /** Rows that have a vector in it. */
  rows: number;
}

export class VectorArena {
  readonly #dimension: number;
  /** A power of two. */
  readonly #slotsPerBlock: number;
  readonly #blocks: (Block | undefined)[] = [];
  /** By row: where its vector lies. */
  readonly #slots = new RowColumn();
  /** Slots that were used and are free; the one that was freed last is used first. */
  readonly #free: number[] = [];
  #slotsEnd = 0;
  readonly #page = new Uint32Array(PAGE_ROWS);
  readonly #distances = new Float64Array(PAGE_ROWS);

  constructor(dimension: number) {
    this.#dimension = dimension;
    this.#slotsPerBlock = 2 ** Math.floor(Math.log2(Math.max(1, BLOCK_FLOATS_MAX / dimension)));
  }

  get memoryBytes(): number {
    const blocks = this.#blocks.reduce((sum, block) => sum + (block?.floats.byteLength ?? 0), 0);
    return blocks + this.#slots.memoryBytes + 8 * this.#free.length;
  }

  has(row: Row): boolean {
    return this.#slots.get(row) !== NONE;
  }

  /** Copies the vector in, over the one that the row has. */
  put(row: Row, vector: Float32Array): void {
    assert(vector.length === this.#dimension, () => `a vector of ${vector.length} floats`);
    let slot = this.#slots.get(row);
    if (slot === NONE) {
      slot = this.#free.pop() ?? this.#slotsEnd++;
      this.#slots.set(row, slot);
      this.#blockFor(slot).rows++;
    }
    this.#blockOf(slot).floats.set(vector, this.#offsetOf(slot));
  }

  /** Drops the row's vector, where it has one. */
  release(row: Row): void {
    const slot = this.#slots.get(row);
    if (slot === NONE) return;
    this.#slots.clear(row);
    this.#free.push(slot);
    const block = this.#blockOf(slot);
    block.rows--;
    if (block.rows === 0) this.#blocks[Math.floor(slot / this.#slotsPerBlock)] = undefined;
  }

  /** A view of the vector of a row that has one, valid until the next `put` or `release`. */
  at(row: Row): Float32Array {
    const slot = this.#slots.get(row);
    const offset = this.#offsetOf(slot);
    return this.#blockOf(slot).floats.subarray(offset, offset + this.#dimension);
  }

  /** Measures the vector of a row that has one; allocates nothing. */
  measure(row: Row, meter: Meter): number {
    const slot = this.#slots.get(row);
    return meter.one(this.#blockOf(slot).floats, this.#offsetOf(slot));
  }

  /**
   * Measures the rows that `each` visits, all of which have a vector, two at a time, and tells
   * their distances in the order of the visits; Infinity may stand for what is above `bound`, which
   * is asked now and then. Allocates nothing. No function may measure.
   */
  measureEach(
    each: (visit: (row: Row) => void) => void,
    meter: Meter,
    take: (row: Row, distance: number) => void,
    bound = (): number => Number.POSITIVE_INFINITY,
  ): void {
    const page = this.#page;
    let count = 0;
    each((row) => {
      page[count++] = row;
      if (count < PAGE_ROWS) return;
      this.#measurePage(count, meter, take, bound());
      count = 0;
    });
    this.#measurePage(count, meter, take, bound());
  }

  #measurePage(
    count: number,
    meter: Meter,
    take: (row: Row, distance: number) => void,
    bound: number,
  ): void {
    const page = this.#page;
    const distances = this.#distances;
    for (let at = 0; at + 1 < count; at += 2) {
      const slot = this.#slots.get(page[at] as Row);
      const other = this.#slots.get(page[at + 1] as Row);
      const { floats } = this.#blockOf(slot);
      const { floats: others } = this.#blockOf(other);
      const [from, otherFrom] = [this.#offsetOf(slot), this.#offsetOf(other)];
      meter.two(floats, from, others, otherFrom, distances, at, bound);
    }
    if (count % 2 === 1) distances[count - 1] = this.measure(page[count - 1] as Row, meter);
    for (let at = 0; at < count; at++) take(page[at] as Row, distances[at] as number);
  }

  #offsetOf(slot: number): number {
    // By bits: V8 would make a remainder, and each index that is made of it, a double.
    return (slot & (this.#slotsPerBlock - 1)) * this.#dimension;
  }

  #blockOf(slot: number): Block {
    return defined(this.#blocks[Math.floor(slot / this.#slotsPerBlock)], 'the vector of the row');
  }

  /** The block of a slot that is about to be used, with room for it. */
  #blockFor(slot: number): Block {
    const number = Math.floor(slot / this.#slotsPerBlock);
    const needed = (slot % this.#slotsPerBlock) + 1;
    let slots = number === 0 ? Math.min(FIRST_BLOCK_SLOTS, this.#slotsPerBlock) : needed;
    while (slots < needed) slots *= 2;
    if (number > 0) slots = this.#slotsPerBlock;
    const existing = this.#blocks[number];
    if (existing === undefined) {
      const block = { floats: new Float32Array(slots * this.#dimension), rows: 0 };
      this.#blocks[number] = block;
      return block;
    }
    if (existing.floats.length < slots * this.#dimension) {
      const grown = new Float32Array(slots * this.#dimension);
      grown.set(existing.floats);
      existing.floats = grown;
    }
    return existing;
  }
}
