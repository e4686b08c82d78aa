// Goal: a follower that was away longer than its leader's log reaches is filled by a snapshot while
// clients write, also when it, and then the sender, is killed in the middle (F-12, F-13, P1 to P5).
// Method: three processes; big records until the log was cut; SIGKILL once a part has arrived.
import { randomBytes } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Flotilla } from '../../src/client/index.js';
import { COMPACTION_DEFAULTS } from '../../src/replica/log-compaction.js';
import { ClusterView } from '../support/faults/cluster-view.js';
import { replicaDigests } from '../support/faults/replica-contents.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { clusteredVectors } from '../support/vectors.js';
import { waitUntil } from '../support/wait-until.js';
import { expectAllThere, ImportRun } from './import-run.js';

const SHARD = 0;
const BALLAST = 'ballast';
const LOAD = 'load';
/** Nearly what the metadata of a record may have. */
const TEXT_BYTES = 48 * 1024;
const RECORDS_PER_CALL = 16;
const WRITERS = 4;
/** Enough to cut the log behind the follower twice over: half of a log is kept. */
const ABSENCE_BYTES = 1.5 * COMPACTION_DEFAULTS.thresholdBytes;
const vectors = clusteredVectors({ count: 200_000, dimension: 4, seed: 13 });

let cluster: ProcessCluster;
let view: ClusterView;
let client: Flotilla;
let ballastRecords = 0;

beforeAll(async () => {
  cluster = await ProcessCluster.start({ shards: 1 });
  view = new ClusterView(cluster);
  client = new Flotilla(cluster.addresses, { timeoutMs: 60_000 });
  await client.createCollection({ name: BALLAST, dimension: 1, metric: 'l2' });
  await client.createCollection({ name: LOAD, dimension: 4, metric: 'l2' });
});

afterAll(async () => {
  await client?.close();
  await view?.close();
  await cluster?.destroy();
});

async function writeBallast(): Promise<void> {
  const end = ballastRecords + Math.ceil(ABSENCE_BYTES / TEXT_BYTES);
  const write = async (): Promise<void> => {
    while (ballastRecords < end) {
      const from = ballastRecords;
      ballastRecords += RECORDS_PER_CALL;
      const records = Array.from({ length: RECORDS_PER_CALL }, (_, at) => ({
        id: `ballast-${from + at}`,
        values: [from + at],
        metadata: { text: randomBytes(TEXT_BYTES / 2).toString('hex') },
      }));
      const { appliedCount } = await client.collection(BALLAST).upsert(records);
      expect(appliedCount).toBe(RECORDS_PER_CALL);
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, write));
}

/** Bytes of a snapshot that are on their way to the node; 0 once it is complete. */
function arrivedBytes(nodeId: number): number {
  const directory = join(cluster.directoryOf(nodeId), 'snapshots');
  return readdirSync(directory)
    .filter((name) => name.endsWith('.part'))
    .reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
}

function installedCount(nodeId: number): number {
  return cluster.logOf(nodeId).split('a snapshot is installed').length - 1;
}

/**
 * Starts the follower, and kills the victim once a snapshot arrives there. Resolves to whether it
 * came in the middle.
 */
async function killDuringTransfer(follower: number, victim: number): Promise<boolean> {
  const before = installedCount(follower);
  cluster.startNode(follower);
  await waitUntil(
    'a snapshot arrives',
    () => arrivedBytes(follower) > 0 || installedCount(follower) > before,
  );
  await cluster.kill(victim);
  return arrivedBytes(follower) > 0;
}

async function startAllAgain(): Promise<void> {
  const dead = cluster.nodeIds.filter((nodeId) => !cluster.isRunning(nodeId));
  for (const nodeId of dead) cluster.startNode(nodeId);
  await cluster.ready();
}

async function fallBehind(follower: number): Promise<void> {
  if (cluster.isRunning(follower)) await cluster.kill(follower);
  await writeBallast();
}

it('gets everything, whoever is killed in the middle (F-13)', async () => {
  const leader = await view.leaderOf(SHARD);
  const follower = cluster.nodeIds.find((nodeId) => nodeId !== leader) as number;
  const options = { collection: LOAD, vectors, batch: 10, writers: 2 };
  const run = new ImportRun(client, options);
  const running = run.run();

  await fallBehind(follower);
  // A transfer that is over before it is seen proves nothing: the next one has more to carry.
  while (!(await killDuringTransfer(follower, follower))) await fallBehind(follower);
  while (!(await killDuringTransfer(follower, await view.leaderOf(SHARD)))) {
    await startAllAgain();
    await fallBehind(follower);
  }
  await startAllAgain();
  const before = run.acknowledged.size;
  await waitUntil('clients go on', () => run.acknowledged.size > before + 100);
  run.stop();
  await running;
  await view.level();

  expect(run.failures).toEqual(new Map());
  await expectAllThere(client, options, run.acknowledged);
  expect(await client.collection(BALLAST).count()).toBe(ballastRecords);
  const codes = await Promise.all(cluster.nodeIds.map((nodeId) => cluster.terminate(nodeId)));
  expect(codes).toEqual([0, 0, 0]);
  const byNode = (await replicaDigests(cluster, 1)).get(SHARD);
  expect([byNode?.size, new Set(byNode?.values()).size]).toEqual([3, 1]);
});
