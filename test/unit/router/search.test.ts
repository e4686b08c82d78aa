// Goal: reads see all shards under one table, or say which are missing.
// Method: a router over fake shards with scripted faults, in virtual time.
import { describe, expect, it } from 'vitest';
import type { RouterHooks } from '../../../src/router/hooks.js';
import type { SearchAnswer, SearchRequestQuery } from '../../../src/router/requests.js';
import { floatBytes } from '../../../src/shared/bytes.js';
import { encodeStatusDetails } from '../../../src/shared/codec/status-details.js';
import type { FlotillaError } from '../../../src/shared/errors.js';
import { FakeCluster } from './fake-cluster.js';

const options = { timeoutMs: 5_000 };
const include = { values: true, metadata: false };

const near = (x: number, y: number, more: Partial<SearchRequestQuery> = {}) => ({
  target: { kind: 'vector' as const, values: Float32Array.of(x, y) },
  limit: 3,
  includeValues: false,
  includeMetadata: false,
  ...more,
});

const nearRecord = (id: string) => ({ ...near(0, 0), target: { kind: 'record' as const, id } });

/** A cluster with records p0 .. p19 at (0, 0) .. (19, 0), over all shards. */
async function filledCluster(hooks?: RouterHooks): Promise<FakeCluster> {
  const cluster = new FakeCluster({ shards: 4, ...(hooks !== undefined && { hooks }) });
  const records = Array.from({ length: 20 }, (_, at) => ({
    id: `p${at}`,
    values: Float32Array.of(at, 0),
    metadata: new Uint8Array(0),
  }));
  await cluster.run(cluster.router.upsert('docs', records, options));
  return cluster;
}

const idsOf = ({ results }: SearchAnswer): string[][] =>
  results.map((hits) => hits.map(({ id }) => id));

async function errorOf(work: Promise<unknown>): Promise<FlotillaError> {
  try {
    await work;
  } catch (error) {
    return error as FlotillaError;
  }
  throw new Error('it did not fail');
}

/** Shard that owns an id. */
const ownerOf = (cluster: FakeCluster, id: string): number =>
  cluster.shards.findIndex((shard) => shard.records.has(id));

describe('a search', () => {
  it('finds the closest of all shards, in order (M-12)', async () => {
    const cluster = await filledCluster();
    const answer = await cluster.run(
      cluster.router.search('docs', [near(0, 0), near(19, 0)], options),
    );
    expect(idsOf(answer)).toEqual([
      ['p0', 'p1', 'p2'],
      ['p19', 'p18', 'p17'],
    ]);
    expect(answer).toMatchObject({
      shards: { total: 4, ok: 4, failed: [] },
      degraded: false,
      epoch: cluster.document.epoch,
    });
  });

  it('applies the offset over all shards together', async () => {
    const cluster = await filledCluster();
    const query = near(0, 0, { offset: 5, limit: 4 });
    const answer = await cluster.run(cluster.router.search('docs', [query], options));
    expect(idsOf(answer)).toEqual([['p5', 'p6', 'p7', 'p8']]);
  });

  it('takes vectors as bytes too, and asks each shard once for all queries', async () => {
    const cluster = await filledCluster();
    const bytes = floatBytes(Float32Array.of(7, 0));
    const target = { kind: 'vector' as const, values: bytes };
    const answer = await cluster.run(
      cluster.router.search('docs', [near(0, 0), { ...near(0, 0), target }], options),
    );
    expect(idsOf(answer)[1]?.[0]).toBe('p7');
    for (const shardId of [0, 1, 2, 3]) {
      const { calls } = cluster.leaderOf(shardId);
      expect(calls.filter((call) => call === 'search')).toHaveLength(1);
    }
  });

  it('finds near a stored record, which is among the hits', async () => {
    const cluster = await filledCluster();
    const answer = await cluster.run(
      cluster.router.search('docs', [nearRecord('p10'), near(0, 0)], options),
    );
    expect(idsOf(answer)).toEqual([
      ['p10', 'p11', 'p9'],
      ['p0', 'p1', 'p2'],
    ]);
  });

  it('names the record that does not exist', async () => {
    const cluster = await filledCluster();
    const error = await errorOf(
      cluster.run(cluster.router.search('docs', [near(0, 0), nearRecord('none')], options)),
    );
    expect(error).toMatchObject({ reason: 'RECORD_NOT_FOUND', field: 'queries[1].id' });
  });

  it('names the vector of another dimension (P-9)', async () => {
    const cluster = await filledCluster();
    const target = { kind: 'vector' as const, values: new Float32Array(3) };
    const error = await errorOf(
      cluster.router.search('docs', [near(0, 0), { ...near(0, 0), target }], options),
    );
    expect(error).toMatchObject({ reason: 'DIMENSION_MISMATCH', field: 'queries[1].vector' });
  });

  it('answers nothing for no queries', async () => {
    const cluster = await filledCluster();
    const answer = await cluster.run(cluster.router.search('docs', [], options));
    expect(answer.results).toEqual([]);
  });
});

