/** The different values of a field and the rows that have them, in the order of the values. */
import { assert } from '../../shared/assert.js';
import { compareKeys, type FilterValue } from '../../shared/filter-values.js';
import { firstWhere } from '../binary-search.js';
import type { Row } from '../rows.js';
import { type Bound, isBeyond, type RangeTest } from './field-index.js';
import { RowSet } from './row-set.js';

/** Postings of a block: what a change moves at most, and what a count looks at on either end. */
const BLOCK_POSTINGS_MAX = 256;

/** Two neighbours become one when they would fill this much of it. */
const MERGED_POSTINGS_MAX = BLOCK_POSTINGS_MAX / 2;

/** Postings side by side, ascending. */
interface Block {
  readonly postings: Posting[];
  /** Of all its postings, a row as often as it is in one. */
  rows: number;
}

/** A value, and the rows that have it. */
export class Posting {
  readonly key: FilterValue;
  readonly rows = new RowSet();
  /** Where it stands. */
  block: Block;

  constructor(key: FilterValue, block: Block) {
    this.key = key;
    this.block = block;
  }

  add(row: Row): void {
    if (this.rows.add(row)) this.block.rows++;
  }

  delete(row: Row): void {
    if (this.rows.delete(row)) this.block.rows--;
  }
}

/** The posting at `offset` of block `block`, or the end of all. */
interface Position {
  readonly block: number;
  readonly offset: number;
}

/**
 * Postings of different keys, all of one type, in a list of sorted blocks. A row more or less in a
 * posting costs nothing here. A new key, and one that goes, cost a comparison for each doubling of
 * their number (1.2 us among 100,000 words) and the move of part of a block. A count costs an
 * addition for each block that the range spans, about 1 for 200 keys.
 */
export class OrderedPostings {
  readonly #blocks: Block[] = [];

  /** Makes the posting of a key that has none, without rows. */
  insert(key: FilterValue): Posting {
    const last = this.#blocks.at(-1);
    const { block: at, offset } = this.#find((posting) => compareKeys(posting.key, key) < 0);
    const block = this.#blocks[at];
    if (block !== undefined) return this.#insertAt(at, block, offset, key);
    // Keys that ascend fill each block to its end.
    const isFull = last === undefined || last.postings.length === BLOCK_POSTINGS_MAX;
    const end: Block = isFull ? { postings: [], rows: 0 } : last;
    if (isFull) this.#blocks.push(end);
    const posting = new Posting(key, end);
    end.postings.push(posting);
    return posting;
  }

  /** Takes out a posting that is here and has no rows left. */
  delete(posting: Posting): void {
    const { block: at, offset } = this.#find((one) => compareKeys(one.key, posting.key) < 0);
    const { block } = posting;
    const isHere = this.#blocks[at] === block && block.postings[offset] === posting;
    assert(isHere && posting.rows.size === 0, () => `no empty posting of ${posting.key}`);
    block.postings.splice(offset, 1);
    this.#merge(at);
  }

  /** Rows of the postings in the range: a row as often as it has a value there. */
  count(range: RangeTest): number {
    const [start, end] = this.#bounds(range);
    if (!isBefore(start, end)) return 0;
    let count = this.#rowsBefore(end) - this.#rowsBefore(start);
    for (let at = start.block; at < end.block; at++) count += (this.#blocks[at] as Block).rows;
    return count;
  }

  /** The postings in the range, ascending. */
  within(range: RangeTest): Posting[] {
    const [start, end] = this.#bounds(range);
    if (!isBefore(start, end)) return [];
    return this.#blocks.slice(start.block, end.block + 1).flatMap(({ postings }, at) => {
      const isLast = start.block + at === end.block;
      return postings.slice(at === 0 ? start.offset : 0, isLast ? end.offset : undefined);
    });
  }

  #insertAt(at: number, block: Block, offset: number, key: FilterValue): Posting {
    if (block.postings.length === BLOCK_POSTINGS_MAX) {
      const upper = block.postings.splice(BLOCK_POSTINGS_MAX / 2);
      this.#blocks.splice(at + 1, 0, blockOf(upper));
      block.rows = rowsOf(block.postings);
      const { length } = block.postings;
      const above = this.#blocks[at + 1] as Block;
      if (offset > length) return this.#insertAt(at + 1, above, offset - length, key);
    }
    const posting = new Posting(key, block);
    block.postings.splice(offset, 0, posting);
    return posting;
  }

  /** Rows in the part of its block that comes before the position. */
  #rowsBefore({ block, offset }: Position): number {
    return rowsOf(this.#blocks[block]?.postings.slice(0, offset) ?? []);
  }

  /** Where the range begins, and the first posting after it; in any order where it is empty. */
  #bounds({ low, high }: RangeTest): [Position, Position] {
    return [
      this.#find(({ key }) => low !== undefined && !isBeyond(compareKeys(key, low.key), low)),
      this.#find(({ key }) => high === undefined || isBeyond(compareKeys(high.key, key), high)),
    ];
  }

  /** The first posting that does not come before what is looked for. */
  #find(comesBefore: (posting: Posting) => boolean): Position {
    const block = firstWhere(this.#blocks.length, (at) => {
      return !comesBefore((this.#blocks[at] as Block).postings.at(-1) as Posting);
    });
    const { postings } = this.#blocks[block] ?? { postings: [] };
    const offset = firstWhere(postings.length, (at) => !comesBefore(postings[at] as Posting));
    return { block, offset };
  }

  /** Joins a block with a neighbour where the two are small; no block stays empty. */
  #merge(at: number): void {
    const block = this.#blocks[at] as Block;
    if (block.postings.length === 0) {
      this.#blocks.splice(at, 1);
      return;
    }
    for (const lower of [at - 1, at]) {
      const [below, above] = [this.#blocks[lower], this.#blocks[lower + 1]];
      if (below === undefined || above === undefined) continue;
      const postings = [...below.postings, ...above.postings];
      if (postings.length > MERGED_POSTINGS_MAX) continue;
      this.#blocks.splice(lower, 2, blockOf(postings));
      return;
    }
  }
}

function blockOf(postings: Posting[]): Block {
  const block: Block = { postings, rows: rowsOf(postings) };
  for (const posting of postings) posting.block = block;
  return block;
}

function rowsOf(postings: readonly Posting[]): number {
  return postings.reduce((sum, { rows }) => sum + rows.size, 0);
}

function isBefore(start: Position, end: Position): boolean {
  return start.block < end.block || (start.block === end.block && start.offset < end.offset);
}

/** The ranges below and above the given one. */
export function rangesOutside({ low, high }: RangeTest): RangeTest[] {
  const turned = ({ key, isOpen }: Bound): Bound => ({ key, isOpen: !isOpen });
  return [
    ...(low === undefined ? [] : [{ kind: 'range' as const, high: turned(low) }]),
    ...(high === undefined ? [] : [{ kind: 'range' as const, low: turned(high) }]),
  ];
}
