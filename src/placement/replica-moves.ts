/**
 * Which replicas move when nodes join a cluster, or are about to leave it: the plan for rebalancing
 * to carry out. (That is not built yet: today an operator moves replicas one by one.)
 */
import { assert, defined } from '../shared/assert.js';
import { FlotillaError } from '../shared/errors.js';
import { level, type Shift } from './levelling.js';
import { movesBetween } from './move-order.js';
import { evenPreferredLeaders, type ShardAllocation } from './preferred-leaders.js';
import {
  ascending,
  spreadOver,
  type Zone,
  type ZoneOfNode,
  type ZoneSpread,
  zonesOf,
} from './zones.js';

/** What the move of a leader counts for more: never as much as a move. */
const LEADER_COST = 0.25;

export interface MoveRequest {
  /** Where the replicas are; each shard keeps as many as it has. */
  readonly current: readonly ShardAllocation[];
  /** The nodes that are to hold replicas from now on. All others are emptied. */
  readonly nodeIds: readonly number[];
  /** @default all nodes are one zone */
  readonly zones?: ZoneOfNode;
}

export interface MovePlan {
  /** One replica of a shard each, to be made one after another. */
  readonly moves: readonly Shift[];
  /** Where the replicas are afterwards, with the leaders that are preferred then. */
  readonly allocation: readonly ShardAllocation[];
}

/**
 * Empties nodes that leave, mends shards that do not spread over zones as `ZoneSpread` says, and
 * then evens the loads out, to the bounds of `allocateReplicas`. What is even already stays: a plan
 * for its own outcome is empty.
 *
 * After each move no node holds a shard twice, and no shard is in fewer zones than before, of those
 * that stay. No replica moves twice, and leaders stay where others will do. Where nodes join a
 * cluster without zones that was even, no plan has fewer moves; else there may be one with a few
 * less, since shards are mended one after another.
 *
 * Depends on the set of nodes and on the order of each shard's nodes. Refused with INVALID_REQUEST
 * when a shard has more replicas than there are nodes. Costs moves x shards x nodes at worst.
 */
export function planMoves({ current, nodeIds, zones: zoneOfNode }: MoveRequest): MovePlan {
  const nodes = ascending(nodeIds);
  ascending(current.map(({ shardId }) => shardId));
  for (const shard of current) checkShard(shard, nodes.length);
  const shards = [...current].sort((a, b) => a.shardId - b.shardId);
  const zones = zonesOf(nodes, zoneOfNode);
  const replicas = new ReplicaTable(shards, zones);
  for (const { shardId } of shards) replicas.mend(shardId);
  // At first without any further move: a shard that was mended may give up another replica instead.
  for (const which of ['free', 'all'] as const) {
    level({
      nodeIds: nodes,
      loadOf: (nodeId) => replicas.loadOf(nodeId),
      shiftsFrom: (nodeId) => replicas.shiftsFrom(nodeId, which),
      take: (shift) => replicas.take(shift),
    });
  }
  const { moves, allocation } = movesBetween(shards, replicas.holders, zones);
  return { moves, allocation: evenPreferredLeaders(allocation, nodes) };
}

function checkShard({ shardId, nodeIds }: ShardAllocation, nodes: number): void {
  assert(new Set(nodeIds).size === nodeIds.length, () => `a node holds shard ${shardId} twice`);
  if (nodeIds.length <= nodes) return;
  const message = `shard ${shardId} has ${nodeIds.length} replicas, but there are ${nodes} nodes`;
  throw new FlotillaError('INVALID_REQUEST', message, { field: 'nodeIds' });
}

/** The replicas of all shards, and where else they could be. */
class ReplicaTable {
  /** By shard, in no particular order. */
  readonly holders: Map<number, readonly number[]>;
  readonly #before: ReadonlyMap<number, readonly number[]>;
  readonly #zones: readonly Zone[];
  /** By node: where its zone stands in the list. Nodes that leave are in none. */
  readonly #zoneAt: ReadonlyMap<number, number>;
  /** By number of replicas. */
  readonly #spreads = new Map<number, ZoneSpread>();
  readonly #loads = new Map<number, number>();

