// Goal: replicas move no more than balance needs, and never through a state that is worse.
// Method: properties over nodes that join and leave, with zones and without; each move replayed.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allocateReplicas } from '../../../src/placement/allocator.js';
import type { ShardAllocation } from '../../../src/placement/preferred-leaders.js';
import {
  type MovePlan,
  type MoveRequest,
  planMoves,
} from '../../../src/placement/replica-moves.js';
import { zonesOf } from '../../../src/placement/zones.js';
import {
  ids,
  leadersOf,
  loadsOf,
  spreadFault,
  unevenFault,
  unevenness,
  zonedCases,
} from './allocations.js';

const plainCases = fc
  .record({
    nodes: fc.integer({ min: 3, max: 47 }),
    shards: fc.integer({ min: 1, max: 64 }),
    replicationFactor: fc.integer({ min: 1, max: 5 }),
  })
  .filter(({ nodes, replicationFactor }) => replicationFactor < nodes);

function laidOut(nodes: number, shards: number, replicationFactor: number): ShardAllocation[] {
  return allocateReplicas({ shardIds: ids(shards, 0), replicationFactor, nodeIds: ids(nodes, 1) });
}

/** Makes the moves one by one and checks that each can be made; returns where the replicas are. */
function replayed(request: MoveRequest, { moves }: MovePlan): Map<number, Set<number>> {
  const zoneOf = (nodeId: number) => request.zones?.get(nodeId);
  const staying = new Set(request.nodeIds);
  const zonesOfShard = (holders: Iterable<number>) =>
    new Set([...holders].filter((nodeId) => staying.has(nodeId)).map(zoneOf)).size;
  const state = new Map(request.current.map((shard) => [shard.shardId, new Set(shard.nodeIds)]));
  for (const { shardId, fromNodeId, toNodeId } of moves) {
    const holders = state.get(shardId) as Set<number>;
    const zonesBefore = zonesOfShard(holders);
    expect(holders.has(fromNodeId), 'the source holds the shard').toBe(true);
    expect(holders.has(toNodeId), 'the target does not hold it').toBe(false);
    expect(staying.has(toNodeId), 'the target stays').toBe(true);
    holders.delete(fromNodeId);
    holders.add(toNodeId);
    expect(zonesOfShard(holders)).toBeGreaterThanOrEqual(zonesBefore);
  }
  return state;
}

function expectSound(request: MoveRequest): MovePlan {
  const plan = planMoves(request);
  const state = replayed(request, plan);
  const { allocation } = plan;
  const held = allocation.map(({ shardId, nodeIds }) => [shardId, new Set(nodeIds)] as const);
  expect(new Map(held)).toEqual(state);
  const zones = zonesOf(request.nodeIds, request.zones);
  for (const shard of allocation) expect(spreadFault(shard, zones)).toBeUndefined();
  expect(unevenFault(allocation, zones)).toBeUndefined();
  const again = planMoves({ ...request, current: allocation });
  expect(again).toEqual({ moves: [], allocation });
  return plan;
}

