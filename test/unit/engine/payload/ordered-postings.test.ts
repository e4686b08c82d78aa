// Goal: values in order answer every range as a plain list of pairs does.
// Method: random adds and deletes of words beside a map, with few and with thousands of values.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isWithin, type RangeTest } from '../../../../src/engine/payload/field-index.js';
import { KeywordIndex } from '../../../../src/engine/payload/keyword-index.js';
import {
  OrderedPostings,
  type Posting,
  rangesOutside,
} from '../../../../src/engine/payload/ordered-postings.js';
import { compareKeys, type FilterValue } from '../../../../src/shared/filter-values.js';
import { seededRandom } from '../../../support/vectors.js';

const words = ['', 'a', 'ab', 'b', 'Z', 'é', '\uffee', '\u{1f600}', '10', '9'];
const word = fc.oneof(fc.constantFrom(...words), fc.string({ unit: 'grapheme', maxLength: 3 }));
const bound = fc.record({ key: word, isOpen: fc.boolean() });
const range: fc.Arbitrary<RangeTest> = fc
  .tuple(fc.option(bound, { nil: undefined }), fc.option(bound, { nil: undefined }))
  .map(([low, high]) => ({ kind: 'range', ...(low && { low }), ...(high && { high }) }));

const sorted = (rows: Iterable<number>): number[] => [...rows].sort((a, b) => a - b);

/** Values of rows, as a plain map has them. */
class Model {
  readonly rows = new Map<number, readonly FilterValue[]>();

  passing(test: RangeTest): number[] {
    const found = [...this.rows].filter(([, keys]) => keys.some((key) => isWithin(key, test)));
    return sorted(found.map(([row]) => row));
  }
}

function expectSame(index: KeywordIndex, model: Model, test: RangeTest): void {
  const expected = model.passing(test);
  const found = index.find(test);
  expect(sorted(found.rows().toRows())).toEqual(expected);
  expect(found.estimate.min).toBeLessThanOrEqual(expected.length);
  expect(found.estimate.max).toBeGreaterThanOrEqual(expected.length);
  const passing = new Set(expected);
  for (const row of model.rows.keys()) expect(found.has(row)).toBe(passing.has(row));
}

describe('a range over words', () => {
  const change = fc.tuple(fc.nat(30), fc.array(word, { maxLength: 3 }));

  it('finds the rows of all values in it, after any changes', () => {
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 60 }),
        fc.array(range, { minLength: 1, maxLength: 6 }),
        (changes, ranges) => {
          const index = new KeywordIndex();
          const model = new Model();
          for (const [row, keys] of changes) {
            index.remove(row);
            model.rows.delete(row);
            if (keys.length === 0) continue;
            index.add(row, keys);
            model.rows.set(row, keys);
          }
          for (const test of ranges) expectSame(index, model, test);
        },
      ),
      { numRuns: 300 },
    );
  });

  it.each([
    ['ascending', (at: number) => at],
    ['descending', (at: number) => 9_999 - at],
    ['mixed', (at: number) => (at * 7_919) % 10_000],
  ])('is exact among thousands of values that came %s, and while they go', (_order, place) => {
    const index = new KeywordIndex();
    const model = new Model();
    const random = seededRandom(3);
    const keyOf = (row: number): string => `w${String(place(row)).padStart(4, '0')}`;
    for (let row = 0; row < 10_000; row++) {
      index.add(row, [keyOf(row)]);
      model.rows.set(row, [keyOf(row)]);
    }
    const compare = (): void => {
      const [low, high] = [keyOf(Math.floor(random() * 1e4)), keyOf(Math.floor(random() * 1e4))];
      const test: RangeTest = {
        kind: 'range',
        low: { key: low, isOpen: random() < 0.5 },
        high: { key: high, isOpen: random() < 0.5 },
      };
      expect(sorted(index.find(test).rows().toRows())).toEqual(model.passing(test));
      const { min, max } = index.find(test).estimate;
      expect([min, max]).toEqual([model.passing(test).length, model.passing(test).length]);
    };
    for (let round = 0; round < 5; round++) compare();
    for (const isLeaving of [0.5, 0.9, 0.99]) {
      for (const row of [...model.rows.keys()]) {
        if (random() >= isLeaving) continue;
        index.remove(row);
        model.rows.delete(row);
      }
      for (let round = 0; round < 5; round++) compare();
    }
    for (const row of [...model.rows.keys()]) index.remove(row);
    expect(index.find({ kind: 'range' }).rows().size).toBe(0);
  });

  it('lists what is outside where that is less', () => {
    const index = new KeywordIndex();
    for (let row = 0; row < 1_000; row++) index.add(row, [`w${String(row).padStart(4, '0')}`]);
    const wide = index.find({ kind: 'range', low: { key: 'w0010', isOpen: false } });
    expect(wide.cost).toBe(10);
    expect(wide.rows().size).toBe(990);
    const narrow = index.find({ kind: 'range', high: { key: 'w0010', isOpen: true } });
    expect(narrow.cost).toBe(10);
  });

  it('finds nothing where the bound is of another type', () => {
    const index = new KeywordIndex();
    index.add(1, ['a']);
    const low = { key: 5, isOpen: false };
    expect(index.find({ kind: 'range', low }).rows().size).toBe(0);
    expect(index.find({ kind: 'range', low }).has(1)).toBe(false);
  });
});

describe('ordered postings', () => {
  it('are ascending, and every range and what is outside of it are all of them', () => {
    const step = fc.tuple(fc.boolean(), word);
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), range, (steps, asked) => {
        const order = new OrderedPostings();
        const all = new Map<FilterValue, Posting>();
        for (const [isAdded, key] of steps) {
          const known = all.get(key);
          if (isAdded && known === undefined) all.set(key, order.insert(key));
          if (!isAdded && known !== undefined) {
            all.delete(key);
            order.delete(known);
          }
        }
        const keys = order.within({ kind: 'range' }).map(({ key }) => key);
        expect(keys).toEqual([...all.keys()].sort(compareKeys));
        const inside = order.within(asked).map(({ key }) => key);
        expect(inside).toEqual(keys.filter((key) => isWithin(key, asked)));
        // Of an empty range both sides may say that they are outside.
        if (inside.length === 0) return;
        const outside = rangesOutside(asked).flatMap((one) => order.within(one));
        expect(outside.map(({ key }) => key)).toEqual(keys.filter((key) => !isWithin(key, asked)));
      }),
    );
  });
});
