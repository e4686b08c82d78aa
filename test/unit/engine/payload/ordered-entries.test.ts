// Goal: counts and rows of any interval are those of a plain list of pairs.
// Method: random adds and deletes with many equal numbers, then intervals at and between them.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Interval, OrderedEntries } from '../../../../src/engine/payload/ordered-entries.js';
import { seededRandom } from '../../../support/vectors.js';

interface Pair {
  readonly key: number;
  readonly row: number;
}

const key = fc.oneof(
  fc.integer({ min: -3, max: 3 }),
  fc.constantFrom(Number.MAX_VALUE, -Number.MAX_VALUE, Number.MIN_VALUE, 2 ** 53, 0.1),
  fc.constantFrom(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
);
const interval: fc.Arbitrary<Interval> = fc.record({
  low: key,
  high: key,
  isLowOpen: fc.boolean(),
  isHighOpen: fc.boolean(),
});

function inside({ low, high, isLowOpen, isHighOpen }: Interval, number: number): boolean {
  if (number < low || number > high) return false;
  return !(isLowOpen && number === low) && !(isHighOpen && number === high);
}

function expectSame(entries: OrderedEntries, pairs: readonly Pair[], asked: Interval): void {
  const expected = pairs.filter((pair) => inside(asked, pair.key));
  expect(entries.count(asked)).toBe(expected.length);
  expect([...entries.rowsIn([asked])].sort()).toEqual(expected.map(({ row }) => row).sort());
}

describe('ordered entries', () => {
  it('find what a list of pairs finds, after any adds and deletes', () => {
    const change = fc.tuple(key, fc.integer({ min: 0, max: 30 }));
    fc.assert(
      fc.property(fc.array(change), fc.array(interval, { minLength: 1 }), (changes, intervals) => {
        const entries = new OrderedEntries();
        const pairs = new Map<string, Pair>();
        for (const [number, row] of changes) {
          const name = `${number}/${row}`;
          // What is there already is deleted, so that deletes are as frequent as repetitions.
          if (pairs.delete(name)) entries.delete(number, row);
          else {
            entries.add(number, row);
            pairs.set(name, { key: number, row });
          }
        }
        expect(entries.size).toBe(pairs.size);
        for (const asked of intervals) expectSame(entries, [...pairs.values()], asked);
        const one = intervals.map((asked) => [...entries.rowsIn([asked])]);
        expect([...entries.rowsIn(intervals)]).toEqual(one.flat());
      }),
    );
  });

  it.each([
    ['ascending', (at: number) => at],
    ['descending', (at: number) => -at],
    ['equal', () => 7],
    ['in waves', (at: number) => (at * 37) % 101],
  ] as const)('split and join blocks when thousands of numbers come %s and go', (_, keyOf) => {
    const entries = new OrderedEntries();
    const count = 3_000;
    let pairs: Pair[] = Array.from({ length: count }, (_, row) => ({ key: keyOf(row), row }));
    for (const pair of pairs) entries.add(pair.key, pair.row);
    const asked = [
      { low: 10, high: 60, isLowOpen: false, isHighOpen: true },
      { low: 7, high: 7, isLowOpen: false, isHighOpen: false },
      { low: -2_000, high: 2_000, isLowOpen: true, isHighOpen: true },
    ];
    for (const one of asked) expectSame(entries, pairs, one);
    const random = seededRandom(5);
    const gone = pairs.filter(() => random() < 0.95);
    for (const pair of gone) entries.delete(pair.key, pair.row);
    pairs = pairs.filter((pair) => !gone.includes(pair));
    for (const one of asked) expectSame(entries, pairs, one);
    // 12 bytes an entry, and a block is at least a quarter full beside its neighbour.
    expect(entries.memoryBytes).toBeLessThanOrEqual(12 * (8 * pairs.length + 512));
    for (const pair of pairs) entries.delete(pair.key, pair.row);
    expect(entries.size).toBe(0);
    expect(entries.memoryBytes).toBe(0);
  });

  it('refuse to delete a pair that is not there', () => {
    const entries = new OrderedEntries();
    entries.add(1, 1);
    expect(() => entries.delete(1, 2)).toThrow('no entry of number 1 and row 2');
    expect(() => entries.delete(2, 1)).toThrow('no entry of number 2 and row 1');
  });
});
