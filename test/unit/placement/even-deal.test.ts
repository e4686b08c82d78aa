// Goal: a deal is as even as can be and moves as little as can be.
// Method: properties against the least number of moves, counted another way.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { evenDeal } from '../../../src/placement/even-deal.js';

const shardSets = fc.uniqueArray(fc.nat({ max: 40 }), { minLength: 1, maxLength: 12 });
const hands = fc.array(fc.option(fc.nat({ max: 40 }), { nil: undefined }), { maxLength: 120 });

function sizesOf(owners: readonly (number | undefined)[], shardIds: readonly number[]): number[] {
  return shardIds.map((shardId) => owners.filter((owner) => owner === shardId).length);
}

/** Each shard keeps at most its even part, and the odd units stay with those who have one more. */
function mostThatStay(owners: readonly (number | undefined)[], shardIds: readonly number[]) {
  const least = Math.floor(owners.length / shardIds.length);
  const odd = owners.length % shardIds.length;
  const sizes = sizesOf(owners, shardIds);
  const kept = sizes.reduce((sum, size) => sum + Math.min(size, least), 0);
  return kept + Math.min(odd, sizes.filter((size) => size > least).length);
}

describe('evenDeal (M-9: virtual shards)', () => {
  it('deals to within one of even', () => {
    fc.assert(
      fc.property(hands, shardSets, (owners, shardIds) => {
        const sizes = sizesOf(evenDeal(owners, shardIds), shardIds);
        expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(owners.length);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('leaves as many units where they are as an even deal can', () => {
    fc.assert(
      fc.property(hands, shardSets, (owners, shardIds) => {
        const dealt = evenDeal(owners, shardIds);
        const stay = dealt.filter((shardId, unit) => shardId === owners[unit]).length;
        expect(stay).toBe(mostThatStay(owners, shardIds));
      }),
    );
  });

  it('does not depend on the order of the shards, and is at rest once it is even', () => {
    fc.assert(
      fc.property(hands, shardSets, (owners, shardIds) => {
        const dealt = evenDeal(owners, shardIds);
        expect(evenDeal(owners, [...shardIds].reverse())).toEqual(dealt);
        expect(evenDeal(dealt, shardIds)).toEqual(dealt);
      }),
    );
  });

  it('deals units that nobody holds in turn', () => {
    const nobody = new Array<undefined>(7).fill(undefined);
    expect(evenDeal(nobody, [30, 10, 20])).toEqual([10, 20, 30, 10, 20, 30, 10]);
    expect(evenDeal([], [1])).toEqual([]);
  });

  it('takes the last units of who has too many', () => {
    expect(evenDeal([1, 1, 1, 1, 2, 2], [1, 2, 3])).toEqual([1, 1, 3, 3, 2, 2]);
  });

  it('refuses no shards, and a shard twice', () => {
    expect(() => evenDeal([1], [])).toThrow(/at least one/);
    expect(() => evenDeal([1], [2, 2])).toThrow(/twice: 2, 2/);
  });
});
