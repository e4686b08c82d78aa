/** What every way of spreading keys over shards has in common. */
import { assert } from '../shared/assert.js';
import { FlotillaError } from '../shared/errors.js';
import { describeUnit, type OwnershipUnit, type UnitMove } from './ownership-unit.js';

/**
 * A finished layout: who owns which key. Immutable, pure, and the same on every node that holds the
 * same plain data, which each implementation takes and gives back.
 */
export interface Placement {
  /**
   * The shard of a routing key: a record's id, its tenant or its shard key (routing-key.ts). Total:
   * every string has exactly one shard.
   */
  shardOf(routingKey: string): number;
  /** The unit that a routing key belongs to; `ownerOf` it is `shardOf` the key. */
  unitOf(routingKey: string): OwnershipUnit;
  /** All units that there are now, each once. Moving one of them does not change the list. */
  units(): OwnershipUnit[];
  /** The shard that owns a unit. Throws INVALID_REQUEST where the placement has no such unit. */
  ownerOf(unit: OwnershipUnit): number;
  /**
   * The placement after a move, which touches the keys of that unit and no others; the very same
   * placement where the unit is at its target already. Throws INVALID_REQUEST where another shard
   * than `fromShardId` owns the unit.
   */
  moved(move: UnitMove): Placement;
}

/** The set of shards that keys are spread over changes. Ids are distinct, in any order. */
export interface ShardChange {
  /**
   * The shards that the placement was laid out for: until the last move of a change is made, those
   * before that change. So it can be planned again half way, and goes on where it was.
   */
  readonly before: readonly number[];
  /** At least one. */
  readonly after: readonly number[];
}

/**
 * Lays keys out over shards. Strategies differ in how evenly they spread keys, and in how many
 * keys move when the set of shards changes; `placementStrategySuite` checks what each one claims.
 */
export interface PlacementStrategy<P extends Placement = Placement> {
  /** Stable: it is written into the topology where a collection names its strategy. */
  readonly name: string;
  /**
   * The layout that a collection starts with. Depends on the set of shard ids only, not on their
   * order. Ids are distinct, at least one.
   */
  place(shardIds: readonly number[]): P;
  /**
   * What has to move when shards join or leave, in the order of the placement's units, each of them
   * at most once. After the last move no unit is left on a shard that has gone; in between, and
   * in whatever order the moves are made, every key has one owner.
   */
  unitMoves(placement: P, change: ShardChange): UnitMove[];
}

/** Whether the move is still to be made; throws as `Placement.moved` does. */
export function isOutstanding(placement: Pick<Placement, 'ownerOf'>, move: UnitMove): boolean {
  const owner = placement.ownerOf(move.unit);
  if (owner === move.toShardId) return false;
  if (owner === move.fromShardId) return true;
  const name = describeUnit(move.unit);
  throw new FlotillaError(
    'INVALID_REQUEST',
    `${name} is on shard ${owner}, not on shard ${move.fromShardId}`,
    { field: 'fromShardId' },
  );
}

/** INVALID_REQUEST, for a unit that the placement does not have. */
export function noSuchUnit(unit: OwnershipUnit): FlotillaError {
  const message = `The placement has no ${describeUnit(unit)}`;
  return new FlotillaError('INVALID_REQUEST', message, { field: 'unit' });
}

/** The ids in ascending order, which the strategies lay keys out in. */
export function ascendingShards(shardIds: readonly number[]): number[] {
  assert(shardIds.length > 0, 'keys need at least one shard');
  assert(new Set(shardIds).size === shardIds.length, () => `a shard twice: ${shardIds.join(', ')}`);
  return [...shardIds].sort((a, b) => a - b);
}
