/**
 * What a change of the set of shards does to keys, by strategy: how many move, how many of those
 * for nothing, and how evenly they lie before and after (M-10).
 */
import type { OwnershipUnit } from './ownership-unit.js';
import type { Placement, PlacementStrategy, ShardChange } from './strategy.js';

export interface SimulationRequest {
  readonly strategy: PlacementStrategy;
  readonly change: ShardChange;
  /** Routing keys, each counted once. At least one. */
  readonly keys: readonly string[];
}

export interface Simulation {
  readonly strategy: string;
  /** What moves: the kind of the placement's units. */
  readonly unitKind: OwnershipUnit['kind'];
  readonly units: number;
  readonly movedUnits: number;
  readonly movedKeys: number;
  /** Moved keys that no shard had to give or take: from one that stays to one that was there. */
  readonly needlessKeys: number;
  readonly before: Spread;
  readonly after: Spread;
  /** Units in the order of their keys: where each is before and after. */
  readonly owners: readonly UnitOwners[];
}

export interface UnitOwners {
  readonly before: number;
  readonly after: number;
}

/** How keys lie on shards. */
export interface Spread {
  /** In the order of the shards that were asked for. */
  readonly shards: readonly { readonly shardId: number; readonly keys: number }[];
  /** Keys of the fullest shard, as a multiple of the mean. 1 is perfect. */
  readonly largestShare: number;
  /** Standard deviation of the keys of a shard, as a share of the mean. 0 is perfect. */
  readonly deviation: number;
}

/** Costs a lookup before and after for each key, and the moves. */
export function simulateShardChange({ strategy, change, keys }: SimulationRequest): Simulation {
  const before = strategy.place(change.before);
  const moves = strategy.unitMoves(before, change);
  const after = moves.reduce<Placement>((placement, move) => placement.moved(move), before);
  const [there, staying] = [new Set(change.before), new Set(change.after)];
  const paths = keys.map((key) => ({ from: before.shardOf(key), to: after.shardOf(key) }));
  const moved = paths.filter(({ from, to }) => from !== to);
  const needless = moved.filter(({ from, to }) => staying.has(from) && there.has(to));
  const units = before.units();
  return {
    strategy: strategy.name,
    unitKind: before.unitOf('').kind,
    units: units.length,
    movedUnits: moves.length,
    movedKeys: moved.length,
    needlessKeys: needless.length,
    before: spreadOver(
      change.before,
      paths.map(({ from }) => from),
    ),
    after: spreadOver(
      change.after,
      paths.map(({ to }) => to),
    ),
    owners: units.map((unit) => ({ before: before.ownerOf(unit), after: after.ownerOf(unit) })),
  };
}

/**
 * The share of keys that has to move where all shards are equally full before and after: each shard
 * that stays keeps as much as it may.
 */
export function idealMovedShare({ before, after }: ShardChange): number {
  const there = new Set(before);
  const stay = after.filter((shardId) => there.has(shardId)).length;
  return 1 - stay / Math.max(before.length, after.length);
}

function spreadOver(shardIds: readonly number[], owners: readonly number[]): Spread {
  const counts = new Map(shardIds.map((shardId) => [shardId, 0]));
  for (const owner of owners) counts.set(owner, (counts.get(owner) ?? 0) + 1);
  const mean = owners.length / shardIds.length;
  const squares = [...counts.values()].map((keys) => (keys - mean) ** 2);
  const variance = squares.reduce((sum, square) => sum + square, 0) / shardIds.length;
  return {
    shards: [...counts].map(([shardId, keys]) => ({ shardId, keys })),
    largestShare: Math.max(...counts.values()) / mean,
    deviation: Math.sqrt(variance) / mean,
  };
}
