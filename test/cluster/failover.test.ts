// Goal: nothing acknowledged is lost, nothing stale is read, when nodes stop or are cut off
// (P-1, P-2, P-5, F-1, F-6, F-22). Method: three nodes in this process; writers go on meanwhile.
import { Cluster, type Flotilla } from 'flotilla';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Connections } from '../../src/client/connections.js';
import { defined } from '../../src/shared/assert.js';
import { floatBytes } from '../../src/shared/bytes.js';
import type { WriteResponse } from '../../src/shared/codec/api-messages.js';
import type { RequestKey } from '../../src/shared/codec/command.js';
import { API } from '../../src/shared/codec/public-api.js';
import { isFlotillaError } from '../../src/shared/errors.js';
import { waitUntil } from '../support/wait-until.js';
import { clientOf, FAST, healthy, isolate, leaderOf, recordsFrom, startWriter } from './harness.js';

const NODE_IDS = [1, 2, 3];
const NAME = 'records';

let cluster: Cluster;
let client: Flotilla;

beforeAll(async () => {
  cluster = await Cluster.start({ ...FAST, nodes: 3, shards: 2 });
  client = cluster.client({ timeoutMs: 30_000 });
  await client.createCollection({ name: NAME, dimension: 4, metric: 'l2' });
});

afterAll(async () => {
  await cluster.stop();
});

afterEach(() => {
  cluster.network.heal();
});

const othersOf = (nodeId: number): number[] => NODE_IDS.filter((one) => one !== nodeId);

/** Restarted nodes listen elsewhere: a client of all that run now. */
async function renewClient(): Promise<void> {
  await client.close();
  client = cluster.client({ timeoutMs: 30_000 });
}

async function expectAllThere(ids: readonly string[]): Promise<void> {
  for (let at = 0; at < ids.length; at += 500) {
    const wanted = ids.slice(at, at + 500);
    const found = await client.collection(NAME).fetch(wanted, { includeValues: false });
    expect(found.map(({ id }) => id)).toEqual(wanted);
  }
}

describe('an orderly stop of a leader', () => {
  it('loses no acknowledged write, and writers go on (P-1, F-1)', async () => {
    const leader = await leaderOf(client, 0);
    const writers = [10_000, 20_000, 30_000].map((first) => startWriter(() => client, NAME, first));
    const written = (): number => writers.reduce((sum, one) => sum + one.acknowledged.length, 0);
    await waitUntil('some writes', () => written() > 50);
    await cluster.stopNode(leader);
    const before = written();
    await waitUntil('writes without the node', () => written() > before + 50);
    await cluster.startNode(leader);
    const back = written();
    await waitUntil('writes with the node', () => written() > back + 50);
    await Promise.all(writers.map((writer) => writer.stop()));
    await renewClient();
    await expectAllThere(writers.flatMap(({ acknowledged }) => acknowledged));
    await healthy(client);
  });
});

describe('a leader cut off from the others', () => {
  it('answers no read from before the newest write, and no write (P-5, F-6)', async () => {
    const leader = await leaderOf(client, 0);
    const others = othersOf(leader);
    const inside = clientOf(cluster, leader, { timeoutMs: 400, retry: { attemptsMax: 1 } });
    const outside = clientOf(cluster, defined(others[0], 'other'), { timeoutMs: 20_000 });
    // One id per shard at least, so that the leader's shard is among them.
    const ids = recordsFrom(0, 8).map(({ id }) => id);
    const write = async (through: Flotilla, round: number): Promise<void> => {
      const records = recordsFrom(0, 8).map((one) => ({ ...one, metadata: { round } }));
      const { appliedCount } = await through.collection(NAME).upsert(records);
      if (appliedCount !== records.length) throw new Error('not all were written');
    };
    await write(outside, 1);
    isolate(cluster, leader, others);

    let newest = 1;
    let isDone = false;
    const stale: string[] = [];
    const reader = async (): Promise<void> => {
      const records = inside.collection<{ round: number }>(NAME);
      while (!isDone) {
        const known = newest;
        for (const id of ids) {
          const found = await records.fetch([id]).catch(() => []);
          const round = found[0]?.metadata?.round;
          if (round !== undefined && round < known) stale.push(`${id}: ${round} after ${known}`);
        }
        await records.search({ vector: [0, 0, 0, 1], k: 8 }).then(
          ({ hits }) => {
            const old = hits.filter(({ id, metadata }) => {
              return ids.includes(id) && (metadata?.round ?? 0) < known;
            });
            stale.push(...old.map(({ id }) => `search: ${id} is older than ${known}`));
          },
          () => undefined,
        );
      }
    };
    const reading = reader();
    for (let round = 2; round <= 6; round++) {
      await write(outside, round);
      newest = round;
    }
    await expect(inside.collection(NAME).upsert(recordsFrom(900, 8))).rejects.toSatisfy(
      (error) =>
        isFlotillaError(error) && ['UNAVAILABLE', 'DEADLINE_EXCEEDED'].includes(error.code),
    );
    await expect(inside.collection(NAME).count()).rejects.toSatisfy(isFlotillaError);

    cluster.network.heal();
    await waitUntil('the old leader serves again', async () => {
      const found = await inside.collection<{ round: number }>(NAME).fetch(ids);
      return found.length === 8 && found.every(({ metadata }) => metadata?.round === 6);
    });
    isDone = true;
    await reading;
    expect(stale).toEqual([]);
    await Promise.all([inside.close(), outside.close()]);
    await healthy(client);
  });

  it('is no hindrance while frames are held back instead of refused (F-6)', async () => {
    const leader = await leaderOf(client, 1);
    const others = othersOf(leader);
    for (const other of others) {
      cluster.network.cut(`node-${leader}`, `node-${other}`, { mode: 'hold' });
    }
    const outside = clientOf(cluster, defined(others[0], 'other'), { timeoutMs: 30_000 });
    const { appliedCount } = await outside.collection(NAME).upsert(recordsFrom(1_000, 20));
    expect(appliedCount).toBe(20);
    cluster.network.heal();
    await healthy(client);
    await expectAllThere(recordsFrom(1_000, 20).map(({ id }) => id));
    await outside.close();
  });

  it.each(['break', 'hold'] as const)(
    'from one other only (%s) is served through the node between them (F-7)',
    async (mode) => {
      const leader = await leaderOf(client, 0);
      const [near, far] = othersOf(leader) as [number, number];
      const { shards } = await client.status();
      cluster.network.cut(`node-${leader}`, `node-${far}`, { mode });
      const between = clientOf(cluster, near, { timeoutMs: 30_000 });
      const { appliedCount } = await between.collection(NAME).upsert(recordsFrom(2_000, 10));
      expect(appliedCount).toBe(10);
      expect(await between.collection(NAME).fetch(['row-2005'])).toHaveLength(1);
      await between.close();
      // Also for callers who know only the node that does not reach the leader.
      const through = clientOf(cluster, far, { timeoutMs: 5_000 });
      expect(await through.collection(NAME).fetch(['row-2005'])).toHaveLength(1);
      const rewritten = await through.collection(NAME).upsert(recordsFrom(2_000, 10));
      expect(rewritten.outcomes.map(({ kind }) => kind)).toEqual(Array(10).fill('applied'));
      await through.close();
      cluster.network.heal();
      await healthy(client);
      const termsOf = (status: typeof shards): number[] => status.map(({ term }) => term);
      expect(termsOf((await client.status()).shards)).toEqual(termsOf(shards));
    },
  );
});

