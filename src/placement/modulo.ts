/** Slot modulo number of shards: the plainest layout, and the one that moves nearly everything. */
import { defined } from '../shared/assert.js';
import type { UnitMove } from './ownership-unit.js';
import { layoutMoves } from './slot-moves.js';
import { SLOTS, SlotTable } from './slot-table.js';
import { ascendingShards, type PlacementStrategy, type ShardChange } from './strategy.js';

/**
 * Slot s belongs to the shard of rank s modulo n. Perfectly even, and for clusters that never
 * change: a shard that joins n moves n/(n+1) of the slots, most of them between old shards.
 */
export class ModuloStrategy implements PlacementStrategy<SlotTable> {
  readonly name = 'modulo';

  place(shardIds: readonly number[]): SlotTable {
    const ranked = ascendingShards(shardIds);
    return new SlotTable(
      Array.from({ length: SLOTS }, (_, slot) =>
        defined(ranked[slot % ranked.length], `the shard of slot ${slot}`),
      ),
    );
  }

  unitMoves(table: SlotTable, change: ShardChange): UnitMove[] {
    return layoutMoves((shardIds) => this.place(shardIds), table, change);
  }
}
