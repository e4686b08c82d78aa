// Goal: a collection is where the placement says that it names (M-9, M-19), and shards know it.
// Method: real engines and routers; every record is looked for on every shard.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defined } from '../../../src/shared/assert.js';
import type { CollectionConfig } from '../../../src/shared/types.js';
import { routeOf } from '../../../src/topology/routes.js';
import { waitUntil } from '../../support/wait-until.js';
import { config } from '../topology/topology-fixtures.js';
import { EngineCluster } from './engine-cluster.js';

const SOON = { timeoutMs: 5_000 };
const NOTHING = new Uint8Array(0);
const PAGE = { limit: 1_000, includeValues: false, includeMetadata: false };
const IDS = Array.from({ length: 60 }, (_, at) => `id-${String(at).padStart(2, '0')}`);

const PLACEMENTS: readonly Partial<CollectionConfig>[] = [
  {},
  { placement: 'modulo' },
  { placement: 'rendezvous' },
  { placement: 'virtual-shards' },
  { placement: 'range' },
  { placement: 'range', splitPoints: ['id-10', 'id-20', 'id-30', 'id-40'] },
  { routing: 'shardKey' },
  { routing: 'shardKey', placement: 'modulo' },
  { routing: 'shardKey', placement: 'range', splitPoints: ['m'] },
];

let cluster: EngineCluster;

beforeEach(async () => {
  cluster = await EngineCluster.start();
});

afterEach(() => cluster.close());

async function holdings(): Promise<number[]> {
  return Promise.all(
    cluster.shards.map(async ({ engine }) => (await engine.stats()).collections[0]?.records ?? 0),
  );
}

describe.each(PLACEMENTS)('a collection with %o', (placement) => {
  const shardKeys = (ids: readonly string[]): string[] => ids.map((id) => `g-${id.slice(0, 4)}`);
  const keys = placement.routing === 'shardKey' ? { shardKeys: shardKeys(IDS) } : {};

  async function fill(): Promise<void> {
    await cluster.createCollection('docs', placement);
    const records = IDS.map((id, at) => ({
      id,
      values: Float32Array.of(at, 1),
      metadata: NOTHING,
      shardKey: keys.shardKeys?.[at],
    }));
    const { outcomes } = await cluster.router.upsert('docs', records, SOON);
    expect(outcomes.every(({ kind }) => kind === 'applied')).toBe(true);
  }

  it('has each record on one shard, and finds it by every call (M-9)', async () => {
    await fill();
    expect((await holdings()).reduce((sum, one) => sum + one, 0)).toBe(IDS.length);
    const { router } = cluster;
    expect((await router.count('docs', SOON)).count).toBe(IDS.length);
    const page = await router.scroll('docs', PAGE, SOON);
    expect(page.records.map(({ id }) => id)).toEqual(IDS);
    expect(page.records.map(({ shardKey }) => shardKey)).toEqual(
      keys.shardKeys ?? IDS.map(() => undefined),
    );
    const include = { values: false, metadata: false };
    const found = await router.fetch('docs', IDS, include, { ...SOON, ...keys });
    expect(found.records.map((record) => record?.id)).toEqual(IDS);
    const target = { kind: 'vector', values: Float32Array.of(30, 1) } as const;
    const { results, shards } = await router.search('docs', [{ ...PAGE, target, limit: 1 }], SOON);
    expect(results[0]?.[0]?.id).toBe('id-30');
    const document = defined(cluster.leader.view.current(), 'the topology');
    const { placementId } = cluster.leader.view.collection('docs');
    expect(shards.total).toBe(routeOf(document, placementId)?.shardIds.length);
    await router.delete('docs', IDS.slice(0, 7), {
      ...SOON,
      ...(keys.shardKeys !== undefined && { shardKeys: keys.shardKeys.slice(0, 7) }),
    });
    expect((await router.count('docs', SOON)).count).toBe(IDS.length - 7);
  });

  it('is the same after its shards have started again, and in their logs', async () => {
    await fill();
    const before = await holdings();
    for (const shard of cluster.shards) await shard.restart();
    expect(await holdings()).toEqual(before);
    for (const shard of cluster.shards) await shard.replay();
    expect(await holdings()).toEqual(before);
    expect((await cluster.router.scroll('docs', PAGE, SOON)).records).toHaveLength(IDS.length);
  });
});

