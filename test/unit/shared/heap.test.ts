// Goal: top-k and merge give what sorting everything would give.
// Method: properties against Array.prototype.sort.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mergeSorted, TopK } from '../../../src/shared/heap.js';

const ascending = (a: number, b: number): number => a - b;

describe('TopK', () => {
  it('keeps the first items in order, whatever the order of the offers', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), fc.integer({ min: 0, max: 20 }), (items, capacity) => {
        const top = new TopK(capacity, ascending);
        for (const item of items) top.offer(item);
        expect(top.size).toBe(Math.min(items.length, capacity));
        expect(top.drain()).toEqual([...items].sort(ascending).slice(0, capacity));
        expect(top.size).toBe(0);
      }),
    );
  });

  it('tells what a new item must beat, once it is full', () => {
    const top = new TopK(2, ascending);
    top.offer(5);
    expect(top.bound).toBeUndefined();
    top.offer(3);
    expect(top.bound).toBe(5);
    top.offer(4);
    expect(top.bound).toBe(4);
  });

  it('keeps the earlier of two equal items', () => {
    const top = new TopK<{ key: number; name: string }>(1, (a, b) => a.key - b.key);
    top.offer({ key: 1, name: 'first' });
    top.offer({ key: 1, name: 'second' });
    expect(top.drain()).toEqual([{ key: 1, name: 'first' }]);
  });
});

describe('mergeSorted', () => {
  const listOfLists = fc.array(fc.array(fc.integer({ min: -50, max: 50 })), { maxLength: 8 });

  it('merges lists as a sort of all items would (M-12)', () => {
    fc.assert(
      fc.property(listOfLists, fc.integer({ min: 0, max: 40 }), (lists, limit) => {
        const sorted = lists.map((list) => [...list].sort(ascending));
        const expected = lists.flat().sort(ascending).slice(0, limit);
        expect(mergeSorted(sorted, limit, ascending)).toEqual(expected);
      }),
    );
  });

  it('leaves out what is not accepted and fills the limit with what follows', () => {
    const seen = new Set<number>();
    const unseen = (item: number): boolean => !seen.has(item) && seen.add(item) === seen;
    const merged = mergeSorted(
      [
        [1, 2, 2],
        [1, 3],
        [2, 4],
      ],
      3,
      ascending,
      unseen,
    );
    expect(merged).toEqual([1, 2, 3]);
  });

  it('takes equal items from the earlier list first', () => {
    const lists = [[{ key: 1, list: 0 }], [{ key: 1, list: 1 }], [{ key: 1, list: 2 }]];
    const merged = mergeSorted(lists, 3, (a, b) => a.key - b.key);
    expect(merged.map((item) => item.list)).toEqual([0, 1, 2]);
  });
});
