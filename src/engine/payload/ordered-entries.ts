/** Numbers and the rows that have them, in order of the numbers: what answers ranges. */
import { assert } from '../../shared/assert.js';
import { firstWhere } from '../binary-search.js';
import type { Row } from '../rows.js';
import { joinedRows } from './row-set.js';

/** Numbers from `low` to `high`; an open end is not among them itself. */
export interface Interval {
  readonly low: number;
  readonly high: number;
  readonly isLowOpen: boolean;
  readonly isHighOpen: boolean;
}

/** Entries of a block: a change moves half of them on average, and a range counts the blocks. */
const BLOCK_ENTRIES_MAX = 512;

/** Two neighbours become one when they would fill this much of it. */
const MERGED_ENTRIES_MAX = BLOCK_ENTRIES_MAX / 2;

/** The entry at `offset` of block `block`, or the end of all. */
interface Position {
  readonly block: number;
  readonly offset: number;
}

/**
 * Pairs of a number and a row, each at most once, by number and then row: a list of sorted blocks.
 * A change costs two binary searches and the move of part of a block, now and then a split or a
 * merger, which moves the list of blocks. A count costs an addition a block that the interval
 * spans (there are about 3 blocks for 1,000 entries), and its rows an access each. About 12 bytes
 * an entry in full blocks, 24 in halves.
 */
export class OrderedEntries {
  readonly #blocks: Block[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get memoryBytes(): number {
    return this.#blocks.length * BLOCK_ENTRIES_MAX * 12;
  }

  /** The pair must not be there; the number is not NaN, and 0 rather than -0. */
  add(key: number, row: Row): void {
    this.#size++;
    const last = this.#blocks.at(-1);
    const found = this.#find((block, at) => compare(block, at, key, row) < 0);
    const block = this.#blocks[found.block];
    if (block === undefined) {
      // Numbers that ascend, such as times, fill each block to its end.
      if (last === undefined || last.size === BLOCK_ENTRIES_MAX) this.#blocks.push(new Block());
      (this.#blocks.at(-1) as Block).append(key, row);
      return;
    }
    if (block.size < BLOCK_ENTRIES_MAX) {
      block.insert(found.offset, key, row);
      return;
    }
    const upper = block.split();
    this.#blocks.splice(found.block + 1, 0, upper);
    if (found.offset <= block.size) block.insert(found.offset, key, row);
    else upper.insert(found.offset - block.size, key, row);
  }

  /** The pair must be there. */
  delete(key: number, row: Row): void {
    const { block: at, offset } = this.#find((block, entry) => compare(block, entry, key, row) < 0);
    const block = this.#blocks[at];
    const isThere = block !== undefined && compare(block, offset, key, row) === 0;
    assert(isThere, () => `no entry of number ${key} and row ${row}`);
    this.#size--;
    block.delete(offset);
    this.#merge(at);
  }

  /** Entries in the interval: a row counts as often as it has numbers there. */
  count(interval: Interval): number {
    if (isEmpty(interval)) return 0;
    const [start, end] = this.#bounds(interval);
    let count = end.offset - start.offset;
    for (let at = start.block; at < end.block; at++) count += (this.#blocks[at] as Block).size;
    return count;
  }

  /** The rows of all the intervals, in no order: each as often as it has numbers there. */
  rowsIn(intervals: readonly Interval[]): Uint32Array {
    return joinedRows(intervals.flatMap((interval) => this.#parts(interval)));
  }

  /** The rows of the interval, block by block. */
  #parts(interval: Interval): Uint32Array[] {
    if (isEmpty(interval)) return [];
    const [start, end] = this.#bounds(interval);
    return this.#blocks.slice(start.block, end.block + 1).map(({ rows, size }, at) => {
      const from = at === 0 ? start.offset : 0;
      return rows.subarray(from, start.block + at === end.block ? end.offset : size);
    });
  }

  /** Where the interval begins, and the first entry after it. */
  #bounds({ low, high, isLowOpen, isHighOpen }: Interval): [Position, Position] {
    const start = this.#find(({ keys }, at) => {
      const key = keys[at] as number;
      return isLowOpen ? key <= low : key < low;
    });
    const isInside = ({ keys }: Block, at: number): boolean => {
      const key = keys[at] as number;
      return isHighOpen ? key < high : key <= high;
    };
    const first = this.#blocks[start.block];
    if (first === undefined || !isInside(first, start.offset)) return [start, start];
    // A filter may name thousands of numbers, of which most are there once.
    const second = start.offset + 1;
    if (second < first.size && !isInside(first, second)) {
      return [start, { block: start.block, offset: second }];
    }
    return [start, this.#find(isInside)];
  }

  /** The first entry that does not come before what is looked for. */
  #find(isBefore: (block: Block, at: number) => boolean): Position {
    const block = firstWhere(this.#blocks.length, (at) => {
      const candidate = this.#blocks[at] as Block;
      return !isBefore(candidate, candidate.size - 1);
    });
    const found = this.#blocks[block];
    if (found === undefined) return { block, offset: 0 };
    return { block, offset: firstWhere(found.size, (at) => !isBefore(found, at)) };
  }

  /** Joins a block with a neighbour where the two are small; no block stays empty. */
  #merge(at: number): void {
    const block = this.#blocks[at] as Block;
    if (block.size === 0) {
      this.#blocks.splice(at, 1);
      return;
    }
    for (const lower of [at - 1, at]) {
      const [below, above] = [this.#blocks[lower], this.#blocks[lower + 1]];
      if (below === undefined || above === undefined) continue;
      if (below.size + above.size > MERGED_ENTRIES_MAX) continue;
      below.takeAll(above);
      this.#blocks.splice(lower + 1, 1);
      return;
    }
  }
}

/** Entries side by side: the first `size` of each array are used. */
class Block {
  readonly keys = new Float64Array(BLOCK_ENTRIES_MAX);
  readonly rows = new Uint32Array(BLOCK_ENTRIES_MAX);
  size = 0;

  append(key: number, row: Row): void {
    this.keys[this.size] = key;
    this.rows[this.size] = row;
    this.size++;
  }

  insert(at: number, key: number, row: Row): void {
    this.keys.copyWithin(at + 1, at, this.size);
    this.rows.copyWithin(at + 1, at, this.size);
    this.keys[at] = key;
    this.rows[at] = row;
    this.size++;
  }

  delete(at: number): void {
    this.keys.copyWithin(at, at + 1, this.size);
    this.rows.copyWithin(at, at + 1, this.size);
    this.size--;
  }

  /** Moves the upper half to a new block. */
  split(): Block {
    const upper = new Block();
    const half = this.size >>> 1;
    upper.#takeFrom(this, half);
    this.size = half;
    return upper;
  }

  takeAll(above: Block): void {
    this.#takeFrom(above, 0);
  }

  #takeFrom(other: Block, start: number): void {
    this.keys.set(other.keys.subarray(start, other.size), this.size);
    this.rows.set(other.rows.subarray(start, other.size), this.size);
    this.size += other.size - start;
  }
}

function isEmpty({ low, high, isLowOpen, isHighOpen }: Interval): boolean {
  return low > high || (low === high && (isLowOpen || isHighOpen));
}

function compare(block: Block, at: number, key: number, row: Row): number {
  return (block.keys[at] as number) - key || (block.rows[at] as Row) - row;
}
