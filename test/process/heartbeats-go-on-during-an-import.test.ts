// Goal: index work stands between no two heartbeats: an import at full speed on all cores costs no
// leader change (F-25). Method: three processes, 10,000 x 784-d by eight writers; counters.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Flotilla } from '../../src/client/index.js';
import { DIMENSION, loadNeighbourData } from '../support/mnist.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { expectAllThere, ImportRun } from './import-run.js';

const NAME = 'vectors';
const NODE_IDS = [1, 2, 3];
const { base: vectors } = loadNeighbourData();

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

async function leaderChanges(): Promise<number[]> {
  const metric = 'raft_leader_changes_total';
  return Promise.all(NODE_IDS.map((nodeId) => cluster.metric(nodeId, metric)));
}

async function terms(): Promise<number[]> {
  const { shards, topology } = await client.status();
  return [topology, ...shards].map(({ term }) => term);
}

it('changes no leader of any group while 10,000 vectors are imported', async () => {
  const before = { changes: await leaderChanges(), terms: await terms() };
  expect(Math.min(...before.changes)).toBeGreaterThan(0);
  const options = { collection: NAME, vectors };
  const imported = new ImportRun(client, options);
  await imported.run();
  expect(imported.failures).toEqual(new Map());
  expect(imported.acknowledged.size).toBe(vectors.length);
  expect({ changes: await leaderChanges(), terms: await terms() }).toEqual(before);
  await expectAllThere(client, options, imported.acknowledged);
});
