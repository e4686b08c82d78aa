// Goal: what a replica starts from is the same everywhere, and of no use to a lost disk.
// Method: documents of several sizes, and nodes that come with another store.
import { describe, expect, it } from 'vitest';
import { blankGenesis, groupGenesis, shardGenesis } from '../../../src/node/shards.js';
import { TOPOLOGY_GROUP_ID } from '../../../src/topology/document.js';
import { initialTopology } from '../../../src/topology/initial-topology.js';
import { seed } from '../topology/topology-fixtures.js';

const self = (nodeId: number, storeId = `store-${nodeId}`) => ({ nodeId, storeId });

describe('groupGenesis', () => {
  it('is the same on all replicas of a group but for the replica id', () => {
    const document = initialTopology(seed(5, 6, 3));
    for (const { groupId, replicas } of document.shards) {
      const all = replicas.map(({ nodeId }) =>
        groupGenesis(document, self(nodeId), groupId, replicas),
      );
      expect(all.map((one) => one?.replicaId)).toEqual(replicas.map((one) => one.replicaId));
      expect(new Set(all.map((one) => JSON.stringify({ ...one, replicaId: 0 }))).size).toBe(1);
      expect(all[0]?.confState.voters).toEqual([1, 2, 3]);
      for (const member of all[0]?.members ?? []) {
        expect(member.storeId).toBe(`store-${member.nodeId}`);
      }
    }
  });

  it('is undefined on a node without a replica, and has learners where there are', () => {
    const document = initialTopology(seed(7, 1, 3));
    const replicas = document.shards[0]?.replicas ?? [];
    const holders = replicas.map(({ nodeId }) => nodeId);
    const stranger = document.nodes.find(({ nodeId }) => !holders.includes(nodeId));
    expect(groupGenesis(document, self(stranger?.nodeId ?? 0), 1, replicas)).toBeUndefined();
    const { topologyReplicas } = document;
    const topology = groupGenesis(document, self(7), TOPOLOGY_GROUP_ID, topologyReplicas);
    expect(topology?.confState).toMatchObject({ voters: [1, 2, 3, 4, 5], learners: [6, 7] });
  });

  it('is undefined for another store: a wiped node begins nothing again (M8)', () => {
    const document = initialTopology(seed());
    const { topologyReplicas } = document;
    expect(
      groupGenesis(document, self(1, 'new'), TOPOLOGY_GROUP_ID, topologyReplicas),
    ).toBeUndefined();
  });
});

describe('blankGenesis', () => {
  it('is no part of the configuration that the group began with: it cannot campaign', () => {
    const document = initialTopology(seed());
    for (const { groupId, replicas } of document.shards) {
      const blank = blankGenesis(document, groupId, 9);
      const first = groupGenesis(document, self(replicas[0]?.nodeId ?? 0), groupId, replicas);
      expect(blank).toEqual({ ...first, replicaId: 9 });
      expect(blank.confState.voters).not.toContain(9);
    }
    const topology = blankGenesis(initialTopology(seed(7, 1, 3)), TOPOLOGY_GROUP_ID, 8);
    expect(topology.confState).toMatchObject({ voters: [1, 2, 3, 4, 5], learners: [6, 7] });
  });
});

describe('shardGenesis', () => {
  it('gives every slot to one shard', () => {
    const document = initialTopology(seed(3, 4));
    const slots = document.shards.flatMap((shard) => shardGenesis(document, shard).slots);
    expect(slots.sort((a, b) => a - b)).toEqual(document.slotTable.map((_, slot) => slot));
  });
});
