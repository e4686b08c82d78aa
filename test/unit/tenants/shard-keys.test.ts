// Goal: reads that name shard keys see the records of these, and ask only the shards that own them.
// Method: random keys on real engines beside a list of all records; property-based.
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeFilter } from '../../../src/shared/codec/filter-bytes.js';
import { encodeStruct } from '../../../src/shared/codec/struct.js';
import type { CollectionConfig } from '../../../src/shared/types.js';
import { EngineCluster } from './engine-cluster.js';

const SOON = { timeoutMs: 5_000 };
const KEYS = ['k1', 'k2', 'k3', 'k1 ', 'Ä', 'k'];
const ALL = { limit: 100, includeValues: false, includeMetadata: true };
const near = {
  ...ALL,
  target: { kind: 'vector' as const, values: Float32Array.of(1, 1) },
};

let cluster: EngineCluster;
beforeEach(async () => {
  cluster = await EngineCluster.start(4);
});
afterEach(() => cluster.close());

const record = (id: string, shardKey: string, colour: string) => ({
  id,
  shardKey,
  values: Float32Array.of(1, 1),
  metadata: encodeStruct({ colour }),
});

/** Names of the shards that were asked since the last look. */
function askedShards(): number[] {
  const asked = cluster.shards.filter(({ calls }) => calls.length > 0);
  for (const shard of cluster.shards) shard.calls.length = 0;
  return asked.map(({ shardId }) => shardId);
}

const named = (records: readonly { readonly id: string; readonly shardKey?: string }[]): string[] =>
  records.map(({ id, shardKey }) => `${shardKey}/${id}`).sort();

