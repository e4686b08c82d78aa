/**
 * How large a cluster has to be for its records (M-17): shards, nodes, memory and disk, and what
 * takes them. docs/capacity.md explains the numbers.
 */
import { LIMITS } from '../shared/limits.js';
import type { DiskPart, MemoryPart } from './capacity-costs.js';
import { type CapacityInput, checkCapacityInput } from './capacity-input.js';
import {
  type Holding,
  holdingsOfNodes,
  SHARD_VARIANCE_MAX,
  sharesOfShards,
} from './capacity-layout.js';
import {
  diskOf,
  isTooFull,
  memoryOf,
  nodesMin,
  type Resource,
  type ResourceUse,
  replicaRecordsMax,
  useOf,
} from './capacity-use.js';
import type { SlotLayout } from './slot-layout.js';

/**
 * Records of a collection that a shard can have at all: its directory of them is a `Map`, which
 * cannot grow beyond this.
 */
export const GRAPH_RECORDS_MAX = 2 ** 24;

/**
 * Which bound makes it so many shards: `vectors` is what a shard should have, `graph` what a graph
 * can hold, `node` what a node can have of one. With `limit` not even the most shards are enough.
 */
export type ShardsReason = 'given' | 'vectors' | 'graph' | 'node' | 'limit';

/** What one node less would break. With `limit` a replica does not fit on a node of its own. */
export type NodesReason = 'given' | 'replication' | 'memory' | 'disk' | 'limit';

export interface CapacityPlan {
  readonly input: CapacityInput;
  /** Growth included, without replicas. */
  readonly records: number;
  readonly shards: {
    readonly count: number;
    readonly reason: ShardsReason;
    readonly strategy: SlotLayout['name'];
    readonly recordsMean: number;
    readonly recordsMax: number;
  };
  readonly nodes: {
    readonly count: number;
    readonly reason: NodesReason;
    readonly replicasMax: number;
    readonly recordsMax: number;
  };
  readonly memory: ResourceUse<MemoryPart>;
  readonly disk: ResourceUse<DiskPart>;
}

/**
 * The plan with the fewest shards, or a few more, that keep to `shardVectorsMax`, to what a graph
 * can hold and to a third of a node, and with the fewest nodes that keep to `SHARES_MAX`. Where
 * there is no such number, or it was given, `capacityWarnings` says what comes of it.
 *
 * Pure: equal inputs give equal plans. Throws INVALID_REQUEST for a number out of bounds. Costs a
 * layout of slots for each number of shards that is tried, and an allocation of replicas for each
 * number of nodes.
 */
export function planCapacity(input: CapacityInput): CapacityPlan {
  checkCapacityInput(input);
  const records = Math.ceil(input.vectors * input.growth);
  const memory = memoryOf(input);
  const disk = diskOf(input);
  const { shares, reason, strategy } = chooseShards(input, records, [memory, disk]);
  const layOut = (nodes: number): Holding[] => {
    const { replicationFactor } = input;
    return holdingsOfNodes({ shares, records, replicationFactor, nodes });
  };
  const replicas = shares.length * input.replicationFactor;
  const nodes = chooseNodes(input, records, replicas, [memory, disk], layOut);
  const holdings = layOut(nodes.count);
  return {
    input,
    records,
    shards: {
      count: shares.length,
      reason,
      strategy,
      recordsMean: Math.round(records / shares.length),
      recordsMax: Math.round(records * Math.max(...shares)),
    },
    nodes: {
      ...nodes,
      replicasMax: Math.max(...holdings.map((holding) => holding.replicas)),
      recordsMax: Math.round(Math.max(...holdings.map((holding) => holding.records))),
    },
    memory: useOf(memory, holdings),
    disk: useOf(disk, holdings),
  };
}

interface ShardLayout {
  /** By shard: how much of all records it holds. */
  readonly shares: readonly number[];
  readonly reason: ShardsReason;
  readonly strategy: SlotLayout['name'];
}

function chooseShards(
  { shards, shardVectorsMax, strategy }: CapacityInput,
  records: number,
  resources: readonly Resource[],
): ShardLayout {
  const layOut = (count: number, reason: ShardsReason): ShardLayout => {
    return { ...sharesBy(strategy, count), reason };
  };
  if (shards !== undefined) return layOut(shards, 'given');
  const fitting = Math.min(...resources.map(replicaRecordsMax));
  // Where nodes are too small for any replica, more shards are of no help.
  const possibleMax = fitting < 1 ? GRAPH_RECORDS_MAX : Math.min(GRAPH_RECORDS_MAX, fitting);
  const recordsMax = Math.min(shardVectorsMax, possibleMax);
  const hardReason = possibleMax === fitting ? 'node' : 'graph';
  const reason = recordsMax === shardVectorsMax ? 'vectors' : hardReason;
  const countMax = LIMITS.shardsMax.value;
  const first = Math.ceil(records / recordsMax);
  const largestOf = ({ shares }: ShardLayout) => records * Math.max(...shares);
  // The largest shard has more than the average one, and the more so the more shards there are.
  for (let count = first; count <= countMax; count += Math.ceil(count / 32)) {
    const layout = layOut(count, reason);
    if (largestOf(layout) <= recordsMax) return layout;
  }
  const average = layOut(Math.min(first, countMax), reason);
  if (first <= countMax && largestOf(average) <= possibleMax) return average;
  return layOut(countMax, 'limit');
}

/** By the ring, as clusters have it where nothing else is said, unless that is too uneven. */
function sharesBy(strategy: CapacityInput['strategy'], count: number): Omit<ShardLayout, 'reason'> {
  const shares = sharesOfShards(count, strategy ?? 'ring');
  const isEven = Math.max(...shares) * count <= 1 + SHARD_VARIANCE_MAX;
  if (isEven || strategy !== undefined) return { shares, strategy: strategy ?? 'ring' };
  return { shares: sharesOfShards(count, 'virtual-shards'), strategy: 'virtual-shards' };
}

function chooseNodes(
  { nodes, replicationFactor }: CapacityInput,
  records: number,
  replicas: number,
  resources: readonly Resource[],
  layOut: (nodes: number) => readonly Holding[],
): { readonly count: number; readonly reason: NodesReason } {
  if (nodes !== undefined) return { count: Math.max(nodes, replicationFactor), reason: 'given' };
  const tooFull = (count: number) => {
    const holdings = layOut(count);
    return resources.find((resource) => holdings.some((one) => isTooFull(resource, one)))?.name;
  };
  // With more nodes than replicas some hold nothing.
  if (tooFull(replicas) !== undefined) return { count: replicas, reason: 'limit' };
  const held = { records: records * replicationFactor, replicas };
  let count = Math.max(replicationFactor, ...resources.map((one) => nodesMin(one, held)));
  let reason = count > replicationFactor ? tooFull(count - 1) : undefined;
  for (let full = tooFull(count); full !== undefined; full = tooFull(count)) {
    reason = full;
    // More than a cluster can have need not be exact.
    count = Math.min(replicas, count + Math.max(1, Math.floor(count / 64)));
  }
  return { count, reason: reason ?? 'replication' };
}
