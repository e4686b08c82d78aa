// Goal: replicas and leaders are spread evenly, on any number of nodes.
// Method: properties over shards, replication factors and nodes.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allocateReplicas } from '../../../src/placement/allocator.js';
import { LIMITS } from '../../../src/shared/limits.js';

const cases = fc
  .record({
    nodes: fc.integer({ min: 1, max: LIMITS.nodesMax.value }),
    shards: fc.integer({ min: 1, max: LIMITS.shardsMax.value }),
    replicationFactor: fc.integer({ min: 1, max: LIMITS.replicationFactorMax.value }),
  })
  .filter(({ nodes, replicationFactor }) => replicationFactor <= nodes);

const ids = (count: number, first: number): number[] =>
  Array.from({ length: count }, (_, at) => first + at);

function allocate(shards: number, replicationFactor: number, nodeIds: readonly number[]) {
  return allocateReplicas({ shardIds: ids(shards, 0), replicationFactor, nodeIds });
}

/** Largest less smallest count over all nodes. */
function unevenness(nodeIds: readonly number[], on: readonly number[]): number {
  const counts = new Map(nodeIds.map((nodeId) => [nodeId, 0]));
  for (const nodeId of on) counts.set(nodeId, (counts.get(nodeId) ?? Number.NaN) + 1);
  return Math.max(...counts.values()) - Math.min(...counts.values());
}

describe('allocateReplicas (M-16)', () => {
  it('puts each shard on as many different nodes as it has replicas', () => {
    fc.assert(
      fc.property(cases, ({ nodes, shards, replicationFactor }) => {
        const allocation = allocate(shards, replicationFactor, ids(nodes, 1));
        expect(allocation.map(({ shardId }) => shardId)).toEqual(ids(shards, 0));
        for (const { nodeIds } of allocation) {
          expect(nodeIds).toHaveLength(replicationFactor);
          expect(new Set(nodeIds).size).toBe(replicationFactor);
        }
      }),
    );
  });

  it('spreads replicas, and preferred leaders, to within one of each other', () => {
    fc.assert(
      fc.property(cases, ({ nodes, shards, replicationFactor }) => {
        const nodeIds = ids(nodes, 1);
        const allocation = allocate(shards, replicationFactor, nodeIds);
        const all = allocation.flatMap((shard) => shard.nodeIds);
        expect(unevenness(nodeIds, all)).toBeLessThanOrEqual(1);
        const leaders = allocation.map((shard) => shard.nodeIds[0] as number);
        expect(unevenness(nodeIds, leaders)).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('lays 4 shards of 3 replicas out on 3 to 12 nodes by the same code', () => {
    const used = (nodes: number) =>
      new Set(allocate(4, 3, ids(nodes, 1)).flatMap((shard) => shard.nodeIds)).size;
    expect(ids(10, 3).map(used)).toEqual(ids(10, 3));
  });

  it('does not depend on the order in which nodes and shards are named', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 1, max: 500 }), { minLength: 3, maxLength: 20 }),
        (nodeIds) => {
          const shuffled = allocateReplicas({
            shardIds: ids(8, 0).reverse(),
            replicationFactor: 3,
            nodeIds: [...nodeIds].reverse(),
          });
          expect(shuffled).toEqual(allocate(8, 3, nodeIds));
        },
      ),
    );
  });

  it('refuses more replicas than nodes, and none at all, naming the field (P-9)', () => {
    const refusal = { reason: 'INVALID_REQUEST', field: 'replicationFactor' };
    const failing = (replicationFactor: number): unknown => {
      try {
        return allocate(1, replicationFactor, [1, 2]);
      } catch (error) {
        return error;
      }
    };
    expect(failing(3)).toMatchObject(refusal);
    expect(failing(0)).toMatchObject(refusal);
    expect(failing(1.5)).toMatchObject(refusal);
    expect(failing(2)).toHaveLength(1);
  });
});
