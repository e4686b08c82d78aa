// Goal: what every placement strategy promises, whoever writes it.
// Method: a suite that takes the strategy and its own claims.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { OwnershipUnit, UnitMove } from '../../src/placement/ownership-unit.js';
import type { Placement, PlacementStrategy } from '../../src/placement/strategy.js';
import { codePoint } from '../support/code-point.js';
import { errorOf } from '../support/error-of.js';

/** Bounds of the share of keys that move, as a multiple of what an even spread would need. */
export interface MovedShare {
  readonly min: number;
  readonly max: number;
}

export interface PlacementClaims {
  /** The largest share of keys a shard may have, as a multiple of the mean, at 2 to 16 shards. */
  readonly largestShare: number;
  /** The smallest share, as a multiple of the mean. */
  readonly smallestShare: number;
  /** Whether keys move only to shards that join and from shards that leave. */
  readonly movesOnlyWhatItMust: boolean;
  /** When a shard joins n: as a multiple of 1 / (n + 1). */
  readonly movedWhenJoining: MovedShare;
  /** When one of n leaves: as a multiple of 1 / n. */
  readonly movedWhenLeaving: MovedShare;
  /** Whether the set of shards alone says who owns what, or also how it came to be. */
  readonly followsFromShards: boolean;
}

const KEYS = Array.from({ length: 20_000 }, (_, at) => `key-${at}`);
/** Enough to see what one move does. */
const SOME_KEYS = KEYS.slice(0, 1_000);

const ownersOf = (placement: Placement, keys = KEYS): number[] =>
  keys.map((key) => placement.shardOf(key));
const firstShards = (count: number): number[] => Array.from({ length: count }, (_, at) => at);
const textOf = (unit: OwnershipUnit): string => JSON.stringify(unit);
const withMoves = (placement: Placement, moves: readonly UnitMove[]): Placement =>
  moves.reduce((moving, move) => moving.moved(move), placement);

const shardSets = fc.uniqueArray(fc.nat({ max: 1_000 }), { minLength: 1, maxLength: 20 });
/** Any string at all, halves of surrogate pairs too. */
const anyKey = fc.oneof(
  fc.string({ unit: codePoint }),
  fc.array(fc.nat({ max: 0xffff })).map((units) => String.fromCharCode(...units)),
);

interface Change {
  readonly before: Placement;
  readonly moves: readonly UnitMove[];
  readonly after: Placement;
  /** Owners of `KEYS`. */
  readonly from: readonly number[];
  readonly to: readonly number[];
}

function changeOf(
  strategy: PlacementStrategy,
  shards: { before: readonly number[]; after: readonly number[] },
): Change {
  const before = strategy.place(shards.before);
  const moves = strategy.unitMoves(before, shards);
  const after = withMoves(before, moves);
  return { before, moves, after, from: ownersOf(before), to: ownersOf(after) };
}

function movedShareOf({ from, to }: Change): number {
  return to.filter((owner, at) => owner !== from[at]).length / KEYS.length;
}

export function placementStrategySuite(strategy: PlacementStrategy, claims: PlacementClaims): void {
  describe(`placement strategy ${strategy.name}`, () => {
    describe('spreads keys', () => spreadSuite(strategy, claims));
    describe('when shards join or leave', () => changeSuite(strategy, claims));
    describe('moves units', () => moveSuite(strategy));
  });
}

