// Goal: a call finds the leader, and neither hangs nor runs in circles.
// Method: counts through the router on one fake shard, in virtual time.
import { describe, expect, it } from 'vitest';
import { SILENCE_MS } from '../../../src/router/leader-watch.js';
import { defined } from '../../../src/shared/assert.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { FakeCluster, type FakeReplica, type Fault } from './fake-cluster.js';

const options = { timeoutMs: 10_000 };

function replicasOf(cluster: FakeCluster): [FakeReplica, FakeReplica, FakeReplica] {
  const [first, second, third] = cluster.replicasOf(0);
  if (first === undefined || second === undefined || third === undefined) {
    throw new Error('the shard has too few replicas');
  }
  return [first, second, third];
}

function groupOf(cluster: FakeCluster, shardId: number): number {
  return defined(cluster.document.shards[shardId], `shard ${shardId}`).groupId;
}

async function errorOf(work: Promise<unknown>): Promise<FlotillaError> {
  try {
    await work;
  } catch (error) {
    return error as FlotillaError;
  }
  throw new Error('it did not fail');
}

describe('finding the leader', () => {
  it('asks the replica on its own node first (M-14)', async () => {
    const cluster = new FakeCluster({ shards: 1, localNodeId: 3 });
    cluster.shard(0).elect(3);
    await cluster.run(cluster.router.count('docs', options));
    expect(cluster.replica(0, 3).calls).toEqual(['count']);
    expect(cluster.replicasOf(0).flatMap(({ calls }) => calls)).toHaveLength(1);
  });

  it('goes through all replicas at once when the first ones are unreachable', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    const [first, second, third] = replicasOf(cluster);
    first.faults = [{ reject: 'SHARD_UNAVAILABLE' }];
    second.faults = [{ reject: 'NODE_NOT_READY' }];
    cluster.shard(0).elect(third.nodeId);
    await cluster.run(cluster.router.count('docs', options));
    expect(cluster.environment.nowMs).toBe(0);
  });

  it('passes by a replica whose log is damaged (P-8)', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    const [first, second] = replicasOf(cluster);
    first.faults = [{ reject: 'LOG_DAMAGED' }];
    cluster.shard(0).elect(second.nodeId);
    expect(await cluster.run(cluster.router.count('docs', options))).toMatchObject({ count: 0 });
  });

  it('pauses between rounds when replicas name each other as leader', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    const [first, second, third] = replicasOf(cluster);
    first.faults = [{ reject: 'NOT_LEADER', leaderNodeId: second.nodeId }];
    second.faults = [{ reject: 'NOT_LEADER', leaderNodeId: first.nodeId }];
    third.faults = [{ reject: 'NOT_LEADER', leaderNodeId: first.nodeId }];
    const error = await errorOf(cluster.run(cluster.router.count('docs', options)));
    expect(error.reason).toBe('SHARD_UNAVAILABLE');
    const calls = cluster.replicasOf(0).reduce((sum, one) => sum + one.calls.length, 0);
    // Pauses of 5 to 250 ms: a little over 10 s / 188 ms rounds of three calls.
    expect(calls).toBeLessThan(3 * 90);
    expect(calls).toBeGreaterThan(3 * 40);
  });

  it('ignores a hint at a node that holds no replica', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    const [first, second] = replicasOf(cluster);
    first.faults = [{ reject: 'NOT_LEADER', leaderNodeId: 99 }];
    cluster.shard(0).elect(second.nodeId);
    expect(await cluster.run(cluster.router.count('docs', options))).toMatchObject({ count: 0 });
  });

  it('finds a leader that is elected a second later, soon after', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    cluster.shard(0).elect(0);
    const work = cluster.router.count('docs', options);
    await cluster.environment.advance(1_000);
    cluster.shard(0).elect(2);
    await cluster.run(work);
    expect(cluster.environment.nowMs).toBeLessThanOrEqual(1_250);
  });

  it.each(['count', 'upsert'] as const)(
    'goes on at once when its node hears of a new leader (%s, F-1)',
    async (operation) => {
      const cluster = new FakeCluster({ shards: 2 });
      cluster.shard(0).elect(0);
      const records = [{ id: 'id-1', values: Float32Array.of(1, 1), metadata: new Uint8Array(0) }];
      cluster.shard(1).elect(0);
      const work: Promise<unknown> =
        operation === 'count'
          ? cluster.router.count('docs', options)
          : cluster.router.upsert('docs', records, options);
      await cluster.environment.advance(1_001);
      for (const { shardId, groupId } of cluster.document.shards) {
        cluster.shard(shardId).elect(2);
        cluster.router.noteLeader(groupId, 2);
      }
      await cluster.run(work);
      expect(cluster.environment.nowMs).toBe(1_001);
    },
  );

  it('goes on at once with a leader that its node heard of while others were asked', async () => {
    const cluster = new FakeCluster({ shards: 1, localNodeId: 1 });
    const [, second] = replicasOf(cluster);
    cluster.shard(0).elect(0);
    const ask = second.barrier.bind(second);
    second.barrier = async () => {
      second.barrier = ask;
      cluster.shard(0).elect(1);
      cluster.router.noteLeader(groupOf(cluster, 0), 1);
      throw new FlotillaError('NO_LEADER', 'it has not heard of it yet');
    };
    await cluster.run(cluster.router.barrier(0, options));
    expect(cluster.environment.nowMs).toBe(0);
  });

  it('pauses on over the news of another shard, of no shard, and over old news', async () => {
    const cluster = new FakeCluster({ shards: 2 });
    cluster.router.noteLeader(groupOf(cluster, 0), 1);
    cluster.shard(0).elect(0);
    const work = cluster.router.barrier(0, options);
    await cluster.environment.advance(0);
    const callsOf = (): number => cluster.replicasOf(0).flatMap(({ calls }) => calls).length;
    const before = callsOf();
    cluster.router.noteLeader(groupOf(cluster, 1), 2);
    cluster.router.noteLeader(9_999, 2);
    await cluster.environment.advance(1);
    expect(callsOf()).toBe(before);
    cluster.shard(0).elect(1);
    await cluster.run(work);
  });

  it('does not spin when a new leader takes no calls either', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    const [first] = replicasOf(cluster);
    const dropped: Fault = { reject: 'PROPOSAL_DROPPED' };
    first.faults = [...new Array<Fault>(30).fill(dropped), 'none'];
    const work = errorOf(cluster.router.barrier(0, { timeoutMs: 1_000 }));
    cluster.router.noteLeader(groupOf(cluster, 0), 1);
    expect((await cluster.run(work)).reason).toBe('PROPOSAL_DROPPED');
  });

  it('ends a pause with the budget, and at once when the caller gives up', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    cluster.shard(0).elect(0);
    const short = await errorOf(cluster.run(cluster.router.barrier(0, { timeoutMs: 3 })));
    expect([short.reason, cluster.environment.nowMs]).toEqual(['SHARD_UNAVAILABLE', 3]);
    const controller = new AbortController();
    const { signal } = controller;
    const work = errorOf(cluster.router.barrier(0, { ...options, signal }));
    await cluster.environment.advance(500);
    controller.abort();
    expect((await cluster.run(work)).reason).toBe('CANCELLED');
    expect(cluster.environment.nowMs).toBe(503);
  });

  it('does not ask again what no replica would answer differently', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    cluster.leaderOf(0).faults = [{ reject: 'INTERNAL' }];
    const error = await errorOf(cluster.run(cluster.router.count('docs', options)));
    expect(error.body.details).toMatchObject({ reasons: 'INTERNAL' });
    expect(cluster.leaderOf(0).calls).toHaveLength(1);
  });

  it('passes a barrier on to the leader of the shard that is named', async () => {
    const cluster = new FakeCluster({ shards: 2 });
    cluster.shard(1).elect(3);
    await cluster.run(cluster.router.barrier(1, options));
    expect(cluster.replica(1, 3).calls).toEqual(['barrier']);
    cluster.shard(1).elect(0);
    const error = await errorOf(cluster.run(cluster.router.barrier(1, options)));
    expect(error.reason).toBe('SHARD_UNAVAILABLE');
  });

  it('tells each replica how much time is left', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    cluster.leaderOf(0).faults = [{ reject: 'TOO_MANY_REQUESTS' }, 'none'];
    await cluster.run(cluster.router.count('docs', options));
    const [first, second] = cluster.leaderOf(0).contexts;
    expect(first?.timeoutMs).toBe(10_000);
    expect(second?.timeoutMs).toBeLessThan(10_000);
  });
});

