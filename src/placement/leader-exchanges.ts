/**
 * Where the replicas were dealt so that leaders cannot be even, two nodes of a zone exchange a
 * replica: loads and zones stay as they are, and leaders can be shifted on. Before there are data.
 */
import { evenPreferredLeaders, type ShardAllocation } from './preferred-leaders.js';
import type { Zone } from './zones.js';

/** Evens the preferred leaders out to within one, exchanging replicas where that is needed. */
export function evenLeadersByExchange(
  dealt: readonly ShardAllocation[],
  zones: readonly Zone[],
): ShardAllocation[] {
  const nodeIds = zones.flat();
  let shards = evenPreferredLeaders(dealt, nodeIds);
  // Each exchange connects a node that leads most with one that leads least: the sum of the squares
  // gets smaller by the shifts that follow.
  for (let next = exchange(shards, zones); next !== undefined; next = exchange(shards, zones)) {
    shards = evenPreferredLeaders(next, nodeIds);
  }
  return shards;
}

/** The shards with one exchange made; undefined where none is needed, or none would help. */
function exchange(
  shards: readonly ShardAllocation[],
  zones: readonly Zone[],
): ShardAllocation[] | undefined {
  const led = new Map(zones.flat().map((nodeId) => [nodeId, 0]));
  for (const leaderId of shards.map(({ nodeIds }) => leaderOf(nodeIds))) {
    led.set(leaderId, (led.get(leaderId) ?? 0) + 1);
  }
  const [high, low] = [Math.max(...led.values()), Math.min(...led.values())];
  if (high - low <= 1) return undefined;
  const leading = (count: number) => [...led.keys()].filter((nodeId) => led.get(nodeId) === count);
  const givers = closure(leading(high), shards, (giver, { nodeIds }) =>
    leaderOf(nodeIds) === giver ? nodeIds : [],
  );
  const takers = closure(leading(low), shards, (taker, { nodeIds }) =>
    nodeIds.includes(taker) ? [leaderOf(nodeIds)] : [],
  );
  for (const given of shards.filter(({ nodeIds }) => givers.has(leaderOf(nodeIds)))) {
    // The leader comes last: what follows it can be exchanged without a shift of its own.
    for (const out of given.nodeIds.toReversed()) {
      const zone = zones.find((one) => one.includes(out)) ?? [];
      for (const taker of zone.filter((nodeId) => takers.has(nodeId))) {
        const taken = shards.find(
          ({ nodeIds }) => nodeIds.indexOf(taker) > 0 && !nodeIds.includes(out),
        );
        if (taken === undefined) continue;
        return shards.map((shard) => {
          if (shard === given) return replaced(shard, out, taker);
          return shard === taken ? replaced(shard, taker, out) : shard;
        });
      }
    }
  }
  return undefined;
}

/** The nodes that can be reached from `start`, by what each shard leads on to. */
function closure(
  start: readonly number[],
  shards: readonly ShardAllocation[],
  next: (nodeId: number, shard: ShardAllocation) => readonly number[],
): ReadonlySet<number> {
  const reached = new Set(start);
  // A set goes on to what is added to it while it is iterated.
  for (const nodeId of reached) {
    for (const shard of shards) for (const other of next(nodeId, shard)) reached.add(other);
  }
  return reached;
}

function leaderOf(nodeIds: readonly number[]): number {
  return nodeIds[0] as number;
}

function replaced({ shardId, nodeIds }: ShardAllocation, out: number, by: number): ShardAllocation {
  return { shardId, nodeIds: nodeIds.map((nodeId) => (nodeId === out ? by : nodeId)) };
}
