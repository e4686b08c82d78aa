// Goal: bars say what was measured, what was wanted, and whether that was reached.
// Method: values at, above and below their bounds; tables compared as text.
import { describe, expect, it } from 'vitest';
import { atLeast, atMost } from '../../../bench/harness/bars.js';
import { tablesOf } from '../../../bench/harness/measurement-tables.js';

const measured = (value: number) => ({ name: 'rate', value, unit: '%' });

describe('a bar', () => {
  it.each([
    [84.9, false],
    [85, true],
    [85.1, true],
  ])('of at least 85 is met by %d: %s', (value, isMet) => {
    expect(atLeast(measured(value), 85)).toMatchObject({ value, isMet });
  });

  it.each([
    [2.9, true],
    [3, true],
    [3.1, false],
  ])('of at most 3 is met by %d: %s', (value, isMet) => {
    expect(atMost(measured(value), 3)).toMatchObject({ value, isMet });
  });

  it('is not met by what could not be measured', () => {
    expect(atLeast(measured(Number.NaN), 0).isMet).toBe(false);
    expect(atMost(measured(Number.NaN), 1).isMet).toBe(false);
  });
});

describe('the tables of a measurement', () => {
  it('are those that have rows', () => {
    expect(tablesOf({ parameters: {}, figures: [] })).toEqual([]);
    expect(tablesOf({ parameters: {}, figures: [{ name: 'a', perSecond: 1 }] })).toHaveLength(1);
  });

  it('give amounts with three digits that count, and bars with their bounds', () => {
    const [quantities, bars] = tablesOf({
      parameters: {},
      figures: [],
      quantities: [
        { name: 'open', value: 12_345.6, unit: 'ms' },
        { name: 'recall', value: 0.99876, unit: '' },
      ],
      bars: [atMost({ name: 'times', value: 2.3456, unit: 'x' }, 2.1)],
    });
    expect(quantities?.split('\n').slice(2)).toEqual([
      '| open | 12,346 ms |',
      '| recall | 0.999 |',
    ]);
    expect(bars?.split('\n').slice(2)).toEqual(['| times | 2.35 x | at most 2.1 x | no |']);
  });
});
