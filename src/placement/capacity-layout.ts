/**
 * How full the shards and nodes of a cluster become: not by averages, but by the slot table and the
 * allocation that a cluster of that size gets.
 */
import { allocateReplicas } from './allocator.js';
import { DEFAULT_VIRTUAL_NODES } from './hash-ring.js';
import { type SlotLayout, slotStrategy } from './slot-layout.js';
import { SLOTS } from './slot-table.js';

/** How much larger than the average shard the largest may be (M-28). */
export const SHARD_VARIANCE_MAX = 0.3;

/** What a node holds; records are spread over slots evenly. */
export interface Holding {
  readonly replicas: number;
  readonly records: number;
  /** Of its largest replica. */
  readonly recordsMax: number;
}

/** By shard: the share of all records that it holds. They add up to 1. */
export function sharesOfShards(shards: number, strategy: SlotLayout['name']): number[] {
  const shardIds = Array.from({ length: shards }, (_, shardId) => shardId);
  const slots = shardIds.map(() => 0);
  const layout = slotStrategy({ name: strategy, virtualNodes: DEFAULT_VIRTUAL_NODES });
  for (const shardId of layout.place(shardIds).shardIds) {
    slots[shardId] = (slots[shardId] as number) + 1;
  }
  return slots.map((count) => count / SLOTS);
}

export interface HoldingsRequest {
  /** By shard, see `sharesOfShards`. */
  readonly shares: readonly number[];
  readonly records: number;
  readonly replicationFactor: number;
  /** At least as many as replicas of a shard. */
  readonly nodes: number;
}

/** By node. Costs what `allocateReplicas` does. */
export function holdingsOfNodes(request: HoldingsRequest): Holding[] {
  const { shares, records, replicationFactor, nodes } = request;
  const holdings = Array.from({ length: nodes }, () => ({
    replicas: 0,
    records: 0,
    recordsMax: 0,
  }));
  const nodeIds = [...holdings.keys()];
  const shardIds = [...shares.keys()];
  for (const shard of allocateReplicas({ shardIds, replicationFactor, nodeIds })) {
    const held = records * (shares[shard.shardId] as number);
    for (const nodeId of shard.nodeIds) {
      const holding = holdings[nodeId] as (typeof holdings)[number];
      holding.replicas++;
      holding.records += held;
      holding.recordsMax = Math.max(holding.recordsMax, held);
    }
  }
  return holdings;
}
