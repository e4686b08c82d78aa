// Goal: replicas and leaders are spread evenly over nodes and zones, on any number of them.
// Method: properties over shards, replication factors, nodes and unequal zones.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allocateReplicas } from '../../../src/placement/allocator.js';
import { zonesOf } from '../../../src/placement/zones.js';
import { LIMITS } from '../../../src/shared/limits.js';
import {
  ids,
  leadersOf,
  loadsOf,
  spreadFault,
  unevenFault,
  unevenness,
  zonedCases,
  zoneNames,
} from './allocations.js';

const cases = fc
  .record({
    nodes: fc.integer({ min: 1, max: LIMITS.nodesMax.value }),
    shards: fc.integer({ min: 1, max: LIMITS.shardsMax.value }),
    replicationFactor: fc.integer({ min: 1, max: LIMITS.replicationFactorMax.value }),
  })
  .filter(({ nodes, replicationFactor }) => replicationFactor <= nodes);

function allocate(shards: number, replicationFactor: number, nodeIds: readonly number[]) {
  return allocateReplicas({ shardIds: ids(shards, 0), replicationFactor, nodeIds });
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
        expect(unevenness(loadsOf(allocation, nodeIds))).toBeLessThanOrEqual(1);
        expect(unevenness(leadersOf(allocation, nodeIds))).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('deals without zones in turn, with the lead moving on after each round', () => {
    const hands = allocate(6, 4, ids(6, 1)).map(({ nodeIds }) => nodeIds);
    expect(hands).toEqual([
      [1, 2, 3, 4],
      [5, 6, 1, 2],
      [3, 4, 5, 6],
      [2, 3, 4, 1],
      [6, 1, 2, 5],
      [4, 5, 6, 3],
    ]);
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
        fc.integer({ min: 1, max: 4 }),
        (nodeIds, zoneCount) => {
          const zones = new Map(nodeIds.map((nodeId) => [nodeId, `zone-${nodeId % zoneCount}`]));
          const request = { shardIds: ids(8, 0), replicationFactor: 3, nodeIds, zones };
          const shuffled = allocateReplicas({
            ...request,
            shardIds: ids(8, 0).reverse(),
            nodeIds: [...nodeIds].reverse(),
            zones: new Map([...zones].reverse()),
          });
          expect(shuffled).toEqual(allocateReplicas(request));
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

describe('allocateReplicas over zones (M-16)', () => {
  it('puts each shard into as many zones as it can, and as evenly', () => {
    fc.assert(
      fc.property(zonedCases, ({ nodeIds, zones, shards, replicationFactor }) => {
        const allocation = allocateReplicas({
          shardIds: ids(shards, 0),
          replicationFactor,
          nodeIds,
          zones,
        });
        const zoneCount = new Set(zones.values()).size;
        for (const shard of allocation) {
          expect(new Set(shard.nodeIds).size).toBe(replicationFactor);
          const inZones = new Set(shard.nodeIds.map((nodeId) => zones.get(nodeId)));
          expect(inZones.size).toBe(Math.min(replicationFactor, zoneCount));
          expect(spreadFault(shard, zonesOf(nodeIds, zones))).toBeUndefined();
        }
      }),
    );
  });

  it('loads nodes to within one, and to more only where the zones leave no choice', () => {
    fc.assert(
      fc.property(zonedCases, ({ nodeIds, zones, shards, replicationFactor }) => {
        const request = { shardIds: ids(shards, 0), replicationFactor, nodeIds, zones };
        const allocation = allocateReplicas(request);
        expect(unevenFault(allocation, zonesOf(nodeIds, zones))).toBeUndefined();
      }),
    );
  });

  it('lets all nodes lead equally many shards to within one, whatever the zones', () => {
    fc.assert(
      fc.property(zonedCases, ({ nodeIds, zones, shards, replicationFactor }) => {
        const request = { shardIds: ids(shards, 0), replicationFactor, nodeIds, zones };
        const leaders = leadersOf(allocateReplicas(request), nodeIds);
        expect(unevenness(leaders)).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('exchanges replicas where leaders could not be even otherwise', () => {
    // As many shards as nodes, so that each node has to lead exactly one.
    const nodeIds = ids(42, 1);
    const zones = zoneNames(nodeIds, (nodeId) => (nodeId <= 14 ? 1 : nodeId <= 38 ? 2 : 3));
    const request = { shardIds: ids(42, 0), replicationFactor: 2, nodeIds, zones };
    const allocation = allocateReplicas(request);
    expect(unevenness(leadersOf(allocation, nodeIds))).toBe(0);
    expect(unevenFault(allocation, zonesOf(nodeIds, zones))).toBeUndefined();
  });

  it('loads equal zones to within one of each other', () => {
    const nodeIds = ids(12, 1);
    for (const zoneCount of [2, 3, 4, 6]) {
      for (const replicationFactor of [1, 2, 3, 4, 5]) {
        const zones = zoneNames(nodeIds, (nodeId) => nodeId % zoneCount);
        const request = { shardIds: ids(17, 0), replicationFactor, nodeIds, zones };
        const loads = loadsOf(allocateReplicas(request), nodeIds);
        expect(unevenness(loads), `${zoneCount} zones`).toBeLessThanOrEqual(1);
      }
    }
  });

  it('gives small zones what the spread forces on them and the others the rest evenly', () => {
    const nodeIds = ids(6, 1);
    const zones = zoneNames(nodeIds, (nodeId) => Math.max(0, nodeId - 4));
    const allocation = allocateReplicas({
      shardIds: ids(8, 0),
      replicationFactor: 3,
      nodeIds,
      zones,
    });
    expect([...loadsOf(allocation, nodeIds).values()]).toEqual([2, 2, 2, 2, 8, 8]);
  });

  it('takes nodes without a zone for one zone together', () => {
    const nodeIds = ids(4, 1);
    const zones = new Map([
      [1, 'a'],
      [2, 'a'],
    ]);
    const request = { shardIds: ids(6, 0), replicationFactor: 2, nodeIds, zones };
    for (const shard of allocateReplicas(request)) {
      expect(shard.nodeIds.filter((nodeId) => zones.has(nodeId))).toHaveLength(1);
    }
  });
});
