// Goal: what every placement strategy promises, whoever writes it.
// Method: a suite that takes the strategy and its own claims.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Placement, PlacementStrategy } from '../../src/placement/strategy.js';

export interface PlacementClaims {
  /** The largest share of keys a shard may have, as a multiple of the mean, at 2 to 16 shards. */
  readonly largestShare: number;
  /** Whether a shard that joins takes keys from the others and leaves all else where it was. */
  readonly movesOnlyToNewShard: boolean;
  /** Bounds of the share of keys that move when a shard joins n, as a multiple of 1 / (n + 1). */
  readonly movedShare: { readonly min: number; readonly max: number };
}

const KEYS = Array.from({ length: 20_000 }, (_, at) => `key-${at}`);

const ownersOf = (placement: Placement): number[] => KEYS.map((key) => placement.shardOf(key));
const firstShards = (count: number): number[] => Array.from({ length: count }, (_, at) => at);

export function placementStrategySuite(strategy: PlacementStrategy, claims: PlacementClaims): void {
  describe(`placement strategy ${strategy.name}`, () => {
    const shardSets = fc.uniqueArray(fc.nat({ max: 1_000 }), { minLength: 1, maxLength: 20 });

    it('gives every key to exactly one of the shards (M-9)', () => {
      fc.assert(
        fc.property(
          shardSets,
          fc.array(fc.string({ unit: 'binary' }), { maxLength: 50 }),
          (shardIds, keys) => {
            const placement = strategy.place(shardIds);
            for (const key of keys) expect(shardIds).toContain(placement.shardOf(key));
          },
        ),
        { numRuns: 50 },
      );
    });

    it('gives the same answer again, in whatever order the shards are named', () => {
      fc.assert(
        fc.property(shardSets, fc.string({ unit: 'binary' }), (shardIds, key) => {
          const owner = strategy.place(shardIds).shardOf(key);
          expect(strategy.place([...shardIds].reverse()).shardOf(key)).toBe(owner);
        }),
        { numRuns: 50 },
      );
    });

    it(`keeps the largest share within ${claims.largestShare} times the mean (M-8)`, () => {
      for (const shards of [2, 3, 4, 8, 16]) {
        const counts = new Map<number, number>();
        for (const owner of ownersOf(strategy.place(firstShards(shards)))) {
          counts.set(owner, (counts.get(owner) ?? 0) + 1);
        }
        const largest = Math.max(...counts.values()) / (KEYS.length / shards);
        expect(largest, `${shards} shards`).toBeLessThanOrEqual(claims.largestShare);
      }
    });

    it('moves the keys that it claims to move when a shard joins (M-10)', () => {
      for (const shards of [2, 3, 4, 7, 11]) {
        const before = ownersOf(strategy.place(firstShards(shards)));
        const after = ownersOf(strategy.place(firstShards(shards + 1)));
        const moved = after.filter((owner, at) => owner !== before[at]);
        const share = (moved.length / KEYS.length) * (shards + 1);
        expect(share, `${shards} shards`).toBeGreaterThanOrEqual(claims.movedShare.min);
        expect(share, `${shards} shards`).toBeLessThanOrEqual(claims.movedShare.max);
        expect(moved.every((owner) => owner === shards)).toBe(claims.movesOnlyToNewShard);
      }
    });
  });
}
