// Goal: P-1 and P-2 on real processes: nothing acknowledged is lost when a shard leader is killed
// in the middle of an import, nor when all nodes are killed at once; recall is right (F-1, M-12).
// Method: three `flotilla node` processes, 10,000 x 784-d vectors through gRPC, SIGKILL.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Flotilla } from '../../src/client/index.js';
import { DIMENSION, loadNeighbourData } from '../support/mnist.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { waitUntil } from '../support/wait-until.js';

const BATCH = 100;
const WRITERS = 8;
const EF = 200;
const K = 10;
const NAME = 'vectors';

const data = loadNeighbourData();
const idOf = (row: number): string => `row-${row}`;
const acknowledged = new Set<string>();

let cluster: ProcessCluster;
let client: Flotilla;

beforeAll(async () => {
  cluster = await ProcessCluster.start();
  client = new Flotilla(cluster.addresses, { timeoutMs: 60_000 });
  await client.createCollection({ name: NAME, dimension: DIMENSION, metric: 'l2' });
});

afterAll(async () => {
  await client?.close();
  await cluster?.destroy();
});

async function importAll(onProgress: (count: number) => void): Promise<void> {
  const collection = client.collection(NAME);
  let nextRow = 0;
  const writer = async (): Promise<void> => {
    while (nextRow < data.base.length) {
      const from = nextRow;
      nextRow += BATCH;
      const records = data.base
        .slice(from, from + BATCH)
        .map((values, at) => ({ id: idOf(from + at), values, metadata: { row: from + at } }));
      const { outcomes } = await collection.upsert(records);
      outcomes.forEach((outcome, at) => {
        if (outcome.kind === 'applied') acknowledged.add((records[at] as { id: string }).id);
      });
      onProgress(acknowledged.size);
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, writer));
}

async function leaderOfShard(shardId: number): Promise<number> {
  let nodeId = 0;
  await waitUntil(`shard ${shardId} has a leader`, async () => {
    const { shards } = await client.status();
    nodeId = shards.find((shard) => shard.shardId === shardId)?.leaderNodeId ?? 0;
    return nodeId > 0;
  });
  return nodeId;
}

async function expectEverythingThere(): Promise<void> {
  const collection = client.collection<{ row: number }>(NAME);
  expect(await collection.count()).toBe(data.base.length);
  const ids = [...acknowledged];
  for (let at = 0; at < ids.length; at += 1_000) {
    const wanted = ids.slice(at, at + 1_000);
    const records = await collection.fetch(wanted, { includeValues: false });
    expect(records.map((record) => record.id)).toEqual(wanted);
  }
  const [first] = await collection.fetch([idOf(123)]);
  expect(Array.from(first?.values ?? [])).toEqual(Array.from(data.base[123] as Float32Array));
  expect(first?.metadata).toEqual({ row: 123 });
}

async function expectRecall(atLeast: number): Promise<void> {
  const collection = client.collection(NAME);
  let found = 0;
  for (const [at, vector] of data.queries.entries()) {
    const { hits } = await collection.search({ vector, k: K, ef: EF });
    const truth = new Set((data.neighbours[at] as number[]).slice(0, K).map(idOf));
    found += hits.filter((hit) => truth.has(hit.id)).length;
  }
  expect(found / (data.queries.length * K)).toBeGreaterThanOrEqual(atLeast);
}

describe('three nodes, four shards, replication factor 3', () => {
  it('imports on while the leader of a shard is killed (F-1, P-1)', async () => {
    let killing: Promise<number> | undefined;
    const killLeader = async (): Promise<number> => {
      const nodeId = await leaderOfShard(0);
      await cluster.kill(nodeId);
      return nodeId;
    };
    await importAll((count) => {
      if (count >= data.base.length / 3) killing ??= killLeader();
    });
    const killed = (await killing) ?? 0;
    expect(acknowledged.size).toBe(data.base.length);
    await expectEverythingThere();

    cluster.startNode(killed);
    await cluster.ready();
    await waitUntil('the killed node has caught up', async () => (await client.status()).healthy);
    await expectEverythingThere();
  });

  it(`finds the true neighbours: recall@${K} >= 0.99 at ef ${EF} (${data.source})`, async () => {
    await expectRecall(0.99);
  });

  it('has everything after all three nodes were killed and started again (P-1)', async () => {
    for (const nodeId of [1, 2, 3]) await cluster.kill(nodeId);
    await cluster.startAll();
    await expectEverythingThere();
    await expectRecall(0.99);
  });
});
