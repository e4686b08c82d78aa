/** Goal: say what a sound allocation is, for all tests of one. Method: plain counting. */
import fc from 'fast-check';
import type { ShardAllocation } from '../../../src/placement/preferred-leaders.js';
import { spreadOver, type Zone } from '../../../src/placement/zones.js';

export const ids = (count: number, first: number): number[] =>
  Array.from({ length: count }, (_, at) => first + at);

/** The nodes of shards 0, 1, ... */
export const shardsOn = (hands: readonly (readonly number[])[]): ShardAllocation[] =>
  hands.map((nodeIds, shardId) => ({ shardId, nodeIds }));

export function zoneNames(
  nodeIds: readonly number[],
  zoneOf: (nodeId: number) => number,
): Map<number, string> {
  return new Map(nodeIds.map((nodeId) => [nodeId, `zone-${zoneOf(nodeId)}`]));
}

/** 3 to 48 nodes in up to 8 zones of any sizes, with numbers in any order. */
export const zonedCases = fc
  .record({
    sizes: fc.array(fc.integer({ min: 1, max: 24 }), { minLength: 1, maxLength: 8 }),
    shards: fc.integer({ min: 1, max: 64 }),
    replicationFactor: fc.integer({ min: 1, max: 5 }),
    /** Numbers the nodes so that zones are mixed: coprime to what comes of it. */
    stride: fc.constantFrom(1, 7, 53),
  })
  .map(({ sizes, shards, replicationFactor, stride }) => {
    const zoneOfNode = sizes.flatMap((size, zone) => Array<number>(size).fill(zone)).slice(0, 48);
    const nodeIdAt = (at: number): number => 1 + ((at * stride) % 59);
    const zones = new Map(zoneOfNode.map((zone, at) => [nodeIdAt(at), `zone-${zone}`]));
    return { nodeIds: [...zones.keys()], zones, shards, replicationFactor };
  })
  .filter(({ nodeIds, replicationFactor }) => nodeIds.length >= Math.max(3, replicationFactor));

/** Replicas by node. */
export function loadsOf(
  allocation: readonly ShardAllocation[],
  nodeIds: readonly number[],
): Map<number, number> {
  return countOf(
    nodeIds,
    allocation.flatMap((shard) => shard.nodeIds),
  );
}

/** Preferred leaders by node. */
export function leadersOf(
  allocation: readonly ShardAllocation[],
  nodeIds: readonly number[],
): Map<number, number> {
  return countOf(
    nodeIds,
    allocation.map((shard) => shard.nodeIds[0] as number),
  );
}

function countOf(nodeIds: readonly number[], on: readonly number[]): Map<number, number> {
  const counts = new Map(nodeIds.map((nodeId) => [nodeId, 0]));
  for (const nodeId of on) counts.set(nodeId, (counts.get(nodeId) ?? Number.NaN) + 1);
  return counts;
}

/** Largest less smallest count. */
export function unevenness(counts: ReadonlyMap<number, number>): number {
  return Math.max(...counts.values()) - Math.min(...counts.values());
}

/** Why a shard does not spread over the zones as evenly as they let it; undefined where it does. */
export function spreadFault(
  { shardId, nodeIds }: ShardAllocation,
  zones: readonly Zone[],
): string | undefined {
  const counts = zones.map((zone) => nodeIds.filter((nodeId) => zone.includes(nodeId)).length);
  const better = zones.flatMap((_, from) =>
    zones.map((zone, to) => ({ from, to, room: zone.length - (counts[to] as number) })),
  );
  // Evenly: no replica could go from a zone to one that has two fewer of the shard.
  const fault = better.find(
    ({ from, to, room }) => room > 0 && (counts[from] as number) >= (counts[to] as number) + 2,
  );
  return fault && `shard ${shardId} has ${counts.join(', ')} replicas by zone`;
}

/**
 * Why loads could be more even: a node has two replicas more than another, though no zone is at its
 * bound. undefined where they could not.
 */
export function unevenFault(
  allocation: readonly ShardAllocation[],
  zones: readonly Zone[],
): string | undefined {
  const loads = loadsOf(allocation, zones.flat());
  const replicas = allocation[0]?.nodeIds.length ?? 0;
  const { least, most } = spreadOver(zones, replicas);
  const totals = zones.map((zone) =>
    zone.reduce((sum, nodeId) => sum + (loads.get(nodeId) as number), 0),
  );
  const shards = allocation.length;
  for (const [from, fuller] of zones.entries()) {
    for (const [to, emptier] of zones.entries()) {
      const high = Math.max(...fuller.map((nodeId) => loads.get(nodeId) as number));
      const low = Math.min(...emptier.map((nodeId) => loads.get(nodeId) as number));
      const mayGive = (totals[from] as number) > shards * (least[from] as number);
      const mayTake = (totals[to] as number) < shards * (most[to] as number);
      const isForced = from !== to && !(mayGive && mayTake);
      if (high >= low + 2 && !isForced) return `loads ${[...loads].join(' ')}`;
    }
  }
  return undefined;
}
