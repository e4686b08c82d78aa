// Goal: a snapshot is the whole replicated state of a shard, and becomes another replica's whole or
// not at all. Method: one suite for all ways to run an engine, over two replicas of one log.
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defined } from '../../src/shared/assert.js';
import type { KvEntry } from '../../src/shared/kv.js';
import { SnapshotFileReader } from '../../src/shared/snapshot-file.js';
import type { WrittenSnapshot } from '../../src/shared/state-machine.js';
import {
  collectionConfig,
  type EngineHarness,
  GENESIS,
  outcomesOf,
  query,
  reasonOf,
  remove,
  SCOPE,
  ShardDriver,
  sendSnapshot,
  slotOf,
  upsert,
} from '../unit/engine/shard-driver.js';

const OTHERS = { ...SCOPE, collectionId: 2 };
const LIMITS = { clientsMax: 3, requestsMax: 100, bytesMax: 2 ** 40 };

/** What is in a snapshot beside the graphs that it may take along. */
async function entriesOf({ disk }: EngineHarness, path: string): Promise<KvEntry[]> {
  const reader = await SnapshotFileReader.open(disk, path, `shard ${GENESIS.shardId}`);
  const entries: KvEntry[] = [];
  for await (const page of reader.pages()) entries.push(...page);
  await reader.close();
  return entries;
}

