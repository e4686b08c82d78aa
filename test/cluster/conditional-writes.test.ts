// Goal: conditions, patches and expiry hold in a whole cluster, and its replicas stay equal.
// Method: three nodes in this process over gRPC; clients that race each other through all nodes.
import { Cluster, type Flotilla, isFlotillaError } from 'flotilla';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defined } from '../../src/shared/assert.js';
import type { RegisterOperation } from '../history/operation.js';
import { checkRegister } from '../history/register.js';
import { waitUntil } from '../support/wait-until.js';
import { clientOf, FAST, recordsFrom } from './harness.js';

const REGISTER = { key: 'register', outcome: 'ok' } as const;

let cluster: Cluster;
let clients: Flotilla[];

beforeAll(async () => {
  cluster = await Cluster.start({ ...FAST, nodes: 3, shards: 2 });
  clients = [1, 2, 3].map((nodeId) => clientOf(cluster, nodeId));
});

afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await cluster.stop();
});

const first = (): Flotilla => defined(clients[0], 'client');

async function expectEqualReplicas(): Promise<void> {
  const shards = await first().verify({ deep: true });
  expect(shards).toHaveLength(2);
  for (const { problem, replicas, differences, damages } of shards) {
    expect(problem).toBe('');
    expect(replicas.map((one) => one.problem)).toEqual(['', '', '']);
    expect([differences, damages]).toEqual([[], []]);
  }
}

/** Of each shard: the hashes that its replicas show, once all are at one index of its log. */
async function shownHashes(): Promise<string[][]> {
  let shown: string[][] = [];
  await waitUntil('all replicas show what they hold, at one index', async () => {
    const { shards, healthy } = await first().status();
    shown = shards.map(({ replicas }) => replicas.map(({ contentHash }) => contentHash));
    const indexes = shards.map(({ replicas }) => replicas.map((one) => one.contentIndex));
    const isWhole = shown.flat().every((hash) => hash !== '');
    return healthy && isWhole && indexes.every((of) => new Set(of).size === 1);
  });
  return shown;
}

describe('the status of a cluster', () => {
  it('shows one hash for all replicas of a shard, which writes change (P-6, W4)', async () => {
    await first().createCollection({ name: 'hashed', dimension: 4, metric: 'l2' });
    const hashed = first().collection('hashed');
    const before = await shownHashes();
    expect(before.map((hashes) => new Set(hashes).size)).toEqual([1, 1]);
    await hashed.upsert([{ id: 'a', values: [1, 2, 3, 4], ttlMs: 3_600_000 }]);
    const after = await shownHashes();
    expect(after.map((hashes) => new Set(hashes).size)).toEqual([1, 1]);
    const isChanged = after.map(([hash], shardId) => hash !== before[shardId]?.[0]);
    expect(isChanged.filter((changed) => changed)).toHaveLength(1);
    for (const client of clients) {
      const [record] = await client.collection('hashed').fetch(['a']);
      const { records } = await client.collection('hashed').scrollPage();
      const writtenMs = Number(BigInt(record?.version ?? 0) >> 16n);
      expect(record?.expiresAtMs).toBe(writtenMs + 3_600_000);
      expect(records).toEqual([expect.objectContaining({ expiresAtMs: record?.expiresAtMs })]);
    }
    await first().dropCollection('hashed');
    expect(await shownHashes()).toEqual(before);
  });
});

describe('a counter of versions and patches', () => {
  it('loses no increment among clients that race (compare and set)', async () => {
    await first().createCollection({ name: 'counters', dimension: 4, metric: 'l2' });
    const values = [1, 2, 3, 4];
    await first()
      .collection('counters')
      .upsert([{ id: 'n', values, metadata: { n: 0 } }]);
    const increment = async (client: Flotilla): Promise<void> => {
      const counters = client.collection<{ n: number }>('counters');
      for (;;) {
        const record = defined((await counters.fetch(['n']))[0], 'the counter');
        const n = defined(record.metadata, 'metadata').n + 1;
        try {
          await counters.patch([{ id: 'n', metadata: { n }, ifVersion: record.version }]);
          return;
        } catch (error) {
          if (!isFlotillaError(error) || error.reason !== 'VERSION_CONFLICT') throw error;
        }
      }
    };
    const rounds = clients.map(async (client) => {
      for (let round = 0; round < 10; round++) await increment(client);
    });
    await Promise.all(rounds);
    const [record] = await first().collection('counters').fetch(['n']);
    expect(record?.metadata).toEqual({ n: 30 });
    expect(record?.values).toEqual(Float32Array.from(values));
    await expectEqualReplicas();
  });

  it('is a compare-and-set register to all who write it at once (P-4, W1)', async () => {
    const history: RegisterOperation[] = [];
    const name = 'counters';
    const values = [1, 1, 1, 1];
    const noted = async (
      client: string,
      expected: number | undefined,
      value: number,
      write: () => Promise<unknown>,
    ): Promise<void> => {
      const start = performance.now();
      const refusal = await write().then(
        () => undefined,
        (error: unknown) => error,
      );
      const end = performance.now();
      if (refusal !== undefined) {
        const reason = expected === undefined ? 'RECORD_EXISTS' : 'VERSION_CONFLICT';
        expect(refusal).toMatchObject({ reason, code: 'ABORTED' });
      }
      const swapped = refusal === undefined;
      history.push({ ...REGISTER, client, start, end, op: 'cas', expected, value, swapped });
    };
    const rounds = clients.map(async (client, at) => {
      const records = client.collection<{ n: number }>(name);
      const who = `client ${at}`;
      for (let round = 1; round <= 20; round++) {
        const start = performance.now();
        const [record] = await records.fetch([REGISTER.key]);
        const seen = record?.metadata?.n;
        const end = performance.now();
        history.push({ ...REGISTER, client: who, start, end, op: 'read', value: seen });
        const n = 100 * at + round;
        const next = { id: REGISTER.key, values, metadata: { n } };
        await noted(who, seen, n, () =>
          record === undefined
            ? records.upsert([next], { mode: 'insert-only' })
            : records.upsert([{ ...next, ifVersion: record.version }]),
        );
      }
    });
    await Promise.all(rounds);
    expect(history.filter((one) => one.op === 'cas' && one.swapped).length).toBeGreaterThan(3);
    expect(checkRegister(history)).toEqual([]);
  });
});

describe('records with a ttl', () => {
  it('go from all replicas, and those without stay', async () => {
    const config = { name: 'sessions', dimension: 4, metric: 'l2', ttlMs: 1 } as const;
    await first().createCollection(config);
    const sessions = first().collection('sessions');
    await sessions.upsert(recordsFrom(0, 40));
    await sessions.upsert(recordsFrom(40, 10).map((record) => ({ ...record, ttlMs: 0 })));
    await waitUntil('what expired is gone', async () => (await sessions.count()) === 10);
    const left = await sessions.fetch(recordsFrom(0, 50).map(({ id }) => id));
    expect(left.map(({ id }) => id)).toEqual(recordsFrom(40, 10).map(({ id }) => id));
    await expectEqualReplicas();
  });
});