describe('a leader that is silent', () => {
  it('is left when the others have a new one (F-4)', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    const [first, second] = replicasOf(cluster);
    await cluster.run(cluster.router.count('docs', options));
    first.stop();
    cluster.shard(0).elect(second.nodeId);
    await cluster.run(cluster.router.count('docs', options));
    expect(cluster.environment.nowMs).toBe(SILENCE_MS);
    await cluster.run(cluster.router.count('docs', options));
    expect(cluster.environment.nowMs).toBe(SILENCE_MS);
  });

  it('is left even if another replica hangs with it', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    const [first, second, third] = replicasOf(cluster);
    first.stop();
    second.stop();
    cluster.shard(0).elect(third.nodeId);
    await cluster.run(cluster.router.count('docs', options));
    expect(cluster.environment.nowMs).toBeLessThan(2 * SILENCE_MS);
  });

  it('is waited for while the others still count on it: it may only be busy', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    const [first, second, third] = replicasOf(cluster);
    first.faults = ['hang'];
    const error = await errorOf(cluster.run(cluster.router.count('docs', options)));
    expect(error.reason).toBe('SHARD_UNAVAILABLE');
    expect(first.calls.filter((call) => call !== 'status')).toEqual(['count']);
    expect(new Set([...second.calls, ...third.calls])).toEqual(new Set(['status']));
    expect(cluster.environment.nowMs).toBe(options.timeoutMs);
  });

  it('is not asked about without end by a call whose time is up but for a rounding', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    const [first, second] = replicasOf(cluster);
    await cluster.environment.advance(10_000);
    first.faults = ['hang'];
    // The next moment that the clock can tell: no part of it is one.
    const timeoutMs = 2 ** -39;
    const error = await errorOf(cluster.run(cluster.router.count('docs', { timeoutMs })));
    expect(error.reason).toBe('SHARD_UNAVAILABLE');
    expect(second.calls.length).toBeLessThanOrEqual(2);
  });

  it('is not asked by later calls while there is no leader', async () => {
    const cluster = new FakeCluster({ shards: 1, localNodeId: 2 });
    const [first] = replicasOf(cluster);
    await cluster.run(cluster.router.count('docs', options));
    first.stop();
    cluster.shard(0).elect(0);
    const waiting = cluster.router.count('docs', options);
    await cluster.environment.advance(SILENCE_MS);
    const later = cluster.router.count('docs', options);
    cluster.shard(0).elect(2);
    await cluster.run(later);
    expect(cluster.environment.nowMs).toBeLessThanOrEqual(SILENCE_MS + 10);
    expect(first.calls.filter((call) => call === 'count')).toHaveLength(2);
    await cluster.run(waiting);
    expect(cluster.environment.nowMs).toBeLessThanOrEqual(SILENCE_MS + 500);
  });

  it('is not asked either when the leader after it is gone too', async () => {
    const cluster = new FakeCluster({ shards: 1, localNodeId: 3 });
    const [first, second] = replicasOf(cluster);
    await cluster.run(cluster.router.count('docs', options));
    first.stop();
    cluster.shard(0).elect(second.nodeId);
    await cluster.run(cluster.router.count('docs', options));
    const asked = first.calls.length;
    cluster.shard(0).elect(0);
    await errorOf(cluster.run(cluster.router.count('docs', options)));
    expect(first.calls).toHaveLength(asked);
  });

  it('is left for the one on its own node, however slow the third, by clients too', async () => {
    const cluster = new FakeCluster({ shards: 1, localNodeId: 3 });
    const [first, second] = replicasOf(cluster);
    cluster.shard(0).elect(second.nodeId);
    second.stop();
    first.delayMs = () => 6_000;
    const work = cluster.router.count('docs', { timeoutMs: 60_000, retry: 'client' });
    await cluster.environment.advance(1);
    cluster.shard(0).elect(3);
    await cluster.run(work);
    expect(cluster.environment.nowMs).toBeLessThan(3 * SILENCE_MS);
  });

  it('is asked again once another replica names it as leader', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    const [first, second] = replicasOf(cluster);
    first.stop();
    cluster.shard(0).elect(second.nodeId);
    await cluster.run(cluster.router.count('docs', options));
    first.heal();
    cluster.shard(0).elect(first.nodeId);
    await cluster.run(cluster.router.count('docs', options));
    expect(first.calls.at(-1)).toBe('count');
    expect(cluster.environment.nowMs).toBe(SILENCE_MS);
  });

  it('applies a write once when it comes back with an answer after all (F-22)', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    const [first, second] = replicasOf(cluster);
    first.faults = ['hang-after'];
    const records = [{ id: 'a', values: Float32Array.of(1, 1), metadata: new Uint8Array(0) }];
    const work = cluster.router.upsert('docs', records, options);
    await cluster.environment.advance(10);
    first.stop();
    cluster.shard(0).elect(second.nodeId);
    const { outcomes } = await cluster.run(work);
    expect(outcomes).toEqual([{ kind: 'applied', version: 1n, existed: false }]);
    expect(cluster.shard(0).log).toHaveLength(2);
    expect(cluster.shard(0).nextVersion).toBe(2n);
  });

  it('may also have no other replica that could be reached at all', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    const [first, second, third] = replicasOf(cluster);
    first.faults = ['hang'];
    second.status = () => {
      throw new Error('no link');
    };
    third.stop();
    const error = await errorOf(cluster.run(cluster.router.count('docs', options)));
    expect(error.reason).toBe('SHARD_UNAVAILABLE');
    expect(cluster.environment.nowMs).toBe(options.timeoutMs);
  });

  it('costs no timer once it has answered', async () => {
    const cluster = new FakeCluster();
    await cluster.run(cluster.router.count('docs', options));
    expect(cluster.environment.pendingTimers).toBe(0);
  });
});
