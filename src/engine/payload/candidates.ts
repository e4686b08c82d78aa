/**
 * The rows that a part of a filter describes, before anybody has listed them: how many there are
 * about, what listing them costs, and whether a row is one of them.
 */
import type { Row } from '../rows.js';
import { RowSet } from './row-set.js';

/** How many rows: certainly from `min` to `max`, and `expected` by what is known of the fields. */
export interface Estimate {
  readonly min: number;
  readonly expected: number;
  readonly max: number;
}

/** Holds for the index as it is; not to be used after the index has changed. */
export interface Candidates {
  readonly estimate: Estimate;
  /** Rows that `rows` has to touch, about. */
  readonly cost: number;
  /** All of them. The set may be the index's own and must be left as it is. */
  rows(): RowSet;
  /** Whether a live row is one of them. Costs a few accesses for each condition. */
  has(row: Row): boolean;
}

/** Asking for one row costs as much as touching this many while they are listed. */
const ASKING_COST = 8;

/** Set algebra on bitmaps touches this many rows in one operation. */
const WORD_ROWS = 32;

export function everyRow(live: RowSet): Candidates {
  return { estimate: exactly(live.size), cost: 0, rows: () => live, has: () => true };
}

export function noRow(): Candidates {
  return { estimate: exactly(0), cost: 0, rows: () => new RowSet(), has: () => false };
}

/** The rows of a set that is there already. */
export function listed(rows: RowSet): Candidates {
  return {
    estimate: exactly(rows.size),
    cost: 0,
    rows: () => rows,
    has: (row) => rows.has(row),
  };
}

/** The live rows that are not among `part`. */
export function otherThan(part: Candidates, live: RowSet): Candidates {
  const { min, expected, max } = part.estimate;
  const all = live.size;
  return {
    estimate: { min: all - max, expected: all - expected, max: all - min },
    cost: part.cost + all / WORD_ROWS,
    rows: once(() => live.clone().subtract(part.rows())),
    has: (row) => !part.has(row),
  };
}

/**
 * The rows that are among all of the parts; every row where there is none. Begins with the part
 * that promises the fewest; of a part that is dear to list, only the rows left are asked for.
 */
export function allOf(parts: readonly Candidates[], live: RowSet): Candidates {
  const ordered = [...parts].sort((a, b) => a.estimate.expected - b.estimate.expected);
  const [first = everyRow(live), ...others] = ordered;
  if (others.length === 0) return first;
  const all = Math.max(1, live.size);
  const sizes = ordered.map(({ estimate }) => estimate);
  const share = sizes.reduce((product, { expected }) => product * (expected / all), 1);
  const missing = sizes.reduce((sum, { min }) => sum + (live.size - min), 0);
  const min = Math.max(0, live.size - missing);
  const max = Math.min(...sizes.map((size) => size.max));
  return {
    estimate: { min, expected: clamp(share * live.size, min, max), max },
    cost: others.reduce(
      (sum, { cost }) => sum + Math.min(cost, first.estimate.expected * ASKING_COST),
      first.cost + live.size / WORD_ROWS,
    ),
    rows: once(() => listAllOf(first, others)),
    has: (row) => ordered.every((part) => part.has(row)),
  };
}

function listAllOf(first: Candidates, others: readonly Candidates[]): RowSet {
  const rows = first.rows().clone();
  for (const part of others) {
    if (rows.size === 0) return rows;
    if (part.cost > rows.size * ASKING_COST) rows.retain((row) => part.has(row));
    else rows.intersect(part.rows());
  }
  return rows;
}

/** The rows that are among any of the parts. */
export function anyOf(parts: readonly Candidates[], live: RowSet): Candidates {
  const ordered = [...parts].sort((a, b) => b.estimate.expected - a.estimate.expected);
  const [first = noRow(), ...others] = ordered;
  if (others.length === 0) return first;
  const records = Math.max(1, live.size);
  const sizes = ordered.map(({ estimate }) => estimate);
  const missed = sizes.reduce((product, { expected }) => product * (1 - expected / records), 1);
  const min = Math.max(...sizes.map((size) => size.min));
  const max = Math.min(
    live.size,
    sizes.reduce((sum, size) => sum + size.max, 0),
  );
  return {
    estimate: { min, expected: clamp((1 - missed) * live.size, min, max), max },
    cost: ordered.reduce((sum, { cost }) => sum + cost, live.size / WORD_ROWS),
    rows: once(() => RowSet.union(ordered.map((part) => part.rows()))),
    has: (row) => ordered.some((part) => part.has(row)),
  };
}

export function exactly(count: number): Estimate {
  return { min: count, expected: count, max: count };
}

/**
 * How many rows have the values that were found, of `values` that `rows` rows have: one that has
 * several may have been found several times.
 */
export function rowsOfValues(found: number, values: number, rows: number): Estimate {
  const max = Math.min(found, rows);
  const min = Math.max(Math.min(1, found), found - (values - rows));
  return { min, expected: (min + max) / 2, max };
}

/** What `make` gives, made when it is first asked for. */
export function once<T extends object>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value));
}
