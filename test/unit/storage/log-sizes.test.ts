// Goal: the size of a log is right where nothing was taken off, and near where something was.
// Method: random appends, overwrites and compactions beside an array of sizes.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { LogSizes } from '../../../src/storage/log-sizes.js';

function entriesFrom(
  index: number,
  sizes: readonly number[],
): { index: number; data: Uint8Array }[] {
  return sizes.map((size, at) => ({ index: index + at, data: new Uint8Array(size) }));
}

it('is exact while nothing is taken off', () => {
  const sizes = new LogSizes();
  expect(sizes.totalBytes).toBe(0);
  sizes.put(entriesFrom(1, [3, 0, 5]));
  sizes.put([]);
  sizes.put(entriesFrom(4, [7]));
  expect(sizes.totalBytes).toBe(15);
  sizes.put(entriesFrom(1, [2]));
  expect(sizes.totalBytes).toBe(2);
  sizes.dropBefore(2);
  expect(sizes.totalBytes).toBe(0);
});

it('is exact for entries of one size, whatever is taken off (property)', () => {
  const step = fc.record({
    back: fc.nat({ max: 400 }),
    count: fc.nat({ max: 600 }),
    compact: fc.nat({ max: 500 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const sizes = new LogSizes();
      let [first, last] = [1, 0];
      for (const { back, count, compact } of steps) {
        const from = Math.max(first, last + 1 - back);
        sizes.put(entriesFrom(from, Array(count).fill(10)));
        if (count > 0) last = from + count - 1;
        const before = Math.min(first + compact, last + 1);
        sizes.dropBefore(before);
        first = before;
        expect(sizes.totalBytes).toBe(10 * (last + 1 - first));
      }
    }),
  );
});

it('is never off by more than a segment at either end', () => {
  const sizes = new LogSizes();
  const all = Array.from({ length: 2_000 }, (_, at) => (at % 5) * 100);
  sizes.put(entriesFrom(1, all));
  for (const first of [2, 300, 1_111, 1_999]) {
    sizes.dropBefore(first);
    const exact = all.slice(first - 1).reduce((sum, size) => sum + size, 0);
    expect(Math.abs(sizes.totalBytes - exact)).toBeLessThan(256 * 400);
  }
  sizes.dropBefore(2_001);
  expect(sizes.totalBytes).toBe(0);
});
