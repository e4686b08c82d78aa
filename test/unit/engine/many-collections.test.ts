// Goal: what an entry, a slice and a page cost does not grow with the number of collections.
// Method: an engine of many collections; looks at each of them are counted while one is written.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { CollectionIndex } from '../../../src/engine/collection-index.js';
import { ScrollOrder } from '../../../src/engine/scroll-order.js';
import { ContentHash } from '../../../src/engine/writes/content-hash.js';
import { memoryHarness } from './harness.js';
import { SCOPE, ShardDriver, upsert } from './shard-driver.js';

const COLLECTIONS = 200;

afterEach(() => {
  vi.restoreAllMocks();
});

async function startShard(collections: number): Promise<ShardDriver> {
  const shard = new ShardDriver(await memoryHarness());
  await shard.open();
  for (let id = 1; id <= collections; id++) await shard.createCollection({ name: `c${id}` }, id);
  await shard.settled();
  return shard;
}

/** Notes which objects are asked, by any of these getters and methods of their class. */
function asked<T extends object>(prototype: T, names: readonly (keyof T & string)[]): Set<unknown> {
  const seen = new Set<unknown>();
  for (const name of names) {
    const descriptor = Object.getOwnPropertyDescriptor(prototype, name) ?? {};
    const { get, value } = descriptor;
    Object.defineProperty(prototype, name, {
      ...descriptor,
      ...(get !== undefined && {
        get(this: T) {
          seen.add(this);
          return get.call(this);
        },
      }),
      ...(typeof value === 'function' && {
        value(this: T, ...args: unknown[]) {
          seen.add(this);
          return value.apply(this, args);
        },
      }),
    });
    restored.push(() => Object.defineProperty(prototype, name, descriptor));
  }
  return seen;
}

const restored: (() => void)[] = [];
afterEach(() => {
  for (const restore of restored.splice(0)) restore();
});

describe('a shard of many collections', () => {
  it('looks at the one that is written, until its records are in the graph', async () => {
    const shard = await startShard(COLLECTIONS);
    const indexes = asked(CollectionIndex.prototype, ['hasWork', 'unsavedInserts', 'canSave']);
    const hashes = asked(ContentHash.prototype, ['takeChanged']);
    const records = Array.from({ length: 300 }, (_, at) => upsert(`r${at}`, [at, 1]));
    await shard.write(records);
    await shard.settled();
    expect((await shard.stats()).graphPoints).toBe(300);
    expect([indexes.size, hashes.size]).toEqual([1, 1]);
    await shard.engine.close();
  });

  it('moves what was loaded after an open, in every collection', async () => {
    const shard = await startShard(5);
    for (let id = 1; id <= 5; id++) {
      const scope = { ...SCOPE, collectionId: id };
      await shard.apply(
        shard.writeCommand([upsert('a', [id, 1]), upsert('b', [1, id])], {}, scope),
      );
    }
    await shard.reopen();
    await shard.settled();
    for (let id = 1; id <= 5; id++) expect((await shard.stats(id)).graphPoints).toBe(2);
    await shard.engine.close();
  });
});

describe('the order of scrolls', () => {
  const page = { limit: 10, includeValues: false, includeMetadata: false };

  it('keeps nothing of a collection that was dropped', async () => {
    const sizes: number[] = [];
    const forgetDropped = vi.spyOn(ScrollOrder.prototype, 'forgetDropped');
    const shard = await startShard(3);
    for (const collectionId of [1, 2, 3]) {
      const scope = { ...SCOPE, collectionId };
      await shard.apply(shard.writeCommand([upsert('a', [1, 1])], {}, scope));
      expect((await shard.engine.scroll(scope, page)).records.length).toBe(1);
    }
    forgetDropped.mockImplementation(function (this: ScrollOrder) {
      sizes.push(this.size);
      forgetDropped.mockRestore();
      this.forgetDropped();
      sizes.push(this.size);
    });
    await shard.apply({ kind: 'dropCollection', collectionId: 2 });
    expect(sizes).toEqual([3, 2]);
    const left = { ...SCOPE, collectionId: 3 };
    expect((await shard.engine.scroll(left, page)).records.length).toBe(1);
    await shard.engine.close();
  });

  it('keeps nothing of one that is dropped while its names are looked at', async () => {
    const after = vi.spyOn(ScrollOrder.prototype, 'after');
    const shard = await startShard(1);
    const records = Array.from({ length: 4_000 }, (_, at) => upsert(`r${at}`, [at, 1]));
    for (let at = 0; at < 4_000; at += 1_000) await shard.write(records.slice(at, at + 1_000));
    const scrolled = shard.engine.scroll(SCOPE, page);
    const refused = expect(scrolled).rejects.toMatchObject({ reason: 'COLLECTION_NOT_FOUND' });
    await shard.apply({ kind: 'dropCollection', collectionId: 1 });
    await refused;
    const [order] = after.mock.contexts as ScrollOrder[];
    expect(order?.size).toBe(0);
    await shard.engine.close();
  });
});
