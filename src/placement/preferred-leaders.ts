/** Which replica of each shard should lead it, so that all nodes lead equally many shards. */
import { level } from './levelling.js';

/** A shard and the nodes that hold it. */
export interface ShardAllocation {
  readonly shardId: number;
  /** Distinct nodes; the first one is where the shard's leader is preferred. */
  readonly nodeIds: readonly number[];
}

/**
 * The same shards on the same nodes, each turned so that the node that leads fewest shards so far
 * comes first, and of those the one that was named first.
 */
export function choosePreferredLeaders(shards: readonly ShardAllocation[]): ShardAllocation[] {
  const counts = new Map<number, number>();
  return shards.map(({ shardId, nodeIds }) => {
    const led = nodeIds.map((nodeId) => counts.get(nodeId) ?? 0);
    const at = led.indexOf(Math.min(...led));
    const leaderId = nodeIds[at] as number;
    counts.set(leaderId, (counts.get(leaderId) ?? 0) + 1);
    return { shardId, nodeIds: [...nodeIds.slice(at), ...nodeIds.slice(0, at)] };
  });
}

/**
 * The same shards on the same nodes, with as few other leaders preferred as it takes to have them
 * spread as evenly as the replicas let them be.
 */
export function evenPreferredLeaders(
  shards: readonly ShardAllocation[],
  nodeIds: readonly number[],
): ShardAllocation[] {
  const byShard = new Map(shards.map((shard) => [shard.shardId, shard]));
  const ledBy = (nodeId: number) =>
    [...byShard.values()].filter((shard) => shard.nodeIds[0] === nodeId);
  level({
    nodeIds,
    loadOf: (nodeId) => ledBy(nodeId).length,
    shiftsFrom: (fromNodeId) =>
      ledBy(fromNodeId).flatMap(({ shardId, nodeIds: [, ...others] }) =>
        others.map((toNodeId) => ({ shardId, fromNodeId, toNodeId })),
      ),
    take: ({ shardId, toNodeId }) => {
      const others = byShard.get(shardId)?.nodeIds.filter((nodeId) => nodeId !== toNodeId) ?? [];
      byShard.set(shardId, { shardId, nodeIds: [toNodeId, ...others] });
    },
  });
  return [...byShard.values()];
}
