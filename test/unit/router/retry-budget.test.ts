// Goal: a cluster in trouble sees hardly more than its load, and no call is lost on its way (D1).
// Method: fake shards that refuse; the asks are counted.
import { describe, expect, it } from 'vitest';
import type { RouterHooks } from '../../../src/router/hooks.js';
import type { FlotillaError } from '../../../src/shared/errors.js';
import { FakeCluster, type Fault } from './fake-cluster.js';

const options = { timeoutMs: 5_000 };
/** No repeat that is load may follow a call. */
const NONE = { share: 0, perSecond: 0 };
const record = (id: string) => ({
  id,
  values: Float32Array.of(1, 1),
  metadata: new Uint8Array(0),
});

async function errorOf(work: Promise<unknown>): Promise<FlotillaError> {
  try {
    await work;
  } catch (error) {
    return error as FlotillaError;
  }
  throw new Error('it did not fail');
}

/** One shard and a router whose repeats are kept. */
function observed(retryBudget = NONE) {
  const retries: string[] = [];
  const hooks: RouterHooks = {
    onRetry: ({ reason, budget }) => retries.push(`${reason} ${budget}`),
  };
  const cluster = new FakeCluster({ shards: 1, retryBudget, hooks });
  const rejectAll = (fault: Fault): void => {
    for (const replica of cluster.replicasOf(0)) replica.faults = [fault];
  };
  const asks = (): number =>
    cluster.replicasOf(0).flatMap(({ calls }) => calls.filter((call) => call !== 'status')).length;
  return { cluster, router: cluster.router, retries, rejectAll, asks };
}

describe('a shard that has too much to do', () => {
  it.each(['TOO_MANY_REQUESTS', 'PROPOSAL_DROPPED'] as const)(
    'is asked at most 1.2 times as often as there are calls (%s, D1)',
    async (reject) => {
      const { cluster, router, rejectAll, asks } = observed({ share: 0.2, perSecond: 0 });
      rejectAll({ reject });
      const calls = Array.from({ length: 200 }, () => errorOf(router.barrier(0, options)));
      const errors = await cluster.run(Promise.all(calls));
      expect(asks()).toBeGreaterThan(200);
      expect(asks()).toBeLessThanOrEqual(240);
      for (const error of errors) {
        expect(error).toMatchObject({ reason: reject, retryable: true, outcome: 'not-applied' });
        expect(error.message).toContain('retry budget is spent');
        expect(error.body.details).toMatchObject({ retryBudget: 'spent' });
      }
    },
  );

  it('is heard of at once when the budget is spent, through a fan-out too', async () => {
    const { cluster, router, rejectAll, retries } = observed();
    rejectAll({ reject: 'TOO_MANY_REQUESTS' });
    const error = await errorOf(cluster.run(router.count('docs', options)));
    expect(error).toMatchObject({ reason: 'TOO_MANY_REQUESTS', retryable: true });
    expect(error.body.details).toEqual({
      shards: '0',
      reasons: 'TOO_MANY_REQUESTS',
      retryBudget: 'spent',
    });
    expect(cluster.environment.nowMs).toBe(0);
    expect(retries).toEqual(['TOO_MANY_REQUESTS spent']);
  });

  it('is asked again as time brings tokens', async () => {
    const { cluster, router, rejectAll, asks } = observed({ share: 0, perSecond: 1 });
    rejectAll({ reject: 'TOO_MANY_REQUESTS' });
    for (let second = 0; second < 60; second++) {
      await errorOf(cluster.run(router.barrier(0, options)));
      await cluster.environment.advance(1_000);
    }
    const seconds = cluster.environment.nowMs / 1_000;
    expect(asks()).toBeLessThanOrEqual(60 + 10 + seconds);
    expect(asks()).toBeGreaterThan(100);
  });
});

