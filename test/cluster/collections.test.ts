// Goal: a cluster behaves as one store, through whichever node it is asked (P-4, P-9).
// Method: three nodes in this process over gRPC, one client per node, each call through another.
import { Cluster, type Flotilla } from 'flotilla';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defined } from '../../src/shared/assert.js';
import { clientOf, FAST, recordsFrom } from './harness.js';

const NODE_IDS = [1, 2, 3];

let cluster: Cluster;
let clients: Flotilla[];
let turn = 0;

/** The clients one after the other. */
const next = (): Flotilla => defined(clients[turn++ % clients.length], 'client');

beforeAll(async () => {
  cluster = await Cluster.start({ ...FAST, nodes: 3, shards: 3 });
  clients = NODE_IDS.map((nodeId) => clientOf(cluster, nodeId));
});

afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await cluster.stop();
});

describe('collections', () => {
  it('that were created are there through every node at once', async () => {
    for (let round = 0; round < 6; round++) {
      const name = `made-${round}`;
      const created = await next().createCollection({ name, dimension: 4, metric: 'l2' });
      expect(created).toMatchObject({ state: 'active', config: { name, dimension: 4 } });
      for (const client of clients) {
        const result = await client.collection(name).upsert(recordsFrom(round, 1));
        expect(result.appliedCount).toBe(1);
      }
      const described = await Promise.all(clients.map((client) => client.describeCollection(name)));
      for (const info of described) expect(info).toMatchObject({ state: 'active', recordCount: 1 });
    }
    for (const client of clients) {
      const names = (await client.listCollections()).map(({ config }) => config.name);
      expect(names).toEqual(['made-0', 'made-1', 'made-2', 'made-3', 'made-4', 'made-5']);
    }
    for (let round = 0; round < 6; round++) await next().dropCollection(`made-${round}`);
  });

  it('may be created again with equal settings, and not with others', async () => {
    await next().createCollection({ name: 'twice', dimension: 4, metric: 'l2' });
    await next().createCollection({ name: 'twice', dimension: 4, metric: 'l2' });
    await expect(
      next().createCollection({ name: 'twice', dimension: 5, metric: 'l2' }),
    ).rejects.toMatchObject({ reason: 'COLLECTION_EXISTS', field: 'dimension' });
    await expect(
      next().createCollection({ name: 'twice', dimension: 4, metric: 'dot' }),
    ).rejects.toMatchObject({ reason: 'COLLECTION_EXISTS', field: 'metric' });
    expect(await next().describeCollection('twice')).toMatchObject({ config: { dimension: 4 } });
    await next().dropCollection('twice');
  });

  it('created by all nodes at the same time are one', async () => {
    const created = await Promise.all(
      clients.map((client) => client.createCollection({ name: 'raced', dimension: 4 })),
    );
    expect(created.map(({ state }) => state)).toEqual(['active', 'active', 'active']);
    expect(await next().listCollections()).toHaveLength(1);
    await next().dropCollection('raced');
  });

  it('that were dropped are gone through every node at once', async () => {
    await next().createCollection({ name: 'gone', dimension: 4 });
    await next().collection('gone').upsert(recordsFrom(1, 5));
    await next().dropCollection('gone');
    const notFound = { reason: 'COLLECTION_NOT_FOUND' };
    for (const client of clients) {
      const gone = client.collection('gone');
      await expect(gone.upsert(recordsFrom(9, 1))).rejects.toMatchObject(notFound);
      await expect(gone.count()).rejects.toMatchObject(notFound);
      await expect(gone.search({ vector: [1, 2, 3, 4], k: 1 })).rejects.toMatchObject(notFound);
      await expect(client.describeCollection('gone')).rejects.toMatchObject(notFound);
    }
    await expect(next().dropCollection('gone')).rejects.toMatchObject(notFound);
  });

  it('may come back under the same name with another dimension, and are empty', async () => {
    for (let round = 0; round < 10; round++) {
      const dimension = 3 + (round % 2);
      const values = Array.from({ length: dimension }, () => round + 1);
      await next().createCollection({ name: 'phoenix', dimension, metric: 'l2' });
      // Another node each time, which may still know the collection as it was before.
      const phoenix = next().collection('phoenix');
      expect(await next().collection('phoenix').count()).toBe(0);
      await phoenix.upsert([{ id: 'a', values }]);
      const { hits } = await next().collection('phoenix').search({ vector: values, k: 2 });
      expect(hits).toMatchObject([{ id: 'a', distance: 0 }]);
      await next().dropCollection('phoenix');
    }
  });

  it('that come back are known at once by the node that only looks on', async () => {
    for (let round = 0; round < 10; round++) {
      const dimension = 3 + (round % 2);
      const values = Array.from({ length: dimension }, () => 1);
      const [maker, onlooker] = [next(), next()];
      await maker.createCollection({ name: 'seen', dimension, metric: 'l2' });
      await onlooker.collection('seen').upsert([{ id: 'a', values }]);
      await maker.dropCollection('seen');
    }
  });
});