describe('a repeated request', () => {
  const keyOf = (sequence: number): RequestKey => ({
    clientId: '5f0c7a52-6f5e-4a4b-9df1-2f4f0b8c1a11',
    clientStampMs: Date.now(),
    sequence,
    lowestUnanswered: 1,
  });
  const send = (
    nodeId: number,
    row: number,
    idempotencyKey: RequestKey,
  ): Promise<WriteResponse> => {
    const node = cluster.addresses.find((one) => one.nodeId === nodeId);
    const connections = new Connections([defined(node, `node ${nodeId}`).client]);
    const record = {
      id: 'repeated',
      values: floatBytes(Float32Array.of(row, 0, 0, 1)),
      metadata: new Uint8Array(),
    };
    const request = { collection: NAME, records: [record], idempotencyKey };
    return connections
      .attempt(API.upsert, request, { deadlineMs: Date.now() + 20_000, writes: true })
      .finally(() => connections.close());
  };
  const storedValue = async (): Promise<number | undefined> => {
    const [found] = await client.collection(NAME).fetch(['repeated']);
    return found?.values?.[0];
  };

  it('through another node, also after a failover, applies once (P-2, F-22)', async () => {
    const key = keyOf(1);
    const first = await send(1, 11, key);
    const second = await send(2, 12, keyOf(2));
    expect(await storedValue()).toBe(12);
    for (const nodeId of [2, 3, 1]) {
      expect((await send(nodeId, 11, key)).outcomes).toEqual(first.outcomes);
    }
    expect(await storedValue()).toBe(12);

    const leaders = [await leaderOf(client, 0), await leaderOf(client, 1)];
    for (const leader of new Set(leaders)) {
      await cluster.stopNode(leader);
      const [asked] = cluster.addresses;
      const { nodeId } = defined(asked, 'running node');
      expect((await send(nodeId, 11, key)).outcomes).toEqual(first.outcomes);
      await cluster.startNode(leader);
    }
    await renewClient();
    expect((await send(3, 11, key)).outcomes).toEqual(first.outcomes);
    expect((await send(2, 12, keyOf(2))).outcomes).toEqual(second.outcomes);
    expect(await storedValue()).toBe(12);
  });
});

describe('shards without a quorum', () => {
  it('refuse new collections and drops with UNAVAILABLE and nothing changed', async () => {
    const [kept, ...stopped] = NODE_IDS as [number, ...number[]];
    const { epoch } = await client.status();
    for (const nodeId of stopped) await cluster.stopNode(nodeId);
    const alone = clientOf(cluster, kept, { timeoutMs: 3_000, retry: { attemptsMax: 1 } });
    const unavailable = { code: 'UNAVAILABLE', outcome: 'not-applied' };
    await Promise.all([
      expect(alone.createCollection({ name: 'impossible', dimension: 4 })).rejects.toMatchObject(
        unavailable,
      ),
      expect(alone.dropCollection(NAME)).rejects.toMatchObject(unavailable),
      expect(alone.collection(NAME).count()).rejects.toMatchObject({ code: 'UNAVAILABLE' }),
    ]);
    await alone.close();

    await Promise.all(stopped.map((nodeId) => cluster.startNode(nodeId)));
    await renewClient();
    await healthy(client);
    const names = (await client.listCollections()).map(({ config }) => config.name);
    expect(names).toEqual([NAME]);
    expect((await client.status()).epoch).toBe(epoch);
    await expectAllThere(['repeated']);
  });
});
