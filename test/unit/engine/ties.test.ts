// Goal: what an exact search answers is a matter of the records alone, also among equal distances.
// Method: two replicas of one log, of which one was opened anew and gives its rows otherwise.
import { describe, expect, it } from 'vitest';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import { encodeFilter } from '../../../src/shared/codec/filter-bytes.js';
import { memoryHarness } from './harness.js';
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
});
