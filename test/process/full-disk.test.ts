// Goal: a node whose disk is full loses no acknowledged write and takes no other node down (F-10).
// Method: one of three processes on a small tmpfs; imports until it is full, then on without it.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Flotilla } from '../../src/client/index.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { clusteredVectors } from '../support/vectors.js';
import { waitUntil } from '../support/wait-until.js';
import { expectAllThere, ImportRun, isFromOutage } from './import-run.js';

const NAME = 'vectors';
const SMALL = 3;
const DISK_SIZE = '24m';
const DIMENSION = 768;
/** About 3 KiB each, in the log and in the store: several times what fits. */
const vectors = clusteredVectors({ count: 12_000, dimension: DIMENSION, seed: 5 });

let cluster: ProcessCluster | undefined;
let mountPoint: string | undefined;

function mountSmallDisk(at: string): void {
  mkdirSync(at, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_SIZE}`, 'none', at], { stdio: 'pipe' });
}

function canMount(): boolean {
  const at = mkdtempSync(join(tmpdir(), 'flotilla-mount-'));
  try {
    mountSmallDisk(at);
    execFileSync('umount', [at]);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(at, { recursive: true, force: true });
  }
}

const isMountable = canMount();
if (!isMountable) console.warn('no test of a full disk: a tmpfs cannot be mounted here');

beforeAll(async () => {
  if (!isMountable) return;
  cluster = await ProcessCluster.start({
    shards: 2,
    prepare: (directory) => {
      mountPoint = join(directory, `node-${SMALL}`);
      mountSmallDisk(mountPoint);
    },
  });
});

afterAll(async () => {
  await cluster?.kill(SMALL);
  if (mountPoint !== undefined) execFileSync('umount', [mountPoint]);
  await cluster?.destroy();
});

describe.skipIf(!isMountable)('a node with a full disk', () => {
  it('takes no part, and the others lose nothing and go on (F-10, P-1, P-10)', async () => {
    const nodes = cluster as ProcessCluster;
    const healthy = [1, 2].map((nodeId) => nodes.clientAddress(nodeId));
    const client = new Flotilla(nodes.addresses, { timeoutMs: 60_000 });
    await client.createCollection({ name: NAME, dimension: DIMENSION, metric: 'l2' });
    const options = { collection: NAME, vectors, batch: 50 };
    const run = new ImportRun(client, options);
    await run.run();
    await client.close();
    expect([...run.failures.keys()].filter((reason) => !isFromOutage(reason))).toEqual([]);
    expect(run.acknowledged.size).toBeGreaterThan(vectors.length / 2);
    const others = new Flotilla(healthy, { timeoutMs: 60_000 });
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
    const again = new ImportRun(others, { ...options, vectors: vectors.slice(0, 1_000) });
    await again.run();
    expect(again.failures).toEqual(new Map());
    await others.close();
  });
});
