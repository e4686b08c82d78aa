// Goal: tenants keep to themselves, and are where they were assigned, for all who use a cluster.
// Method: three nodes in this process on disk, each call through another node; a restart of all.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cluster, type Flotilla } from 'flotilla';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defined } from '../../src/shared/assert.js';
import { waitUntil } from '../support/wait-until.js';
import { clientOf, FAST } from './harness.js';

interface Note {
  readonly title: string;
}

let directory: string;
let cluster: Cluster;
let clients: Flotilla[];
let turn = 0;

const next = (): Flotilla => defined(clients[turn++ % clients.length], 'a client');
const notes = (tenant: string) => next().collection<Note>('notes', { tenant });

const record = (id: string, title: string) => ({ id, values: [1, 2], metadata: { title } });

async function start(): Promise<void> {
  cluster = await Cluster.start({ ...FAST, nodes: 3, shards: 3, dir: directory });
  clients = [1, 2, 3].map((nodeId) => clientOf(cluster, nodeId));
}

async function stop(): Promise<void> {
  await Promise.all(clients.map((client) => client.close()));
  await cluster.stop();
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'flotilla-tenants-'));
  await start();
  await next().createCollection({ name: 'notes', dimension: 2, metric: 'l2', routing: 'tenant' });
});

afterAll(async () => {
  await stop();
  await rm(directory, { recursive: true });
});

/** The shards that hold records of a tenant. */
async function homesOf(tenant: string): Promise<number[]> {
  const { counts } = await next().countTenants('notes', { limit: 1_000 });
  return counts.filter((one) => one.tenant === tenant).map(({ shardId }) => shardId);
}