describe('a write', () => {
  it('whose answer is lost stays unknown when there is no token to ask again (P-2)', async () => {
    const { cluster, router } = observed();
    cluster.leaderOf(0).faults = ['lose-answer'];
    const error = await errorOf(cluster.run(router.upsert('docs', [record('a')], options)));
    expect(error).toMatchObject({ outcome: 'unknown', retryable: true });
    expect(error.message).toContain('retry budget is spent');
    expect(cluster.shard(0).log).toHaveLength(1);
  });

  it('takes a token where it may have been carried out, and is applied once (F-22)', async () => {
    const { cluster, router, retries } = observed({ share: 1, perSecond: 0 });
    cluster.leaderOf(0).faults = ['lose-answer', 'none'];
    const { outcomes } = await cluster.run(router.upsert('docs', [record('a')], options));
    expect(outcomes).toEqual([{ kind: 'applied', version: 1n, existed: false }]);
    expect(retries.filter((retry) => !retry.endsWith('free'))).toEqual(['OUTCOME_UNKNOWN paid']);
  });
});

describe('a call that ends with its time', () => {
  it('says so where nobody has worked on it: a client that repeats it needs no token', async () => {
    const { cluster, router } = observed();
    cluster.shard(0).elect(0);
    const read = await errorOf(cluster.run(router.count('docs', options)));
    expect(read.body.details).toMatchObject({ reasons: 'SHARD_UNAVAILABLE', untouched: 'true' });
    const write = await errorOf(cluster.run(router.upsert('docs', [record('a')], options)));
    expect(write).toMatchObject({ outcome: 'not-applied' });
    expect(write.body.details).toMatchObject({ untouched: 'true' });
  });

  it('does not say so where it may have been worked on', async () => {
    const { cluster, router } = observed();
    cluster.leaderOf(0).faults = ['hang'];
    const read = await errorOf(cluster.run(router.count('docs', options)));
    expect(read.body.details).not.toHaveProperty('untouched');
    const write = await errorOf(cluster.run(router.upsert('docs', [record('a')], options)));
    expect(write).toMatchObject({ outcome: 'unknown' });
    expect(write.body.details ?? {}).not.toHaveProperty('untouched');
  });

  it('does not say so of a fan-out where other shards have answered', async () => {
    const cluster = new FakeCluster({ shards: 2 });
    cluster.shard(1).elect(0);
    const read = await errorOf(cluster.run(cluster.router.count('docs', options)));
    expect(read.body.details).toMatchObject({ shards: '1' });
    expect(read.body.details).not.toHaveProperty('untouched');
  });
});

describe('without a single token', () => {
  it('a call follows the hint to the leader (D1)', async () => {
    const { cluster, router, retries } = observed();
    cluster.shard(0).elect(3);
    await cluster.run(router.upsert('docs', [record('a')], options));
    expect(cluster.environment.nowMs).toBe(0);
    expect(retries).toEqual(['NOT_LEADER free']);
  });

  it('a call waits for an election as long as it has time (D1, F-1)', async () => {
    const { cluster, router, retries } = observed();
    cluster.shard(0).elect(0);
    const work = router.upsert('docs', [record('a')], options);
    await cluster.environment.advance(3_000);
    cluster.shard(0).elect(2);
    await cluster.run(work);
    expect(new Set(retries)).toEqual(new Set(['NO_LEADER free', 'NOT_LEADER free']));
  });

  it('a call goes round nodes without a link, and from replicas that are behind', async () => {
    const { cluster, router, retries } = observed();
    const [first, second, third] = cluster.replicasOf(0);
    if (first === undefined || second === undefined || third === undefined) throw new Error();
    first.faults = [{ reject: 'SHARD_UNAVAILABLE' }];
    second.faults = [{ reject: 'REPLICA_BEHIND' }];
    third.faults = [];
    for (let time = 0; time < 20; time++) {
      await cluster.run(router.count('docs', { ...options, consistency: 'eventual' }));
    }
    expect(new Set(retries)).toEqual(new Set(['SHARD_UNAVAILABLE free', 'REPLICA_BEHIND free']));
  });

  it('a call leaves a leader that was replaced while it was silent (F-4)', async () => {
    const { cluster, router, retries } = observed();
    await cluster.run(router.count('docs', options));
    cluster.replica(0, 1).stop();
    cluster.shard(0).elect(2);
    await cluster.run(router.count('docs', options));
    expect(retries).toEqual(['NOT_LEADER free']);
  });
});
