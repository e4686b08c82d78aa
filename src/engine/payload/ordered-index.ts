/** The index of a field with an order: numbers, and instants as numbers. */
import { unreachable } from '../../shared/assert.js';
import type { FilterValue } from '../../shared/filter-values.js';
import type { Row } from '../rows.js';
import { type Candidates, once, rowsOfValues } from './candidates.js';
import { type Bound, distinct, type FieldIndex, type ValueTest } from './field-index.js';
import { type Interval, OrderedEntries } from './ordered-entries.js';
import { RowSet } from './row-set.js';

/** What a row with several values takes beside its entries. */
const MULTI_VALUED_BYTES = 120;

/** Stands for no value, and for more than one. */
const NO_KEY = Number.NaN;

/** See `OrderedEntries` for the costs. A row takes a float beside its entries. */
export class OrderedIndex implements FieldIndex {
  readonly #entries = new OrderedEntries();
  /** Rows that have a value. */
  readonly #rows = new RowSet();
  /** The value of each row that has one and no more. */
  #keys = new Float64Array(0);
  readonly #multiValued = new Map<Row, readonly number[]>();

  get memoryBytes(): number {
    const rows = this.#keys.byteLength + this.#rows.memoryBytes;
    return this.#entries.memoryBytes + rows + this.#multiValued.size * MULTI_VALUED_BYTES;
  }

  get isSingleValued(): boolean {
    return this.#multiValued.size === 0;
  }

  add(row: Row, keys: readonly FilterValue[]): void {
    const numbers = numbersOf(keys);
    const [only] = numbers;
    if (only === undefined) return;
    this.#reserve(row + 1);
    this.#rows.add(row);
    for (const number of numbers) this.#entries.add(number, row);
    if (numbers.length === 1) this.#keys[row] = only;
    else this.#multiValued.set(row, numbers);
  }

  remove(row: Row): void {
    if (!this.#rows.delete(row)) return;
    const numbers = this.#multiValued.get(row) ?? [this.#keys[row] as number];
    for (const number of numbers) this.#entries.delete(number, row);
    this.#keys[row] = NO_KEY;
    this.#multiValued.delete(row);
  }

  find(test: ValueTest): Candidates {
    const intervals = intervalsOf(test);
    const entries = intervals.reduce((sum, interval) => sum + this.#entries.count(interval), 0);
    const [only] = intervals;
    const isOne = only !== undefined && intervals.length === 1;
    const outside = isOne && this.isSingleValued ? outsideOf(only) : undefined;
    const passes = once(() => passing(test, intervals));
    const isMost = outside !== undefined && 2 * entries > this.#rows.size;
    return {
      estimate: rowsOfValues(entries, this.#entries.size, this.#rows.size),
      cost: isMost ? this.#rows.size - entries : entries,
      rows: once(() => (isMost ? this.#allBut(outside) : this.#list(intervals))),
      has: (row) => this.#hasAny(row, passes()),
    };
  }

  #list(intervals: readonly Interval[]): RowSet {
    return new RowSet().addAll(this.#entries.rowsIn(intervals));
  }

  #allBut(intervals: readonly Interval[]): RowSet {
    return this.#rows.clone().subtract(this.#list(intervals));
  }

  #hasAny(row: Row, passes: (key: number) => boolean): boolean {
    const key = this.#keys[row] ?? NO_KEY;
    if (!Number.isNaN(key)) return passes(key);
    return this.#multiValued.get(row)?.some(passes) ?? false;
  }

  #reserve(rows: number): void {
    const { length } = this.#keys;
    if (rows <= length) return;
    const grown = new Float64Array(Math.max(rows, 2 * length)).fill(NO_KEY, length);
    grown.set(this.#keys);
    this.#keys = grown;
  }
}

function intervalsOf(test: ValueTest): Interval[] {
  switch (test.kind) {
    case 'among':
      return numbersOf(test.keys).map((key) => {
        return { low: key, high: key, isLowOpen: false, isHighOpen: false };
      });
    case 'range': {
      const [low, high] = [test.low, test.high];
      const ends = [low, high].filter((bound) => bound !== undefined);
      if (ends.some(({ key }) => typeof key !== 'number')) return [];
      return [{ ...lowEnd(low), ...highEnd(high) }];
    }
    default:
      return unreachable(test);
  }
}

function lowEnd(bound: Bound | undefined): Pick<Interval, 'low' | 'isLowOpen'> {
  if (bound === undefined) return { low: Number.NEGATIVE_INFINITY, isLowOpen: false };
  return { low: Number(bound.key), isLowOpen: bound.isOpen };
}

function highEnd(bound: Bound | undefined): Pick<Interval, 'high' | 'isHighOpen'> {
  if (bound === undefined) return { high: Number.POSITIVE_INFINITY, isHighOpen: false };
  return { high: Number(bound.key), isHighOpen: bound.isOpen };
}

/** What is below the interval and what is above it. */
function outsideOf({ low, high, isLowOpen, isHighOpen }: Interval): Interval[] {
  return [
    { low: Number.NEGATIVE_INFINITY, isLowOpen: false, high: low, isHighOpen: !isLowOpen },
    { low: high, isLowOpen: !isHighOpen, high: Number.POSITIVE_INFINITY, isHighOpen: false },
  ];
}

/** The test as a function of one value, quick also where it names many. */
function passing(test: ValueTest, intervals: readonly Interval[]): (key: number) => boolean {
  if (test.kind === 'among') {
    const keys = new Set(intervals.map(({ low }) => low));
    return (key) => keys.has(key);
  }
  const [only] = intervals;
  if (only === undefined) return () => false;
  const { low, high, isLowOpen, isHighOpen } = only;
  return (key) => (isLowOpen ? key > low : key >= low) && (isHighOpen ? key < high : key <= high);
}

function isNumber(key: FilterValue): key is number {
  return typeof key === 'number';
}

/** The numbers among the keys, each once, with 0 for -0. */
function numbersOf(keys: readonly FilterValue[]): readonly number[] {
  return distinct(keys.filter(isNumber).map((number) => number + 0));
}