describe('a read of some shard keys', () => {
  it.each<Partial<CollectionConfig>>([{}, { placement: 'range', splitPoints: ['k2', 'k3'] }])(
    'sees their records by every call, of its tenant, under %j (M-19)',
    async (settings) => {
      await cluster.createCollection('c', { routing: 'shardKey', ...settings });
      const key = fc.constantFrom(...KEYS);
      const written = fc.uniqueArray(
        fc.record({ id: fc.constantFrom('a', 'b', 'c'), key, tenant: fc.constantFrom('', 't') }),
        {
          selector: ({ id, key: one, tenant }) => JSON.stringify([id, one, tenant]),
          maxLength: 20,
        },
      );
      const { router } = cluster;
      await fc.assert(
        fc.asyncProperty(
          written,
          fc.array(key, { minLength: 1, maxLength: 4 }),
          async (records, shardKeys) => {
            for (const tenant of ['', 't']) {
              await router.deleteByFilter('c', { filter: encodeFilter({}) }, { ...SOON, tenant });
              const own = records.filter((one) => one.tenant === tenant);
              const upserts = own.map((one) => record(one.id, one.key, 'red'));
              if (upserts.length > 0) await router.upsert('c', upserts, { ...SOON, tenant });
            }
            for (const tenant of ['', 't']) {
              const manner = { ...SOON, tenant, shardKeys };
              const expected = records
                .filter((one) => one.tenant === tenant && shardKeys.includes(one.key))
                .map((one) => `${one.key}/${one.id}`)
                .sort();
              const { count } = await router.count('c', manner);
              expect(count).toBe(expected.length);
              const { results } = await router.search('c', [near], manner);
              expect(named(results[0] ?? [])).toEqual(expected);
              const plain = { ...near, includeMetadata: false };
              const found = await router.search('c', [plain], manner);
              expect(named(found.results[0] ?? [])).toEqual(expected);
              const { records: page } = await router.scroll('c', ALL, manner);
              expect(named(page)).toEqual(expected);
            }
          },
        ),
        { numRuns: 25 },
      );
    },
  );

  it('asks only the shards that own the keys, and explain names the others', async () => {
    await cluster.createCollection('c', { routing: 'shardKey' });
    const { router } = cluster;
    const keys = Array.from({ length: 12 }, (_, at) => `order-${at}`);
    await router.upsert(
      'c',
      keys.map((key) => record('a', key, 'red')),
      SOON,
    );
    askedShards();
    const owners = new Map<string, number>();
    for (const key of keys) {
      expect((await router.count('c', { ...SOON, shardKeys: [key] })).count).toBe(1);
      const [owner, ...others] = askedShards();
      expect(others).toEqual([]);
      owners.set(key, owner ?? -1);
    }
    expect(new Set(owners.values()).size).toBeGreaterThan(1);
    const [one = '', two = ''] = keys;
    const shardKeys = [one, two, one];
    const expected = [...new Set([owners.get(one), owners.get(two)])].sort();
    const answer = await router.search('c', [near], { ...SOON, shardKeys });
    expect(askedShards()).toEqual(expected);
    expect(answer.shards.total).toBe(expected.length);
    const { skipped } = await router.explain('c', near, { ...SOON, shardKeys });
    const left = cluster.shards
      .map(({ shardId }) => shardId)
      .filter((id) => !expected.includes(id));
    expect(skipped).toEqual(left.map((shardId) => ({ shardId, why: 'shard-key' })));
  });

  it('deletes by a filter what it sees, and asks no other shards (M-19)', async () => {
    await cluster.createCollection('c', { routing: 'shardKey' });
    const { router } = cluster;
    const colours = ['red', 'blue'];
    for (const tenant of ['', 't']) {
      const written = KEYS.flatMap((key) => colours.map((one) => record(one, key, one)));
      await router.upsert('c', written, { ...SOON, tenant });
    }
    const [one = '', two = '', ...others] = KEYS;
    const ofTwo = { ...SOON, tenant: 't', shardKeys: [one, two] };
    askedShards();
    await router.count('c', ofTwo);
    const owners = new Set(askedShards());
    const filter = encodeFilter({ colour: 'red' });
    const { deletedCount, written, next } = await router.deleteByFilter('c', { filter }, ofTwo);
    expect({ deletedCount, next }).toEqual({ deletedCount: 2, next: undefined });
    expect(new Set(askedShards())).toEqual(owners);
    expect(new Set(written.map(({ shardId }) => shardId))).toEqual(owners);
    expect((await router.count('c', { ...ofTwo, filter })).count).toBe(0);
    expect((await router.count('c', ofTwo)).count).toBe(2);
    const rest = { ...SOON, tenant: 't', shardKeys: others };
    expect((await router.count('c', rest)).count).toBe(2 * others.length);
    expect((await router.count('c', SOON)).count).toBe(2 * KEYS.length);
  });

  it('deletes nothing where it names no key, or records are routed otherwise', async () => {
    await cluster.createCollection('c', { routing: 'shardKey' });
    await cluster.createCollection('by-id');
    const { router } = cluster;
    await router.upsert('c', [record('a', 'k1', 'red')], SOON);
    const everything = { filter: encodeFilter({}) };
    const none = await router.deleteByFilter('c', everything, { ...SOON, shardKeys: [] });
    expect(none).toEqual({ deletedCount: 0, written: [] });
    const wrong = router.deleteByFilter('by-id', everything, { ...SOON, shardKeys: ['k1'] });
    await expect(wrong).rejects.toMatchObject({ reason: 'INVALID_REQUEST', field: 'shardKeys' });
    expect((await router.count('c', SOON)).count).toBe(1);
  });

  it('sees nothing where it names no key at all', async () => {
    await cluster.createCollection('c', { routing: 'shardKey' });
    const { router } = cluster;
    await router.upsert('c', [record('a', 'k1', 'red')], SOON);
    askedShards();
    const manner = { ...SOON, shardKeys: [] };
    expect((await router.count('c', manner)).count).toBe(0);
    expect((await router.search('c', [near], manner)).results).toEqual([[]]);
    expect(askedShards()).toEqual([]);
  });

  it('goes with a filter, and follows records that come and go', async () => {
    await cluster.createCollection('c', { routing: 'shardKey' });
    const { router } = cluster;
    const manner = { ...SOON, shardKeys: ['k1'], filter: encodeFilter({ colour: 'red' }) };
    await router.upsert('c', [record('a', 'k1', 'red'), record('b', 'k1', 'blue')], SOON);
    expect((await router.count('c', manner)).count).toBe(1);
    const metadata = encodeStruct({ colour: 'red' });
    await router.patch('c', [{ id: 'b', shardKey: 'k1', metadata }], SOON);
    expect((await router.count('c', manner)).count).toBe(2);
    await router.delete('c', ['a'], { ...SOON, shardKeys: ['k1'] });
    expect((await router.count('c', manner)).count).toBe(1);
  });

  it('is as right after a restart', async () => {
    await cluster.createCollection('c', { routing: 'shardKey' });
    const { router } = cluster;
    await router.upsert('c', [record('a', 'k1', 'red'), record('a', 'k2', 'red')], SOON);
    for (const shard of cluster.shards) await shard.restart();
    expect((await router.count('c', { ...SOON, shardKeys: ['k1'] })).count).toBe(1);
  });

  it('is refused where records are routed otherwise, or a key is none', async () => {
    await cluster.createCollection('by-id');
    await cluster.createCollection('by-key', { routing: 'shardKey' });
    const refused = { reason: 'INVALID_REQUEST', field: 'shardKeys' };
    const { router } = cluster;
    await expect(router.count('by-id', { ...SOON, shardKeys: ['a'] })).rejects.toMatchObject(
      refused,
    );
    for (const key of ['', 'a\0']) {
      const count = router.count('by-key', { ...SOON, shardKeys: ['a', key] });
      await expect(count).rejects.toMatchObject(refused);
    }
  });

  it('of a tenant asks one shard, and explain says that of the others', async () => {
    await cluster.createCollection('c', { routing: 'tenant' });
    const { router } = cluster;
    const { skipped } = await router.explain('c', near, { ...SOON, tenant: 'acme' });
    expect(skipped.map(({ why }) => why)).toEqual(['tenant', 'tenant', 'tenant']);
  });
});
