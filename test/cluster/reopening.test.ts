// Goal: a directory is the cluster: it goes on where it stopped, as what it was made (P-1, S-44).
// Method: clusters over one directory, stopped and started again, changed in between.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { Cluster } from 'flotilla';
import { afterAll, describe, expect, it } from 'vitest';
import { FAST, recordsFrom } from './harness.js';

const NAME = 'records';
const directories: string[] = [];

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'flotilla-reopening-'));
  directories.push(directory);
  return directory;
}

afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

describe('a directory', () => {
  const dir = newDirectory();
  const settings = { ...FAST, nodes: 3, shards: 2, dir };
  const ids = recordsFrom(0, 300).map(({ id }) => id);

  it('brings everything back (P-1)', async () => {
    const first = await Cluster.start(settings);
    const client = first.client();
    await client.createCollection({ name: NAME, dimension: 4, metric: 'l2' });
    await client.createCollection({ name: 'dropped', dimension: 3 });
    await client.collection(NAME).upsert(recordsFrom(0, 300));
    await client.collection(NAME).delete(ids.slice(0, 50));
    await client.dropCollection('dropped');
    const before = await client.collection(NAME).fetch(ids);
    const { clusterId } = await client.status();
    await first.stop();

    const second = await Cluster.start(settings);
    const again = second.client();
    expect((await again.status()).clusterId).toBe(clusterId);
    expect((await again.listCollections()).map(({ config }) => config.name)).toEqual([NAME]);
    expect(await again.collection(NAME).count()).toBe(250);
    expect(await again.collection(NAME).fetch(ids)).toEqual(before);
    const { hits } = await again.collection(NAME).search({ vector: [77, 0, 0, 1], k: 1 });
    expect(hits[0]?.id).toBe('row-77');
    // A new collection gets an id of its own: no record of an old one shows up in it.
    await again.createCollection({ name: 'dropped', dimension: 4 });
    expect(await again.collection('dropped').count()).toBe(0);
    await again.collection('dropped').upsert(recordsFrom(0, 3));
    await second.stop();
  });

  it('refuses other settings with SETTINGS_MISMATCH, naming the setting', async () => {
    const wrong = [
      { change: { shards: 3 }, field: 'cluster.shards' },
      { change: { replicationFactor: 1 }, field: 'cluster.replicationFactor' },
      { change: { electionTimeoutMs: 400 }, field: 'cluster.electionTimeoutMs' },
    ];
    for (const { change, field } of wrong) {
      await expect(Cluster.start({ ...settings, ...change })).rejects.toMatchObject({
        reason: 'SETTINGS_MISMATCH',
        field,
      });
    }
  });

  it('that is gone is not made anew under the old name; the others serve on (S-44)', async () => {
    const cluster = await Cluster.start(settings);
    const client = cluster.client({ timeoutMs: 20_000 });
    await cluster.stopNode(3);
    rmSync(join(dir, 'node-3'), { recursive: true });
    await expect(cluster.startNode(3)).rejects.toMatchObject({ reason: 'WRONG_STORE' });
    // It runs, to be readmitted, and takes no part.
    expect(cluster.addresses.map(({ nodeId }) => nodeId)).toEqual([1, 2, 3]);
    await expect(cluster.startNode(3)).rejects.toMatchObject({ reason: 'WRONG_STORE' });

    expect((await client.collection(NAME).upsert(recordsFrom(500, 20))).appliedCount).toBe(20);
    expect(await client.collection(NAME).count()).toBe(270);
    await client.createCollection({ name: 'on-two', dimension: 2 });
    const { shards } = await client.status();
    for (const { replicas } of shards) {
      expect(replicas.map(({ nodeId, state }) => [nodeId, state === 'unreachable'])).toEqual([
        [1, false],
        [2, false],
        [3, true],
      ]);
    }
    await cluster.stop();
  });

  it('of the node that bootstraps is not made anew either (S-44)', async () => {
    const ownDir = newDirectory();
    const own = { ...settings, dir: ownDir, shards: 1 };
    const cluster = await Cluster.start(own);
    await cluster.client().createCollection({ name: NAME, dimension: 4 });
    await cluster.stopNode(1);
    rmSync(join(ownDir, 'node-1'), { recursive: true });
    await expect(cluster.startNode(1)).rejects.toMatchObject({ reason: 'WRONG_STORE' });
    const client = cluster.client({ timeoutMs: 20_000 });
    expect((await client.collection(NAME).upsert(recordsFrom(0, 3))).appliedCount).toBe(3);
    await cluster.stop();
  });
});

describe('a process with a cluster in it', () => {
  const run = async (script: string): Promise<string> => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '--eval', script],
      { cwd: resolve('.'), timeout: 40_000 },
    );
    return stdout.trim();
  };

  it('ends by itself after stop: no thread, timer or handle is left', async () => {
    const stdout = await run(`
      import { Cluster } from 'flotilla';
      const cluster = await Cluster.start({ nodes: 3, shards: 2, electionTimeoutMs: 300 });
      const client = cluster.client();
      await client.createCollection({ name: 'c', dimension: 2, metric: 'l2' });
      await client.collection('c').upsert([{ id: 'a', values: [1, 2] }]);
      await cluster.stopNode(2);
      await cluster.startNode(2);
      console.log(await client.collection('c').count());
      await cluster.stop();
      await cluster.stop();
    `);
    expect(stdout).toBe('1');
  });

  it('ends by itself after a start that failed on one node', async () => {
    const dir = newDirectory();
    writeFileSync(join(dir, 'node-1'), 'a file where a directory should be');
    const stdout = await run(`
      import { Cluster } from 'flotilla';
      const options = { nodes: 3, shards: 1, electionTimeoutMs: 300, dir: ${JSON.stringify(dir)} };
      const refused = await Cluster.start(options).catch((error) => error.message.length > 0);
      console.log('refused', refused);
    `);
    expect(stdout).toBe('refused true');
  });

  it('may stop a cluster while its nodes still start', async () => {
    const stdout = await run(`
      import { Cluster } from 'flotilla';
      const cluster = await Cluster.start({ nodes: 3, shards: 1, electionTimeoutMs: 300 });
      await cluster.stopNode(3);
      const starting = cluster.startNode(3).then(() => 'started', (error) => error.reason);
      await cluster.stop();
      console.log(await starting);
    `);
    expect(stdout).toBe('NODE_NOT_READY');
  });
});
