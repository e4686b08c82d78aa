// Goal: shardK asks shards for fewer hits or more, and answers that lack some for it say so.
// Method: searches of a router over fake shards that search exactly; property-based.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SearchHit, SearchRequestQuery } from '../../../src/router/requests.js';
import { FakeCluster } from './fake-cluster.js';

const SHARDS = 4;
const RECORDS = 40;
const OPTIONS = { timeoutMs: 5_000 };

/** Records p0 .. p39 at (0, 0) .. (39, 0), over all shards. */
async function filledCluster(): Promise<FakeCluster> {
  const cluster = new FakeCluster({ shards: SHARDS });
  const records = Array.from({ length: RECORDS }, (_, at) => ({
    id: `p${at}`,
    values: Float32Array.of(at, 0),
    metadata: new Uint8Array(0),
  }));
  await cluster.run(cluster.router.upsert('docs', records, OPTIONS));
  return cluster;
}

const near = (x: number, more: Partial<SearchRequestQuery>): SearchRequestQuery => ({
  target: { kind: 'vector', values: Float32Array.of(x, 0) },
  limit: 10,
  includeValues: false,
  includeMetadata: false,
  ...more,
});

async function searched(cluster: FakeCluster, query: SearchRequestQuery) {
  const { results, cutQueries } = await cluster.run(
    cluster.router.search('docs', [query], OPTIONS),
  );
  return { hits: results[0] ?? [], isCut: cutQueries.length > 0 };
}

const idsOf = (hits: readonly SearchHit[]): string[] => hits.map(({ id }) => id);

const place = fc.integer({ min: 0, max: RECORDS });
const window = fc.record({ limit: fc.integer({ min: 1, max: 20 }), offset: fc.nat(10) });

describe('shardK', () => {
  it('of offset + k or more changes nothing (M-12)', async () => {
    const cluster = await filledCluster();
    await fc.assert(
      fc.asyncProperty(place, window, fc.nat(5), async (x, { limit, offset }, more) => {
        const whole = await searched(cluster, near(x, { limit, offset }));
        const shardK = offset + limit + more;
        expect(await searched(cluster, near(x, { limit, offset, shardK }))).toEqual(whole);
      }),
      { numRuns: 30 },
    );
  });

  it('below that finds records in their order, and says where some are lost', async () => {
    const cluster = await filledCluster();
    await fc.assert(
      fc.asyncProperty(place, window, fc.integer({ min: 1, max: 8 }), async (x, wanted, shardK) => {
        const all = await searched(cluster, near(x, { limit: RECORDS }));
        const whole = await searched(cluster, near(x, wanted));
        const { hits, isCut } = await searched(cluster, near(x, { ...wanted, shardK }));
        const places = idsOf(hits).map((id) => idsOf(all.hits).indexOf(id));
        expect(places).toEqual([...places].sort((a, b) => a - b));
        expect(new Set(places).size).toBe(places.length);
        if (!isCut) expect(hits).toEqual(whole.hits);
        if (hits.length < whole.hits.length) expect(isCut).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('is what each shard is asked for, by query', async () => {
    const cluster = await filledCluster();
    const asked: number[][] = [];
    for (const { shardId } of cluster.document.shards) {
      const replica = cluster.leaderOf(shardId);
      const search = replica.search.bind(replica);
      replica.search = (scope, queries, context) => {
        asked.push(queries.map(({ k }) => k));
        return search(scope, queries, context);
      };
    }
    const queries = [near(0, { limit: 5, offset: 2, shardK: 3 }), near(0, { limit: 5, offset: 2 })];
    await cluster.run(cluster.router.search('docs', queries, OPTIONS));
    expect(asked).toEqual(Array.from({ length: SHARDS }, () => [3, 7]));
  });

  it('marks the queries of a batch that it has cut', async () => {
    const cluster = await filledCluster();
    const queries = [near(0, { limit: 8, shardK: 1 }), near(0, { limit: 8 })];
    const answer = await cluster.run(cluster.router.search('docs', queries, OPTIONS));
    expect(answer.cutQueries).toEqual([0]);
    expect(answer.results.map((hits) => hits.length)).toEqual([SHARDS, 8]);
  });
});
