// Goal: M-44, P-1: the image runs a cluster of three containers that survives the loss of one.
// Method: build the image (or take FLOTILLA_IMAGE), insert, kill a leader, search, start it again.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Flotilla } from '../../src/client/index.js';
import { waitUntil } from '../support/wait-until.js';
import { buildImage, Containers, hasDockerEngine } from './containers.js';

const builtImage = process.env.FLOTILLA_IMAGE;
const image = builtImage ?? 'flotilla:test';
const RECORDS = 300;
const DIMENSION = 8;

const hasEngine = hasDockerEngine();
if (!hasEngine) console.log('No Docker engine answers here: the container tests are skipped.');

const records = Array.from({ length: RECORDS }, (_, row) => ({
  id: `r${row}`,
  values: Array.from({ length: DIMENSION }, (_, at) => Math.sin(row * DIMENSION + at)),
}));

describe.skipIf(!hasEngine)('three containers', () => {
  const containers = new Containers(image);
  let client: Flotilla;

  beforeAll(async () => {
    if (builtImage === undefined) await buildImage(image);
    await containers.start();
    client = await connect();
  });

  afterAll(async () => {
    await client?.close();
    await containers.remove();
  });

  /** Published ports change with each start of a container. */
  async function connect(): Promise<Flotilla> {
    return new Flotilla(await containers.clientAddresses(), { timeoutMs: 60_000 });
  }

  async function expectAllFound(): Promise<void> {
    const collection = client.collection('docs');
    expect(await collection.count()).toBe(RECORDS);
    for (const { id, values } of records.slice(0, 20)) {
      const { hits, degraded } = await collection.search({ vector: values, k: 1 });
      expect(hits[0]?.id).toBe(id);
      expect(degraded).toBe(false);
    }
  }

  it('become one healthy cluster that takes records', async () => {
    await waitUntil('the cluster is healthy', async () => (await client.status()).healthy);
    await client.createCollection({ name: 'docs', dimension: DIMENSION, metric: 'l2' });
    const { appliedCount } = await client.collection('docs').upsert(records);
    expect(appliedCount).toBe(RECORDS);
    await expectAllFound();
  });

  it('run as an ordinary user, with the command on the path', async () => {
    expect(await containers.execute(2, 'id', '-u')).toBe('7700');
    expect(JSON.parse(await containers.execute(2, 'flotilla', 'status', '--json')).healthy).toBe(
      true,
    );
  });

  it('find everything while a killed leader is away, and take it back', async () => {
    const { shards } = await client.status();
    const leader = shards[0]?.leaderNodeId ?? 0;
    await containers.kill(leader);
    await expectAllFound();

    await containers.startAgain(leader);
    await client.close();
    client = await connect();
    await waitUntil('the cluster is healthy again', async () => (await client.status()).healthy);
    await expectAllFound();
  });

  it('stop in order when they are asked to', async () => {
    expect(await containers.stop(3)).toBe(0);
    await expectAllFound();
  });
});
