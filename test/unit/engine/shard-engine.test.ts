// Goal: what happens beside and below the requests: failing disks, damage, erasure, worn graphs.
// Method: the memory disk's failure hooks, and a look at what is stored.
import { setImmediate } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import type { VectorIndexFactory } from '../../../src/engine/index/vector-index.js';
import { ShardEngine } from '../../../src/engine/shard-engine.js';
import { recordKey, recordsRange, SESSION_OUTCOMES_RANGE } from '../../../src/engine/store-keys.js';
import { defined } from '../../../src/shared/assert.js';
import type { KvRange } from '../../../src/shared/kv.js';
import { engineEnvironment, type MemoryHarness, memoryHarness, openShard } from './harness.js';
import { GENESIS, query, remove, SCOPE, type ShardDriver, slotOf, upsert } from './shard-driver.js';

let harness: MemoryHarness;
let shard: ShardDriver;

async function start(createIndex?: VectorIndexFactory): Promise<void> {
  harness = await memoryHarness(createIndex);
  shard = await openShard({}, harness);
}

async function storedKeys(range: KvRange): Promise<Uint8Array[]> {
  const keys: Uint8Array[] = [];
  for await (const page of harness.disk.kv(harness.storePath).scan(range)) {
    keys.push(...page.map(({ key }) => key));
  }
  return keys;
}

