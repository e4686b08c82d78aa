// Goal: a cluster outlives the loss of a zone, and of a node whose vote goes to another one (M-16).
// Method: six nodes in this process, stopped by zone; one comes back from elsewhere.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cluster, type ClusterStatus, type Flotilla } from 'flotilla';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { waitUntil } from '../support/wait-until.js';
import { clientOf, FAST, recordsFrom } from './harness.js';

const NODES = [1, 2, 3, 4, 5, 6];

let directory: string;
let cluster: Cluster;
let client: Flotilla;

async function start(zones: readonly string[], shards = 2): Promise<void> {
  cluster = await Cluster.start({ ...FAST, nodes: 6, shards, dir: directory, zones });
  client = cluster.client();
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'flotilla-zones-'));
});

afterEach(async () => {
  await cluster.stop();
  await rm(directory, { recursive: true });
});

const replicasOf = ({ shards }: ClusterStatus): number[][] =>
  shards.map(({ replicas }) => replicas.map(({ nodeId }) => nodeId));
const votersOf = ({ topology }: ClusterStatus): number[] =>
  topology.replicas.flatMap(({ nodeId, state }) => (state === 'learner' ? [] : [nodeId]));

describe('six nodes in three zones', () => {
  const zones = ['a', 'a', 'b', 'b', 'c', 'c'];
  const zoneOf = (nodeId: number): string | undefined => zones[nodeId - 1];

  it('serve writes, reads and changes without one of them', async () => {
    await start(zones);
    await client.createCollection({ name: 'items', dimension: 4, metric: 'l2' });
    await client.collection('items').upsert(recordsFrom(0, 50));
    const status = await client.status();
    expect(status.nodes.map(({ zone }) => zone)).toEqual(zones);
    for (const nodeIds of replicasOf(status)) {
      expect(new Set(nodeIds.map(zoneOf)).size).toBe(3);
    }
    await Promise.all([1, 2].map((nodeId) => cluster.stopNode(nodeId)));
    const rest = cluster.client();
    await rest.collection('items').upsert(recordsFrom(50, 50));
    expect(await rest.collection('items').count()).toBe(100);
    await rest.createCollection({ name: 'more', dimension: 4, metric: 'l2' });
    expect((await rest.listCollections()).map(({ config }) => config.name)).toContain('more');
  });

  it('take one that comes back in another zone, and move nothing', async () => {
    const now = [...zones];
    await start(now);
    const before = replicasOf(await client.status());
    await cluster.stopNode(6);
    now[5] = 'd';
    await cluster.startNode(6);
    await waitUntil('all nodes know the zone', async () => {
      const known = await Promise.all(
        NODES.map(async (nodeId) => {
          const one = clientOf(cluster, nodeId);
          const { nodes } = await one.status().finally(() => one.close());
          return nodes[5]?.zone;
        }),
      );
      return known.every((zone) => zone === 'd');
    });
    expect(replicasOf(await client.status())).toEqual(before);
  });
});

describe('the topology of six nodes', () => {
  it('gives the vote of a node that is gone to the one that has none', async () => {
    // The shard is on nodes 1 to 3.
    await start([], 1);
    expect(votersOf(await client.status())).toEqual([1, 2, 3, 4, 5]);
    await cluster.stopNode(5);
    const rest = cluster.client();
    await expect(rest.addReplica({ topology: true, nodeId: 6 })).rejects.toMatchObject({
      reason: 'LIMIT_EXCEEDED',
      limit: { name: 'topologyVotersMax', value: 5 },
    });
    await rest.removeReplica({ topology: true, nodeId: 5 });
    await over(rest);
    await rest.addReplica({ topology: true, nodeId: 6 });
    await over(rest);

    // Of the five that voted first only two are left; of those that vote now three are.
    await Promise.all([3, 4].map((nodeId) => cluster.stopNode(nodeId)));
    await rest.createCollection({ name: 'late', dimension: 4, metric: 'l2' });
    expect((await rest.listCollections()).map(({ config }) => config.name)).toEqual(['late']);

    // The node comes back as one that learns, and follows.
    await cluster.startNode(5);
    const again = clientOf(cluster, 5);
    await waitUntil('the node follows', async () => {
      const { topology } = await again.status();
      return topology.replicas.find(({ nodeId }) => nodeId === 5)?.state === 'learner';
    });
    await again.close();
  });
});

describe('the leader of the topology', () => {
  it('hands over when its vote is taken, and may get it back', async () => {
    await start([], 1);
    const { leaderNodeId } = (await client.status()).topology;
    const isLearner = async (): Promise<boolean | undefined> => {
      const { topology } = await client.status();
      return topology.replicas.some(({ nodeId, state }) => {
        return nodeId === leaderNodeId && state === 'learner';
      });
    };
    await client.removeReplica({ topology: true, nodeId: leaderNodeId });
    await over(client);
    await waitUntil('another node leads', async () => {
      const now = (await client.status()).topology.leaderNodeId;
      return now !== 0 && now !== leaderNodeId;
    });
    expect(await isLearner()).toBe(true);
    await client.addReplica({ topology: true, nodeId: leaderNodeId });
    await over(client);
    expect(await isLearner()).toBe(false);
  });
});

/** The change of the topology's voters is through. */
async function over(one: Flotilla): Promise<void> {
  await waitUntil('the votes have changed', async () => {
    return (await one.status()).topology.change === undefined;
  });
}
