/** The moves that make one allocation of another, in an order that does no harm on the way. */
import { defined } from '../shared/assert.js';
import type { Shift } from './levelling.js';
import type { ShardAllocation } from './preferred-leaders.js';
import type { Zone } from './zones.js';

interface ShardMoves {
  readonly moves: Shift[];
  readonly allocation: ShardAllocation;
}

/**
 * `after` has for each shard as many nodes as before. Each replica moves once at most, and whoever
 * takes one over takes its place in the order. The next move is always from the fullest node to the
 * emptiest, as far as the order of each shard's moves lets it be.
 */
export function movesBetween(
  before: readonly ShardAllocation[],
  after: ReadonlyMap<number, readonly number[]>,
  zones: readonly Zone[],
): { readonly moves: Shift[]; readonly allocation: ShardAllocation[] } {
  const shards = before.map((shard) => {
    const nodeIds = defined(after.get(shard.shardId), `shard ${shard.shardId}`);
    return movesOfShard(shard, nodeIds, zones);
  });
  const loads = new Map<number, number>();
  const loadOf = (nodeId: number): number => loads.get(nodeId) ?? 0;
  for (const nodeId of before.flatMap(({ nodeIds }) => nodeIds)) {
    loads.set(nodeId, loadOf(nodeId) + 1);
  }
  const gainOf = (move: Shift): number => loadOf(move.fromNodeId) - loadOf(move.toNodeId);
  const queues = shards.map((shard) => shard.moves.toReversed());
  const moves: Shift[] = [];
  for (;;) {
    const [first, ...others] = queues.flatMap((queue) => queue.slice(-1));
    if (first === undefined) break;
    const next = others.reduce((best, move) => (gainOf(move) > gainOf(best) ? move : best), first);
    queues.find((queue) => queue.at(-1) === next)?.pop();
    loads.set(next.fromNodeId, loadOf(next.fromNodeId) - 1);
    loads.set(next.toNodeId, loadOf(next.toNodeId) + 1);
    moves.push(next);
  }
  return { moves, allocation: shards.map(({ allocation }) => allocation) };
}

/**
 * Each replica that goes is replaced in its own zone where that gets one. The others go to zones
 * that have none of the shard as long as there are such: with `after` in as many zones as can be,
 * the shard is never in fewer than before.
 */
function movesOfShard(
  { shardId, nodeIds }: ShardAllocation,
  after: readonly number[],
  zones: readonly Zone[],
): ShardMoves {
  const zoneAt = (nodeId: number): number => zones.findIndex((zone) => zone.includes(nodeId));
  const going = new Set(nodeIds.filter((nodeId) => !after.includes(nodeId)));
  const coming = new Set(after.filter((nodeId) => !nodeIds.includes(nodeId)));
  const moves: Shift[] = [];
  let holders = nodeIds;
  const move = (fromNodeId: number, toNodeId: number): void => {
    moves.push({ shardId, fromNodeId, toNodeId });
    holders = holders.map((nodeId) => (nodeId === fromNodeId ? toNodeId : nodeId));
    going.delete(fromNodeId);
    coming.delete(toNodeId);
  };
  for (const fromNodeId of going) {
    const toNodeId = [...coming].find((nodeId) => zoneAt(nodeId) === zoneAt(fromNodeId));
    if (toNodeId !== undefined) move(fromNodeId, toNodeId);
  }
  for (const fromNodeId of going) {
    const heldNear = (nodeId: number): number =>
      holders.filter((holder) => zoneAt(holder) === zoneAt(nodeId)).length;
    const toNodeId = [...coming].reduce((a, b) => (heldNear(b) < heldNear(a) ? b : a));
    move(fromNodeId, toNodeId);
  }
  return { moves, allocation: { shardId, nodeIds: holders } };
}
