// Goal: a row set is a set of numbers, whichever form it has inside.
// Method: random operations beside `Set`, with rows dense as in bitmaps and thin as in lists.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RowSet } from '../../../../src/engine/payload/row-set.js';

const sorted = (rows: Iterable<number>): number[] => [...rows].sort((a, b) => a - b);

/** Rows from a narrow range make bitmaps, rows from a wide one lists. */
const rowsBelow = (max: number): fc.Arbitrary<number[]> =>
  fc.array(fc.integer({ min: 0, max }), { maxLength: 400 });
const anyRows = fc.oneof(rowsBelow(40), rowsBelow(700), rowsBelow(100_000), rowsBelow(2 ** 24));

function setOf(rows: Iterable<number>): RowSet {
  const set = new RowSet();
  for (const row of rows) set.add(row);
  return set;
}

/** The set is what `expected` is, in every way in which it can be asked. */
function expectRows(set: RowSet, expected: ReadonlySet<number>): void {
  expect(sorted(set.toRows())).toEqual(sorted(expected));
  expect([...set]).toEqual(sorted(expected));
  expect(set.size).toBe(expected.size);
  expect(set.first).toBe(sorted(expected)[0]);
  for (const row of expected) {
    expect(set.has(row)).toBe(true);
    expect(set.has(row + 1)).toBe(expected.has(row + 1));
  }
}

describe('a row set', () => {
  it('holds what was added and not deleted since', () => {
    const change = (max: number): fc.Arbitrary<[boolean, number][]> =>
      fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 0, max })), { maxLength: 600 });
    fc.assert(
      fc.property(anyRows, fc.oneof(change(40), change(700), change(100_000)), (rows, changes) => {
        const set = setOf(rows);
        const model = new Set(rows);
        for (const [isAdded, row] of changes) {
          if (isAdded) {
            expect(set.add(row)).toBe(!model.has(row));
            model.add(row);
          } else expect(set.delete(row)).toBe(model.delete(row));
        }
        expectRows(set, model);
      }),
    );
  });

  it('intersects, unites and subtracts as sets do, and leaves the other set as it is', () => {
    fc.assert(
      fc.property(anyRows, anyRows, (ours, theirs) => {
        const [own, other] = [new Set(ours), new Set(theirs)];
        const [set, argument] = [setOf(ours), setOf(theirs)];
        const among = (rows: Set<number>, wanted: boolean): Set<number> =>
          new Set([...own].filter((row) => rows.has(row) === wanted));
        expectRows(set.clone().intersect(argument), among(other, true));
        expectRows(set.clone().subtract(argument), among(other, false));
        expectRows(set.clone().addAll(theirs), new Set([...own, ...other]));
        expectRows(RowSet.union([set, argument]), new Set([...own, ...other]));
        expectRows(
          set.clone().retain((row) => row % 3 === 0),
          new Set([...own].filter((row) => row % 3 === 0)),
        );
        expectRows(set, own);
        expectRows(argument, other);
      }),
    );
  });

  it('can be changed after algebra, and its copy does not change with it', () => {
    fc.assert(
      fc.property(anyRows, anyRows, rowsBelow(900), (ours, theirs, later) => {
        const set = RowSet.union([setOf(ours), setOf(theirs)]);
        const copy = set.clone();
        for (const row of later) set.add(row);
        expectRows(set, new Set([...ours, ...theirs, ...later]));
        for (const row of ours) set.delete(row);
        expectRows(set, new Set([...theirs, ...later].filter((row) => !ours.includes(row))));
        expectRows(copy, new Set([...ours, ...theirs]));
      }),
    );
  });

  it('is intersected, united and reduced with itself', () => {
    for (const rows of [[], [3], [0, 31, 32, 63], Array.from({ length: 500 }, (_, at) => at)]) {
      const set = setOf(rows);
      expectRows(RowSet.union([set, set]), new Set(rows));
      expectRows(set.intersect(set), new Set(rows));
      expectRows(set.subtract(set), new Set());
    }
  });

  it('takes about 8 bytes a row while it is thin, and a bit a row when it is dense', () => {
    const thin = setOf(Array.from({ length: 1_000 }, (_, at) => at * 1_000));
    expect(thin.memoryBytes).toBe(8 * thin.size);
    const dense = setOf(Array.from({ length: 100_000 }, (_, at) => at));
    expect(dense.memoryBytes).toBeLessThan(2 * (dense.size / 8));
    for (let row = 100; row < 100_000; row++) dense.delete(row);
    expect(dense.memoryBytes).toBeLessThanOrEqual(8 * 1_000);
  });

  it('reads the rows as they are when iteration begins', () => {
    const set = setOf([1, 2, 3]);
    const seen: number[] = [];
    for (const row of set) {
      seen.push(row);
      set.delete(row + 1);
    }
    expect(seen).toEqual([1, 2, 3]);
    expectRows(set, new Set([1]));
  });
});
