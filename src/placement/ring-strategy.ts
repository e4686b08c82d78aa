/** The cluster's default: slots laid out by the consistent-hash ring. */
import { HashRing, type HashRingOptions } from './hash-ring.js';
import type { UnitMove } from './ownership-unit.js';
import { layoutMoves } from './slot-moves.js';
import { SLOTS, SlotTable, slotPosition } from './slot-table.js';
import type { PlacementStrategy, ShardChange } from './strategy.js';

/**
 * Each slot belongs to the ring's owner of the place where the slot begins.
 *
 * One shard more among n moves about 1/(n+1) of the slots, all of them to the new shard. Shares
 * get less even as shards grow in number: with the default points the largest is 1.1 times the
 * mean at 4 shards, 1.2 at 16, 1.6 at 64; at 256 shards, 4 slots each on average, some own none.
 */
export class RingStrategy implements PlacementStrategy<SlotTable> {
  readonly name = 'ring';
  readonly #options: HashRingOptions;

  constructor(options: HashRingOptions = {}) {
    this.#options = options;
  }

  place(shardIds: readonly number[]): SlotTable {
    const ring = new HashRing(shardIds, this.#options);
    return new SlotTable(
      Array.from({ length: SLOTS }, (_, slot) => ring.ownerOf(slotPosition(slot))),
    );
  }

  unitMoves(table: SlotTable, change: ShardChange): UnitMove[] {
    return layoutMoves((shardIds) => this.place(shardIds), table, change);
  }
}
