/** 1,024 virtual shards dealt evenly to the real ones, in the manner of Redis Cluster. */

import { evenDeal } from './even-deal.js';
import type { UnitMove } from './ownership-unit.js';
import { slotMoves } from './slot-moves.js';
import { SLOTS, SlotTable } from './slot-table.js';
import type { PlacementStrategy, ShardChange } from './strategy.js';

/**
 * The slots are the virtual shards. Every shard owns the same number of them to within one, and
 * when shards join or leave exactly as many slots move as that takes. Where a slot is depends on
 * the changes that came before, not only on the set of shards; slots that were moved by hand move
 * on where the deal is uneven without that.
 */
export class VirtualShardStrategy implements PlacementStrategy<SlotTable> {
  readonly name = 'virtual-shards';

  place(shardIds: readonly number[]): SlotTable {
    return new SlotTable(evenDeal(new Array<undefined>(SLOTS).fill(undefined), shardIds));
  }

  unitMoves(table: SlotTable, { after }: ShardChange): UnitMove[] {
    return slotMoves(table, evenDeal(table.shardIds, after));
  }
}
