/** The index of a field with few or many different values: words, flags. */
import { unreachable } from '../../shared/assert.js';
import type { FilterValue } from '../../shared/filter-values.js';
import type { Row } from '../rows.js';
import { type Candidates, listed, noRow, once, rowsOfValues } from './candidates.js';
import {
  distinct,
  type FieldIndex,
  isWithin,
  type RangeTest,
  type ValueTest,
} from './field-index.js';
import { OrderedPostings, type Posting, rangesOutside } from './ordered-postings.js';
import { RowSet } from './row-set.js';

/** What a value takes beside its rows: map entry, objects, its places, a short text. */
const POSTING_BYTES = 230;

const REFERENCE_BYTES = 8;

/** What `find` knows of the postings of a test before it lists any row. */
interface Found {
  /** Rows of all of them, a row as often as it is in one. */
  readonly total: number;
  readonly postings: () => readonly Posting[];
  readonly passes: (posting: Posting) => boolean;
  /** All others; `undefined` where these are not less. */
  readonly others?: (() => readonly Posting[]) | undefined;
}

/**
 * A change costs one set operation a value, and one in `OrderedPostings` for a value that is new or
 * gone. `among` costs a lookup a key, a range two searches among the values, and asking for a row a
 * lookup, or two comparisons, for each of its values. Listing rows costs each of them, of ranges
 * those outside where they are fewer. A row takes a reference here, a bit, and its place in each
 * value's set.
 */
export class KeywordIndex implements FieldIndex {
  readonly #postings = new Map<FilterValue, Posting>();
  readonly #order = new OrderedPostings();
  readonly #ofRow: (Posting | readonly Posting[] | undefined)[] = [];
  /** Rows that have a value. */
  readonly #rows = new RowSet();
  /** Of all rows together. */
  #values = 0;
  #rowSetBytes = 0;

  get memoryBytes(): number {
    const references = this.#ofRow.length * REFERENCE_BYTES;
    const rows = this.#rows.memoryBytes + this.#rowSetBytes;
    return this.#postings.size * POSTING_BYTES + rows + references;
  }

  get isSingleValued(): boolean {
    return this.#values === this.#rows.size;
  }

  /** Rows that have the value. */
  countOf(key: FilterValue): number {
    return this.#postings.get(key)?.rows.size ?? 0;
  }

  /** All values that some row has, in no order. */
  values(): Iterable<Posting> {
    return this.#postings.values();
  }

  /** The values after one, or from the first on, in their order. Costs all of them. */
  valuesAfter(key: FilterValue | undefined): readonly Posting[] {
    const range = { kind: 'range' } as const;
    if (key === undefined) return this.#order.within(range);
    return this.#order.within({ ...range, low: { key, isOpen: true } });
  }

  add(row: Row, keys: readonly FilterValue[]): void {
    const postings = distinct(keys).map((key) => this.#posting(key));
    const [only] = postings;
    if (only === undefined) return;
    for (const posting of postings) this.#change(posting, row, true);
    this.#rows.add(row);
    this.#values += postings.length;
    while (this.#ofRow.length < row) this.#ofRow.push(undefined);
    this.#ofRow[row] = postings.length === 1 ? only : postings;
  }

  remove(row: Row): void {
    const found = this.#ofRow[row];
    if (found === undefined) return;
    const postings = isList(found) ? found : [found];
    this.#ofRow[row] = undefined;
    this.#rows.delete(row);
    this.#values -= postings.length;
    for (const posting of postings) {
      this.#change(posting, row, false);
      if (posting.rows.size > 0) continue;
      this.#postings.delete(posting.key);
      this.#order.delete(posting);
    }
  }

  find(test: ValueTest): Candidates {
    switch (test.kind) {
      case 'among':
        return this.#among(distinct(test.keys).flatMap((key) => this.#postings.get(key) ?? []));
      case 'range':
        return this.#within(test);
      default:
        return unreachable(test);
    }
  }

  #among(postings: readonly Posting[]): Candidates {
    const [only, ...others] = postings;
    if (only === undefined) return noRow();
    if (others.length === 0) return listed(only.rows);
    const wanted = once(() => new Set(postings));
    return this.#candidates({
      total: postings.reduce((sum, { rows }) => sum + rows.size, 0),
      postings: () => postings,
      passes: (posting) => wanted().has(posting),
    });
  }

  #within(range: RangeTest): Candidates {
    const [known] = this.#postings.keys();
    const ends = [range.low, range.high].filter((bound) => bound !== undefined);
    // Values of different types have no order.
    if (ends.some(({ key }) => typeof key !== typeof known)) return noRow();
    const total = this.#order.count(range);
    const isMost = this.isSingleValued && 2 * total > this.#rows.size;
    return this.#candidates({
      total,
      postings: () => this.#order.within(range),
      passes: ({ key }) => isWithin(key, range),
      ...(isMost && {
        others: () => rangesOutside(range).flatMap((outside) => this.#order.within(outside)),
      }),
    });
  }

  #candidates({ total, postings, passes, others }: Found): Candidates {
    return {
      estimate: rowsOfValues(total, this.#values, this.#rows.size),
      cost: others === undefined ? total : this.#rows.size - total,
      rows: once(() => {
        if (others === undefined) return rowsOf(postings());
        return this.#rows.clone().subtract(rowsOf(others()));
      }),
      has: (row) => this.#hasAny(row, passes),
    };
  }

  #hasAny(row: Row, passes: (posting: Posting) => boolean): boolean {
    const found = this.#ofRow[row];
    if (found === undefined) return false;
    return isList(found) ? found.some(passes) : passes(found);
  }

  #posting(key: FilterValue): Posting {
    const existing = this.#postings.get(key);
    if (existing !== undefined) return existing;
    const posting = this.#order.insert(key);
    this.#postings.set(key, posting);
    return posting;
  }

  #change(posting: Posting, row: Row, isAdded: boolean): void {
    const beforeBytes = posting.rows.memoryBytes;
    if (isAdded) posting.add(row);
    else posting.delete(row);
    this.#rowSetBytes += posting.rows.memoryBytes - beforeBytes;
  }
}

function rowsOf(postings: readonly Posting[]): RowSet {
  return RowSet.union(postings.map(({ rows }) => rows));
}

/** `Array.isArray` does not narrow readonly arrays. */
function isList(found: Posting | readonly Posting[]): found is readonly Posting[] {
  return Array.isArray(found);
}
