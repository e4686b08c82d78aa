/** The index of a field with few or many different values without much order: words, flags. */
import { unreachable } from '../../shared/assert.js';
import { compareKeys, type FilterValue } from '../../shared/filter-values.js';
import type { Row } from '../rows.js';
import { type Candidates, exactly, once } from './candidates.js';
import { type Bound, distinct, type FieldIndex, type ValueTest } from './field-index.js';
import { RowSet } from './row-set.js';

interface Posting {
  readonly key: FilterValue;
  readonly rows: RowSet;
}

/** What a value takes beside its rows: map entry, objects, a short text. */
const POSTING_BYTES = 200;

const REFERENCE_BYTES = 8;

/** Of more values the rows are listed once instead of asking the set of each. */
const EACH_ASKED_MAX = 8;

/**
 * A change costs one set operation a value. `among` costs a lookup a key, and a range a comparison
 * with every different value. A row takes a reference here, and its place in each value's set.
 */
export class KeywordIndex implements FieldIndex {
  readonly #postings = new Map<FilterValue, Posting>();
  readonly #ofRow: (Posting | readonly Posting[] | undefined)[] = [];
  /** Rows that have a value, and those that have several. */
  #rows = 0;
  #multiValuedRows = 0;
  #rowSetBytes = 0;

  get memoryBytes(): number {
    const references = this.#ofRow.length * REFERENCE_BYTES;
    return this.#postings.size * POSTING_BYTES + this.#rowSetBytes + references;
  }

  get isSingleValued(): boolean {
    return this.#multiValuedRows === 0;
  }

  add(row: Row, keys: readonly FilterValue[]): void {
    const postings = distinct(keys).map((key) => this.#posting(key));
    const [only] = postings;
    if (only === undefined) return;
    for (const { rows } of postings) this.#change(rows, row, true);
    this.#rows++;
    if (postings.length > 1) this.#multiValuedRows++;
    while (this.#ofRow.length < row) this.#ofRow.push(undefined);
    this.#ofRow[row] = postings.length === 1 ? only : postings;
  }

  remove(row: Row): void {
    const found = this.#ofRow[row];
    if (found === undefined) return;
    this.#ofRow[row] = undefined;
    const postings = isList(found) ? found : [found];
    this.#rows--;
    if (postings.length > 1) this.#multiValuedRows--;
    for (const { key, rows } of postings) {
      this.#change(rows, row, false);
      if (rows.size === 0) this.#postings.delete(key);
    }
  }

  find(test: ValueTest): Candidates {
    const found = this.#postingsOf(test).map(({ rows }) => rows);
    const [only = new RowSet(), ...others] = found;
    if (others.length === 0) {
      return {
        estimate: exactly(only.size),
        cost: 0,
        rows: () => only,
        has: (row) => only.has(row),
      };
    }
    const total = found.reduce((sum, rows) => sum + rows.size, 0);
    const largest = found.reduce((most, rows) => Math.max(most, rows.size), 0);
    // A row of several values is in several sets.
    const min = this.isSingleValued ? total : largest;
    const max = Math.min(total, this.#rows);
    const rows = once(() => RowSet.union(found));
    const isEach = found.length <= EACH_ASKED_MAX;
    return {
      estimate: { min, expected: (min + max) / 2, max },
      cost: total,
      rows,
      has: (row) => (isEach ? found.some((set) => set.has(row)) : rows().has(row)),
    };
  }

  #posting(key: FilterValue): Posting {
    const existing = this.#postings.get(key);
    if (existing !== undefined) return existing;
    const posting = { key, rows: new RowSet() };
    this.#postings.set(key, posting);
    return posting;
  }

  #change(rows: RowSet, row: Row, isAdded: boolean): void {
    const beforeBytes = rows.memoryBytes;
    if (isAdded) rows.add(row);
    else rows.delete(row);
    this.#rowSetBytes += rows.memoryBytes - beforeBytes;
  }

  #postingsOf(test: ValueTest): Posting[] {
    switch (test.kind) {
      case 'among':
        return distinct(test.keys).flatMap((key) => this.#postings.get(key) ?? []);
      case 'range':
        return [...this.#postings.values()].filter(({ key }) => isWithin(key, test));
      default:
        return unreachable(test);
    }
  }
}

function isWithin(key: FilterValue, range: { readonly low?: Bound; readonly high?: Bound }) {
  const { low, high } = range;
  if (low !== undefined && !isBeyond(compareKeys(key, low.key), low)) return false;
  return high === undefined || isBeyond(compareKeys(high.key, key), high);
}

/** Not so where the order is NaN: then the two cannot be compared. */
function isBeyond(order: number, bound: Bound): boolean {
  return bound.isOpen ? order > 0 : order >= 0;
}

/** `Array.isArray` does not narrow readonly arrays. */
function isList(found: Posting | readonly Posting[]): found is readonly Posting[] {
  return Array.isArray(found);
}
