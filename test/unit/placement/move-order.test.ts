// Goal: moves come in an order in which no shard is worse off on the way, and full nodes go first.
// Method: small allocations by hand, where another order would do harm.
import { describe, expect, it } from 'vitest';
import { movesBetween } from '../../../src/placement/move-order.js';
import { shardsOn } from './allocations.js';

/** Source and target of each move, with its shard. */
function movesOf(
  before: readonly (readonly number[])[],
  after: readonly (readonly number[])[],
  zones: readonly (readonly number[])[],
): number[][] {
  const { moves } = movesBetween(shardsOn(before), new Map(after.entries()), zones);
  return moves.map(({ shardId, fromNodeId, toNodeId }) => [shardId, fromNodeId, toNodeId]);
}

describe('movesBetween (M-16)', () => {
  it('goes to a zone without the shard before it leaves the only one of another', () => {
    const zones = [[1, 2], [5], [8, 9], [10]];
    expect(movesOf([[5, 8, 1, 2]], [[8, 1, 9, 10]], zones)).toEqual([
      [0, 5, 10],
      [0, 2, 9],
    ]);
  });

  it('replaces a replica in its own zone where that gets one', () => {
    const zones = [
      [1, 2],
      [3, 4],
    ];
    expect(movesOf([[1, 3]], [[4, 2]], zones)).toEqual([
      [0, 1, 2],
      [0, 3, 4],
    ]);
  });

  it('moves from the fullest node to the emptiest first', () => {
    const before = [[2], [1], [1], [4]];
    expect(movesOf(before, [[3], [5], [1], [4]], [[1, 2, 3, 4, 5]])).toEqual([
      [1, 1, 5],
      [0, 2, 3],
    ]);
  });

  it('puts who takes a replica over in its place', () => {
    const { allocation } = movesBetween(shardsOn([[1, 2, 3]]), new Map([[0, [3, 4, 2]]]), [
      [1, 2, 3, 4],
    ]);
    expect(allocation).toEqual(shardsOn([[4, 2, 3]]));
  });

  it('has nothing to do where nothing changes', () => {
    expect(movesOf([[1, 2]], [[2, 1]], [[1, 2]])).toEqual([]);
  });
});
