// Goal: an import at full speed costs no leader change (F-25); nothing acknowledged is lost when a
// leader is killed in the middle of one, nor when all nodes are (F-1, P-1, P-2); recall is right
// (M-12). Method: three processes, 10,000 x 784-d vectors through gRPC, counters, SIGKILL.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Flotilla } from '../../src/client/index.js';
import { defined } from '../../src/shared/assert.js';
import { DIMENSION, loadNeighbourData } from '../support/mnist.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { waitUntil } from '../support/wait-until.js';
import { expectAllThere, ImportRun, idOf } from './import-run.js';

const EF = 200;
const K = 10;
const NAME = 'vectors';
const MORE = 'more-vectors';

const data = loadNeighbourData();
const more = data.base.slice(0, 3_000);
type Vectors = readonly Float32Array[];

let cluster: ProcessCluster;
let client: Flotilla;

beforeAll(async () => {
  cluster = await ProcessCluster.start();
  client = new Flotilla(cluster.addresses, { timeoutMs: 60_000 });
  for (const name of [NAME, MORE]) {
    await client.createCollection({ name, dimension: DIMENSION, metric: 'l2' });
  }
});

afterAll(async () => {
  await client?.close();
  await cluster?.destroy();
});

async function importAll(run: ImportRun, expected: number): Promise<void> {
  await run.run();
  expect(run.failures).toEqual(new Map());
  expect(run.acknowledged.size).toBe(expected);
}

function counters(): Promise<number[]> {
  const metric = 'raft_leader_changes_total';
  return Promise.all(cluster.nodeIds.map((nodeId) => cluster.metric(nodeId, metric)));
}

async function terms(): Promise<number[]> {
  const { shards, topology } = await client.status();
  return [topology, ...shards].map(({ term }) => term);
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

async function expectEverythingThere(collection: string, vectors: Vectors): Promise<void> {
  expect(await client.collection(collection).count()).toBe(vectors.length);
  const ids = new Set(vectors.map((_, row) => idOf(row)));
  await expectAllThere(client, { collection, vectors }, ids);
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
  it('import 10,000 vectors without a change of leaders (F-25)', async () => {
    const before = { changes: await counters(), terms: await terms() };
    expect(Math.min(...before.changes)).toBeGreaterThan(0);
    await importAll(new ImportRun(client, { collection: NAME, vectors: data.base }), 10_000);
    expect({ changes: await counters(), terms: await terms() }).toEqual(before);
    await expectEverythingThere(NAME, data.base);
  });

  it(`find the true neighbours: recall@${K} >= 0.99 at ef ${EF} (${data.source})`, async () => {
    await expectRecall(0.99);
  });

  it('import on while the leader of a shard is killed (F-1, P-1)', async () => {
    let killing: Promise<number> | undefined;
    const killLeader = async (): Promise<number> => {
      const nodeId = await leaderOfShard(0);
      await cluster.kill(nodeId);
      return nodeId;
    };
    const onProgress = (count: number): void => {
      if (count >= more.length / 3) killing ??= killLeader();
    };
    const options = { collection: MORE, vectors: more, onProgress };
    await importAll(new ImportRun(client, options), more.length);
    const killed = defined(await killing, 'the killed leader');
    await expectEverythingThere(MORE, more);

    cluster.startNode(killed);
    await cluster.ready();
    await waitUntil('the killed node has caught up', async () => (await client.status()).healthy);
    await expectEverythingThere(MORE, more);
  });

  it('have everything after all three nodes were killed and started again (P-1)', async () => {
    for (const nodeId of [1, 2, 3]) await cluster.kill(nodeId);
    await cluster.startAll();
    expect(await client.collection(NAME).count()).toBe(data.base.length);
    await expectEverythingThere(MORE, more);
    await expectRecall(0.99);
  });
});
