// Goal: an engine keeps the records, answers and sessions that its log describes, however it is
// run and whenever it stops. Method: one suite for all ways to run it, on a driver that is the log.
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FlatIndex } from '../../src/engine/index/flat-index.js';
import { defined } from '../../src/shared/assert.js';
import { floatsOf } from '../../src/shared/bytes.js';
import { commandVersion } from '../../src/shared/codec/command.js';
import { decodeStruct } from '../../src/shared/codec/struct.js';
import { METRICS } from '../../src/shared/types.js';
import {
  collectionConfig,
  type EngineHarness,
  outcomesOf,
  query,
  reasonOf,
  remove,
  SCOPE,
  ShardDriver,
  slotOf,
  upsert,
} from '../unit/engine/shard-driver.js';
import { addAll, clusteredVectors, seededRandom } from '../unit/engine/vectors.js';

const LIMITLESS = { clientsMax: 1_000, requestsMax: 1_000, bytesMax: 2 ** 40 };

export function engineSuite(name: string, createHarness: () => Promise<EngineHarness>): void {
  describe(`${name}: Engine`, () => {
    let harness: EngineHarness;
    let shard: ShardDriver;

    beforeEach(async () => {
      harness = await createHarness();
      shard = new ShardDriver(harness);
      await shard.open();
    });

    afterEach(async () => {
      await shard.engine.close();
      await harness.cleanup();
    });

    describe('records', () => {
      it('stores, overwrites, fetches and deletes, and says what was there before', async () => {
        await shard.createCollection();
        const created = await shard.write([upsert('a', [1, 2], { metadata: { colour: 'red' } })]);
        const replaced = await shard.write([upsert('a', [3, 4])]);
        expect(outcomesOf(created)).toEqual([
          { kind: 'applied', version: 2n << 16n, existed: false },
        ]);
        expect(outcomesOf(replaced)).toEqual([
          { kind: 'applied', version: 3n << 16n, existed: true },
        ]);
        const keys = [
          { slot: slotOf('a'), tenant: '', id: 'a' },
          { slot: slotOf('b'), tenant: '', id: 'b' },
        ];
        const both = { values: true, metadata: true };
        const [found, missing] = await shard.engine.fetch(SCOPE, keys, both);
        expect(missing).toBeUndefined();
        expect(found?.version).toBe(3n << 16n);
        expect([...floatsOf(defined(found?.values, 'values'))]).toEqual([3, 4]);
        expect(decodeStruct(defined(found?.metadata, 'metadata'))).toEqual({});

        const deleted = await shard.write([remove('a'), remove('b')]);
        expect(
          outcomesOf(deleted).map((outcome) => 'existed' in outcome && outcome.existed),
        ).toEqual([true, false]);
        expect(await shard.engine.count(SCOPE)).toBe(0);
        expect(await shard.searchIds([3, 4], 10)).toEqual([]);
        expect(await shard.engine.fetch(SCOPE, keys, both)).toEqual([undefined, undefined]);
      });

      it('gives values and metadata only when asked', async () => {
        await shard.createCollection();
        await shard.write([upsert('a', [1, 2], { metadata: { n: 1 } })]);
        const key = { slot: slotOf('a'), tenant: '', id: 'a' };
        const neither = { values: false, metadata: false };
        const record = { tenant: '', id: 'a', version: 2n << 16n };
        expect(await shard.engine.fetch(SCOPE, [key], neither)).toEqual([record]);
        expect(await shard.search(query([1, 2], 1))).toEqual([{ ...record, distance: 0 }]);
        const [hit] = await shard.search(
          query([1, 2], 1, { includeValues: true, includeMetadata: true }),
        );
        expect([...floatsOf(defined(hit?.values, 'values'))]).toEqual([1, 2]);
        expect(decodeStruct(defined(hit?.metadata, 'metadata'))).toEqual({ n: 1 });
      });

      it('reads those of some shard keys, which ids begin with, by every call (M-19)', async () => {
        await shard.createCollection({ routing: 'shardKey' });
        const ids = ['k1\0a', 'k1\0b', 'k2\0a', 'k\0k1\0'];
        await shard.write(ids.map((id, at) => upsert(id, [at, 0])));
        for (const check of [() => undefined, () => shard.reopen()]) {
          await check();
          for (const [shardKeys, expected] of [
            [['k1'], ids.slice(0, 2)],
            [['k2', 'k'], ids.slice(2)],
            [['k3'], []],
            [[], []],
          ] as const) {
            const of = { shardKeys };
            expect(await shard.engine.count(SCOPE, of)).toBe(expected.length);
            const hits = await shard.search(query([0, 0], 10, of));
            expect(hits.map(({ id }) => id)).toEqual(expected);
            const page = { ...of, limit: 10, includeValues: false, includeMetadata: false };
            const { records } = await shard.engine.scroll(SCOPE, page);
            expect(records.map(({ id }) => id).sort()).toEqual([...expected].sort());
          }
          expect(await shard.engine.count(SCOPE)).toBe(ids.length);
        }
      });

      it('keeps tenants and collections apart, whatever their names hold', async () => {
        await shard.createCollection();
        await shard.createCollection({ name: 'others' }, 2);
        const tenants = ['', 'a', 'a\0', 'a\0b', 'é/1/', '1'];
        const operations = tenants.map((tenant, at) => upsert('x', [at, 0], { tenant }));
        await shard.write(operations);
        for (const check of [() => undefined, () => shard.reopen()]) {
          await check();
          const keys = tenants.map((tenant) => ({ slot: slotOf('x'), tenant, id: 'x' }));
          const found = await shard.engine.fetch(SCOPE, keys, { values: true, metadata: false });
          expect(found.map((record) => record?.tenant)).toEqual(tenants);
          const first = found.map((record) => floatsOf(defined(record?.values, 'values'))[0]);
          expect(first).toEqual(tenants.map((_, at) => at));
          expect(await shard.engine.count({ ...SCOPE, collectionId: 2 })).toBe(0);
        }
      });

      it('turns unusable vectors into outcomes, and applies the rest (P-9)', async () => {
        await shard.createCollection({ metric: 'cosine' });
        const odd = { ...upsert('f', [1, 2]), values: new Uint8Array(7) };
        const result = await shard.write([
          upsert('a', [1, 2]),
          upsert('b', [1, 2, 3]),
          upsert('c', [1, Number.NaN]),
          upsert('d', [0, 0]),
          upsert('e', [3, 4]),
          odd as ReturnType<typeof upsert>,
        ]);
        const reasons = outcomesOf(result).map((outcome) =>
          outcome.kind === 'not-applied' ? outcome.error.reason : outcome.kind,
        );
        expect(reasons).toEqual([
          'applied',
          'DIMENSION_MISMATCH',
          'NOT_FINITE',
          'ZERO_VECTOR',
          'applied',
          'DIMENSION_MISMATCH',
        ]);
        expect(await shard.engine.count(SCOPE)).toBe(2);
      });
    });

    describe('search', () => {
      it.each(METRICS)(
        'is exact in the head, and near it in the graph, under %s (H1)',
        async (metric) => {
          const config = { ...collectionConfig(), dimension: 16, metric };
          await shard.createCollection(config);
          const points = clusteredVectors(seededRandom(11), 2_000, 16);
          for (let at = 0; at < points.length; at += 500) {
            const page = points.slice(at, at + 500);
            await shard.write(page.map((point, offset) => upsert(`p${at + offset}`, point)));
          }
          const exact = new FlatIndex(config);
          addAll(exact, points);
          const queries = points.filter((_, at) => at % 40 === 0);
          const recall = async (): Promise<number> => {
            const asked = queries.map((vector) => query(vector, 10));
            const answers = await shard.engine.search(SCOPE, asked);
            let found = 0;
            for (const [at, vector] of queries.entries()) {
              const hits = defined(answers[at], 'answer');
              const wanted = exact.search(vector, 10, 10);
              const ids = new Set(wanted.labels.map((label) => `p${label}`));
              found += hits.filter(({ id }) => ids.has(id)).length;
              expect(hits[0]?.distance).toBe(wanted.distances[0]);
              const distances = hits.map(({ distance }) => distance);
              expect(distances).toEqual([...distances].sort((a, b) => a - b));
            }
            return found / (queries.length * 10);
          };
          await recall();
          await shard.settled();
          expect(await recall()).toBeGreaterThanOrEqual(0.95);
          await shard.reopen();
          expect(await recall()).toBeGreaterThanOrEqual(0.95);
        },
      );

      it('orders equal distances by id', async () => {
        await shard.createCollection();
        await shard.write(['d', 'b', 'c', 'a'].map((id) => upsert(id, [1, 1])));
        expect(await shard.searchIds([0, 0], 4)).toEqual(['a', 'b', 'c', 'd']);
      });

      it('finds every record for a k above their number, and none in an empty one', async () => {
        await shard.createCollection();
        expect(await shard.searchIds([0, 0], 10)).toEqual([]);
        const ids = Array.from({ length: 300 }, (_, at) => `r${String(at).padStart(3, '0')}`);
        // Clusters of equal points are what a graph falls apart over.
        await shard.write(ids.map((id, at) => upsert(id, [at % 3, 0])));
        await shard.settled();
        const found = await shard.searchIds([0, 0], 10_000);
        expect([...found].sort()).toEqual(ids);
      });

      it('finds k live records when most of the graph is removed', async () => {
        await shard.createCollection();
        const ids = Array.from({ length: 400 }, (_, at) => `r${at}`);
        await shard.write(ids.map((id, at) => upsert(id, [at, 0])));
        await shard.settled();
        await shard.write(ids.slice(0, 380).map((id) => remove(id)));
        expect(await shard.searchIds([0, 0], 20)).toEqual(ids.slice(380));
        await shard.settled();
        expect(await shard.searchIds([0, 0], 20)).toEqual(ids.slice(380));
        expect(await shard.stats()).toMatchObject({ records: 20, graphPoints: 20 });
      });

      it('leaves out hits beyond the threshold', async () => {
        await shard.createCollection();
        await shard.write([upsert('near', [1, 0]), upsert('far', [3, 0])]);
        const hits = await shard.search(query([0, 0], 10, { scoreThreshold: 1 }));
        expect(hits.map(({ id }) => id)).toEqual(['near']);
      });

      it('refuses queries that the collection cannot answer, and lives on', async () => {
        await shard.createCollection({ metric: 'cosine' });
        await shard.write([upsert('a', [1, 0])]);
        const ask = (vector: number[], options = {}): Promise<unknown> =>
          shard.search(query(vector, 1, options));
        await expect(ask([1])).rejects.toMatchObject({ reason: 'DIMENSION_MISMATCH' });
        await expect(ask([1, Number.NaN])).rejects.toMatchObject({ reason: 'NOT_FINITE' });
        await expect(ask([0, 0])).rejects.toMatchObject({ reason: 'ZERO_VECTOR' });
        await expect(ask([1, 0], { k: 0 })).rejects.toMatchObject({ reason: 'INVALID_REQUEST' });
        await expect(ask([1, 0], { k: Number.NaN })).rejects.toMatchObject({
          reason: 'INVALID_REQUEST',
        });
        expect(await shard.searchIds([1, 0], 1)).toEqual(['a']);
      });
    });

    describe('collections', () => {
      it('creates and drops idempotently, and never revives an id', async () => {
        const config = collectionConfig();
        const create = { kind: 'createCollection', collectionId: 1, config } as const;
        const other = { ...create, config: { ...config, dimension: 9 } };
        const drop = { kind: 'dropCollection', collectionId: 1 } as const;
        const results = await shard.apply(create, create, other, drop, drop, create);
        expect(results.map(reasonOf)).toEqual([
          'done',
          'done',
          'COLLECTION_EXISTS',
          'done',
          'done',
          'COLLECTION_NOT_FOUND',
        ]);
        await shard.reopen();
        expect((await shard.apply(create)).map(reasonOf)).toEqual(['COLLECTION_NOT_FOUND']);
      });

      it('forgets the data of a dropped collection, and refuses reads and writes', async () => {
        await shard.createCollection();
        await shard.createCollection({}, 2);
        await shard.write([upsert('a', [1, 2])]);
        const other = { ...SCOPE, collectionId: 2 };
        await shard.apply(shard.writeCommand([upsert('a', [1, 2])], {}, other));
        await shard.apply({ kind: 'dropCollection', collectionId: 1 });
        await expect(shard.searchIds([1, 2], 1)).rejects.toMatchObject({
          reason: 'COLLECTION_NOT_FOUND',
        });
        expect(reasonOf(await shard.write([upsert('b', [1, 2])]))).toBe('COLLECTION_NOT_FOUND');
        await shard.reopen();
        expect(await shard.searchIds([1, 2], 1, other)).toEqual(['a']);
        expect((await shard.engine.stats()).collections.map((one) => one.collectionId)).toEqual([
          2,
        ]);
      });
    });

    describe('ownership', () => {
      it('refuses another ownership version, and slots that are not its own', async () => {
        await shard.createCollection();
        const stale = { ...SCOPE, ownershipVersion: 6 };
        const [result] = await shard.apply(shard.writeCommand([upsert('a', [1, 2])], {}, stale));
        expect(result).toMatchObject({
          kind: 'refused',
          error: { reason: 'STALE_TOPOLOGY', details: { ownershipVersion: '7', shardId: '3' } },
        });
        const foreign = [upsert('b', [1, 2]), upsert('a', [1, 2], { slot: 999 })];
        expect(reasonOf(await shard.write(foreign))).toBe('STALE_TOPOLOGY');
        // Together: they are answered in any order.
        const reads = await Promise.allSettled([
          shard.engine.count(stale),
          shard.engine.search(stale, [query([1, 2], 1)]),
          shard.engine.fetch(stale, [], { values: true, metadata: true }),
        ]);
        for (const read of reads) {
          expect(read).toMatchObject({ reason: { reason: 'STALE_TOPOLOGY' } });
        }
        expect(await shard.engine.count(SCOPE)).toBe(0);
      });
    });

    describe('exactly-once (A7, P-2)', () => {
      it('applies a request once, also after a reopen, and answers alike', async () => {
        await shard.createCollection();
        const request = [upsert('a', [1, 2], { ordinal: 0 }), remove('b', { ordinal: 1 })];
        const key = { clientId: 'c', sequence: 4, lowestUnanswered: 4 };
        const first = await shard.write(request, key);
        await shard.write([upsert('a', [9, 9])]);
        expect(await shard.write(request, key)).toEqual(first);
        await shard.reopen();
        expect(await shard.write(request, key)).toEqual(first);
        expect((await shard.search(query([9, 9], 1)))[0]?.distance).toBe(0);
      });

      it('applies exactly the ordinals that are new when a retry is cut otherwise', async () => {
        await shard.createCollection();
        const all = ['a', 'b', 'c', 'd'].map((id, ordinal) =>
          upsert(id, [ordinal, 0], { ordinal }),
        );
        const key = { clientId: 'c', sequence: 1, lowestUnanswered: 1 };
        await shard.write(all.slice(0, 1), key);
        await shard.write(all.slice(2, 3), key);
        const versions = outcomesOf(await shard.write(all, key)).map(
          (outcome) => outcome.kind === 'applied' && outcome.version >> 16n,
        );
        expect(versions).toEqual([2n, 4n, 3n, 4n]);
        expect(await shard.engine.count(SCOPE)).toBe(4);
      });

      it('answers what was applied before its collection was dropped', async () => {
        await shard.createCollection();
        const [a, b] = [upsert('a', [1, 2], { ordinal: 0 }), upsert('b', [1, 2], { ordinal: 1 })];
        const key = { clientId: 'c', sequence: 1 };
        const first = await shard.write([a], key);
        await shard.apply({ kind: 'dropCollection', collectionId: 1 });
        expect(await shard.write([a], key)).toEqual(first);
        const [kept, refused] = outcomesOf(await shard.write([a, b], key));
        expect(kept).toEqual(outcomesOf(first)[0]);
        expect(refused).toMatchObject({ error: { reason: 'COLLECTION_NOT_FOUND' } });
      });

      it('refuses what the client has said to be answered', async () => {
        await shard.createCollection();
        const request = [upsert('a', [1, 2], { ordinal: 0 })];
        await shard.write(request, { clientId: 'c', sequence: 1, lowestUnanswered: 1 });
        await shard.write(request, { clientId: 'c', sequence: 3, lowestUnanswered: 2 });
        for (const check of [() => undefined, () => shard.reopen()]) {
          await check();
          const late = await shard.write(request, { clientId: 'c', sequence: 1 });
          expect(reasonOf(late)).toBe('SESSION_EXPIRED');
          const between = await shard.write(request, { clientId: 'c', sequence: 2 });
          expect(outcomesOf(between)[0]?.kind).toBe('applied');
        }
      });

      /** An empty shard with other limits in the place of the one that every test begins with. */
      const beginAgain = async (limits: typeof LIMITLESS): Promise<void> => {
        await shard.engine.close();
        await harness.cleanup();
        harness = await createHarness();
        shard = new ShardDriver(harness, limits);
        await shard.open();
        await shard.createCollection();
      };
      const from = async (clientId: string, clientStampMs: number): Promise<string> => {
        const request = [upsert('a', [1, 2], { ordinal: 0 })];
        return reasonOf(await shard.write(request, { clientId, clientStampMs, sequence: 1 }));
      };

      it('forgets the longest unused client by log order, and refuses its elders too', async () => {
        await beginAgain({ ...LIMITLESS, clientsMax: 2 });
        expect(await from('one', 10)).toBe('write');
        expect(await from('two', 20)).toBe('write');
        expect(await from('one', 10)).toBe('write');
        expect(await from('three', 30)).toBe('write');
        for (const check of [() => undefined, () => shard.reopen()]) {
          await check();
          expect((await shard.engine.stats()).sessions).toBe(2);
          expect(await from('two', 20)).toBe('SESSION_EXPIRED');
          expect(await from('unknown elder', 15)).toBe('SESSION_EXPIRED');
          expect(await from('one', 10)).toBe('write');
        }
        expect(await from('younger', 21)).toBe('write');
        expect(await from('three', 30)).toBe('SESSION_EXPIRED');
      });

      it('remembers over a reopen in which order clients were used', async () => {
        await beginAgain({ ...LIMITLESS, clientsMax: 2 });
        await from('second by name', 10);
        await from('first by name', 10);
        await shard.reopen();
        expect(await from('third', 11)).toBe('write');
        expect(await from('second by name', 10)).toBe('SESSION_EXPIRED');
        expect(await from('first by name', 10)).toBe('write');
      });

      it('forgets the lowest requests of a client that never acknowledges', async () => {
        await beginAgain({ ...LIMITLESS, requestsMax: 3 });
        const request = [upsert('a', [1, 2], { ordinal: 0 })];
        const send = async (sequence: number): Promise<string> =>
          reasonOf(await shard.write(request, { clientId: 'c', sequence, lowestUnanswered: 0 }));
        for (const sequence of [1, 2, 3, 4]) expect(await send(sequence)).toBe('write');
        for (const check of [() => undefined, () => shard.reopen()]) {
          await check();
          expect(await send(1)).toBe('SESSION_EXPIRED');
          for (const sequence of [2, 3, 4]) expect(await send(sequence)).toBe('write');
        }
      });
    });

    describe('log and disk', () => {
      it('opens where it was closed, with equal state (A3)', async () => {
        await shard.createCollection();
        await shard.write(['a', 'b', 'c'].map((id, at) => upsert(id, [at, at])));
        await shard.write([remove('b')]);
        await shard.settled();
        const before = await shard.engine.stats();
        expect(await shard.reopen()).toBe(shard.log.length);
        expect(await shard.searchIds([0, 0], 10)).toEqual(['a', 'c']);
        await shard.settled();
        const after = await shard.engine.stats();
        const { appliedIndex, ownershipVersion, sessions } = before;
        expect(after).toMatchObject({ appliedIndex, ownershipVersion, sessions });
        expect(await shard.stats()).toMatchObject({ records: 2, graphPoints: 2, tombstones: 0 });
      });

      it('tells the highest version that was applied, which may be that of a delete', async () => {
        await shard.createCollection();
        await shard.write([upsert('a', [1, 1])]);
        await shard.write([remove('a')]);
        const lastVersion = commandVersion(defined(shard.log.at(-1), 'entry').data);
        await shard.reopen();
        const opened = await shard.engine.open();
        expect(opened).toEqual({ appliedIndex: shard.log.length, lastVersion });
        const path = harness.snapshotPath('versions');
        await shard.engine.writeSnapshot(path);
        expect(await shard.engine.installSnapshot(path)).toEqual(opened);
      });

      it('takes note of indexes without entries', async () => {
        await shard.engine.apply([], 5);
        expect((await shard.engine.stats()).appliedIndex).toBe(5);
        await shard.engine.close();
        expect(await shard.open()).toBe(5);
      });

      it('lets reads wait until it is open, and refuses calls once closed', async () => {
        await shard.createCollection();
        await shard.write([upsert('a', [1, 2])]);
        await shard.engine.close();
        await expect(shard.engine.count(SCOPE)).rejects.toMatchObject({ reason: 'NODE_NOT_READY' });
        await expect(shard.engine.apply([], 9)).rejects.toMatchObject({ reason: 'NODE_NOT_READY' });
        await shard.engine.close();
        const engine = harness.create();
        const early = engine.count(SCOPE);
        await engine.open();
        expect(await early).toBe(1);
        await engine.close();
      });

      it('stops at an entry of a newer version, for good', async () => {
        const entry = { index: 1, term: 1, data: Uint8Array.of(99, 1, 0, 0, 0, 0, 0, 0, 0, 0) };
        const newer = { reason: 'UNSUPPORTED_VERSION' };
        await expect(shard.engine.apply([entry], 1)).rejects.toMatchObject(newer);
        await expect(shard.engine.stats()).rejects.toMatchObject(newer);
      });

      it('stops when entries come twice', async () => {
        await shard.createCollection();
        const twice = shard.engine.apply(shard.log, shard.log.length);
        await expect(twice).rejects.toMatchObject({ reason: 'INTERNAL' });
      });

      it('shows a search each entry whole while a batch is applied', async () => {
        await shard.createCollection();
        await shard.write([upsert('a', [0, 0]), upsert('b', [0, 0])]);
        const commands = Array.from({ length: 200 }, (_, at) =>
          shard.writeCommand([upsert('a', [at, 0]), upsert('b', [at, 0])]),
        );
        const applied = shard.apply(...commands);
        const seen: (number | undefined)[][] = [];
        let done = false;
        const finished = applied.then(() => {
          done = true;
        });
        do {
          await setImmediate();
          const hits = await shard.search(query([0, 0], 2, { includeValues: true }));
          seen.push(hits.map((hit) => floatsOf(defined(hit.values, 'values'))[0]));
          expect(hits.map((hit) => hit.distance)).toEqual(
            seen.at(-1)?.map((value) => (value ?? 0) ** 2),
          );
        } while (!done);
        await finished;
        for (const pair of seen) expect(pair[0]).toBe(pair[1]);
        expect(await shard.engine.count(SCOPE)).toBe(2);
      });
    });
  });
}
