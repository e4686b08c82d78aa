/** How much memory and disk the replicas of a layout take, and how full that makes its nodes. */
import {
  type DiskPart,
  diskCosts,
  type MemoryPart,
  memoryCosts,
  type PartCost,
} from './capacity-costs.js';
import type { CapacityInput } from './capacity-input.js';
import type { Holding } from './capacity-layout.js';

/**
 * Shares of a node that may be in use: at all times, and for a moment. What memory is left over is
 * for graphs of several shards that are renewed at once, and for the operating system's cache.
 */
export const SHARES_MAX = {
  memory: { lasting: 0.7, peak: 0.9 },
  disk: { lasting: 0.8, peak: 1 },
} as const;

/** The part of what a node may use that one replica should take at most. */
export const REPLICA_SHARE_MAX = 1 / 3;

/** Memory or disk of a node, and what takes it. */
export interface Resource<Part extends MemoryPart | DiskPart = MemoryPart | DiskPart> {
  readonly name: 'memory' | 'disk';
  readonly costs: readonly PartCost<Part>[];
  /** Of a node. */
  readonly capacityBytes: number;
}

/** What one part, or all of them, take; whole bytes. */
export interface CapacityUse {
  /** Of a record, on one replica. */
  readonly recordBytes: number;
  /** Of a replica of the largest shard. */
  readonly shardBytes: number;
  /** Of the fullest node. */
  readonly nodeBytes: number;
  /** Of all nodes. */
  readonly clusterBytes: number;
}

export interface PartUse<Part> extends CapacityUse {
  readonly part: Part;
  /** Whether it is there all the time. */
  readonly lasts: boolean;
}

export interface ResourceUse<Part> {
  readonly parts: readonly PartUse<Part>[];
  /** What is there all the time. */
  readonly lasting: CapacityUse;
  /** With what is there for a while, if each node makes its largest replica anew. */
  readonly peak: CapacityUse;
  /** Of the fullest node, as shares of what it has; above 1 it does not fit. */
  readonly nodeShares: { readonly lasting: number; readonly peak: number };
}

export function memoryOf(input: CapacityInput): Resource<MemoryPart> {
  return { name: 'memory', costs: memoryCosts(input), capacityBytes: input.nodeMemoryBytes };
}

export function diskOf(input: CapacityInput): Resource<DiskPart> {
  const { nodeDiskBytes: capacityBytes } = input;
  return { name: 'disk', costs: diskCosts(input, capacityBytes), capacityBytes };
}

/** Whether a node that holds this is too full, at all times or for a moment. */
export function isTooFull({ name, costs, capacityBytes }: Resource, holding: Holding): boolean {
  const shares = SHARES_MAX[name];
  const peakBytes = bytesOnNode(costs, holding);
  const lastingBytes = bytesOnNode(costs.filter(doesLast), holding);
  return lastingBytes > shares.lasting * capacityBytes || peakBytes > shares.peak * capacityBytes;
}

/**
 * How many records a replica should have at most, so that nodes can be filled evenly and one of
 * them can take a replica over. Below 1 where nodes are too small for any.
 */
export function replicaRecordsMax({ name, costs, capacityBytes }: Resource): number {
  const { perRecord, perReplica, perNode } = addedUp(costs.filter(doesLast));
  const roomBytes = SHARES_MAX[name].lasting * capacityBytes - perNode;
  return Math.floor((roomBytes * REPLICA_SHARE_MAX - perReplica) / perRecord);
}

/** Nodes that records and replicas take which are spread over them evenly. */
export function nodesMin(
  { name, costs, capacityBytes }: Resource,
  held: { readonly records: number; readonly replicas: number },
): number {
  const { perRecord, perReplica, perNode } = addedUp(costs.filter(doesLast));
  const roomBytes = SHARES_MAX[name].lasting * capacityBytes - perNode;
  return Math.ceil((perRecord * held.records + perReplica * held.replicas) / roomBytes);
}

/** `holdings` has an element for each node. */
export function useOf<Part extends MemoryPart | DiskPart>(
  { costs, capacityBytes }: Resource<Part>,
  holdings: readonly Holding[],
): ResourceUse<Part> {
  const lastingCosts = costs.filter(doesLast);
  const fullest = holdings.reduce((most, holding) =>
    bytesOnNode(lastingCosts, holding) > bytesOnNode(lastingCosts, most) ? holding : most,
  );
  const recordsMax = Math.max(...holdings.map((holding) => holding.recordsMax));
  const takenBy = (chosen: readonly PartCost[]): CapacityUse => {
    const { perRecord, perReplica } = addedUp(chosen);
    const nodeBytes = holdings.map((holding) => bytesOnNode(chosen, holding));
    return {
      recordBytes: Math.round(perRecord),
      shardBytes: Math.round(perRecord * recordsMax + perReplica),
      nodeBytes: Math.round(bytesOnNode(chosen, fullest)),
      clusterBytes: Math.round(nodeBytes.reduce((sum, bytes) => sum + bytes, 0)),
    };
  };
  const shareOf = (use: CapacityUse): number => use.nodeBytes / capacityBytes;
  const [lasting, peak] = [takenBy(lastingCosts), takenBy(costs)];
  return {
    parts: costs.map((cost) => ({ part: cost.part, lasts: cost.lasts, ...takenBy([cost]) })),
    lasting,
    peak,
    nodeShares: { lasting: shareOf(lasting), peak: shareOf(peak) },
  };
}

function bytesOnNode(costs: readonly PartCost[], { replicas, records, recordsMax }: Holding) {
  return costs.reduce((sum, { lasts, perRecord, perReplica, perNode }) => {
    // What passes is there for one replica at a time: the largest counts.
    const [ofRecords, ofReplicas] = lasts
      ? [records, replicas]
      : [recordsMax, Math.min(1, replicas)];
    return sum + perRecord * ofRecords + perReplica * ofReplicas + perNode;
  }, 0);
}

function addedUp(
  costs: readonly PartCost[],
): Pick<PartCost, 'perRecord' | 'perReplica' | 'perNode'> {
  const sum = (read: (cost: PartCost) => number) =>
    costs.reduce((all, cost) => all + read(cost), 0);
  return {
    perRecord: sum((cost) => cost.perRecord),
    perReplica: sum((cost) => cost.perReplica),
    perNode: sum((cost) => cost.perNode),
  };
}

function doesLast({ lasts }: PartCost): boolean {
  return lasts;
}
