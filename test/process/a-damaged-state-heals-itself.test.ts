// Goal: a replica whose point store is damaged while its log is whole is equal to the others again
// without an operator (P-8, F-11, S5, M8). Method: three processes; bytes flipped in the tables and
// the write-ahead log of one node's point stores; first where the log reaches back, then where not.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Flotilla } from '../../src/client/index.js';
import { ClusterView } from '../support/faults/cluster-view.js';
import { replicaDigests } from '../support/faults/replica-contents.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { clusteredVectors } from '../support/vectors.js';
import { waitUntil } from '../support/wait-until.js';
import { expectAllThere, ImportRun } from './import-run.js';

const NAME = 'vectors';
const DIMENSION = 32;
const SHARDS = 1;
const DAMAGED = 3;
/** More than a log keeps, with one entry a record. */
const CUT_AFTER = 11_000;
const TABLES = /points-\d+\/\d+\.ldb$/;
const WRITE_AHEAD_LOGS = /points-\d+\/\d+\.log$/;
const first = clusteredVectors({ count: 2_000, dimension: DIMENSION, seed: 12 });
const second = clusteredVectors({ count: CUT_AFTER, dimension: DIMENSION, seed: 13 });

let cluster: ProcessCluster;
let view: ClusterView;
let client: Flotilla;

beforeAll(async () => {
  cluster = await ProcessCluster.start({ shards: SHARDS });
  view = new ClusterView(cluster);
  client = new Flotilla(cluster.addresses);
  await client.createCollection({ name: NAME, dimension: DIMENSION, metric: 'l2' });
});

afterAll(async () => {
  await client?.close();
  await view?.close();
  await cluster?.destroy();
});

async function imported(vectors: readonly Float32Array[], batch: number): Promise<ImportRun> {
  const run = new ImportRun(client, { collection: NAME, vectors, batch, writers: 64 });
  await run.run();
  expect(run.failures).toEqual(new Map());
  return run;
}

/** The largest file of a kind below a directory. */
function largestFile(directory: string, kind: RegExp): string | undefined {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => kind.test(name))
    .map((name) => join(directory, name))
    .sort((a, b) => statSync(b).size - statSync(a).size)
    .find((file) => statSync(file).size > 0);
}

function flipByte(file: string | undefined): void {
  if (file === undefined) throw new Error('there is no such file');
  const bytes = readFileSync(file);
  const middle = Math.floor(bytes.length / 2);
  bytes.writeUInt8(bytes.readUInt8(middle) ^ 0x40, middle);
  writeFileSync(file, bytes);
}

function storeOf(shardId: number): string {
  return cluster.shardDirectoryOf(DAMAGED, shardId) ?? 'no directory';
}

async function healed(): Promise<void> {
  await waitUntil('the damage is met', async () => /state of a replica is lost/.test(logNow()));
  await waitUntil('the cluster is whole', async () => {
    const { healthy, shards } = await view.status();
    return healthy && shards.every(({ change }) => change === undefined);
  });
  await view.level();
}

let seen = 0;
/** What the damaged node has logged since it was started last. */
function logNow(): string {
  return cluster.logOf(DAMAGED).slice(seen);
}

/** Once without damage before: what was in the write-ahead log is in a table then. */
async function restartDamaged(kind: RegExp): Promise<void> {
  if (kind === TABLES) {
    await cluster.kill(DAMAGED);
    cluster.startNode(DAMAGED);
    await view.level();
  }
  await cluster.kill(DAMAGED);
  for (let shardId = 0; shardId < SHARDS; shardId++) {
    flipByte(largestFile(storeOf(shardId), kind));
  }
  seen = cluster.logOf(DAMAGED).length;
  cluster.startNode(DAMAGED);
}

it('makes the state again from the log, tables and write-ahead log alike (P-8)', async () => {
  const run = await imported(first, 20);
  const options = { collection: NAME, vectors: first };
  await restartDamaged(WRITE_AHEAD_LOGS);
  await healed();
  await restartDamaged(TABLES);
  await healed();
  expect(logNow()).toContain('the state is made again from the log');
  await expectAllThere(client, options, run.acknowledged);
});

it('replaces the replica where its log was cut, and all are equal then (P-6, M8)', async () => {
  const run = await imported(second, 1);
  const options = { collection: NAME, vectors: second };
  await restartDamaged(TABLES);
  await healed();
  expect(logNow()).toContain('a replica without a state is being replaced');
  await expectAllThere(client, options, run.acknowledged);
  const { shards } = await view.status();
  const idsHere = shards.map(({ replicas }) => {
    return replicas.find(({ nodeId }) => nodeId === DAMAGED)?.replicaId;
  });
  for (const replicaId of idsHere) expect(replicaId).toBeGreaterThan(3);
  const codes = await Promise.all(cluster.nodeIds.map((nodeId) => cluster.terminate(nodeId)));
  expect(codes).toEqual([0, 0, 0]);
  for (const [shardId, byNode] of await replicaDigests(cluster, SHARDS)) {
    expect([shardId, byNode.size, new Set(byNode.values()).size]).toEqual([shardId, 3, 1]);
  }
});