  constructor(shards: readonly ShardAllocation[], zones: readonly Zone[]) {
    this.#before = new Map(shards.map(({ shardId, nodeIds }) => [shardId, nodeIds]));
    this.holders = new Map(this.#before);
    this.#zones = zones;
    this.#zoneAt = new Map(zones.flatMap((zone, at) => zone.map((nodeId) => [nodeId, at])));
    for (const nodeId of shards.flatMap((shard) => shard.nodeIds)) this.#load(nodeId, 1);
  }

  loadOf(nodeId: number): number {
    return this.#loads.get(nodeId) ?? 0;
  }

  take({ shardId, fromNodeId, toNodeId }: Shift): void {
    const kept = this.#holdersOf(shardId).filter((nodeId) => nodeId !== fromNodeId);
    this.holders.set(shardId, [...kept, toNodeId]);
    this.#load(fromNodeId, -1);
    this.#load(toNodeId, 1);
  }

  /** Takes a shard off nodes that leave, and off zones that have too much of it. */
  mend(shardId: number): void {
    for (;;) {
      const fromNodeId = this.#misplaced(shardId);
      if (fromNodeId === undefined) return;
      this.take({ shardId, fromNodeId, toNodeId: this.#bestPlace(shardId) });
    }
  }

  /**
   * Those that leave a shard spread as it should be, the cheapest first; of the free ones those
   * within the zone. A shortest chain of either kind holds when it is taken as a whole: what would
   * shift a shard out of one zone twice, or into one, has a shorter one beside it.
   */
  shiftsFrom(fromNodeId: number, which: 'free' | 'all'): Shift[] {
    const zoneAt = defined(this.#zoneAt.get(fromNodeId), `the zone of node ${fromNodeId}`);
    const found: { shift: Shift; cost: number }[] = [];
    for (const [shardId, holders] of this.holders) {
      if (!holders.includes(fromNodeId)) continue;
      const { least, most } = this.#spreadOf(shardId);
      const counts = this.#countsOf(shardId);
      const mayLeaveZone = which === 'all' && numberAt(counts, zoneAt) > numberAt(least, zoneAt);
      for (const [toNodeId, toZoneAt] of this.#zoneAt) {
        const isAllowed =
          toZoneAt === zoneAt ||
          (mayLeaveZone && numberAt(counts, toZoneAt) < numberAt(most, toZoneAt));
        if (!isAllowed || holders.includes(toNodeId)) continue;
        const shift = { shardId, fromNodeId, toNodeId };
        const cost = this.#costOf(shift);
        if (which === 'all' || cost <= LEADER_COST) found.push({ shift, cost });
      }
    }
    return found.sort((a, b) => a.cost - b.cost).map(({ shift }) => shift);
  }

  /** In moves: 1 where a replica leaves its node, -1 where one comes back; more for a leader. */
  #costOf({ shardId, fromNodeId, toNodeId }: Shift): number {
    const before = this.#before.get(shardId) ?? [];
    const leaving = before.includes(fromNodeId) ? 1 : 0;
    const returning = before.includes(toNodeId) ? 1 : 0;
    return leaving - returning + (before[0] === fromNodeId ? LEADER_COST : 0);
  }

  /** A node that has to give up its replica: one that leaves, else the fullest of a wrong zone. */
  #misplaced(shardId: number): number | undefined {
    const holders = this.#holdersOf(shardId);
    const leaving = holders.find((nodeId) => !this.#zoneAt.has(nodeId));
    if (leaving !== undefined) return leaving;
    const { least, most } = this.#spreadOf(shardId);
    const counts = this.#countsOf(shardId);
    const above = (limits: readonly number[]) =>
      [...counts.keys()].filter((at) => numberAt(counts, at) > numberAt(limits, at));
    const isMissing = counts.some((count, at) => count < numberAt(least, at));
    const overfull = above(most);
    const wrong = overfull.length > 0 || !isMissing ? overfull : above(least);
    const leaderId = this.#before.get(shardId)?.[0];
    const isLeader = (nodeId: number) => Number(nodeId === leaderId);
    return holders
      .filter((nodeId) => wrong.includes(this.#zoneAt.get(nodeId) ?? -1))
      .sort((a, b) => this.loadOf(b) - this.loadOf(a) || isLeader(a) - isLeader(b) || a - b)[0];
  }

  /** The emptiest node of the zones that lack the shard, else of those that may have it. */
  #bestPlace(shardId: number): number {
    const { least, most } = this.#spreadOf(shardId);
    const counts = this.#countsOf(shardId);
    const below = (limits: readonly number[]) =>
      this.#zones.filter((_, at) => numberAt(counts, at) < numberAt(limits, at));
    const lacking = below(least);
    const zones = lacking.length > 0 ? lacking : below(most);
    const holders = this.#holdersOf(shardId);
    const [best] = zones
      .flat()
      .filter((nodeId) => !holders.includes(nodeId))
      .sort((a, b) => this.loadOf(a) - this.loadOf(b) || a - b);
    return defined(best, `a place for a replica of shard ${shardId}`);
  }

  #holdersOf(shardId: number): readonly number[] {
    return defined(this.holders.get(shardId), `shard ${shardId}`);
  }

  /** By zone. */
  #countsOf(shardId: number): number[] {
    const holders = this.#holdersOf(shardId);
    return this.#zones.map((zone) => holders.filter((nodeId) => zone.includes(nodeId)).length);
  }

  #spreadOf(shardId: number): ZoneSpread {
    const replicas = this.#holdersOf(shardId).length;
    const known = this.#spreads.get(replicas);
    if (known !== undefined) return known;
    const spread = spreadOver(this.#zones, replicas);
    this.#spreads.set(replicas, spread);
    return spread;
  }

  #load(nodeId: number, change: number): void {
    this.#loads.set(nodeId, this.loadOf(nodeId) + change);
  }
}

function numberAt(numbers: readonly number[], at: number): number {
  return defined(numbers[at], `number ${at}`);
}
