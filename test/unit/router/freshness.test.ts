// Goal: reads go to the replicas that their freshness allows, and say where they were answered.
// Method: a router over fake shards with scripted faults, in virtual time; calls are counted.
import { describe, expect, it } from 'vitest';
import { SILENCE_MS } from '../../../src/router/leader-watch.js';
import { encodeFilter } from '../../../src/shared/codec/filter-bytes.js';
import type { Consistency, SeenShard } from '../../../src/shared/consistency.js';
import type { FlotillaError } from '../../../src/shared/errors.js';
import { FakeCluster } from './fake-cluster.js';

const RELAXED: readonly Consistency[] = ['eventual', { boundedMs: 100 }, { session: [] }];
const EVERYTHING = { values: true, metadata: true };
const QUERY = {
  target: { kind: 'vector' as const, values: Float32Array.of(0, 0) },
  limit: 3,
  includeValues: false,
  includeMetadata: false,
};

const manner = (consistency: Consistency, timeoutMs = 10_000) => ({ timeoutMs, consistency });

/** The nodes of a shard's replicas by how often they were asked for anything but their status. */
function askedNodes(cluster: FakeCluster, shardId = 0): number[] {
  return cluster
    .replicasOf(shardId)
    .flatMap(({ nodeId, calls }) => calls.filter((call) => call !== 'status').map(() => nodeId));
}

async function errorOf(work: Promise<unknown>): Promise<FlotillaError> {
  try {
    await work;
  } catch (error) {
    return error as FlotillaError;
  }
  throw new Error('it did not fail');
}

async function filled(options: ConstructorParameters<typeof FakeCluster>[0] = {}) {
  const cluster = new FakeCluster({ shards: 4, ...options });
  const records = Array.from({ length: 20 }, (_, at) => ({
    id: `p${at}`,
    values: Float32Array.of(at, 0),
    metadata: new Uint8Array(0),
  }));
  const written = await cluster.run(cluster.router.upsert('docs', records, { timeoutMs: 5_000 }));
  for (const { shardId } of cluster.document.shards) {
    for (const replica of cluster.replicasOf(shardId)) replica.calls.length = 0;
  }
  return { cluster, written };
}

describe('a relaxed read', () => {
  it.each(RELAXED)('%j goes to the replica on its own node, whoever leads', async (level) => {
    const cluster = new FakeCluster({ shards: 1, localNodeId: 3 });
    cluster.shard(0).elect(1);
    for (let time = 0; time < 5; time++) {
      await cluster.run(cluster.router.count('docs', manner(level)));
    }
    expect(askedNodes(cluster)).toEqual([3, 3, 3, 3, 3]);
  });

  it('spreads over all replicas where its own node has none', async () => {
    const cluster = new FakeCluster({ shards: 1, nodes: 5, localNodeId: 99 });
    for (let time = 0; time < 60; time++) {
      await cluster.run(cluster.router.count('docs', manner('eventual')));
    }
    const asked = askedNodes(cluster);
    for (const { nodeId } of cluster.replicasOf(0)) {
      expect(asked.filter((one) => one === nodeId).length).toBeGreaterThan(5);
    }
  });

  it('goes from a replica that is behind to the leader, and from there to others', async () => {
    const cluster = new FakeCluster({ shards: 1, localNodeId: 3 });
    cluster.shard(0).elect(2);
    await cluster.run(cluster.router.count('docs', manner('strong')));
    cluster.replica(0, 3).calls.length = 0;
    cluster.replica(0, 2).calls.length = 0;
    cluster.replica(0, 3).faults = [{ reject: 'REPLICA_BEHIND' }];
    await cluster.run(cluster.router.count('docs', manner({ boundedMs: 5 })));
    expect(askedNodes(cluster).sort()).toEqual([2, 3]);
    cluster.replica(0, 2).faults = [{ reject: 'NO_LEADER' }];
    await cluster.run(cluster.router.count('docs', manner({ boundedMs: 5 })));
    expect(cluster.replica(0, 1).calls).toContain('count');
    expect(cluster.environment.nowMs).toBe(0);
  });

  it('does not take who answered for the leader', async () => {
    const cluster = new FakeCluster({ shards: 1, localNodeId: 3 });
    cluster.shard(0).elect(1);
    await cluster.run(cluster.router.count('docs', manner('strong')));
    await cluster.run(cluster.router.count('docs', manner('eventual')));
    const before = cluster.replica(0, 3).calls.length;
    await cluster.run(cluster.router.count('docs', manner('strong')));
    expect(cluster.replica(0, 3).calls).toHaveLength(before);
  });

  it('follows to the leader from a node that reads strongly only (F-15)', async () => {
    const cluster = new FakeCluster({ shards: 1, localNodeId: 3 });
    cluster.shard(0).elect(2);
    cluster.replica(0, 3).faults = [{ reject: 'NOT_LEADER', leaderNodeId: 2 }];
    await cluster.run(cluster.router.count('docs', manner('eventual')));
    expect(askedNodes(cluster).sort()).toEqual([2, 3]);
  });

  it('leaves a node that has stopped for another, and goes round it from then (F-20)', async () => {
    const cluster = new FakeCluster({ shards: 1, localNodeId: 99 });
    const stopped = cluster.replica(0, 1);
    stopped.stop();
    for (let time = 0; time < 12; time++) {
      await cluster.run(cluster.router.count('docs', manner('eventual')));
    }
    expect(stopped.calls.filter((call) => call === 'count')).toHaveLength(1);
    expect(cluster.environment.nowMs).toBeLessThan(2 * SILENCE_MS);
  });

  it('is served without any leader, as far as replicas can (F-1)', async () => {
    const cluster = new FakeCluster({ shards: 1, localNodeId: 1 });
    cluster.shard(0).leaderNodeId = 0;
    await cluster.run(cluster.router.count('docs', manner('eventual')));
    for (const replica of cluster.replicasOf(0)) replica.faults = [{ reject: 'NO_LEADER' }];
    const work = cluster.router.count('docs', manner({ boundedMs: 9 }, 2_000));
    const error = await errorOf(cluster.run(work));
    expect(error.reason).toBe('SHARD_UNAVAILABLE');
    expect(cluster.environment.nowMs).toBeLessThanOrEqual(2_001);
  });
});

