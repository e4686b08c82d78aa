// Goal: a client goes to the leaders of shards by itself, and no node has to pass its calls on.
// Method: a cluster in this process, counting the calls that its nodes pass on to each other.
import { Cluster, type Collection, type Flotilla, type FlotillaOptions } from 'flotilla';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitUntil } from '../support/wait-until.js';
import { FAST, healthy, leaderOf, recordsFrom } from './harness.js';

const CALLS = 60;
const SHARDS = 4;
const IDS = recordsFrom(0, CALLS).map(({ id }) => id);

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start({ ...FAST, shards: SHARDS });
  const client = cluster.client();
  await healthy(client);
  await client.createCollection({ name: 'rows', dimension: 4, metric: 'l2' });
  await client.collection('rows').upsert(recordsFrom(0, CALLS));
});
afterAll(() => cluster.stop());

const SHARD_CALLS = new RegExp(
  'flotilla_shard_calls_total' +
    String.raw`\{operation="(?:write|fetch|search)",place="(local|remote)"\} (\d+)`,
  'g',
);

/** What nodes asked shards for clients, by where the replica was. */
async function shardCalls(): Promise<{ local: number; remote: number }> {
  const sum = { local: 0, remote: 0 };
  for (const { http } of cluster.addresses) {
    const text = await (await fetch(`http://${http}/metrics`)).text();
    for (const [, place, count] of text.matchAll(SHARD_CALLS)) {
      sum[place as 'local' | 'remote'] += Number(count);
    }
  }
  return sum;
}

/** How many calls to shards, and how many between nodes, the work takes for each of its calls. */
async function costOf(work: () => Promise<void>): Promise<{ asked: number; hops: number }> {
  const before = await shardCalls();
  await work();
  const after = await shardCalls();
  const hops = after.remote - before.remote;
  return { asked: after.local - before.local + hops, hops };
}

/** A client that knows where shards are led, if it cares: no call of it is passed on. */
async function settled(options: FlotillaOptions): Promise<Flotilla> {
  const client = cluster.client(options);
  const rows = client.collection('rows');
  if (options.routing === 'proxy') return client;
  await waitUntil('the client has learnt where shards are led', async () => {
    const { hops } = await costOf(async () => {
      for (const id of IDS.slice(0, 12)) await rows.fetch([id]);
    });
    return hops === 0;
  });
  return client;
}

const WORK: Record<string, (rows: Collection<{ row: number }>) => Promise<void>> = {
  fetches: async (rows) => {
    for (const id of IDS) expect(await rows.fetch([id])).toHaveLength(1);
  },
  upserts: async (rows) => {
    for (const record of recordsFrom(0, CALLS)) await rows.upsert([record]);
  },
  searches: async (rows) => {
    for (let at = 0; at < CALLS; at++) {
      expect((await rows.search({ vector: [at, 1, 1, 1], k: 1 })).hits).toHaveLength(1);
    }
  },
};

describe('a client with routing "direct"', () => {
  it.each(['fetches', 'upserts'] as const)('makes %s of one record without a hop', async (kind) => {
    const direct = (await settled({ routing: 'direct' })).collection<{ row: number }>('rows');
    const proxy = (await settled({ routing: 'proxy' })).collection<{ row: number }>('rows');
    const work = WORK[kind];
    expect(await costOf(async () => work?.(direct))).toEqual({ asked: CALLS, hops: 0 });
    const through = await costOf(async () => work?.(proxy));
    // Of three nodes two do not lead the shard.
    expect(through.asked).toBe(CALLS);
    expect(through.hops).toBeGreaterThan(CALLS / 3);
  });

  it("makes a tenant's searches without a hop, where tenants decide (M-20)", async () => {
    const client = cluster.client({ routing: 'direct' });
    const settings = { name: 'tenants', dimension: 1, routing: 'tenant' } as const;
    const acme = await client.openCollection(settings, { tenant: 'acme' });
    await acme.upsert([{ id: 'a', values: [1] }]);
    const search = async (): Promise<void> => {
      for (let at = 0; at < 20; at++) await acme.search({ vector: [1], k: 1 });
    };
    await waitUntil('no search is passed on', async () => (await costOf(search)).hops === 0);
    expect(await costOf(search)).toEqual({ asked: 20, hops: 0 });
  });

  it('follows a leader that moves, and no call fails meanwhile', async () => {
    const client = await settled({ routing: 'direct' });
    const rows = client.collection<{ row: number }>('rows');
    const leader = await leaderOf(client, 0);
    await client.transferLeadership({ shardId: 0 });
    await waitUntil('another node leads', async () => (await leaderOf(client, 0)) !== leader);
    await waitUntil('no call is passed on any more', async () => {
      const { hops } = await costOf(async () => {
        for (const id of IDS) await rows.fetch([id]);
      });
      return hops === 0;
    });
  });

  it('outlives the node that it goes to', async () => {
    const client = await settled({ routing: 'direct', timeoutMs: 30_000 });
    const rows = client.collection<{ row: number }>('rows');
    const leader = await leaderOf(client, 1);
    await cluster.stopNode(leader);
    expect(await rows.fetch(IDS)).toHaveLength(CALLS);
    for (const id of IDS.slice(0, 12)) expect(await rows.fetch([id])).toHaveLength(1);
    await cluster.startNode(leader);
  });

  it('sends searches to nodes that lead, and to none that lead nothing', async () => {
    const direct = await settled({ routing: 'direct' });
    for (let shardId = 0; shardId < SHARDS; shardId++) {
      if ((await leaderOf(direct, shardId)) === 1) continue;
      await direct.transferLeadership({ shardId, nodeId: 1 });
      await waitUntil('node 1 leads', async () => (await leaderOf(direct, shardId)) === 1);
    }
    const rows = direct.collection<{ row: number }>('rows');
    const search = async (): Promise<void> => WORK.searches?.(rows);
    await waitUntil('no search is passed on', async () => (await costOf(search)).hops === 0);
    expect(await costOf(search)).toEqual({ asked: CALLS * SHARDS, hops: 0 });
  });
});