describe('a search with a shard that fails (F-20)', () => {
  const partial = { ...options, allowPartial: true };

  it('names the missing shards in its error', async () => {
    const cluster = await filledCluster();
    cluster.shard(1).elect(0);
    cluster.shard(3).elect(0);
    const error = await errorOf(cluster.run(cluster.router.search('docs', [near(0, 0)], options)));
    expect(error).toMatchObject({ reason: 'SHARD_UNAVAILABLE', retryable: true });
    expect(error.body.details).toMatchObject({ shards: '1,3' });
  });

  it('answers without them where that is allowed, and says so (M-13, M-53)', async () => {
    const cluster = await filledCluster();
    const missing = ownerOf(cluster, 'p0');
    cluster.shard(missing).elect(0);
    const answer = await cluster.run(cluster.router.search('docs', [near(0, 0)], partial));
    expect(answer.degraded).toBe(true);
    expect(answer.shards).toMatchObject({ total: 4, ok: 3, failed: [{ shardId: missing }] });
    expect(answer.shards.failed[0]?.error.reason).toBe('SHARD_UNAVAILABLE');
    expect(answer.results[0]).toHaveLength(3);
    expect(idsOf(answer)[0]).not.toContain('p0');
  });

  it('ends before the deadline when every replica of a shard hangs', async () => {
    const cluster = await filledCluster();
    for (const replica of cluster.replicasOf(2)) replica.stop();
    const startMs = cluster.environment.nowMs;
    const answer = await cluster.run(cluster.router.search('docs', [near(0, 0)], partial));
    expect(answer.shards).toMatchObject({ ok: 3, failed: [{ shardId: 2 }] });
    expect(cluster.environment.nowMs - startMs).toBeLessThan(options.timeoutMs);
    const failed = errorOf(cluster.router.search('docs', [near(0, 0)], options));
    expect(await cluster.run(failed)).toMatchObject({ reason: 'SHARD_UNAVAILABLE' });
    expect(cluster.environment.nowMs - startMs).toBeLessThanOrEqual(2 * options.timeoutMs);
  });

  it('is an error when all shards are missing', async () => {
    const cluster = await filledCluster();
    for (const shard of cluster.shards) shard.elect(0);
    const error = await errorOf(cluster.run(cluster.router.search('docs', [near(0, 0)], partial)));
    expect(error.body.details).toMatchObject({ shards: '0,1,2,3' });
  });

  it('needs the shard of the record that it searches near', async () => {
    const cluster = await filledCluster();
    cluster.shard(ownerOf(cluster, 'p4')).elect(0);
    const error = await errorOf(
      cluster.run(cluster.router.search('docs', [nearRecord('p4')], partial)),
    );
    expect(error.reason).toBe('SHARD_UNAVAILABLE');
  });

  it('passes on what is wrong with the request, partial answers or not', async () => {
    const cluster = await filledCluster();
    cluster.leaderOf(1).faults = [{ reject: 'COLLECTION_NOT_FOUND' }];
    const error = await errorOf(cluster.run(cluster.router.search('docs', [near(0, 0)], partial)));
    expect(error.reason).toBe('COLLECTION_NOT_FOUND');
  });

  it('has an error that fits into the headers of any client, whatever is missing', async () => {
    const cluster = new FakeCluster({ shards: 256, nodes: 1 });
    for (const { shardId } of cluster.document.shards) {
      cluster.leaderOf(shardId).faults = [{ reject: 'COLLECTION_NOT_READY' }];
    }
    const error = await errorOf(cluster.run(cluster.router.count('docs', { timeoutMs: 100 })));
    expect(error.reason).toBe('SHARD_UNAVAILABLE');
    const details = encodeStatusDetails(14, error.body).toString('base64');
    // Other clients than ours refuse more than 8 KiB of headers, the message's own included.
    expect(details.length + 3 * error.message.length).toBeLessThan(7_000);
  });

  it('tells callers to slow down when that is what the shards say (P-10)', async () => {
    const cluster = await filledCluster();
    cluster.leaderOf(1).faults = [{ reject: 'TOO_MANY_REQUESTS' }];
    const error = await errorOf(cluster.run(cluster.router.search('docs', [near(0, 0)], options)));
    expect(error).toMatchObject({ code: 'RESOURCE_EXHAUSTED', retryable: true });
  });

  it('ends when the caller gives up', async () => {
    const cluster = await filledCluster();
    for (const replica of cluster.replicasOf(2)) replica.stop();
    const caller = new AbortController();
    const failed = errorOf(
      cluster.router.search('docs', [near(0, 0)], { ...partial, signal: caller.signal }),
    );
    await cluster.environment.advance(200);
    caller.abort();
    expect(await failed).toMatchObject({ reason: 'CANCELLED' });
    expect(cluster.environment.pendingTimers).toBe(0);
  });
});

