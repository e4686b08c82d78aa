/** Tenants by directory, over a strategy for slots that spreads those without an assignment. */
import { FlotillaError } from '../shared/errors.js';
import type { UnitMove } from './ownership-unit.js';
import { SlotTable, slotOfKey } from './slot-table.js';
import type { PlacementStrategy, ShardChange } from './strategy.js';
import { TenantDirectory } from './tenant-directory.js';

/**
 * Many small tenants share a shard and a big one has its own (M-19). Until something is assigned
 * or dedicated it spreads and moves tenants as the strategy below it does keys.
 */
export class TenantStrategy implements PlacementStrategy<TenantDirectory> {
  readonly name = 'tenant-directory';
  readonly #hash: PlacementStrategy<SlotTable>;

  constructor(hash: PlacementStrategy<SlotTable>) {
    this.#hash = hash;
  }

  /** Nobody assigned, no shard dedicated. */
  place(shardIds: readonly number[]): TenantDirectory {
    return new TenantDirectory({
      slotTable: this.#hash.place(shardIds).shardIds,
      assignments: [],
      dedicatedShardIds: [],
    });
  }

  /**
   * Slots move as the strategy below says, over the shards that are not dedicated. A tenant stays
   * where it is assigned while that shard stays; else it goes where its hash says after the change.
   * Throws INVALID_REQUEST where no shard would be left for slots.
   */
  unitMoves(directory: TenantDirectory, { before, after }: ShardChange): UnitMove[] {
    const isHashed = (shardId: number): boolean => !directory.isDedicated(shardId);
    return this.#moves(
      directory,
      { before: before.filter(isHashed), after },
      after.filter(isHashed),
    );
  }

  /** What has to move before a shard of the cluster can be dedicated: its slots. */
  dedicationMoves(
    directory: TenantDirectory,
    shardIds: readonly number[],
    dedicatedShardId: number,
  ): UnitMove[] {
    const before = shardIds.filter((shardId) => !directory.isDedicated(shardId));
    const hashed = before.filter((shardId) => shardId !== dedicatedShardId);
    return this.#moves(directory, { before, after: shardIds }, hashed);
  }

  /** `hashed`: the shards of `after` that are to own slots. */
  #moves(
    directory: TenantDirectory,
    { before, after }: ShardChange,
    hashed: readonly number[],
  ): UnitMove[] {
    if (hashed.length === 0) {
      const message = 'no shard would be left for tenants that are spread by hash';
      throw new FlotillaError('INVALID_REQUEST', message, { field: 'shardIds' });
    }
    const slots = new SlotTable(directory.state.slotTable);
    const slotMoves = this.#hash.unitMoves(slots, { before, after: hashed });
    const target = slots.movedAll(slotMoves);
    const staying = new Set(after);
    const tenantMoves = directory.state.assignments
      .filter(({ shardId }) => !staying.has(shardId))
      .map(
        ({ tenant, shardId }): UnitMove => ({
          unit: { kind: 'tenant', tenant },
          fromShardId: shardId,
          toShardId: target.shardOfSlot(slotOfKey(tenant)),
        }),
      );
    return [...slotMoves, ...tenantMoves];
  }
}
