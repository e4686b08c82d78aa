/**
 * Slots: the units that move between shards. A key's slot never changes; the table says which
 * shard owns the slot now. The default table is laid out by the consistent-hash ring.
 */
import { assert, defined } from '../shared/assert.js';
import { LIMITS } from '../shared/limits.js';
import { slotOfKey } from '../shared/slot.js';
import type { OwnershipUnit, UnitMove } from './ownership-unit.js';
import { isOutstanding, noSuchUnit, type Placement } from './strategy.js';

/** Slots of every placement. A power of two, since a slot is the leading bits of a hash. */
export const SLOTS = LIMITS.slots.value;

const SLOT_SHIFT = 32 - Math.log2(SLOTS);

export { slotOfKey };

/** Where a slot's keys begin on the hash circle. */
export function slotPosition(slot: number): number {
  return (slot << SLOT_SHIFT) >>> 0;
}

/** Which shard owns each slot. A lookup by key costs one hash, a move a copy of the table. */
export class SlotTable implements Placement {
  /** Shard of each slot; `SLOTS` long. */
  readonly shardIds: readonly number[];

  constructor(shardIds: readonly number[]) {
    assert(shardIds.length === SLOTS, `a table of ${shardIds.length} slots, not ${SLOTS}`);
    this.shardIds = shardIds;
  }

  shardOf(routingKey: string): number {
    return this.shardOfSlot(slotOfKey(routingKey));
  }

  shardOfSlot(slot: number): number {
    return defined(this.shardIds[slot], `slot ${slot}`);
  }

  /** The slots that a shard owns, ascending. Looks at every slot. */
  slotsOf(shardId: number): number[] {
    return this.shardIds.flatMap((owner, slot) => (owner === shardId ? [slot] : []));
  }

  unitOf(routingKey: string): OwnershipUnit {
    return { kind: 'slot', slot: slotOfKey(routingKey) };
  }

  units(): OwnershipUnit[] {
    return this.shardIds.map((_, slot) => ({ kind: 'slot', slot }));
  }

  ownerOf(unit: OwnershipUnit): number {
    return ownerIn(this.shardIds, unit);
  }

  moved(move: UnitMove): SlotTable {
    return this.movedAll([move]);
  }

  /** The same for several moves, one after the other. Costs a copy of the table, and the moves. */
  movedAll(moves: readonly UnitMove[]): SlotTable {
    const shardIds = [...this.shardIds];
    const table = { ownerOf: (unit: OwnershipUnit) => ownerIn(shardIds, unit) };
    let isChanged = false;
    for (const move of moves) {
      const { unit, toShardId } = move;
      if (unit.kind !== 'slot') throw noSuchUnit(unit);
      if (!isOutstanding(table, move)) continue;
      shardIds[unit.slot] = toShardId;
      isChanged = true;
    }
    return isChanged ? new SlotTable(shardIds) : this;
  }
}

function ownerIn(shardIds: readonly number[], unit: OwnershipUnit): number {
  const owner = unit.kind === 'slot' ? shardIds[unit.slot] : undefined;
  if (owner === undefined) throw noSuchUnit(unit);
  return owner;
}