describe('a read under a changing table (M-15)', () => {
  it('starts again on all shards once one of them refuses the table', async () => {
    const cluster = await filledCluster();
    cluster.shard(2).ownershipVersion = 2;
    const work = cluster.router.search('docs', [near(0, 0)], options);
    await cluster.environment.advance(100);
    cluster.view.publish({
      ...cluster.document,
      epoch: cluster.document.epoch + 1,
      shards: cluster.document.shards.map((shard) =>
        shard.shardId === 2 ? { ...shard, ownershipVersion: 2 } : shard,
      ),
    });
    const answer = await cluster.run(work);
    expect(idsOf(answer)).toEqual([['p0', 'p1', 'p2']]);
    expect(answer.epoch).toBe(cluster.document.epoch);
    for (const shardId of [0, 1, 3]) {
      const { contexts } = cluster.leaderOf(shardId);
      expect(contexts.at(-1)?.epoch).toBe(cluster.document.epoch);
    }
  });

  it('tries again by itself when the replica is the one behind', async () => {
    const cluster = await filledCluster();
    cluster.shard(2).ownershipVersion = 0;
    const work = cluster.router.count('docs', options);
    await cluster.environment.advance(60);
    cluster.shard(2).ownershipVersion = 1;
    expect(await cluster.run(work)).toMatchObject({ count: 20 });
  });

  it('is refused without a topology, and for a collection that is not there', async () => {
    const cluster = await filledCluster();
    const error = await errorOf(cluster.router.count('none', options));
    expect(error.reason).toBe('COLLECTION_NOT_FOUND');
  });
});

describe('a fetch', () => {
  it('answers in the order of the ids, with holes for what does not exist', async () => {
    const cluster = await filledCluster();
    const ids = ['p3', 'none', 'p0', 'p3'];
    const { records } = await cluster.run(cluster.router.fetch('docs', ids, include, options));
    expect(records.map((record) => record?.id)).toEqual(['p3', undefined, 'p0', 'p3']);
  });

  it('asks only the shards that own an id', async () => {
    const cluster = await filledCluster();
    await cluster.run(cluster.router.fetch('docs', ['p3'], include, options));
    const asked = cluster.shards.map(
      (_, shardId) => cluster.leaderOf(shardId).calls.filter((call) => call === 'fetch').length,
    );
    expect(asked.reduce((sum, calls) => sum + calls, 0)).toBe(1);
    expect(asked[ownerOf(cluster, 'p3')]).toBe(1);
  });

  it('names the shard that is missing', async () => {
    const cluster = await filledCluster();
    const missing = ownerOf(cluster, 'p3');
    cluster.shard(missing).elect(0);
    const work = cluster.router.fetch('docs', ['p3', 'p4'], include, options);
    const error = await errorOf(cluster.run(work));
    expect(error.body.details).toMatchObject({ shards: String(missing) });
  });
});

describe('what reads tell the metrics', () => {
  it('is each attempt, the fan-out and the merge (M-35)', async () => {
    const events: string[] = [];
    const cluster = await filledCluster({
      onAttempt: ({ operation, shardId, result }) =>
        events.push(`${operation} ${shardId} ${result}`),
      onFanOut: ({ operation, shards, failed }) =>
        events.push(`fan-out ${operation} ${shards} ${failed}`),
      onMerge: ({ queries, shards }) => events.push(`merge ${queries} ${shards}`),
    });
    events.length = 0;
    await cluster.run(cluster.router.search('docs', [near(0, 0)], options));
    expect(events.sort()).toEqual([
      'fan-out search 4 0',
      'merge 1 4',
      'search 0 ok',
      'search 1 ok',
      'search 2 ok',
      'search 3 ok',
    ]);
  });
});
