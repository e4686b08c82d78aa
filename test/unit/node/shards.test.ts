// Goal: the topology document says which replicas a node opens, and one that fails stops no other.
// Method: documents of several sizes; engines that do not open.
import { describe, expect, it } from 'vitest';
import type { CommandResult, Engine } from '../../../src/engine/engine.js';
import { groupGenesis, openShards, TOPOLOGY_GROUP_ID } from '../../../src/node/shards.js';
import { ReplicaHost } from '../../../src/replica/host.js';
import type { ShardReplica } from '../../../src/replica/replica.js';
import { deriveTiming } from '../../../src/replica/timing.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { MemoryLogStore } from '../../../src/storage/memory-log-store.js';
import { initialTopology } from '../../../src/topology/initial-topology.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';
import { seed } from '../topology/topology-fixtures.js';

function engineThat(opens: boolean, closed: number[], shardId: number): Engine {
  return {
    open: () =>
      opens ? Promise.resolve({ appliedIndex: 0 }) : Promise.reject(new Error('a broken store')),
    apply: async (entries): Promise<CommandResult[]> => entries.map(() => ({ kind: 'done' })),
    close: async () => void closed.push(shardId),
    search: async () => [],
    fetch: async () => [],
    count: async () => 0,
    stats: async () => ({ appliedIndex: 0, ownershipVersion: 1, collections: [], sessions: 0 }),
  };
}

describe('groupGenesis', () => {
  it('is the same on all replicas of a group but for the replica id', () => {
    const document = initialTopology(seed(5, 6, 3));
    for (const { groupId, replicas } of document.shards) {
      const all = replicas.map(({ nodeId }) => groupGenesis(document, nodeId, groupId, replicas));
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
    const [shard] = document.shards;
    const holders = shard?.replicas.map(({ nodeId }) => nodeId) ?? [];
    const stranger = document.nodes.find(({ nodeId }) => !holders.includes(nodeId));
    expect(groupGenesis(document, stranger?.nodeId ?? 0, 1, shard?.replicas ?? [])).toBeUndefined();
    const topology = groupGenesis(document, 7, TOPOLOGY_GROUP_ID, document.topologyReplicas);
    expect(topology?.confState).toMatchObject({ voters: [1, 2, 3, 4, 5], learners: [6, 7] });
  });
});

describe('openShards', () => {
  it('opens the replicas of this node; one whose engine fails only says why', async () => {
    const environment = new VirtualEnvironment();
    const document = initialTopology(seed(3, 3));
    const logStore = new MemoryLogStore({ storeId: 'store-1', incarnation: 1 });
    const host = new ReplicaHost({
      environment,
      logStore,
      timing: deriveTiming(1_000),
      logger: silentLogger,
      send: () => undefined,
      onFault: () => undefined,
    });
    const opened = new Map<number, ShardReplica>();
    const closed: number[] = [];
    await openShards(
      {
        document,
        nodeId: 1,
        host,
        logStore,
        environment,
        logger: silentLogger,
        createEngine: ({ shardId }) => engineThat(shardId !== 1, closed, shardId),
      },
      (groupId, replica) => opened.set(groupId, replica),
    );
    expect([...opened.keys()].sort()).toEqual([1, 2, 3]);
    expect(closed).toEqual([1]);
    const context = { epoch: 1, timeoutMs: 1_000 };
    const statuses = await Promise.all([...opened.values()].map((one) => one.status(context)));
    const faults = statuses.map(({ shardId, fault }) => [shardId, fault]).sort();
    expect(faults).toEqual([
      [0, undefined],
      [1, expect.stringContaining('a broken store')],
      [2, undefined],
    ]);
    await expect(opened.get(2)?.barrier(context)).rejects.toMatchObject({ reason: 'NO_LEADER' });
    await environment.settle(host.close());
  });
});