export function engineSnapshotSuite(
  name: string,
  createHarness: () => Promise<EngineHarness>,
): void {
  describe(`${name}: snapshots of an Engine`, () => {
    let source: EngineHarness;
    let target: EngineHarness;
    let shard: ShardDriver;
    let replica: ShardDriver;

    beforeEach(async () => {
      source = await createHarness();
      target = await createHarness();
      shard = new ShardDriver(source, LIMITS);
      replica = new ShardDriver(target, LIMITS);
      await shard.open();
    });

    afterEach(async () => {
      await shard.engine.close();
      await replica.engine.close();
      await source.cleanup();
      await target.cleanup();
    });

    /** Writes a snapshot of `shard` and installs it in `replica`. */
    async function transfer(): Promise<WrittenSnapshot> {
      const written = await shard.engine.writeSnapshot(source.snapshotPath('one'));
      const path = await sendSnapshot('one', source, target);
      const { appliedIndex } = await replica.engine.installSnapshot(path);
      expect(appliedIndex).toBe(written.appliedIndex);
      replica.follow(shard, appliedIndex);
      return written;
    }

    /** Both replicas write the same entries: they hold the same, to the last outcome. */
    async function expectEqual(): Promise<void> {
      const one = await shard.engine.writeSnapshot(source.snapshotPath('check'));
      const other = await replica.engine.writeSnapshot(target.snapshotPath('check'));
      expect(other.appliedIndex).toEqual(one.appliedIndex);
      const entries = await entriesOf(source, source.snapshotPath('check'));
      expect(await entriesOf(target, target.snapshotPath('check'))).toEqual(entries);
    }

    async function fill(records: number): Promise<void> {
      await shard.createCollection();
      const ids = Array.from({ length: records }, (_, at) => `r${at}`);
      await shard.write(ids.map((id, at) => upsert(id, [at, 0], { metadata: { at } })));
    }

    it('carry records, collections, sessions and what was dropped (A7, P-6)', async () => {
      await fill(300);
      await shard.createCollection({ name: 'others' }, 2);
      await shard.apply(shard.writeCommand([upsert('x', [1, 2], { tenant: 't' })], {}, OTHERS));
      await shard.apply({ kind: 'dropCollection', collectionId: 3 });
      const request = [upsert('r1', [9, 9], { ordinal: 0 }), remove('none', { ordinal: 1 })];
      const key = { clientId: 'c', clientStampMs: 50, sequence: 1 };
      const first = await shard.write(request, key);
      for (const clientId of ['d', 'e', 'f']) await shard.write([remove('r2')], { clientId });

      await replica.open();
      await replica.createCollection({ dimension: 4 }, 7);
      const written = await transfer();
      expect(written.appliedIndex).toBe(shard.log.length);
      const bytes = await source.disk.readFile(source.snapshotPath('one'));
      expect(bytes).toHaveLength(written.sizeBytes);
      for (const check of [() => undefined, () => replica.reopen()]) {
        await check();
        expect(await replica.engine.count(SCOPE)).toBe(299);
        expect(await replica.engine.count(OTHERS)).toBe(1);
        await expect(replica.engine.count({ ...SCOPE, collectionId: 7 })).rejects.toMatchObject({
          reason: 'COLLECTION_NOT_FOUND',
        });
        expect(await replica.searchIds([9, 8], 1)).toEqual(['r1']);
        const keys = [{ slot: slotOf('x'), tenant: 't', id: 'x' }];
        const both = { values: true, metadata: true };
        expect(await replica.engine.fetch(OTHERS, keys, both)).toEqual(
          await shard.engine.fetch(OTHERS, keys, both),
        );
        expect((await replica.engine.stats()).sessions).toBe(3);
        await expectEqual();
      }
      // The same entries have the same results: retries, the forgotten, the dropped id.
      for (const command of [
        shard.writeCommand([remove('r2', { ordinal: 0 })], { clientId: 'f', sequence: 1 }),
        shard.writeCommand(request, key),
        shard.writeCommand([upsert('new', [1, 1])], { clientId: 'g', clientStampMs: 60 }),
        { kind: 'createCollection', collectionId: 3, config: collectionConfig() } as const,
      ]) {
        expect(await replica.apply(command)).toEqual(await shard.apply(command));
      }
      expect(reasonOf(first)).toBe('write');
      await expectEqual();
    });

    it('answer a retry of a request that they hold, however it is cut (S-46)', async () => {
      await fill(3);
      const request = [upsert('a', [1, 1], { ordinal: 0 }), upsert('b', [2, 2], { ordinal: 1 })];
      const key = { clientId: 'c', sequence: 9, lowestUnanswered: 9 };
      const [a, b] = request;
      const cutA = await shard.write([defined(a, 'a')], key);
      await replica.open();
      await transfer();
      const whole = await replica.write(request, key);
      const [kept, fresh] = outcomesOf(whole);
      expect(kept).toEqual(outcomesOf(cutA)[0]);
      expect(fresh).toMatchObject({ kind: 'applied', existed: false });
      expect(outcomesOf(await replica.write([defined(b, 'b')], key))).toEqual([fresh]);
      expect(await replica.engine.count(SCOPE)).toBe(5);
    });

    it('hold what was applied when they were begun, while writes go on (S-39)', async () => {
      await fill(2_000);
      const begun = shard.log.length;
      const writing = shard.engine.writeSnapshot(source.snapshotPath('one'));
      let writes = 0;
      let isWritten = false;
      void writing.then(() => {
        isWritten = true;
      });
      do {
        await shard.write([upsert(`late${writes}`, [1, 1]), remove(`r${writes}`)]);
        if (writes === 1) await shard.apply({ kind: 'dropCollection', collectionId: 8 });
        writes += 1;
        await setImmediate();
      } while (!isWritten);
      expect(await writing).toMatchObject({ appliedIndex: begun });
      await replica.open();
      const path = await sendSnapshot('one', source, target);
      expect(await replica.engine.installSnapshot(path)).toMatchObject({ appliedIndex: begun });
      expect(await replica.engine.count(SCOPE)).toBe(2_000);
      // What came since brings the replica to the same state.
      replica.follow(shard, shard.log.length);
      await replica.engine.apply(shard.log.slice(begun), shard.log.length);
      expect(await replica.engine.count(SCOPE)).toBe(2_000);
      await expectEqual();
    });

    it('hold a collection that is dropped and erased while they are written (S-39)', async () => {
      await fill(1_500);
      await shard.createCollection({ name: 'others' }, 2);
      const begun = shard.log.length;
      const writing = shard.engine.writeSnapshot(source.snapshotPath('one'));
      await shard.apply({ kind: 'dropCollection', collectionId: 1 });
      await shard.createCollection({ name: 'third' }, 3);
      expect(await writing).toMatchObject({ appliedIndex: begun });
      await replica.open();
      await replica.engine.installSnapshot(await sendSnapshot('one', source, target));
      expect(await replica.engine.count(SCOPE)).toBe(1_500);
      replica.follow(shard, begun);
      await replica.engine.apply(shard.log.slice(begun), shard.log.length);
      replica.follow(shard, shard.log.length);
      // One has erased the records by now, the other may not have: the entries are the same.
      await expectEqual();
      const { collections } = await replica.engine.stats();
      expect(collections.map(({ collectionId }) => collectionId)).toEqual([2, 3]);
    });

    it('replace all that was there, and reads are answered all the while', async () => {
      await fill(1_500);
      await replica.open();
      await replica.createCollection();
      await replica.write(
        Array.from({ length: 700 }, (_, at) => upsert(`old${at}`, [at, 5], { slot: 3 })),
      );
      await shard.engine.writeSnapshot(source.snapshotPath('one'));
      const path = await sendSnapshot('one', source, target);
      let isInstalled = false;
      const installing = replica.engine.installSnapshot(path).then(() => {
        isInstalled = true;
      });
      const counts = new Set<number>();
      do {
        const [count, hits] = await Promise.all([
          replica.engine.count(SCOPE),
          replica.search(query([3, 5], 2, { includeMetadata: true })),
        ]);
        counts.add(count);
        expect(['old3', 'r3']).toContain(hits[0]?.id);
        await setImmediate();
      } while (!isInstalled);
      await installing;
      expect([...counts].filter((count) => count !== 700 && count !== 1_500)).toEqual([]);
      expect(await replica.engine.count(SCOPE)).toBe(1_500);
      expect(await replica.searchIds([3, 0], 1)).toEqual(['r3']);
      replica.follow(shard, shard.log.length);
      await replica.write([upsert('after', [0, 77])]);
      expect(await replica.searchIds([0, 77], 1)).toEqual(['after']);
    });

    it('are installed before the engine is opened, and again, to the same state', async () => {
      await fill(400);
      await shard.engine.writeSnapshot(source.snapshotPath('one'));
      const path = await sendSnapshot('one', source, target);
      const engine = target.create();
      const state = await engine.installSnapshot(path);
      expect(state).toEqual({ appliedIndex: shard.log.length, lastVersion: 2n << 16n });
      expect(await engine.installSnapshot(path)).toEqual(state);
      await engine.close();
      replica.follow(shard, shard.log.length);
      expect(await replica.open()).toBe(shard.log.length);
      expect(await replica.engine.installSnapshot(path)).toEqual(state);
      expect(await replica.searchIds([7, 0], 1)).toEqual(['r7']);
      await expectEqual();
    });

    it('leave everything as it was when they are damaged or not whole (P-8)', async () => {
      await fill(200);
      await shard.engine.writeSnapshot(source.snapshotPath('one'));
      const path = await sendSnapshot('one', source, target);
      const whole = defined(await target.disk.readFile(path), 'file');
      await replica.open();
      await replica.createCollection();
      await replica.write([upsert('mine', [1, 1])]);
      const damages = [
        ...[0, 1, 9, 20, Math.floor(whole.length / 2), whole.length - 1].map((at) => {
          const flipped = whole.slice();
          flipped[at] = defined(flipped[at], 'byte') ^ 0x10;
          return flipped;
        }),
        ...[0, 3, 30, whole.length - 40, whole.length - 1].map((end) => whole.slice(0, end)),
        Uint8Array.of(...whole, 0),
      ];
      for (const bytes of damages) {
        await target.disk.writeFile(path, bytes);
        await expect(replica.engine.installSnapshot(path)).rejects.toMatchObject({
          reason: 'LOG_DAMAGED',
        });
        expect(await replica.searchIds([1, 1], 1)).toEqual(['mine']);
      }
      await replica.write([upsert('still', [2, 2])]);
      await replica.reopen();
      expect(await replica.searchIds([2, 2], 2)).toEqual(['still', 'mine']);
    });

    it('reject what cannot be written or read, and the engine goes on', async () => {
      await fill(3);
      await replica.open();
      const nowhere = source.snapshotPath('nowhere');
      await expect(shard.engine.installSnapshot(nowhere)).rejects.toThrow();
      await shard.write([upsert('a', [1, 2])]);
      expect(await shard.engine.count(SCOPE)).toBe(4);
    });

    it('are broken off by a close, and leave the old state or the new', async () => {
      await fill(3_000);
      await shard.engine.writeSnapshot(source.snapshotPath('one'));
      const path = await sendSnapshot('one', source, target);
      await replica.open();
      for (const turns of [0, 1, 5, 20]) {
        const calls = [
          replica.engine.installSnapshot(path),
          replica.engine.writeSnapshot(target.snapshotPath('other')),
        ].map((call) => call.then(() => 'done').catch((error) => error.reason));
        for (let turn = 0; turn < turns; turn++) await setImmediate();
        await replica.engine.close();
        for (const call of calls) expect(['done', 'NODE_NOT_READY']).toContain(await call);
        replica.follow(shard, 0);
        const index = await replica.open();
        expect([0, shard.log.length]).toContain(index);
        replica.follow(shard, index);
      }
    });
  });
}