describe('records', () => {
  beforeAll(async () => {
    await next().createCollection({ name: 'records', dimension: 4, metric: 'l2' });
  });

  it('written through one node are read through every other at once (P-4)', async () => {
    for (let first = 0; first < 60; first += 20) {
      const written = recordsFrom(first, 20);
      const ids = written.map(({ id }) => id);
      const result = await next().collection('records').upsert(written);
      expect(result.outcomes.map(({ kind }) => kind)).toEqual(Array(20).fill('applied'));
      for (const client of clients) {
        const records = client.collection('records');
        const found = await records.fetch(ids);
        expect(found.map(({ id, metadata }) => [id, metadata])).toEqual(
          written.map(({ id, metadata }) => [id, metadata]),
        );
        expect(await records.count()).toBe(first + 20);
        const { hits, shards, degraded } = await records.search({ vector: [first, 0, 0, 1], k: 3 });
        expect(hits).toHaveLength(3);
        expect({ shards, degraded }).toMatchObject({
          shards: { total: 3, ok: 3 },
          degraded: false,
        });
      }
    }
    const gone = recordsFrom(0, 20).map(({ id }) => id);
    await next().collection('records').delete(gone);
    for (const client of clients) {
      const records = client.collection('records');
      expect(await records.fetch(gone)).toEqual([]);
      expect(await records.count()).toBe(40);
      const { hits } = await records.search({ vector: [0, 0, 0, 1], k: 40 });
      expect(hits).toHaveLength(40);
      expect(hits.filter(({ id }) => gone.includes(id))).toEqual([]);
    }
  });

  it('of two writers hold the write of the highest version, and versions grow', async () => {
    const written = new Map<string, { version: bigint; stamp: string }[]>();
    const writer = async (client: Flotilla, name: string): Promise<void> => {
      for (let round = 0; round < 15; round++) {
        const stamp = `${name}-${round}`;
        const records = recordsFrom(500, 10).map((one) => ({ ...one, metadata: { stamp } }));
        const { outcomes } = await client.collection('records').upsert(records);
        for (const outcome of outcomes) {
          if (outcome.kind !== 'applied') throw new Error(`${outcome.id}: ${outcome.message}`);
          const versions = written.get(outcome.id) ?? [];
          written.set(outcome.id, versions);
          versions.push({ version: BigInt(outcome.version), stamp });
        }
      }
    };
    await Promise.all(clients.map((client, at) => writer(client, `writer-${at}`)));
    const found = await next()
      .collection<{ stamp: string }>('records')
      .fetch([...written.keys()]);
    expect(found).toHaveLength(10);
    for (const { id, version, metadata } of found) {
      const writes = defined(written.get(id), id);
      expect(new Set(writes.map((write) => write.version)).size).toBe(writes.length);
      const newest = writes.reduce((a, b) => (a.version > b.version ? a : b));
      expect([BigInt(version), metadata?.stamp]).toEqual([newest.version, newest.stamp]);
      // What one writer was told in order, happened in order.
      for (const name of ['writer-0', 'writer-1', 'writer-2']) {
        const own = writes.filter(({ stamp }) => stamp.startsWith(name)).map((one) => one.version);
        expect(own).toEqual([...own].sort((a, b) => (a < b ? -1 : 1)));
      }
    }
  });
});
