// Goal: a node whose disk is full loses no acknowledged write and takes no other node down (F-10).
// Method: one of three processes on a small tmpfs, nearly full; imports until it is full, then on
// without it; then there is room again, and the node is started again.
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
const SMALL = 3;
const SHARDS = 2;
const DISK_MEBIBYTES = 48;
/** Below the low-water mark, and soon used up. */
const LEFT_BYTES = 3 * 1024 * 1024;
const DIMENSION = 768;
/** About 3 KiB each, in the log and in the store: several times what fits. */
const vectors = clusteredVectors({ count: 3_000, dimension: DIMENSION, seed: 5 });

let cluster: ProcessCluster | undefined;

const isMountable = SmallDisk.isAvailable();
if (!isMountable) console.warn('no test of a full disk: a tmpfs cannot be mounted here');

beforeAll(async () => {
  if (!isMountable) return;
  cluster = await ProcessCluster.start({
    shards: SHARDS,
    smallDisk: { nodeId: SMALL, sizeMebibytes: DISK_MEBIBYTES },
  });
});

afterAll(async () => {
  await cluster?.destroy();
});

describe.skipIf(!isMountable)('a node with a full disk', () => {
  it('takes no part, the others go on, and space brings it back (F-10, P-1, P-6)', async () => {
    const nodes = cluster as ProcessCluster;
    const healthy = [1, 2].map((nodeId) => nodes.clientAddress(nodeId));
    const client = new Flotilla(nodes.addresses, { timeoutMs: 60_000 });
    await client.createCollection({ name: NAME, dimension: DIMENSION, metric: 'l2' });
    const options = { collection: NAME, vectors, batch: 50 };
    nodes.smallDisk?.fill(LEFT_BYTES);
    const run = new ImportRun(client, options);
    await run.run();
    expect([...run.failures.keys()].filter((reason) => !isFromOutage(reason))).toEqual([]);
    expect(run.acknowledged.size).toBeGreaterThan(vectors.length / 2);
    const others = new Flotilla(healthy, { routing: 'proxy', timeoutMs: 60_000 });
    // The log ends the node, a point store its replica: whichever meets the end of the disk first.
    await waitUntil('the full node takes no part any more', async () => {
      if (!nodes.isRunning(SMALL)) return true;
      const { shards } = await others.status();
      const small = shards.flatMap((shard) => shard.replicas.filter((one) => one.nodeId === SMALL));
      return small.every((replica) => replica.fault !== '');
    });
    expect(nodes.logOf(SMALL)).toMatch(/no space|STORE_POISONED/i);
    expect([1, 2].map((nodeId) => nodes.isRunning(nodeId))).toEqual([true, true]);

    await expectAllThere(others, options, run.acknowledged);
    // What failed can be sent again, and is there once.
    const again = new ImportRun(others, { ...options, vectors: vectors.slice(0, 500) });
    await again.run();
    expect(again.failures).toEqual(new Map());
    await others.close();

    nodes.smallDisk?.free();
    await nodes.terminate(SMALL);
    nodes.startNode(SMALL);
    await nodes.ready();
    const view = new ClusterView(nodes);
    await view.level();
    await expectAllThere(client, options, run.acknowledged);
    await Promise.all([client.close(), view.close()]);
    await Promise.all(nodes.nodeIds.map((nodeId) => nodes.terminate(nodeId)));
    for (const [shardId, byNode] of await replicaDigests(nodes, SHARDS)) {
      expect([shardId, byNode.size, new Set(byNode.values()).size]).toEqual([shardId, 3, 1]);
    }
  });
});
