// Goal: reads go to the replicas that their freshness allows, and say where they were answered.
// Method: a router over fake shards with scripted faults, in virtual time; calls are counted.
import { describe, expect, it } from 'vitest';
import { SILENCE_MS } from '../../../src/router/leader-watch.js';
import { servedInTurn } from '../../../src/router/shard-freshness.js';
import { encodeFilter } from '../../../src/shared/codec/filter-bytes.js';
import {
  type Consistency,
  type SeenShard,
  TOO_SLOW,
  UNTOLD,
} from '../../../src/shared/consistency.js';
import { sleep } from '../../../src/shared/environment.js';
import { FlotillaError } from '../../../src/shared/errors.js';
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

  it.each(RELAXED)(
    '%j leaves a replica of its own node that stands still (F-20)',
    async (level) => {
      const cluster = new FakeCluster({ shards: 1, localNodeId: 3 });
      cluster.shard(0).elect(2);
      await cluster.run(cluster.router.count('docs', manner('strong')));
      // Its consensus goes on, and with it its status: only its engine does not answer.
      for (const replica of cluster.followersOf(0)) replica.faults = ['hang'];
      const { served } = await cluster.run(cluster.router.count('docs', manner(level)));
      expect(served.map(({ nodeId }) => nodeId)).toEqual([2]);
      expect(cluster.environment.nowMs).toBeLessThanOrEqual(SILENCE_MS);
      // That says nothing of who leads.
      expect(cluster.router.leaderOf(0)).toBe(2);
    },
  );

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

describe('a bounded read that replicas are too slow for', () => {
  it('is carried out by no more than three of them, and fails long before its end', async () => {
    const cluster = new FakeCluster({ shards: 1, nodes: 5, localNodeId: 1 });
    let executions = 0;
    for (const replica of cluster.replicasOf(0)) {
      replica.count = async () => {
        executions += 1;
        await sleep(cluster.environment.scheduler, 120);
        throw new FlotillaError('REPLICA_BEHIND', 'too slow', { details: TOO_SLOW });
      };
    }
    const error = await errorOf(
      cluster.run(cluster.router.count('docs', manner({ boundedMs: 100 }, 10_000))),
    );
    expect(error.body).toMatchObject({
      reason: 'SHARD_UNAVAILABLE',
      details: { ...TOO_SLOW, reasons: 'REPLICA_BEHIND' },
    });
    expect(executions).toBeLessThanOrEqual(3);
    expect(cluster.environment.nowMs).toBeLessThan(1_000);
  });

  it('is answered by the second where only the first was', async () => {
    const cluster = new FakeCluster({ shards: 1, localNodeId: 3 });
    cluster.replica(0, 3).count = async () => {
      throw new FlotillaError('REPLICA_BEHIND', 'too slow', { details: TOO_SLOW });
    };
    const answer = await cluster.run(cluster.router.count('docs', manner({ boundedMs: 100 })));
    expect(answer.served.map(({ nodeId }) => nodeId)).not.toContain(3);
  });
});

