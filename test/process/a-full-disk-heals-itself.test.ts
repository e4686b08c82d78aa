// Goal: what a full disk stopped comes back when there is room again, by itself or by a supervisor
// that starts the process again (F-10, P-10, S6, S7, S-48). Method: one of three processes on a
// 64 MiB tmpfs that is filled under writes and emptied again; contents compared at the end.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Flotilla } from '../../src/client/index.js';
import { ClusterView } from '../support/faults/cluster-view.js';
import { replicaDigests } from '../support/faults/replica-contents.js';
import { SmallDisk } from '../support/faults/small-disk.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { clusteredVectors } from '../support/vectors.js';
import { waitUntil } from '../support/wait-until.js';
import { expectAllThere, ImportRun, isFromOutage } from './import-run.js';

const NAME = 'vectors';
const DIMENSION = 32;
const SHARDS = 2;
const SMALL = 3;
const vectors = clusteredVectors({ count: 60_000, dimension: DIMENSION, seed: 21 });

const isMountable = SmallDisk.isAvailable();
if (!isMountable) console.warn('no test of a full disk: a tmpfs cannot be mounted here');

let cluster: ProcessCluster | undefined;

beforeAll(async () => {
  if (!isMountable) return;
  const smallDisk = { nodeId: SMALL, sizeMebibytes: 64 };
  cluster = await ProcessCluster.start({ shards: SHARDS, smallDisk });
});

afterAll(() => cluster?.destroy());

describe.skipIf(!isMountable)('a disk that was full for a while', () => {
  it('leaves a node that is whole again when there is room (F-10, P-10)', async () => {
    const nodes = cluster as ProcessCluster;
    const disk = nodes.smallDisk as SmallDisk;
    const view = new ClusterView(nodes);
    const client = new Flotilla(nodes.addresses, { timeoutMs: 60_000 });
    await client.createCollection({ name: NAME, dimension: DIMENSION, metric: 'l2' });
    const options = { collection: NAME, vectors, batch: 20 };
    const run = new ImportRun(client, options);
    const running = run.run();
    await waitUntil('writes are under way', async () => run.acknowledged.size > 1_000);
    disk.fill(0);
    await waitUntil('the full disk is met', async () => {
      return !nodes.isRunning(SMALL) || /STORE_POISONED/.test(nodes.logOf(SMALL));
    });
    run.stop();
    await running;
    expect([...run.failures.keys()].filter((reason) => !isFromOutage(reason))).toEqual([]);
    expect([1, 2].map((nodeId) => nodes.isRunning(nodeId))).toEqual([true, true]);

    disk.free();
    await waitUntil('the node is whole again', async () => {
      // As a supervisor does: the process says why, and ends.
      if (!nodes.isRunning(SMALL)) nodes.startNode(SMALL);
      return (await view.status()).healthy;
    });
    await view.level();
    await expectAllThere(client, options, run.acknowledged);
    await client.close();
    await view.close();
    const codes = await Promise.all(nodes.nodeIds.map((nodeId) => nodes.terminate(nodeId)));
    expect(codes).toEqual([0, 0, 0]);
    for (const [shardId, byNode] of await replicaDigests(nodes, SHARDS)) {
      expect([shardId, byNode.size, new Set(byNode.values()).size]).toEqual([shardId, 3, 1]);
    }
  });
});
