// Goal: a simulated change counts what really happens to keys.
// Method: hand-made placements whose numbers are known, and the ideal share by its cases.
import { describe, expect, it } from 'vitest';
import { ModuloStrategy } from '../../../src/placement/modulo.js';
import { RangeStrategy } from '../../../src/placement/range-strategy.js';
import { RingStrategy } from '../../../src/placement/ring-strategy.js';
import { idealMovedShare, simulateShardChange } from '../../../src/placement/simulation.js';

const shards = (count: number): number[] => Array.from({ length: count }, (_, at) => at);

describe('simulateShardChange', () => {
  it('counts keys, units and shares before and after', () => {
    const simulation = simulateShardChange({
      strategy: new RangeStrategy(['b', 'c', 'd']),
      change: { before: [0], after: [0, 1] },
      keys: ['a', 'b', 'b1', 'c', 'd', 'd1', 'd2', 'd3'],
    });
    expect(simulation).toEqual({
      strategy: 'range',
      unitKind: 'range',
      units: 4,
      movedUnits: 2,
      movedKeys: 5,
      needlessKeys: 0,
      before: { shards: [{ shardId: 0, keys: 8 }], largestShare: 1, deviation: 0 },
      after: {
        shards: [
          { shardId: 0, keys: 3 },
          { shardId: 1, keys: 5 },
        ],
        largestShare: 1.25,
        deviation: 0.25,
      },
      owners: [
        { before: 0, after: 0 },
        { before: 0, after: 0 },
        { before: 0, after: 1 },
        { before: 0, after: 1 },
      ],
    });
  });

  it('calls needless what moves between shards that were there and stay (M-10)', () => {
    const keys = Array.from({ length: 1_000 }, (_, at) => `key-${at}`);
    const change = { before: shards(3), after: shards(4) };
    const ring = simulateShardChange({ strategy: new RingStrategy(), change, keys });
    const modulo = simulateShardChange({ strategy: new ModuloStrategy(), change, keys });
    expect(ring.needlessKeys).toBe(0);
    const toNew = modulo.after.shards.find(({ shardId }) => shardId === 3)?.keys ?? 0;
    expect(modulo.needlessKeys).toBe(modulo.movedKeys - toNew);
    expect(modulo.needlessKeys).toBeGreaterThan(400);
  });
});

describe('idealMovedShare', () => {
  it.each([
    [3, shards(4), 1 / 4],
    [3, shards(6), 1 / 2],
    [4, shards(3), 1 / 4],
    [3, shards(3), 0],
    [3, [3, 4, 5], 1],
    [4, [0, 1, 4], 1 / 2],
  ])('of %i shards that become %j is %f', (before, after, share) => {
    expect(idealMovedShare({ before: shards(before), after })).toBeCloseTo(share, 12);
  });
});
