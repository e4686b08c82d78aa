/** What is wrong with a plan, or will be: in numbers, for whoever shows it to put into words. */
import { LIMITS } from '../shared/limits.js';
import { SHARD_VARIANCE_MAX } from './capacity-layout.js';
import { type CapacityPlan, GRAPH_RECORDS_MAX } from './capacity-plan.js';
import { SHARES_MAX } from './capacity-use.js';
import { DEFAULT_TENANT_LIMITS } from './tenant-limits.js';

/** `value` is above `limit`; of tenants, `limit` or above it. */
interface Exceeded {
  readonly value: number;
  readonly limit: number;
}

export type CapacityWarning =
  /** Shards of the cluster: more than it can have, or more than there are slots. */
  | ({ readonly code: 'shards' | 'slots' } & Exceeded)
  /** Records of the largest shard: the alert goes off, or it is more than a graph can hold. */
  | ({ readonly code: 'shard-vectors' | 'graph-records' } & Exceeded)
  /** How much larger than the average shard the largest is, as a share. */
  | ({ readonly code: 'uneven-shards' } & Exceeded)
  /** Tenants of a shard, on average. */
  | ({ readonly code: 'tenants' } & Exceeded)
  /** Nodes of the cluster. */
  | ({ readonly code: 'nodes' } & Exceeded)
  /** Replicas of a shard, on fewer nodes: such a cluster cannot be made. */
  | ({ readonly code: 'replication' } & Exceeded)
  /** What is lost with a node is lost. */
  | { readonly code: 'single-replica' }
  /** Of the fullest node: what it uses at all times or for a moment, as a share of what it has. */
  | ({ readonly code: 'memory' | 'memory-peak' | 'disk' | 'disk-peak' } & Exceeded);

/** Worst first: what cannot be built, then what will not run well. */
export function capacityWarnings(plan: CapacityPlan): CapacityWarning[] {
  const { input, shards, nodes, memory, disk } = plan;
  const { replicationFactor, tenants = 0 } = input;
  const { vectorsPerShardMax, tenantsPerShardWarning } = DEFAULT_TENANT_LIMITS;
  const warnings: CapacityWarning[] = [
    { code: 'replication', value: replicationFactor, limit: input.nodes ?? replicationFactor },
    { code: 'slots', value: shards.count, limit: LIMITS.slots.value },
    { code: 'shards', value: shards.count, limit: LIMITS.shardsMax.value },
    { code: 'nodes', value: nodes.count, limit: LIMITS.nodesMax.value },
    { code: 'graph-records', value: shards.recordsMax, limit: GRAPH_RECORDS_MAX },
    { code: 'memory', value: memory.nodeShares.lasting, limit: SHARES_MAX.memory.lasting },
    { code: 'memory-peak', value: memory.nodeShares.peak, limit: SHARES_MAX.memory.peak },
    { code: 'disk', value: disk.nodeShares.lasting, limit: SHARES_MAX.disk.lasting },
    { code: 'disk-peak', value: disk.nodeShares.peak, limit: SHARES_MAX.disk.peak },
    { code: 'shard-vectors', value: shards.recordsMax, limit: vectorsPerShardMax },
    {
      code: 'uneven-shards',
      value: (shards.recordsMax * shards.count) / plan.records - 1,
      limit: SHARD_VARIANCE_MAX,
    },
    { code: 'tenants', value: tenants / shards.count, limit: tenantsPerShardWarning },
  ];
  const exceeded = warnings.filter((one) => 'value' in one && isExceeded(one));
  return replicationFactor === 1 ? [...exceeded, { code: 'single-replica' }] : exceeded;
}

/** The number of tenants is one from which on there is a warning, all others are allowed. */
function isExceeded({ code, value, limit }: CapacityWarning & Exceeded): boolean {
  return code === 'tenants' ? value >= limit : value > limit;
}
