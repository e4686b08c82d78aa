// Goal: the same code serves one node, more nodes than replicas, and learners of the topology.
// Method: clusters of several sizes; every node is asked for records that it does not hold.
import { Cluster, type Flotilla } from 'flotilla';
import { describe, expect, it } from 'vitest';
import { defined } from '../../src/shared/assert.js';
import { clientOf, FAST, healthy, recordsFrom } from './harness.js';

const NAME = 'records';

/** Writes through each node in turn, and reads everything through each. */
async function expectServedByAll(cluster: Cluster): Promise<void> {
  const clients = cluster.addresses.map(({ nodeId }) => clientOf(cluster, nodeId));
  const first = defined(clients[0], 'client');
  const last = defined(clients.at(-1), 'client');
  await last.createCollection({ name: NAME, dimension: 4, metric: 'l2' });
  for (const [at, client] of clients.entries()) {
    const { appliedCount } = await client.collection(NAME).upsert(recordsFrom(100 * at, 40));
    expect(appliedCount).toBe(40);
  }
  for (const client of clients) await expectAll(client, clients.length);
  await first.dropCollection(NAME);
  for (const client of clients) expect(await client.listCollections()).toEqual([]);
  await Promise.all(clients.map((client) => client.close()));
}

async function expectAll(client: Flotilla, batches: number): Promise<void> {
  const records = client.collection(NAME);
  expect(await records.count()).toBe(40 * batches);
  const ids = recordsFrom(100 * (batches - 1), 40).map(({ id }) => id);
  expect((await records.fetch(ids)).map(({ id }) => id)).toEqual(ids);
  const { hits, shards } = await records.search({ vector: [17, 17 % 7, 17 % 11, 1], k: 3 });
  expect(hits[0]).toMatchObject({ id: 'row-17', distance: 0 });
  expect(shards.ok).toBe(shards.total);
}

describe('a cluster of', () => {
  it('one node and one replica serves', async () => {
    await using cluster = await Cluster.start({ ...FAST, nodes: 1, shards: 2 });
    await expectServedByAll(cluster);
    const { shards, healthy: isHealthy } = await cluster.client().status();
    expect(isHealthy).toBe(true);
    expect(shards.map(({ replicas }) => replicas.length)).toEqual([1, 1]);
  });

  it('five nodes and six shards routes to where the replicas are', async () => {
    const nodes = 5;
    await using cluster = await Cluster.start({
      ...FAST,
      nodes,
      shards: 6,
      replicationFactor: 3,
    });
    const client = cluster.client();
    const { shards, topology } = await client.status();
    for (const { replicas } of shards) expect(replicas).toHaveLength(3);
    const perNode = cluster.addresses.map(
      ({ nodeId }) =>
        shards.filter(({ replicas }) => replicas.some((one) => one.nodeId === nodeId)).length,
    );
    for (const count of perNode) expect([3, 4]).toContain(count);
    expect(topology.replicas.map(({ state }) => state)).not.toContain('learner');
    await expectServedByAll(cluster);

    // One of five is in no majority's way, whatever it led.
    await client.createCollection({ name: NAME, dimension: 4, metric: 'l2' });
    await cluster.stopNode(topology.leaderNodeId);
    const rest = cluster.client({ timeoutMs: 30_000 });
    expect((await rest.collection(NAME).upsert(recordsFrom(0, 40))).appliedCount).toBe(40);
    expect(await rest.collection(NAME).count()).toBe(40);
    await rest.createCollection({ name: 'without-it', dimension: 2 });
    await cluster.startNode(topology.leaderNodeId);
    await healthy(rest, 4);
  });

  it('seven nodes has two learners of the topology, which serve like the others', async () => {
    await using cluster = await Cluster.start({
      ...FAST,
      nodes: 7,
      shards: 2,
      replicationFactor: 3,
    });
    const { topology, nodes } = await cluster.client().status();
    // Those without a shard as well.
    for (const { instructionSet } of nodes) expect(instructionSet).not.toBe('');
    const learners = topology.replicas.filter(({ state }) => state === 'learner');
    expect(learners.map(({ nodeId }) => nodeId)).toEqual([6, 7]);
    expect(learners).not.toContainEqual(expect.objectContaining({ nodeId: topology.leaderNodeId }));
    await expectServedByAll(cluster);
  });
});
