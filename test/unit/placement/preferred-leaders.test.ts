// Goal: leaders are evened out by changing as few as it takes, also where that takes a chain.
// Method: small allocations by hand; a property over any.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { evenPreferredLeaders } from '../../../src/placement/preferred-leaders.js';
import { ids, leadersOf, shardsOn, unevenness } from './allocations.js';

describe('evenPreferredLeaders (M-16)', () => {
  it('shifts a lead to the node that leads least', () => {
    const evened = evenPreferredLeaders(
      shardsOn([
        [1, 2, 3],
        [1, 2, 3],
        [2, 1, 3],
      ]),
      [1, 2, 3],
    );
    expect(evened).toEqual(
      shardsOn([
        [3, 1, 2],
        [1, 2, 3],
        [2, 1, 3],
      ]),
    );
  });

  it('shifts along a chain where no shard has both nodes', () => {
    const evened = evenPreferredLeaders(
      shardsOn([
        [1, 2],
        [1, 2],
        [2, 3],
      ]),
      [1, 2, 3],
    );
    expect(evened).toEqual(
      shardsOn([
        [2, 1],
        [1, 2],
        [3, 2],
      ]),
    );
  });

  it('leaves what is even to within one, or cannot be more even', () => {
    for (const hands of [
      [
        [1, 2],
        [2, 1],
        [2, 1],
      ],
      [
        [1, 2],
        [1, 2],
        [1, 2],
        [1, 2],
      ].slice(0, 1),
    ]) {
      expect(evenPreferredLeaders(shardsOn(hands), [1, 2])).toEqual(shardsOn(hands));
    }
    const apart = shardsOn([[1], [1], [1], [2]]);
    expect(evenPreferredLeaders(apart, [1, 2])).toEqual(apart);
  });

  it('keeps each shard where it is, and never makes leaders less even', () => {
    const any = fc.array(fc.shuffledSubarray(ids(8, 1), { minLength: 1 }), { minLength: 1 });
    fc.assert(
      fc.property(any, (hands) => {
        const shards = shardsOn(hands);
        const evened = evenPreferredLeaders(shards, ids(8, 1));
        for (const [at, { shardId, nodeIds }] of evened.entries()) {
          expect(shardId).toBe(at);
          expect(new Set(nodeIds)).toEqual(new Set(hands[at]));
        }
        const [before, after] = [shards, evened].map((each) => leadersOf(each, ids(8, 1)));
        if (before === undefined || after === undefined) throw new Error('two counts');
        expect(unevenness(after)).toBeLessThanOrEqual(unevenness(before));
        expect(evenPreferredLeaders(evened, ids(8, 1))).toEqual(evened);
      }),
    );
  });
});
