// Goal: every bootstrap of a cluster writes one and the same sound document.
// Method: properties over sizes; each bad seed with the field that it names.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../../src/shared/limits.js';
import { documentFault } from '../../../src/topology/document.js';
import { initialTopology, type TopologySeed } from '../../../src/topology/initial-topology.js';
import { node, seed } from './topology-fixtures.js';

function refusal(bad: TopologySeed): unknown {
  try {
    return initialTopology(bad);
  } catch (error) {
    return error;
  }
}

describe('initialTopology', () => {
  it('numbers shards from 0, groups from 1 and replicas from 1 (M-16)', () => {
    const document = initialTopology(seed(3, 4, 3));
    expect(document).toMatchObject({ epoch: 1, clusterId: 'cluster-1', nextCollectionId: 1 });
    expect(document.shards.map(({ shardId, groupId }) => [shardId, groupId])).toEqual([
      [0, 1],
      [1, 2],
      [2, 3],
      [3, 4],
    ]);
    for (const { replicas, ownershipVersion } of document.shards) {
      expect(replicas.map(({ replicaId }) => replicaId)).toEqual([1, 2, 3]);
      expect(ownershipVersion).toBe(1);
    }
  });

  it('lets the topology group vote on the five lowest nodes; the others learn', () => {
    const { topologyReplicas } = initialTopology(seed(7, 4));
    expect(topologyReplicas.map(({ nodeId }) => nodeId)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(topologyReplicas.map(({ replicaId }) => replicaId)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(topologyReplicas.map(({ learner }) => learner)).toEqual([
      false,
      false,
      false,
      false,
      false,
      true,
      true,
    ]);
  });

  it('is sound for every size of cluster, and the same for any order of nodes', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: LIMITS.nodesMax.value }),
        fc.integer({ min: 1, max: 64 }),
        (nodes, shards) => {
          const one = seed(nodes, shards);
          const document = initialTopology(one);
          expect(documentFault(document)).toBeUndefined();
          expect(initialTopology({ ...one, nodes: [...one.nodes].reverse() })).toEqual(document);
        },
      ),
      { numRuns: 20 },
    );
  });

  it.each([
    ['nodes', 'nodesMax', (limit: number) => seed(limit, 1, 1)],
    ['settings.shards', 'shardsMax', (limit: number) => seed(3, limit, 1)],
    ['settings.replicationFactor', 'replicationFactorMax', (limit: number) => seed(9, 1, limit)],
  ] as const)('holds %s to its limit %s (P-9)', (field, limit, seedOf) => {
    const { value } = LIMITS[limit];
    expect(refusal(seedOf(value - 1))).toMatchObject({ epoch: 1 });
    expect(refusal(seedOf(value))).toMatchObject({ epoch: 1 });
    const error = { reason: 'LIMIT_EXCEEDED', field, limit: { name: limit, value } };
    expect(refusal(seedOf(value + 1))).toMatchObject(error);
  });

  it('refuses what makes no cluster, naming the field (P-9)', () => {
    const good = seed();
    const settings = (more: object) => ({ ...good, settings: { ...good.settings, ...more } });
    const bad: [string, TopologySeed][] = [
      ['clusterId', { ...good, clusterId: '' }],
      ['nodes', { ...good, nodes: [] }],
      ['nodes', { ...good, nodes: [node(1), node(2), node(2)] }],
      ['nodes', { ...good, nodes: [node(1), node(2), { ...node(3), storeId: 'store-1' }] }],
      ['nodes', { ...good, nodes: [node(0), node(1), node(2)] }],
      ['settings.shards', settings({ shards: 0 })],
      ['settings.shards', settings({ shards: 1.5 })],
      ['settings.replicationFactor', settings({ replicationFactor: 0 })],
      ['replicationFactor', settings({ replicationFactor: 4 })],
      ['settings.virtualNodes', settings({ virtualNodes: 0 })],
      ['settings.electionTimeoutMs', settings({ electionTimeoutMs: -1 })],
    ];
    for (const [field, one] of bad) {
      expect(refusal(one), field).toMatchObject({ reason: 'INVALID_REQUEST', field });
    }
  });
});