describe('entity groups', () => {
  it('lie together, and their ids may repeat in others (M-19)', async () => {
    await cluster.createCollection('docs', { routing: 'shardKey' });
    const records = ['x', 'y', 'z'].flatMap((shardKey) =>
      ['a', 'b'].map((id) => ({ id, shardKey, values: Float32Array.of(1, 1), metadata: NOTHING })),
    );
    await cluster.router.upsert('docs', records, SOON);
    const { records: all } = await cluster.router.scroll('docs', PAGE, SOON);
    expect(all.map(({ shardKey, id }) => `${shardKey}/${id}`)).toEqual([
      'x/a',
      'x/b',
      'y/a',
      'y/b',
      'z/a',
      'z/b',
    ]);
    for (const held of await holdings()) expect(held % 2).toBe(0);
    const include = { values: false, metadata: false };
    const options = { ...SOON, shardKeys: ['x', 'nobody'] };
    const found = await cluster.router.fetch('docs', ['a', 'a'], include, options);
    expect(found.records).toMatchObject([{ id: 'a', shardKey: 'x' }, undefined]);
    const filter = { filter: NOTHING };
    const { deletedCount } = await cluster.router.deleteByFilter('docs', filter, SOON);
    expect(deletedCount).toBe(6);
  });

  it('want their key, and no other collection takes one (P-9)', async () => {
    await cluster.createCollection('grouped', { routing: 'shardKey' });
    await cluster.createCollection('plain');
    const record = { id: 'a', values: Float32Array.of(1, 1), metadata: NOTHING };
    const refused = { reason: 'INVALID_REQUEST', field: 'shardKey' };
    const write = (name: string, shardKey?: string): Promise<unknown> =>
      cluster.router.upsert(name, [{ ...record, shardKey }], SOON);
    await expect(write('grouped')).rejects.toMatchObject(refused);
    await expect(write('grouped', '')).rejects.toMatchObject(refused);
    await expect(write('grouped', 'a\0b')).rejects.toMatchObject(refused);
    await expect(write('plain', 'a')).rejects.toMatchObject(refused);
    await write('grouped', 'a');
  });
});

describe('a placement', () => {
  it('is shared by collections that ask for the same, and goes with the last of them', async () => {
    await cluster.createCollection('a', { placement: 'modulo' });
    await cluster.createCollection('b', { placement: 'modulo' });
    await cluster.createCollection('c', { placement: 'range' });
    const ids = (): (number | undefined)[] =>
      cluster.document.collections.map(({ placementId }) => placementId);
    expect(ids()).toEqual([1, 1, 2]);
    for (const collectionId of [1, 3]) {
      cluster.propose({ kind: 'beginDropCollection', collectionId });
      await waitUntil('it is gone', () =>
        cluster.document.collections.every((one) => one.collectionId !== collectionId),
      );
    }
    const left = cluster.document.placements?.entries.map(({ placementId }) => placementId);
    expect(left).toEqual([1]);
    for (const shard of cluster.shards) await shard.replay();
    // An id is never used again, so that a late entry cannot mean another placement.
    await cluster.createCollection('d', { placement: 'range' });
    expect(ids()).toEqual([1, 3]);
  });

  it('belongs to the settings: creating again with another one is refused', async () => {
    await cluster.createCollection('a', { placement: 'modulo' });
    const again = cluster.propose({
      kind: 'beginCreateCollection',
      config: config('a', { dimension: 2, metric: 'l2', placement: 'rendezvous' }),
    });
    expect(again).toMatchObject({ error: { reason: 'COLLECTION_EXISTS', field: 'placement' } });
    const same = cluster.propose({
      kind: 'beginCreateCollection',
      config: config('a', { dimension: 2, metric: 'l2', placement: 'modulo' }),
    });
    expect(same.kind).toBe('ok');
  });

  it('is checked by the shard: what it does not own it neither writes nor tells', async () => {
    await cluster.createCollection('docs', { placement: 'range', splitPoints: ['m'] });
    const { ownershipVersion } = await cluster.shard(0).engine.stats();
    const scope = { collectionId: 1, ownershipVersion };
    const include = { values: false, metadata: false };
    const document = cluster.document;
    const route = defined(routeOf(document, 1), 'the route');
    const key = { slot: route.unitOf('z'), tenant: '', id: 'z' };
    const owner = route.shardOf(key);
    for (const { shardId, engine } of cluster.shards) {
      const reading = engine.fetch(scope, [key], include);
      if (shardId === owner) expect(await reading).toEqual([undefined]);
      else await expect(reading).rejects.toMatchObject({ reason: 'STALE_TOPOLOGY' });
    }
  });
});