/** Lets other work run until the condition holds; the test's timeout is the bound. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await setImmediate();
}

beforeEach(() => start());

describe('a failing store', () => {
  it('rejects all calls after a failed write, until a new engine opens', async () => {
    harness.disk.kv(harness.storePath).failNextBatch(new Error('ENOSPC'));
    const poisoned = { reason: 'STORE_POISONED' };
    // It is in the log: the answer does not wait for the store.
    await shard.write([upsert('a', [1, 2])]);
    await expect(shard.engine.apply([], 9)).rejects.toMatchObject(poisoned);
    await expect(shard.engine.count(SCOPE)).rejects.toMatchObject(poisoned);
    expect(await shard.reopen()).toBe(1);
    expect(await shard.searchIds([1, 2], 1)).toEqual(['a']);
  });

  it('stops when it reads a record that does not match its checksum (P-8)', async () => {
    await shard.write([upsert('a', [1, 2])]);
    const kv = harness.disk.kv(harness.storePath);
    const key = recordKey(1, { slot: slotOf('a'), tenant: '', id: 'a' });
    const value = defined(kv.getSync(key), 'record');
    const last = value.length - 1;
    value[last] = defined(value[last], 'byte') ^ 1;
    await kv.batch([{ type: 'put', key, value }], { sync: false });
    const damaged = { reason: 'LOG_DAMAGED' };
    const withValues = query([1, 2], 1, { includeValues: true });
    await expect(shard.search(withValues)).rejects.toMatchObject(damaged);
    await expect(shard.engine.apply([], 9)).rejects.toMatchObject(damaged);
    await shard.engine.close();
    await expect(shard.open()).rejects.toMatchObject(damaged);
  });

  it('does not take a record that lies under the key of another', async () => {
    await shard.write([upsert('a', [1, 2]), upsert('b', [3, 4])]);
    const kv = harness.disk.kv(harness.storePath);
    const [keyA, keyB] = ['a', 'b'].map((id) => recordKey(1, { slot: slotOf(id), tenant: '', id }));
    const value = defined(kv.getSync(defined(keyA, 'key')), 'record');
    await kv.batch([{ type: 'put', key: defined(keyB, 'key'), value }], { sync: false });
    await shard.engine.close();
    await expect(shard.open()).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
  });

  it('does not open the store of another shard', async () => {
    await shard.engine.close();
    const { disk, path } = harness;
    const genesis = { ...GENESIS, shardId: 4 };
    const engine = new ShardEngine({ environment: engineEnvironment(disk), path, genesis });
    await expect(engine.open()).rejects.toMatchObject({ reason: 'SETTINGS_MISMATCH' });
    await engine.close();
    await shard.open();
  });

  it('rejects what waits for an opening that never comes', async () => {
    const engine = harness.create();
    const waiting = engine.count(SCOPE);
    await engine.close();
    await expect(waiting).rejects.toMatchObject({ reason: 'NODE_NOT_READY' });
    await expect(engine.open()).rejects.toMatchObject({ reason: 'NODE_NOT_READY' });
  });
});

describe('dropping a collection', () => {
  it('erases its records, and goes on erasing after a crash', async () => {
    await shard.createCollection({}, 2);
    await shard.write(Array.from({ length: 600 }, (_, at) => upsert(`r${at}`, [at, 0])));
    const other = { ...SCOPE, collectionId: 2 };
    await shard.apply(shard.writeCommand([upsert('kept', [1, 2])], {}, other));
    expect(await storedKeys(recordsRange(1))).toHaveLength(600);
    const dropped = shard.apply({ kind: 'dropCollection', collectionId: 1 });
    await dropped;
    await shard.engine.close();
    await shard.open();
    await until(async () => (await storedKeys(recordsRange(1))).length === 0);
    expect(await storedKeys(recordsRange(2))).toHaveLength(1);
  });

  it('leaves nothing of records written by the same batch', async () => {
    await shard.apply(shard.writeCommand([upsert('a', [1, 2])]), {
      kind: 'dropCollection',
      collectionId: 1,
    });
    await until(async () => (await storedKeys(recordsRange(1))).length === 0);
    expect(await shard.reopen()).toBe(3);
  });
});

describe('sessions', () => {
  it('store no outcome that the client has acknowledged', async () => {
    for (let sequence = 1; sequence <= 20; sequence++) {
      await shard.write([upsert('a', [1, 2])], { sequence, lowestUnanswered: sequence });
      expect(await storedKeys(SESSION_OUTCOMES_RANGE)).toHaveLength(1);
    }
  });
});

describe('the graph', () => {
  it('is renewed when a fifth are tombstones, while writes and reads go on (H3)', async () => {
    const ids = Array.from({ length: 300 }, (_, at) => `r${at}`);
    await shard.write(ids.map((id, at) => upsert(id, [at, 0])));
    await shard.settled();
    await shard.write(ids.slice(0, 160).map((id) => remove(id)));
    // Written while the renewal is under way: one new, one moved, one removed, one revived.
    await shard.write([
      upsert('new', [1_000, 0]),
      upsert('r200', [2_000, 0]),
      remove('r299'),
      upsert('r0', [0, 0]),
    ]);
    expect(await shard.stats()).toMatchObject({ graphPoints: 300, tombstones: 162, headRows: 3 });
    await until(async () => (await shard.stats()).isRenewing);
    expect(await shard.searchIds([2_000, 0], 2)).toEqual(['r200', 'new']);
    await shard.settled();
    expect((await shard.stats()).graphPoints).toBeLessThan(160);
    expect(await shard.engine.count(SCOPE)).toBe(141);
    expect(await shard.searchIds([2_000, 0], 2)).toEqual(['r200', 'new']);
    expect(await shard.searchIds([0, 0], 2)).toEqual(['r0', 'r160']);
    expect(await shard.searchIds([299, 0], 1)).toEqual(['r298']);
  });

  it('stops being built anew when its collection is dropped or the engine closed', async () => {
    const ids = Array.from({ length: 300 }, (_, at) => `r${at}`);
    for (const end of ['drop', 'close']) {
      await start();
      await shard.write(ids.map((id, at) => upsert(id, [at, 0])));
      await shard.settled();
      await shard.write(ids.slice(0, 160).map((id) => remove(id)));
      await until(async () => (await shard.stats()).isRenewing);
      if (end === 'drop') await shard.apply({ kind: 'dropCollection', collectionId: 1 });
      await shard.reopen();
      const { collections } = await shard.engine.stats();
      expect(collections.map(({ records }) => records)).toEqual(end === 'drop' ? [] : [140]);
    }
  });

  it('is not trusted where it finds less than there is', async () => {
    await start((options) => new BlindIndex(options));
    await shard.write([upsert('far', [9, 0]), upsert('near', [1, 0]), upsert('mid', [5, 0])]);
    await shard.settled();
    // The head alone has as many hits as are wanted.
    await shard.write([remove('mid'), upsert('last', [7, 0]), upsert('farther', [10, 0])]);
    const hits = await shard.search(query([0, 0], 2, { includeValues: true }));
    expect(hits.map(({ id, distance }) => [id, distance])).toEqual([
      ['near', 1],
      ['last', 49],
    ]);
    expect(hits[0]?.values).toHaveLength(8);
    expect(await shard.search(query([0, 0], 3, { scoreThreshold: 48 }))).toHaveLength(1);
  });
});

/** An index that loses everything it holds. */
class BlindIndex extends FlatIndex {
  override search(): { labels: number[]; distances: number[] } {
    return { labels: [], distances: [] };
  }
}