describe('tenants of a cluster', () => {
  it('read, count, list and delete their own records only (M-21)', async () => {
    await notes('acme').upsert([record('a', 'of acme'), record('b', 'of acme')]);
    await notes('beta').upsert([record('a', 'of beta')]);
    expect(await notes('acme').count()).toBe(2);
    const { hits, shards } = await notes('beta').search({ vector: [1, 2], k: 10 });
    expect(hits).toMatchObject([{ id: 'a', tenant: 'beta', metadata: { title: 'of beta' } }]);
    expect(shards.total).toBe(1);
    const titles: string[] = [];
    for await (const one of notes('acme').scroll()) titles.push(one.metadata?.title ?? '');
    expect(titles).toEqual(['of acme', 'of acme']);
    expect(await notes('beta').fetch(['a', 'b'])).toMatchObject([{ id: 'a', tenant: 'beta' }]);
    expect(await notes('beta').deleteByFilter({})).toEqual({ deletedCount: 1 });
    expect(await notes('acme').count()).toBe(2);
  });

  it('are named: a call for nobody is refused, one for all says so (M-20)', async () => {
    const refused = { reason: 'INVALID_REQUEST', field: 'tenant' };
    await expect(notes('').count()).rejects.toMatchObject(refused);
    await expect(notes('').upsert([record('a', 'of nobody')])).rejects.toMatchObject(refused);
    await expect(notes('').deleteByFilter({})).rejects.toMatchObject(refused);
    expect(await notes('').count({ allTenants: true })).toBe(2);
    const { hits } = await notes('').search({ vector: [1, 2], k: 10 }, { allTenants: true });
    expect(hits.map(({ tenant }) => tenant)).toEqual(['acme', 'acme']);
    const long = 'x'.repeat(513);
    await expect(notes(long).count()).rejects.toMatchObject({
      reason: 'LIMIT_EXCEEDED',
      field: 'tenant',
    });
  });

  it('are assigned before they write, and stay where they are else (M-18)', async () => {
    const [home = 0] = await homesOf('acme');
    const shardId = (home + 1) % 3;
    await expect(
      next().assignTenant({ tenant: 'acme', shardId }, { by: 'a test' }),
    ).rejects.toMatchObject({ reason: 'TENANT_HAS_DATA' });
    await notes('acme').upsert([record('c', 'still here')]);
    expect(await homesOf('acme')).toEqual([home]);
    for (const target of [0, 1, 2]) {
      const tenant = `placed-${target}`;
      const changed = await next().assignTenant({ tenant, shardId: target }, { by: 'a test' });
      expect(changed.changed).toBe(true);
      // Through another node, which may not have heard of it yet.
      await notes(tenant).upsert([record('a', 'placed')]);
      expect(await homesOf(tenant)).toEqual([target]);
    }
    const again = await next().assignTenant({ tenant: 'placed-0', shardId: 0 });
    expect(again.changed).toBe(false);
    await expect(next().assignTenant({ tenant: 'x', shardId: 9 })).rejects.toMatchObject({
      reason: 'SHARD_NOT_FOUND',
    });
  });

  it('stay assigned when all nodes start again, and so does the audit log (M-18)', async () => {
    const before = await next().describeTenants();
    expect(before.audit).toMatchObject([
      { action: 'assignTenant', tenant: 'acme', by: 'a test', refused: 'TENANT_HAS_DATA' },
      { tenant: 'placed-0', shardId: 0, refused: '' },
      { tenant: 'placed-1', shardId: 1, refused: '' },
      { tenant: 'placed-2', shardId: 2, refused: '' },
    ]);
    expect(before.assignments).toHaveLength(3);
    await stop();
    await start();
    expect(await next().describeTenants()).toEqual(before);
    for (const target of [0, 1, 2]) {
      await notes(`placed-${target}`).upsert([record('b', 'after')]);
      expect(await homesOf(`placed-${target}`)).toEqual([target]);
    }
  });

  it('fill a shard, which warns of it from 18 tenants on (M-21)', async () => {
    const names = Array.from({ length: 17 }, (_, at) => `small-${at}`);
    for (const tenant of names) {
      await next().assignTenant({ tenant, shardId: 2 });
      await notes(tenant).upsert([record('a', 'small')]);
    }
    await waitUntil('the shard is told of', async () => {
      const { findings } = await next().describeTenants();
      return findings.length > 0;
    });
    const { findings, shards } = await next().describeTenants();
    expect(findings).toMatchObject([{ shardId: 2, what: 'tenants', level: 'warning', max: 20 }]);
    expect(shards[2]?.tenants).toBeGreaterThanOrEqual(18);
    const page = await next().countTenants('notes', { after: 'small-', limit: 5 });
    expect(page.counts.map(({ tenant }) => tenant)).toEqual([...names].sort().slice(0, 5));
    expect(page.hasMore).toBe(true);
  });

  it('of a collection that is spread by id are as far apart (M-21)', async () => {
    await next().createCollection({ name: 'spread', dimension: 2, metric: 'l2' });
    const spread = (tenant: string) => next().collection<Note>('spread', { tenant });
    for (const tenant of ['', 'acme', 'beta']) {
      await spread(tenant).upsert([record('a', `of ${tenant}`), record('b', `of ${tenant}`)]);
    }
    expect(await spread('').count()).toBe(2);
    expect(await spread('').count({ allTenants: true })).toBe(6);
    const { hits } = await spread('beta').search({ id: 'a', k: 10 });
    expect(hits.map(({ metadata }) => metadata?.title)).toEqual(['of beta', 'of beta']);
    await spread('beta').patch([{ id: 'a', metadata: { title: 'changed' } }]);
    expect(await spread('acme').fetch(['a'])).toMatchObject([{ metadata: { title: 'of acme' } }]);
    expect((await next().describeCollection('spread')).recordCount).toBe(6);
  });

  it('may be groups within one, by a shard key (M-19)', async () => {
    await next().createCollection({
      name: 'grouped',
      dimension: 2,
      metric: 'l2',
      routing: 'shardKey',
      placement: 'range',
      splitPoints: ['m'],
    });
    const grouped = next().collection<Note>('grouped', { tenant: 'acme' });
    await grouped.upsert([
      { ...record('a', 'one'), shardKey: 'b' },
      { ...record('a', 'two'), shardKey: 'x' },
    ]);
    const found = await grouped.fetch([
      { id: 'a', shardKey: 'x' },
      { id: 'a', shardKey: 'y' },
    ]);
    expect(found).toMatchObject([{ id: 'a', shardKey: 'x', metadata: { title: 'two' } }]);
    await grouped.delete([{ id: 'a', shardKey: 'b' }]);
    expect(await grouped.count()).toBe(1);
    await expect(grouped.fetch(['a'])).rejects.toMatchObject({ field: 'shardKey' });
  });
});