describe('a replica that was behind', () => {
  const waiting = async (cluster: FakeCluster): Promise<never> => {
    await sleep(cluster.environment.scheduler, 1_000);
    throw new FlotillaError('REPLICA_BEHIND', 'it did not catch up');
  };

  it('is asked last by reads that would wait for it, and by one a second first', async () => {
    const cluster = new FakeCluster({ shards: 1, localNodeId: 3 });
    const local = cluster.replica(0, 3);
    let asked = 0;
    local.count = () => {
      asked += 1;
      return waiting(cluster);
    };
    const count = (level: Consistency) => cluster.run(cluster.router.count('docs', manner(level)));
    await count({ boundedMs: 100 });
    expect([asked, cluster.environment.nowMs]).toEqual([1, 1_000]);
    await count({ boundedMs: 100 });
    await count({ session: [] });
    expect([asked, cluster.environment.nowMs]).toEqual([1, 1_000]);
    await cluster.environment.advance(1_000);
    // All come at once: one of them looks, the others do not wait with it.
    const startMs = cluster.environment.nowMs;
    const times = await cluster.run(
      Promise.all(
        Array.from({ length: 5 }, async () => {
          await cluster.router.count('docs', manner({ boundedMs: 100 }));
          return cluster.environment.nowMs - startMs;
        }),
      ),
    );
    expect(times.sort((a, b) => a - b)).toEqual([0, 0, 0, 0, 1_000]);
    expect(asked).toBe(2);
  });

  it('comes first again once it has served such a read, and for others all the time', async () => {
    const cluster = new FakeCluster({ shards: 1, localNodeId: 3 });
    const local = cluster.replica(0, 3);
    const count = async (level: Consistency) => {
      const { served } = await cluster.run(cluster.router.count('docs', manner(level)));
      return served[0]?.nodeId;
    };
    local.faults = [{ reject: 'REPLICA_BEHIND' }];
    expect(await count({ boundedMs: 100 })).not.toBe(3);
    local.heal();
    expect(await count('eventual')).toBe(3);
    expect(await count({ boundedMs: 100 })).not.toBe(3);
    await cluster.environment.advance(1_000);
    expect(await count({ boundedMs: 100 })).toBe(3);
    expect(await count({ boundedMs: 100 })).toBe(3);
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

  it.each([
    ['one owned more lately than this table says', 2],
    ['something was seen that nobody can tell', 0],
  ])('is strong on all shards where %s (R15)', async (_where, ownershipVersion) => {
    const { cluster } = await filled();
    const session = [seenAt(cluster, 0, 2), { ...seenAt(cluster, 1, 7), ownershipVersion }];
    await cluster.run(cluster.router.count('docs', manner({ session })));
    for (const { shardId } of cluster.document.shards) {
      expect(cluster.leaderOf(shardId).contexts.at(-1)?.consistency).toBe('strong');
    }
  });

  it('goes on by the logs of the shards under a newer table than it saw (R15)', async () => {
    const { cluster } = await filled();
    const session = cluster.document.shards.map(({ shardId }) => seenAt(cluster, shardId, 1));
    const { document } = cluster;
    const shards = document.shards.map((shard) => ({ ...shard, ownershipVersion: 2 }));
    cluster.view.publish({ ...document, epoch: document.epoch + 1, shards });
    for (const shard of cluster.shards) shard.ownershipVersion = 2;
    const answer = await cluster.run(cluster.router.count('docs', manner({ session })));
    expect(answer.served.map((served) => served.ownershipVersion)).toEqual([2, 2, 2, 2]);
    const asked = cluster.document.shards.flatMap(({ shardId }) =>
      cluster.replicasOf(shardId).flatMap(({ contexts }) => contexts.at(-1)?.consistency ?? []),
    );
    expect(asked.filter((one) => one !== 'strong')).toEqual(Array(4).fill({ minIndex: 1 }));
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

  it('to a search by id is as old as its vector, and has seen as much (R13)', async () => {
    const { cluster } = await filled({ localNodeId: 2 });
    const owner = cluster.shards.findIndex(({ records }) => records.has('p3'));
    const { scheduler } = cluster.environment;
    for (const { shardId } of cluster.document.shards) {
      const replica = cluster.replica(shardId, 2);
      const [fetch, search] = [replica.fetch.bind(replica), replica.search.bind(replica)];
      replica.fetch = async (...args) => {
        const answer = await fetch(...args);
        return { ...answer, state: { appliedIndex: 9, ageMs: 5 } };
      };
      replica.search = async (...args) => {
        await sleep(scheduler, 40);
        return { ...(await search(...args)), state: { appliedIndex: 8, ageMs: 20 } };
      };
    }
    const query = { ...QUERY, target: { kind: 'record' as const, id: 'p3' } };
    const { served } = await cluster.run(
      cluster.router.search('docs', [query], manner('eventual')),
    );
    expect(served).toHaveLength(4);
    for (const { shardId, appliedIndex, ageMs = 0, nodeId } of served) {
      const isOwner = shardId === owner;
      expect([nodeId, appliedIndex]).toEqual([2, isOwner ? 9 : 8]);
      if (isOwner) expect(ageMs).toBeGreaterThanOrEqual(45);
      else expect(ageMs).toBe(20);
    }
  });

  it('to a search by id tells no age where one of its two parts does not', () => {
    const told = { shardId: 1, nodeId: 2, ownershipVersion: 3, appliedIndex: 7 };
    const [untold, aged] = [told, { ...told, nodeId: 4, ageMs: 6 }];
    expect(servedInTurn([untold], 10, [aged])).toEqual([{ ...told, nodeId: 4 }]);
    expect(servedInTurn([aged], 10, [untold])).toEqual([told]);
    expect(servedInTurn([aged], 10, [])).toEqual([{ ...aged, ageMs: 16 }]);
    const old = { ...aged, ownershipVersion: 0, appliedIndex: 0 };
    expect(servedInTurn([old], 0, [aged])).toEqual([{ ...aged, ...UNTOLD, shardId: 1 }]);
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

  it('to a deletion that finds nothing left says so too: another answer may be lost', async () => {
    const { cluster } = await filled();
    const deleteAll = () =>
      cluster.run(
        cluster.router.deleteByFilter('docs', { filter: encodeFilter({}) }, { timeoutMs: 5_000 }),
      );
    const lost = await deleteAll();
    const told = await deleteAll();
    expect([lost.deletedCount > 0, told.deletedCount]).toEqual([true, 0]);
    const seen = new Map(told.written.map((shard) => [shard.shardId, shard.appliedIndex]));
    for (const { shardId, appliedIndex } of lost.written) {
      expect(seen.get(shardId)).toBeGreaterThanOrEqual(appliedIndex);
    }
  });
});