describe('a session read', () => {
  const seenAt = (cluster: FakeCluster, shardId: number, appliedIndex: number): SeenShard => {
    const ownershipVersion = cluster.document.shards[shardId]?.ownershipVersion ?? 0;
    return { shardId, ownershipVersion, appliedIndex };
  };

  it('asks each shard for what the session has seen of it (R13)', async () => {
    const { cluster } = await filled();
    const session = [seenAt(cluster, 1, 7), seenAt(cluster, 3, 9)];
    await cluster.run(cluster.router.count('docs', manner({ session })));
    const asked = cluster.document.shards.map(
      ({ shardId }) =>
        cluster
          .replicasOf(shardId)
          .flatMap(({ contexts }) => contexts)
          .at(-1)?.consistency,
    );
    const indexes = asked.filter((one) => typeof one === 'object').sort();
    expect(indexes).toHaveLength(4);
    expect(asked[1]).toEqual({ minIndex: 7 });
    expect(asked[3]).toEqual({ minIndex: 9 });
    expect(asked[0]).toEqual({ minIndex: 0 });
  });

  it.each([1, -1])('is strong on all shards where one owns something else (R15)', async (by) => {
    const { cluster } = await filled();
    const known = seenAt(cluster, 1, 7);
    const other = { ...known, ownershipVersion: known.ownershipVersion + by };
    const session = [seenAt(cluster, 0, 2), other];
    await cluster.run(cluster.router.count('docs', manner({ session })));
    for (const { shardId } of cluster.document.shards) {
      expect(cluster.leaderOf(shardId).contexts.at(-1)?.consistency).toBe('strong');
    }
  });

  it('is strong where the session has seen a shard that is not there', async () => {
    const { cluster } = await filled();
    const session = [{ shardId: 77, ownershipVersion: 1, appliedIndex: 1 }];
    await cluster.run(cluster.router.count('docs', manner({ session })));
    expect(cluster.leaderOf(0).contexts.at(-1)?.consistency).toBe('strong');
  });
});

describe('an answer', () => {
  it('says of each shard which node served it, and how far that was', async () => {
    const { cluster } = await filled({ localNodeId: 2 });
    const { router } = cluster;
    const read = manner('eventual');
    const answers = [
      await cluster.run(router.search('docs', [QUERY], read)),
      await cluster.run(router.count('docs', read)),
      await cluster.run(
        router.fetch(
          'docs',
          Array.from({ length: 20 }, (_, at) => `p${at}`),
          EVERYTHING,
          read,
        ),
      ),
      await cluster.run(
        router.scroll('docs', { limit: 5, includeValues: false, includeMetadata: false }, read),
      ),
    ];
    const expected = cluster.document.shards.map(({ shardId, ownershipVersion }) => ({
      shardId,
      nodeId: 2,
      ownershipVersion,
      appliedIndex: cluster.shard(shardId).log.length,
    }));
    for (const { served } of answers) {
      expect([...served].sort((a, b) => a.shardId - b.shardId)).toEqual(expected);
    }
  });

  it('names only the shards that a fetch has asked', async () => {
    const { cluster } = await filled();
    const owner = cluster.shards.findIndex(({ records }) => records.has('p3'));
    const { served } = await cluster.run(
      cluster.router.fetch('docs', ['p3'], EVERYTHING, manner('strong')),
    );
    expect(served.map(({ shardId }) => shardId)).toEqual([owner]);
  });

  it('says where a replica does not tell what it shows, for sessions (F-15)', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    const replica = cluster.leaderOf(0);
    replica.count = async () => ({ value: 4 });
    const answer = await cluster.run(cluster.router.count('docs', manner('strong')));
    const served = [{ shardId: 0, nodeId: 1, ownershipVersion: 0, appliedIndex: 0 }];
    expect(answer).toMatchObject({ count: 4, served });
  });

  it('to a write says how far each shard had to be applied for it', async () => {
    const { cluster, written } = await filled();
    expect([...written.written].sort((a, b) => a.shardId - b.shardId)).toEqual(
      cluster.document.shards.map(({ shardId, ownershipVersion }) => ({
        shardId,
        ownershipVersion,
        appliedIndex: 1,
      })),
    );
    const filter = encodeFilter({});
    const deleted = await cluster.run(
      cluster.router.deleteByFilter('docs', { filter }, { timeoutMs: 5_000 }),
    );
    expect(deleted.written.map(({ shardId }) => shardId).sort()).toEqual([0, 1, 2, 3]);
  });
});
