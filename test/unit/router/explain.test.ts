// Goal: explain tells which shards and replicas a search went to, why, and where its time went.
// Method: a router over fake shards with scripted faults, in virtual time (M-55).
import { describe, expect, it } from 'vitest';
import type { SearchOptions, SearchRequestQuery } from '../../../src/router/requests.js';
import { FakeCluster, type FakeClusterOptions } from './fake-cluster.js';

const OPTIONS = { timeoutMs: 5_000 };
const QUERY: SearchRequestQuery = {
  target: { kind: 'vector', values: Float32Array.of(0, 0) },
  limit: 3,
  includeValues: false,
  includeMetadata: false,
};

async function filledCluster(options: FakeClusterOptions = {}): Promise<FakeCluster> {
  const cluster = new FakeCluster({ shards: 4, ...options });
  const records = Array.from({ length: 20 }, (_, at) => ({
    id: `p${at}`,
    values: Float32Array.of(at, 0),
    metadata: new Uint8Array(0),
  }));
  await cluster.run(cluster.router.upsert('docs', records, OPTIONS));
  return cluster;
}

const explain = (cluster: FakeCluster, more: Partial<SearchOptions> = {}, query = QUERY) =>
  cluster.run(cluster.router.explain('docs', query, { ...OPTIONS, ...more }));

describe('explain', () => {
  it('tells each shard, its replica and why, and how many of its hits are used', async () => {
    const cluster = await filledCluster();
    const answer = await explain(cluster);
    expect(answer.shards.map(({ shardId }) => shardId)).toEqual([0, 1, 2, 3]);
    expect(new Set(answer.shards.map(({ choice }) => choice))).toEqual(new Set(['leader']));
    expect(answer.served).toHaveLength(4);
    const found = answer.shards.map(({ foundHits }) => foundHits);
    expect(found).toEqual(cluster.shards.map(({ records }) => Math.min(3, records.size)));
    const used = answer.shards.reduce((sum, { usedHits }) => sum + usedHits, 0);
    expect(used).toBe(3);
    expect(answer).toMatchObject({ skipped: [], attempts: [], failed: [], degraded: false });
  });

  it('adds up: a shard to its time, the stages to the whole', async () => {
    const cluster = await filledCluster();
    for (const { shardId } of cluster.document.shards) {
      cluster.leaderOf(shardId).delayMs = () => 10 * (shardId + 1);
    }
    const startMs = cluster.environment.nowMs;
    const answer = await explain(cluster);
    expect(answer.shards.map(({ networkMs }) => networkMs)).toEqual([10, 20, 30, 40]);
    expect(answer.shards.map(({ waitedMs }) => waitedMs)).toEqual([0, 0, 0, 0]);
    // The hits were asked for besides, which took the slowest as long again.
    expect(cluster.environment.nowMs - startMs).toBe(80);
    expect(answer.stages).toEqual({ routeMs: 0, fanOutMs: 40, mergeMs: 0 });
  });

  it('counts the vector of a query by id as part of the route', async () => {
    const cluster = await filledCluster();
    for (const { shardId } of cluster.document.shards) cluster.leaderOf(shardId).delayMs = () => 5;
    const target = { kind: 'record' as const, id: 'p3' };
    const { stages } = await explain(cluster, {}, { ...QUERY, target });
    expect(stages).toEqual({ routeMs: 5, fanOutMs: 5, mergeMs: 0 });
  });

  it('tells the attempts that failed before, and the time that they took', async () => {
    const cluster = await filledCluster({ localNodeId: 2 });
    cluster.shard(1).elect(1);
    await explain(cluster);
    cluster.shard(1).elect(3);
    cluster.replica(1, 1).delayMs = () => 7;
    const answer = await explain(cluster);
    const attempts = answer.attempts.filter(({ shardId }) => shardId === 1);
    expect(attempts).toEqual([
      { shardId: 1, nodeId: 1, choice: 'leader', reason: 'NOT_LEADER', durationMs: 7 },
    ]);
    const shard = answer.shards.find(({ shardId }) => shardId === 1);
    expect(shard).toMatchObject({ choice: 'leader', waitedMs: 7, networkMs: 0 });
    expect(answer.served.find(({ shardId }) => shardId === 1)?.nodeId).toBe(3);
    expect(answer.stages.fanOutMs).toBe(7);
  });

  it('says which replica served a relaxed read because it was there', async () => {
    const cluster = await filledCluster({ localNodeId: 3 });
    const answer = await explain(cluster, { consistency: 'eventual' });
    expect(answer.shards.map(({ choice }) => choice)).toEqual(['local', 'local', 'local', 'local']);
    expect(answer.served.map(({ nodeId }) => nodeId)).toEqual([3, 3, 3, 3]);
  });

  it('of a shard that is away tells who was asked, where parts are allowed (M-53)', async () => {
    const cluster = await filledCluster();
    for (const replica of cluster.replicasOf(2)) replica.faults = [{ reject: 'NO_LEADER' }];
    const answer = await explain(cluster, { allowPartial: true, timeoutMs: 1_000 });
    expect(answer).toMatchObject({ degraded: true, failed: [{ shardId: 2 }] });
    expect(answer.attempts.length).toBeGreaterThan(0);
    expect(new Set(answer.attempts.map(({ shardId }) => shardId))).toEqual(new Set([2]));
    expect(answer.stages.fanOutMs).toBeGreaterThanOrEqual(
      Math.max(...answer.shards.map(({ waitedMs, networkMs }) => waitedMs + networkMs)),
    );
  });

  it('says what the cache would have done, and why', async () => {
    const off = await filledCluster();
    expect((await explain(off, { consistency: 'eventual' })).cache.verdict).toBe('off');
    const cluster = await filledCluster({ searchCacheBytes: 100_000 });
    for (const { shardId } of cluster.document.shards) {
      for (const replica of cluster.replicasOf(shardId)) replica.ageMs = () => 0;
    }
    await cluster.environment.advance(10);
    const relaxed = { ...OPTIONS, consistency: 'eventual' } as const;
    expect((await explain(cluster)).cache.verdict).toBe('not-asked');
    expect((await explain(cluster, relaxed)).cache).toEqual({
      verdict: 'miss',
      reason: 'nothing is kept of this search',
    });
    await cluster.run(cluster.router.search('docs', [QUERY], relaxed));
    expect((await explain(cluster, relaxed)).cache.verdict).toBe('hit');
    await cluster.environment.advance(2_000);
    const old = (await explain(cluster, relaxed)).cache;
    expect(old).toEqual({
      verdict: 'miss',
      reason: 'it is kept since 2100 ms, and may be for 1000',
    });
    await cluster.run(cluster.router.delete('docs', ['p1'], OPTIONS));
    const { reason } = (await explain(cluster, relaxed)).cache;
    expect(reason).toMatch(/^shard \d has entries that it may not show$/);
  });
});
