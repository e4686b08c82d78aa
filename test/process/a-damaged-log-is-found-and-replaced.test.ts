// Goal: a node whose log was damaged while it was down says so, takes no part with it, and is whole
// again after a reset; nothing acknowledged is lost (F-11, P-8, S5, M8). Method: three processes; a
// byte in the middle of the log's largest file is flipped; then `flotilla replica reset --faulty`.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Flotilla } from '../../src/client/index.js';
import { toFlotillaError } from '../../src/shared/errors.js';
import { ClusterView } from '../support/faults/cluster-view.js';
import { replicaDigests } from '../support/faults/replica-contents.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { clusteredVectors } from '../support/vectors.js';
import { waitUntil } from '../support/wait-until.js';
import { expectAllThere, ImportRun } from './import-run.js';

const NAME = 'vectors';
const DIMENSION = 32;
const SHARDS = 2;
const DAMAGED = 3;
const vectors = clusteredVectors({ count: 4_000, dimension: DIMENSION, seed: 11 });

let cluster: ProcessCluster;
let view: ClusterView;

beforeAll(async () => {
  cluster = await ProcessCluster.start({ shards: SHARDS });
  view = new ClusterView(cluster);
});

afterAll(async () => {
  await view?.close();
  await cluster?.destroy();
});

function flipByteInLog(): void {
  const directory = join(cluster.directoryOf(DAMAGED), 'raft', 'log');
  const files = readdirSync(directory)
    .filter((name) => /\.(log|ldb)$/.test(name))
    .map((name) => join(directory, name))
    .sort((a, b) => statSync(b).size - statSync(a).size);
  const [largest = ''] = files;
  const bytes = readFileSync(largest);
  const middle = Math.floor(bytes.length / 2);
  bytes.writeUInt8(bytes.readUInt8(middle) ^ 0x40, middle);
  writeFileSync(largest, bytes);
}

async function faultsOfDamaged(): Promise<string[]> {
  const { topology, shards } = await view.status();
  return [topology, ...shards]
    .flatMap(({ replicas }) => replicas.filter(({ nodeId }) => nodeId === DAMAGED))
    .map(({ fault }) => fault)
    .filter((fault) => fault !== '');
}

it('names the damage, serves without the node, and fills its replica anew (F-11)', async () => {
  const client = new Flotilla(cluster.addresses);
  await client.createCollection({ name: NAME, dimension: DIMENSION, metric: 'l2' });
  const options = { collection: NAME, vectors, batch: 50 };
  const run = new ImportRun(client, options);
  await run.run();
  expect(run.failures).toEqual(new Map());

  await cluster.kill(DAMAGED);
  flipByteInLog();
  cluster.startNode(DAMAGED);
  // A replica that is only being opened has a fault too.
  await waitUntil('the damage is named', async () => {
    return /corruption|damage/i.test((await faultsOfDamaged()).join());
  });
  // Also where the node itself is asked: it must not take what it does not know for gone (P-2).
  const damaged = new Flotilla(cluster.clientAddress(DAMAGED), {
    routing: 'proxy',
    retry: { attemptsMax: 50 },
  });
  await damaged.collection(NAME).count();
  const unknown = await damaged.collection('unknown').count().catch(toFlotillaError);
  expect(unknown).toMatchObject({ reason: 'NODE_NOT_READY', retryable: true });
  await damaged.close();
  await expectAllThere(client, options, run.acknowledged);

  const words = ['dist/cli/main.js', 'replica', 'reset', '--faulty', '--wait'];
  const where = ['--node', `${DAMAGED}`, '--url', cluster.addresses.join()];
  execFileSync(process.execPath, [...words, ...where]);
  await view.level();
  expect(await faultsOfDamaged()).toEqual([]);
  await expectAllThere(client, options, run.acknowledged);
  await client.close();
  const codes = await Promise.all(cluster.nodeIds.map((nodeId) => cluster.terminate(nodeId)));
  expect(codes).toEqual([0, 0, 0]);
  for (const [shardId, byNode] of await replicaDigests(cluster, SHARDS)) {
    expect([shardId, byNode.size, new Set(byNode.values()).size]).toEqual([shardId, 3, 1]);
  }
});