function spreadSuite(strategy: PlacementStrategy, claims: PlacementClaims): void {
  it('gives every string to exactly one of the shards, by its unit (M-9)', () => {
    fc.assert(
      fc.property(shardSets, fc.array(anyKey, { maxLength: 50 }), (shardIds, keys) => {
        const placement = strategy.place(shardIds);
        const units = new Set(placement.units().map(textOf));
        for (const key of keys) {
          const owner = placement.shardOf(key);
          expect(shardIds).toContain(owner);
          expect(placement.ownerOf(placement.unitOf(key))).toBe(owner);
          expect(units).toContain(textOf(placement.unitOf(key)));
        }
      }),
      { numRuns: 20 },
    );
  });

  it('gives the same answer again, in whatever order the shards are named', () => {
    fc.assert(
      fc.property(shardSets, (shardIds) => {
        const placement = strategy.place(shardIds);
        const again = strategy.place([...shardIds].reverse());
        expect(ownersOf(again, SOME_KEYS)).toEqual(ownersOf(placement, SOME_KEYS));
        expect(again.units()).toEqual(placement.units());
      }),
      { numRuns: 20 },
    );
  });

  const { smallestShare, largestShare } = claims;
  it(`keeps shares from ${smallestShare} to ${largestShare} of the mean (M-8)`, () => {
    for (const shards of [2, 3, 4, 8, 16]) {
      const counts = new Map(firstShards(shards).map((shardId) => [shardId, 0]));
      for (const owner of ownersOf(strategy.place(firstShards(shards)))) {
        counts.set(owner, (counts.get(owner) ?? Number.NaN) + 1);
      }
      const shares = [...counts.values()].map((count) => (count * shards) / KEYS.length);
      expect(Math.max(...shares), `${shards} shards`).toBeLessThanOrEqual(largestShare);
      expect(Math.min(...shares), `${shards} shards`).toBeGreaterThanOrEqual(smallestShare);
    }
  });

  it('lists each unit once', () => {
    const units = strategy.place([0, 1, 2]).units();
    expect(units.length).toBeGreaterThan(3);
    expect(new Set(units.map(textOf)).size).toBe(units.length);
  });
}

