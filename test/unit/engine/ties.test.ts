// Goal: what a search answers is a matter of the records alone, also among equal distances.
// Method: replicas of one log that give their rows, or make their graphs, in other orders.
import { describe, expect, it } from 'vitest';
import type { Hit } from '../../../src/engine/engine.js';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import { encodeFilter } from '../../../src/shared/codec/filter-bytes.js';
import { compareText } from '../../../src/shared/filter-values.js';
import { memoryHarness, openShard } from './harness.js';
import { query, remove, ShardDriver, upsert } from './shard-driver.js';

async function replica(): Promise<ShardDriver> {
  const driver = new ShardDriver(await memoryHarness((options) => new FlatIndex(options)));
  await driver.open();
  return driver;
}

describe('records at equal distances', () => {
  it('are found by id, then tenant, on every replica, by exact plans (Q3)', async () => {
    const one = await replica();
    await one.createCollection({ indexedFields: [{ path: 'word', type: 'keyword' }] });
    for (const id of ['f', 'b', 'é', 'a', 'd', 'c', 'e']) {
      for (const [at, tenant] of ['b', '', 'aa'].entries()) {
        const metadata = { word: 'same', other: 'same' };
        await one.write([upsert(id, [3, 4], { metadata, tenant, ordinal: at })]);
      }
    }
    // So that not all match: the graph, which makes no such promise, is not asked.
    await one.write([upsert('z', [3, 4], { metadata: {} })]);
    // Rows that are used again come in another order than ids.
    await one.write([remove('a', { tenant: 'aa' }), remove('d')]);
    await one.write([upsert('d', [3, 4], { metadata: { word: 'same', other: 'same' } })]);
    const other = await replica();
    other.log.push(...one.log);
    await other.reopen();
    await other.reopen();
    const all = ['a', 'b', 'c', 'd', 'e', 'f', 'é'].flatMap((id) =>
      ['', 'aa', 'b'].map((tenant) => `${id}/${tenant}`),
    );
    all.splice(all.indexOf('a/aa'), 1);
    for (const k of [1, 4, 10, 19, 20]) {
      for (const filter of [{ word: 'same' }, { other: 'same' }]) {
        const asked = query([0, 0], k, { filter: encodeFilter(filter) });
        const found = (await one.search(asked)).map(({ id, tenant }) => `${id}/${tenant}`);
        expect(found).toEqual(all.slice(0, k));
        expect((await other.search(asked)).map(({ id, tenant }) => `${id}/${tenant}`)).toEqual(
          found,
        );
      }
    }
  });

  it('are found by id where graphs differ, also where k cuts through them (Q4)', async () => {
    // Rings around the query: 12 points at a distance of 25, 8 at 5, 4 at 4, and so on.
    const points: [number, number][] = [];
    for (let x = -6; x <= 6; x++) for (let y = -6; y <= 6; y++) points.push([x, y]);
    const idOf = ([x, y]: [number, number]): string => `${x < 0 ? 'é' : 'z'}${x}/${y}`;
    const orders = [points, [...points].reverse(), [...points].sort((a, b) => a[1] - b[1])];
    const shards = await Promise.all(orders.map((order) => graphOf(order, idOf)));
    const expected = points
      .map((point) => ({ id: idOf(point), distance: point[0] ** 2 + point[1] ** 2 }))
      .sort((a, b) => a.distance - b.distance || compareText(a.id, b.id));
    for (const filter of [undefined, encodeFilter({ all: { $ne: 'none' } })]) {
      for (let k = 1; k <= 60; k++) {
        for (const shard of shards) {
          const hits = await shard.search(query([0, 0], k, filter && { filter }));
          expect(hits.map(({ id }) => id)).toEqual(expected.slice(0, k).map(({ id }) => id));
        }
      }
    }
  });

  it('are found by id, also where the graph rounds their distances otherwise (Q4)', async () => {
    // The same squares in another order: their sums are equal, and not in the graph's float32.
    const squares = [0.3, 0.7, 0.11, 0.9, 0.23, 0.51, 0.77];
    const turned = (by: number) => squares.map((_, axis) => squares[(axis + by) % 7] as number);
    const ids = Array.from('abcdefg');
    for (let first = 0; first < ids.length; first++) {
      const shard = await openShard({ dimension: 7 });
      await shard.write(ids.map((id, at) => upsert(id, turned(first + at))));
      await shard.settled();
      for (let k = 1; k <= ids.length; k++) {
        const hits = await shard.search(query(Array(7).fill(0.4), k));
        expect(new Set(hits.map(({ distance }) => distance)).size).toBe(1);
        expect(hits.map(({ id }) => id)).toEqual(ids.slice(0, k));
      }
    }
  });

  it('of the graph alone are told apart by the distances that are answered (Q4)', async () => {
    const shard = await openShard({ dimension: 2, metric: 'dot' });
    // So short that the graph's float32 has one distance for all of them.
    const records = Array.from({ length: 12 }, (_, at) =>
      upsert(`r${at}`, [1e-8 * (1 + 1e-5 * at), 0]),
    );
    await shard.write(records);
    await shard.settled();
    const nearest = records.map(({ id }) => id).toReversed();
    for (let k = 1; k <= nearest.length; k++) {
      expect(await shard.searchIds([1e-8, 0], k)).toEqual(nearest.slice(0, k));
    }
  });

  it('come once each, page by page, while a tie is no wider than ef (Q4)', async () => {
    const point = (at: number): [number, number] => [at % 2 === 0 ? 1 : -1, 0];
    const ids = Array.from({ length: 60 }, (_, at) => at);
    const shards = await Promise.all(
      [ids, [...ids].reverse()].map(async (order) => {
        const shard = await openShard();
        for (const at of order) {
          await shard.write([upsert(`r${String(at).padStart(2, '0')}`, point(at))]);
          await shard.settled();
        }
        return shard;
      }),
    );
    const seen: Hit[] = [];
    for (let offset = 0; offset < 60; offset += 7) {
      // Each page from another replica.
      const shard = shards[(offset / 7) % 2] as ShardDriver;
      seen.push(...(await shard.search(query([0, 0], Math.min(60, offset + 7)))).slice(offset));
    }
    expect(seen.map(({ id }) => id)).toEqual([...seen.map(({ id }) => id)].sort());
    expect(new Set(seen.map(({ id }) => id)).size).toBe(60);
  });
});

/** A graph into which the points go one by one, in that order. */
async function graphOf(
  points: readonly [number, number][],
  idOf: (point: [number, number]) => string,
): Promise<ShardDriver> {
  const shard = await openShard({ indexedFields: [{ path: 'all', type: 'keyword' }] });
  for (const point of points) {
    await shard.write([upsert(idOf(point), point, { metadata: { all: 'yes' } })]);
    await shard.settled();
  }
  // So that not all match.
  await shard.write([upsert('none', [100, 100], { metadata: { all: 'none' } })]);
  await shard.settled();
  return shard;
}
