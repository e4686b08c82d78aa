/** Which slots move from one layout to another. */
import { assert } from '../shared/assert.js';
import type { UnitMove } from './ownership-unit.js';
import type { SlotTable } from './slot-table.js';
import type { ShardChange } from './strategy.js';

/** The moves that make `table` what `owners` says; in the order of the slots. */
export function slotMoves(table: SlotTable, owners: readonly number[]): UnitMove[] {
  return table.shardIds.flatMap((fromShardId, slot) => {
    const toShardId = owners[slot];
    assert(toShardId !== undefined, () => `no owner for slot ${slot}`);
    return toShardId === fromShardId
      ? []
      : [{ unit: { kind: 'slot', slot }, fromShardId, toShardId }];
  });
}

/**
 * The moves of a layout that follows from the set of shards alone. Lays slots out twice.
 *
 * A slot on another shard of `before` than the layout of `before` has put it on was moved by hand:
 * it stays there while that shard stays, so that a shard that joins does not undo what an operator
 * did. A slot on a shard that is not in `before` was moved by a change that is not over yet. One
 * that such a change has moved between shards of `before` looks as if moved by hand: finish what is
 * half made, or undo it by its own moves, before another change is planned.
 */
export function layoutMoves(
  place: (shardIds: readonly number[]) => SlotTable,
  table: SlotTable,
  { before, after }: ShardChange,
): UnitMove[] {
  const [oldLayout, newLayout] = [place(before), place(after)];
  const there = new Set(before);
  const staying = new Set(after.filter((shardId) => there.has(shardId)));
  const owners = table.shardIds.map((owner, slot) => {
    const movedByHand = owner !== oldLayout.shardOfSlot(slot);
    return movedByHand && staying.has(owner) ? owner : newLayout.shardOfSlot(slot);
  });
  return slotMoves(table, owners);
}