function changeSuite(strategy: PlacementStrategy, claims: PlacementClaims): void {
  it('moves as many keys as it claims to the one that joins (M-10)', () => {
    for (const shards of [2, 3, 4, 7, 11]) {
      const [before, after] = [firstShards(shards), firstShards(shards + 1)];
      const change = changeOf(strategy, { before, after });
      const share = movedShareOf(change) * (shards + 1);
      expect(share, `${shards} shards`).toBeGreaterThanOrEqual(claims.movedWhenJoining.min);
      expect(share, `${shards} shards`).toBeLessThanOrEqual(claims.movedWhenJoining.max);
      const onlyToNew = change.to.every(
        (owner, at) => owner === change.from[at] || owner === shards,
      );
      expect(onlyToNew, `${shards} shards`).toBe(claims.movesOnlyWhatItMust);
    }
  });

  it('moves as many keys as it claims from the one that leaves, and all of its own', () => {
    for (const shards of [3, 4, 7, 11]) {
      const leaving = Math.floor(shards / 2);
      const before = firstShards(shards);
      const after = before.filter((shardId) => shardId !== leaving);
      const change = changeOf(strategy, { before, after });
      const share = movedShareOf(change) * shards;
      expect(share, `${shards} shards`).toBeGreaterThanOrEqual(claims.movedWhenLeaving.min);
      expect(share, `${shards} shards`).toBeLessThanOrEqual(claims.movedWhenLeaving.max);
      const onlyFromOld = change.from.every(
        (owner, at) => owner === change.to[at] || owner === leaving,
      );
      expect(onlyFromOld, `${shards} shards`).toBe(claims.movesOnlyWhatItMust);
      const units = change.after.units();
      expect(units.map((unit) => change.after.ownerOf(unit))).not.toContain(leaving);
    }
  });

  it('names each unit once, with the owner that it has', () => {
    fc.assert(
      fc.property(shardSets, shardSets, (before, after) => {
        const placement = strategy.place(before);
        const moves = strategy.unitMoves(placement, { before, after });
        const owners = moves.map(({ unit }) => placement.ownerOf(unit));
        expect(moves.map(({ fromShardId }) => fromShardId)).toEqual(owners);
        const targets = moves.map(({ toShardId }) => toShardId);
        expect(targets.filter((target, at) => target === owners[at])).toEqual([]);
        expect(targets.filter((target) => !after.includes(target))).toEqual([]);
        expect(new Set(moves.map(({ unit }) => textOf(unit))).size).toBe(moves.length);
      }),
      { numRuns: 20 },
    );
  });

  it('comes to one layout in whatever order the moves are made, and forgets no shard', () => {
    fc.assert(
      fc.property(shardSets, shardSets, fc.infiniteStream(fc.nat()), (before, after, ranks) => {
        const placement = strategy.place(before);
        const moves = strategy.unitMoves(placement, { before, after });
        const shuffled = moves
          .map((move) => ({ move, rank: ranks.next().value }))
          .sort((a, b) => a.rank - b.rank)
          .map(({ move }) => move);
        const [inOrder, outOfOrder] = [moves, shuffled].map((all) => withMoves(placement, all));
        const units = placement.units();
        const owners = units.map((unit) => inOrder?.ownerOf(unit));
        expect(units.map((unit) => outOfOrder?.ownerOf(unit))).toEqual(owners);
        for (const owner of new Set(owners)) expect(after).toContain(owner);
        const placed = strategy.place(after);
        if (claims.followsFromShards) {
          expect(owners).toEqual(units.map((unit) => placed.ownerOf(unit)));
        }
      }),
      { numRuns: 10 },
    );
  });

  it('goes on with a change that is half made, and leaves gone shards whatever comes next', () => {
    const others = fc.uniqueArray(fc.nat({ max: 30 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(others, others, others, (before, after, instead) => {
        const placement = strategy.place(before);
        const moves = strategy.unitMoves(placement, { before, after });
        const made = Math.floor(moves.length / 2);
        const half = withMoves(placement, moves.slice(0, made));
        const rest = strategy.unitMoves(half, { before, after });
        expect(rest.length).toBe(moves.length - made);
        for (const target of [after, instead, before]) {
          const change = { before, after: target };
          const done = withMoves(half, strategy.unitMoves(half, change));
          expect(strategy.unitMoves(done, { before: target, after: target })).toEqual([]);
          const left = new Set(done.units().map((unit) => done.ownerOf(unit)));
          expect([...left].filter((shardId) => !target.includes(shardId))).toEqual([]);
          if (claims.followsFromShards && target === after) {
            expect(ownersOf(done, SOME_KEYS)).toEqual(ownersOf(strategy.place(after), SOME_KEYS));
          }
        }
      }),
      { numRuns: 10 },
    );
  });

  it('moves nothing where nothing changes', () => {
    const shardIds = [4, 9, 2];
    expect(
      strategy.unitMoves(strategy.place(shardIds), { before: shardIds, after: shardIds }),
    ).toEqual([]);
  });

  it('has placed only what follows from the shards, or says so', () => {
    const [three, four] = [firstShards(3), firstShards(4)];
    const grown = changeOf(strategy, { before: three, after: four });
    const same = ownersOf(strategy.place(four)).every((owner, at) => owner === grown.to[at]);
    expect(same).toBe(claims.followsFromShards);
  });
}

function moveSuite(strategy: PlacementStrategy): void {
  const shardIds = [1, 2, 3];
  const placement = strategy.place(shardIds);
  const units = placement.units();
  const anyUnit = fc
    .nat({ max: units.length - 1 })
    .map((at) => units[at] as (typeof units)[number]);

  it('one at a time: the keys of that unit move and no others', () => {
    fc.assert(
      fc.property(anyUnit, fc.constantFrom(...shardIds, 7), (unit, toShardId) => {
        const fromShardId = placement.ownerOf(unit);
        const moved = placement.moved({ unit, fromShardId, toShardId });
        expect(moved.ownerOf(unit)).toBe(toShardId);
        expect(moved.units()).toEqual(units);
        const expected = SOME_KEYS.map((key) =>
          textOf(placement.unitOf(key)) === textOf(unit) ? toShardId : placement.shardOf(key),
        );
        expect(ownersOf(moved, SOME_KEYS)).toEqual(expected);
        expect(placement.ownerOf(unit), 'the placement itself is immutable').toBe(fromShardId);
      }),
      { numRuns: 20 },
    );
  });

  it('and takes the same move twice as one', () => {
    const unit = placement.unitOf('a');
    const move = { unit, fromShardId: placement.ownerOf(unit), toShardId: 8 };
    const moved = placement.moved(move);
    expect(moved.moved(move)).toBe(moved);
  });

  it('and refuses to move what is elsewhere, or does not exist', () => {
    const unit = placement.unitOf('a');
    const stale = { unit, fromShardId: 8, toShardId: 9 };
    const refusal = { reason: 'INVALID_REQUEST', field: 'fromShardId' };
    expect(errorOf(() => placement.moved(stale))).toMatchObject(refusal);
    const unknown = [
      { kind: 'slot', slot: 1_024 },
      { kind: 'slot', slot: -1 },
      { kind: 'range', rangeId: 1_000_000 },
    ] as const;
    for (const none of unknown) {
      const move = { unit: none, fromShardId: 1, toShardId: 2 };
      const noUnit = { reason: 'INVALID_REQUEST', field: 'unit' };
      expect(errorOf(() => placement.moved(move))).toMatchObject(noUnit);
      expect(errorOf(() => placement.ownerOf(none))).toMatchObject(noUnit);
    }
  });
}