describe('planMoves (M-16)', () => {
  it('fills a node that joins with its share, and moves nothing else', () => {
    fc.assert(
      fc.property(plainCases, ({ nodes, shards, replicationFactor }) => {
        const current = laidOut(nodes, shards, replicationFactor);
        const nodeIds = ids(nodes + 1, 1);
        const { moves, allocation } = expectSound({ current, nodeIds });
        expect(moves.every(({ toNodeId }) => toNodeId === nodes + 1)).toBe(true);
        // Fewer would leave the new node two behind another.
        expect(moves).toHaveLength(Math.floor((shards * replicationFactor) / (nodes + 1)));
        expect(unevenness(loadsOf(allocation, nodeIds))).toBeLessThanOrEqual(1);
        expect(unevenness(leadersOf(allocation, nodeIds))).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('takes nodes that join in any number, each replica moving once at most', () => {
    fc.assert(
      fc.property(plainCases, fc.integer({ min: 1, max: 12 }), (sizes, joining) => {
        const { nodes, shards, replicationFactor } = sizes;
        const current = laidOut(nodes, shards, replicationFactor);
        const nodeIds = ids(nodes + joining, 1);
        const { moves, allocation } = expectSound({ current, nodeIds });
        const gained = [...loadsOf(allocation, nodeIds)].filter(([nodeId]) => nodeId > nodes);
        expect(moves).toHaveLength(gained.reduce((sum, [, load]) => sum + load, 0));
      }),
    );
  });

  it('empties a node that leaves, onto the ones that stay', () => {
    fc.assert(
      fc.property(plainCases, ({ nodes, shards, replicationFactor }) => {
        const current = laidOut(nodes, shards, replicationFactor);
        const nodeIds = ids(nodes - 1, 2);
        const { moves, allocation } = expectSound({ current, nodeIds });
        const left = current.filter((shard) => shard.nodeIds.includes(1)).length;
        expect(moves.filter(({ fromNodeId }) => fromNodeId === 1)).toHaveLength(left);
        expect(unevenness(loadsOf(allocation, nodeIds))).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('evens any allocation out, whatever its zones, through states that are never worse', () => {
    const anyCase = zonedCases.chain((one) =>
      fc
        .tuple(...ids(one.shards, 0).map((shardId) => shardOn(shardId, one)))
        .map((current) => ({ ...one, current })),
    );
    fc.assert(
      fc.property(anyCase, ({ current, nodeIds, zones }) => {
        expectSound({ current, nodeIds, zones });
      }),
      { numRuns: 60 },
    );
  });

  it('moves no replica twice, and none to a node that had the shard', () => {
    fc.assert(
      fc.property(plainCases, fc.integer({ min: 1, max: 9 }), (sizes, changed) => {
        const { nodes, shards, replicationFactor } = sizes;
        const current = laidOut(nodes, shards, replicationFactor);
        const { moves } = planMoves({ current, nodeIds: ids(nodes, 1 + changed) });
        const sources = moves.map(({ shardId, fromNodeId }) => `${shardId} ${fromNodeId}`);
        expect(new Set(sources).size).toBe(moves.length);
        for (const { shardId, fromNodeId, toNodeId } of moves) {
          expect(current[shardId]?.nodeIds).toContain(fromNodeId);
          expect(current[shardId]?.nodeIds).not.toContain(toNodeId);
        }
      }),
    );
  });

  it('takes in a zone that is new, and lets go of one that leaves', () => {
    const nodeIds = ids(9, 1);
    const zones = new Map(nodeIds.map((nodeId) => [nodeId, `zone-${nodeId % 3}`]));
    const without = nodeIds.filter((nodeId) => nodeId % 3 !== 0);
    const request = { shardIds: ids(12, 0), replicationFactor: 3, nodeIds: without, zones };
    const current = allocateReplicas(request);
    const joined = expectSound({ current, nodeIds, zones });
    const isNew = (nodeId: number) => nodeId % 3 === 0;
    expect(joined.moves.filter(({ toNodeId }) => isNew(toNodeId))).toHaveLength(12);
    expect(joined.moves.filter(({ fromNodeId }) => isNew(fromNodeId))).toEqual([]);
    expect([...loadsOf(joined.allocation, nodeIds).values()]).toEqual(Array(9).fill(4));
    const left = expectSound({ current: joined.allocation, nodeIds: without, zones });
    expect(left.moves.filter(({ fromNodeId }) => isNew(fromNodeId))).toHaveLength(12);
    expect(left.moves.filter(({ toNodeId }) => isNew(toNodeId))).toEqual([]);
  });

  it('leaves leaders where they are when others can move', () => {
    const current = laidOut(3, 4, 3);
    const { moves, allocation } = planMoves({ current, nodeIds: ids(4, 1) });
    expect(moves).toHaveLength(3);
    for (const { shardId, fromNodeId } of moves) {
      expect(current[shardId]?.nodeIds[0]).not.toBe(fromNodeId);
    }
    expect(unevenness(leadersOf(allocation, ids(4, 1)))).toBe(0);
  });

  it('does not depend on the order in which nodes and shards are named', () => {
    const current = laidOut(5, 16, 3);
    const nodeIds = [9, 2, 3, 4, 5, 7];
    const plan = planMoves({ current, nodeIds });
    expect(planMoves({ current: current.toReversed(), nodeIds: nodeIds.toReversed() })).toEqual(
      plan,
    );
  });

  it('refuses to leave fewer nodes than a shard has replicas, naming the field (P-9)', () => {
    const current = laidOut(4, 2, 3);
    expect(() => planMoves({ current, nodeIds: [1, 2] })).toThrow(
      expect.objectContaining({ reason: 'INVALID_REQUEST', field: 'nodeIds' }),
    );
    expect(planMoves({ current, nodeIds: [1, 2, 3] }).allocation).toHaveLength(2);
  });
});

/** Any distinct nodes, one of which may be about to leave. */
function shardOn(
  shardId: number,
  { nodeIds, replicationFactor }: { nodeIds: readonly number[]; replicationFactor: number },
): fc.Arbitrary<ShardAllocation> {
  return fc
    .shuffledSubarray([...nodeIds, 1_000], {
      minLength: replicationFactor,
      maxLength: replicationFactor,
    })
    .map((chosen) => ({ shardId, nodeIds: chosen }));
}
