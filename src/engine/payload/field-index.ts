/** What the index of a declared field can be asked; one implementation for each kind of values. */
import { compareKeys, type FilterValue } from '../../shared/filter-values.js';
import type { Row } from '../rows.js';
import type { Candidates } from './candidates.js';

/** An end of a range. */
export interface Bound {
  /** By `comparisonKey`, as all keys here. */
  readonly key: FilterValue;
  /** Whether the bound itself is outside. */
  readonly isOpen: boolean;
}

/** A range without an end there takes every key of the field's type. */
export interface RangeTest {
  readonly kind: 'range';
  readonly low?: Bound;
  readonly high?: Bound;
}

/** What is asked of the values of a row: it passes when any of them does. */
export type ValueTest =
  | { readonly kind: 'among'; readonly keys: readonly FilterValue[] }
  | RangeTest;

/** The comparable values of all rows in one field. */
export interface FieldIndex {
  /** What the index takes, about. */
  readonly memoryBytes: number;
  /** Whether no row has more than one value, so that one value must pass all tests of a row. */
  readonly isSingleValued: boolean;
  /** Sets the values of a row that has none. Keys that repeat count once. */
  add(row: Row, keys: readonly FilterValue[]): void;
  /** Forgets the values of a row, which may have none. */
  remove(row: Row): void;
  /** The rows that pass. A key of another type than the field's is passed by none. */
  find(test: ValueTest): Candidates;
}

/** Each of the keys once. */
export function distinct<T extends FilterValue>(keys: readonly T[]): readonly T[] {
  return keys.length < 2 ? keys : [...new Set(keys)];
}

/**
 * Whether a key is inside of a bound, by its order: positive when it is further inside. Not so
 * where the order is NaN: then the two cannot be compared.
 */
export function isBeyond(order: number, bound: Bound): boolean {
  return bound.isOpen ? order > 0 : order >= 0;
}

/** Whether a key passes. */
export function isWithin(key: FilterValue, { low, high }: RangeTest): boolean {
  if (low !== undefined && !isBeyond(compareKeys(key, low.key), low)) return false;
  return high === undefined || isBeyond(compareKeys(high.key, key), high);
}

/** The range of the keys that pass both tests. */
export function mergedRange(one: RangeTest, other: RangeTest): RangeTest {
  const low = narrower(one.low, other.low, 1);
  const high = narrower(one.high, other.high, -1);
  return { kind: 'range', ...(low && { low }), ...(high && { high }) };
}

/** Of two ends the one that leaves less: `inward` is 1 for low ends and -1 for high ones. */
function narrower(
  one: Bound | undefined,
  other: Bound | undefined,
  inward: 1 | -1,
): Bound | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  const order = compareKeys(one.key, other.key) * inward;
  if (order === 0) return one.isOpen ? one : other;
  return order > 0 ? one : other;
}
