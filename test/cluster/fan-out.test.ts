// Goal: with a shard down searches fail or say what is missing; kept answers save fan-outs.
// Method: three nodes in this process, one replica a shard; one node is stopped (F-20).
import {
  Cluster,
  type Collection,
  type Flotilla,
  type FlotillaError,
  type FlotillaOptions,
} from 'flotilla';
import { describe, expect, it } from 'vitest';
import { failureOf } from '../api/harness.js';
import { waitUntil } from '../support/wait-until.js';
import { clientOf, FAST, healthy, recordsFrom } from './harness.js';

const NAME = 'records';
const SHARDS = 3;
const ROWS = 60;
const QUERY = { vector: [0, 0, 0, 1], k: ROWS };

async function filled(options: Parameters<typeof Cluster.start>[0] = {}) {
  const cluster = await Cluster.start({ ...FAST, nodes: 3, shards: SHARDS, ...options });
  const client = clientOf(cluster, 1);
  await client.createCollection({ name: NAME, dimension: 4, metric: 'l2' });
  await healthy(client, 1);
  await client.collection(NAME).upsert(recordsFrom(0, ROWS));
  return { cluster, client };
}

/** The shards that are led by a node that is not the one asked, and that node. */
async function shardsElsewhere(client: Flotilla): Promise<{ nodeId: number; shardIds: number[] }> {
  const { shards } = await client.status();
  const nodeId = shards.find(({ leaderNodeId }) => leaderNodeId > 1)?.leaderNodeId ?? 0;
  const shardIds = shards
    .filter(({ leaderNodeId }) => leaderNodeId === nodeId)
    .map(({ shardId }) => shardId);
  return { nodeId, shardIds };
}

/** The shards that a search names which may not do without them. */
async function shardsMissedBy(records: Collection<{ row: number }>): Promise<number[]> {
  let error: FlotillaError | undefined;
  // On a busy machine its answer may come after the end of the caller's time.
  await waitUntil('a search says which shards are missing', async () => {
    error = await failureOf(records.search(QUERY, { timeoutMs: 2_000 }));
    return error.reason !== 'DEADLINE_EXCEEDED';
  });
  expect(error).toMatchObject({ code: 'UNAVAILABLE', reason: 'SHARD_UNAVAILABLE' });
  return (error?.body.details?.shards ?? '').split(',').map(Number);
}

describe('a search with a shard that is down', () => {
  it('names what is missing, where a part is allowed, and fails otherwise (M-53)', async () => {
    const { cluster, client } = await filled({ replicationFactor: 1 });
    const whole = await client.collection(NAME).search(QUERY);
    expect(whole).toMatchObject({ degraded: false, cut: false });
    const { nodeId, shardIds } = await shardsElsewhere(client);
    await cluster.stopNode(nodeId);
    // What is there is opened without it, and nothing new is begun.
    const settings = { name: NAME, dimension: 4, metric: 'l2' } as const;
    const { recordCount } = await client.createCollection(settings);
    expect(recordCount).toBeUndefined();
    const refused = await failureOf(client.createCollection({ ...settings, name: 'new' }));
    expect(refused).toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' });
    const ways: readonly FlotillaOptions[] = [
      { transport: 'stream' },
      { transport: 'unary' },
      { transport: 'stream', routing: 'direct' },
    ];
    // Each call waits for as long as it may: all of them at once.
    await Promise.all(
      ways.map(async (way) => {
        const caller = clientOf(cluster, 1, way);
        const records = caller.collection<{ row: number }>(NAME);
        const [partial, missed] = await Promise.all([
          records.search(QUERY, { allowPartial: true, timeoutMs: 2_000 }),
          shardsMissedBy(records),
        ]);
        expect(partial.degraded).toBe(true);
        expect([...partial.shards.failed].sort()).toEqual(shardIds);
        expect(partial.shards).toMatchObject({ total: SHARDS, ok: SHARDS - shardIds.length });
        expect(partial.hits.length).toBeGreaterThan(0);
        const known = new Set(whole.hits.map(({ id }) => id));
        for (const { id } of partial.hits) expect(known).toContain(id);
        expect(missed).toEqual(shardIds);
        await caller.close();
      }),
    );
    const records = client.collection(NAME);
    const explained = await records.explain(QUERY, { allowPartial: true, timeoutMs: 2_000 });
    expect([...explained.failed].sort()).toEqual(shardIds);
    expect(explained.attempts.length).toBeGreaterThan(0);
    await client.close();
    await cluster.stop();
  });
});

describe('a node that keeps answers', () => {
  it('answers bounded searches from them, and tells by metrics and explain (V1)', async () => {
    const { cluster, client } = await filled({ searchCacheBytes: 1_000_000 });
    const records = client.collection(NAME);
    const bounded = { consistency: { boundedMs: 60_000 } } as const;
    // Nothing is kept before replicas answer that are sure to have the last write.
    await waitUntil('an answer is kept', async () => {
      await records.search(QUERY, bounded);
      return (await records.explain(QUERY, bounded)).cache.verdict === 'hit';
    });
    const kept = await records.search(QUERY, bounded);
    expect(kept.hits).toEqual((await records.search(QUERY)).hits);
    for (const { ageMs } of kept.served) expect(ageMs).toBeLessThanOrEqual(60_000);
    const node = cluster.addresses.find(({ nodeId }) => nodeId === 1);
    const metrics = await (await fetch(`http://${node?.http}/metrics`)).text();
    expect(metrics).toMatch(/^flotilla_router_cache_hits_total [1-9]/m);
    expect(metrics).toMatch(/^flotilla_router_cache_bytes [1-9]/m);
    await records.upsert(recordsFrom(1_000, 1));
    const far = { vector: [1_000, 1_000 % 7, 1_000 % 11, 1], k: 1 };
    const { hits } = await records.search(far, { consistency: 'session' });
    expect(hits[0]?.id).toBe('row-1000');
    expect((await records.explain(QUERY, bounded)).cache.verdict).toBe('miss');
    await client.close();
    await cluster.stop();
  });
});
