// Goal: graph and head together hold what was written, through updates, moves and renewals.
// Method: random operations against a map; seeded churn.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CollectionIndex } from '../../../src/engine/collection-index.js';
import { ExactHead } from '../../../src/engine/head.js';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import { defined, InvariantError } from '../../../src/shared/assert.js';
import { LIMITS } from '../../../src/shared/limits.js';
import { METRICS } from '../../../src/shared/types.js';
import { IndexRig, keep, vector } from './index-rig.js';
import { collectionConfig } from './shard-driver.js';
import { clusteredVectors, seededRandom } from './vectors.js';

const ids = fc.nat(30).map((at) => `r${at}`);
const operations = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('put' as const),
        id: ids,
        at: fc.integer({ min: -50, max: 50 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), id: ids }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('step' as const), times: fc.nat(20) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('churn' as const) }) },
  ),
  { maxLength: 60 },
);

type Operation = typeof operations extends fc.Arbitrary<(infer T)[]> ? T : never;

async function steps(rig: IndexRig, times: number): Promise<void> {
  for (let left = times; left > 0; left--) await rig.step();
}

async function operate(rig: IndexRig, operation: Operation): Promise<void> {
  switch (operation.kind) {
    case 'put':
      return rig.put(operation.id, vector(operation.at, 1));
    case 'remove':
      return rig.remove(operation.id);
    case 'step':
      return steps(rig, operation.times);
    case 'churn':
      // Wears the graph out, so that a renewal begins.
      for (let round = 0; round < 70; round++) {
        rig.put('r1', vector(round, 2));
        await steps(rig, 3);
      }
  }
}

describe('CollectionIndex', () => {
  describe.each([true, false])('with an exact copy: %s', (exactCopy) => {
    it.each(['flat', 'hnsw'] as const)('finds what a map holds, over %s (H1, H3)', async (kind) => {
      await fc.assert(
        fc.asyncProperty(operations, async (history) => {
          const rig = new IndexRig({ exactCopy, kind });
          for (let at = 0; at < 20; at++) rig.put(`r${at}`, vector(at, 1), 'load');
          const query = vector(3, 1);
          for (const operation of history) {
            await operate(rig, operation);
            const { hits, isShort } = rig.index.searchNear({ vector: query, k: 5, ef: 64 });
            rig.expectTrue(hits, query);
            const distances = hits.map(({ distance }) => distance);
            if (!isShort) expect(distances).toEqual(rig.nearest(query, 5));
            expect(rig.index.size).toBe(rig.model.size);
          }
          await rig.settle();
          const stats = rig.index.stats();
          expect(stats).toMatchObject({ records: rig.model.size, headRows: 0, isRenewing: false });
          expect(stats.graphPoints - stats.tombstones).toBe(rig.model.size);
          const exact = await rig.index.searchRows(
            { vector: query, k: 40, rows: rig.index.rows.toArray() },
            rig.means(),
            keep,
          );
          rig.expectTrue(exact, query);
          expect(exact).toHaveLength(rig.model.size);
        }),
        { numRuns: 40 },
      );
    });
  });

  it.each([true, false])(
    'renews a graph while nothing is written, copy: %s (H3)',
    async (exactCopy) => {
      const rig = new IndexRig({ exactCopy });
      for (let at = 0; at < 300; at++) rig.put(`r${at}`, vector(at, 0));
      await rig.settle();
      for (let at = 0; at < 300; at += 2) rig.remove(`r${at}`);
      await rig.settle();
      expect(rig.index.stats()).toMatchObject({ graphPoints: 150, tombstones: 0, headRows: 0 });
      const { hits } = rig.index.searchNear({ vector: vector(10, 0), k: 150, ef: 150 });
      expect(hits).toHaveLength(150);
      rig.expectTrue(hits, vector(10, 0));
    },
  );

  it('gives hits of head and graph the same distance, to the last bit', async () => {
    for (const metric of METRICS) {
      const rig = new IndexRig({ metric, dimension: 16, kind: 'hnsw' });
      const points = clusteredVectors(seededRandom(5), 50, 16);
      const query = defined(points[0], 'a point');
      for (const [at, point] of points.entries()) rig.put(`r${at}`, point);
      const head = rig.index.searchNear({ vector: query, k: 50, ef: 100 });
      await rig.settle();
      const exact = new Map(head.hits.map(({ row, distance }) => [row, distance]));
      const { hits } = rig.index.searchNear({ vector: query, k: 50, ef: 100 });
      expect(hits.length).toBeGreaterThan(10);
      for (const { row, distance } of hits) expect(distance).toBe(exact.get(row));
    }
  });

  it('asks the filter for rows of both, and tells when the graph fell short', async () => {
    const rig = new IndexRig();
    for (let at = 0; at < 20; at++) rig.put(`g${at}`, vector(at, 0));
    await rig.settle();
    for (let at = 0; at < 20; at++) rig.put(`h${at}`, vector(at + 0.5, 0));
    const accept = (row: number): boolean => row % 2 === 0;
    const found = rig.index.searchNear({ vector: vector(0, 0), k: 6, ef: 10, accept });
    expect(found.hits.map((hit) => rig.idOf(hit))).toEqual(['g0', 'h0', 'g2', 'h2', 'g4', 'h4']);
    expect(found.isShort).toBe(false);
    const none = rig.index.searchNear({
      vector: vector(0, 0),
      k: 3,
      ef: 10,
      accept: (row) => row >= 20,
    });
    expect(none.hits.map((hit) => rig.idOf(hit))).toEqual(['h0', 'h1', 'h2']);
    expect(none.isShort).toBe(true);
  });

  it('has room for what its head may hold, and for anything when nothing arrived (P-10)', () => {
    const rig = new IndexRig();
    for (let at = 0; at < 100; at++) rig.put(`loaded ${at}`, vector(at, 0), 'load');
    expect(rig.index.hasRoomFor(1_000)).toBe(true);
    rig.put('one', vector(0, 0));
    expect([rig.index.hasRoomFor(31), rig.index.hasRoomFor(32)]).toEqual([true, false]);
    // A record that waits already needs no more room when it is written again.
    rig.put('loaded 3', vector(9, 9));
    expect(rig.index.hasRoomFor(31)).toBe(true);
  });

  it('counts the rows where vectors are short: each costs a search its share (P-10)', () => {
    const head = new ExactHead(1, { floatsMax: 2 ** 20 });
    for (let row = 0; row < 2 ** 14; row++) {
      expect(head.hasRoomFor(1)).toBe(true);
      head.arrive(row);
    }
    expect(head.hasRoomFor(1)).toBe(false);
    const small = new ExactHead(1, { floatsMax: 2 ** 11 });
    for (let row = 0; row < 1_023; row++) small.arrive(row);
    expect([small.hasRoomFor(1), small.hasRoomFor(2)]).toEqual([true, false]);
  });

  it('may hold more, up to another bound, while its graph takes no rows (P-10, H5)', () => {
    const head = new ExactHead(128, { floatsMax: 128 * 20, spareFloatsMax: 128 * 10 });
    for (let row = 0; row < 20; row++) head.arrive(row);
    expect(head.hasRoomFor(1)).toBe(false);
    head.widen();
    expect([9, 10, 11].map((count) => head.hasRoomFor(count))).toEqual([true, true, false]);
    for (let row = 20; row < 30; row++) head.arrive(row);
    expect(head.hasRoomFor(1)).toBe(false);
    head.narrow();
    // Of two rows that leave one may come again, until no more wait than the bound says.
    let [first, end] = [0, 30];
    const leave = (): void => head.moved(first++);
    for (let excess = 10; excess > 0; excess--) {
      expect(head.size).toBe(20 + excess);
      leave();
      expect(head.hasRoomFor(1)).toBe(false);
      leave();
      expect([1, 2].map((count) => head.hasRoomFor(count))).toEqual([true, false]);
      head.arrive(end++);
      expect(head.hasRoomFor(1)).toBe(false);
    }
    expect(head.size).toBe(20);
    leave();
    expect([1, 2].map((count) => head.hasRoomFor(count))).toEqual([true, false]);
  });

  it('may hold no more beyond its bound than LIMITS says, whatever that is (P-10)', () => {
    const dimension = 4_096;
    const floatsMax = LIMITS.headSpareFloatsMax.value;
    const index = new CollectionIndex(collectionConfig({ dimension }), {
      createIndex: (options) => new FlatIndex(options),
      exactCopy: true,
      headFloatsMax: floatsMax,
    });
    const zero = new Float32Array(dimension);
    const write = (): unknown => index.put(`${index.size}`, 1n, zero);
    const rowsMax = floatsMax / dimension;
    for (let row = 0; row < rowsMax; row++) write();
    expect(index.hasRoomFor(1)).toBe(false);
    index.awaitRestore();
    const rooms = [rowsMax - 1, rowsMax, rowsMax + 1].map((count) => index.hasRoomFor(count));
    expect(rooms).toEqual([true, true, false]);
    index.beginRestore();
    index.endRestore(false);
    expect(index.hasRoomFor(1)).toBe(false);
  });

  it('has its first bound again where less waits than that when the graph goes on', () => {
    const head = new ExactHead(128, { floatsMax: 128 * 20, spareFloatsMax: 128 * 10 });
    head.widen();
    for (let row = 0; row < 19; row++) head.arrive(row);
    head.narrow();
    expect([1, 2].map((count) => head.hasRoomFor(count))).toEqual([true, false]);
  });

  it('lets neither what arrives nor what was loaded wait for the other (H2)', async () => {
    const rig = new IndexRig();
    for (let at = 0; at < 30; at++) rig.put(`loaded ${at}`, vector(at, 0), 'load');
    for (let at = 0; at < 30; at++) rig.put(`written ${at}`, vector(at, 1));
    for (let left = 20; left > 0; left--) await rig.step();
    const covered = new Set(['loaded', 'written']);
    const left = rig.index.stats().headRows;
    expect(left).toBe(40);
    const { hits } = rig.index.searchNear({ vector: vector(0, 0), k: 100, ef: 100 });
    expect(new Set(hits.map((hit) => rig.idOf(hit).split(' ')[0]))).toEqual(covered);
    expect(rig.index.hasRoomFor(12)).toBe(true);
    expect(rig.index.hasRoomFor(13)).toBe(false);
  });

  it('is as good after three full churns as a fresh graph (H3)', async () => {
    const [records, dimension, k, ef] = [1_200, 24, 10, 12];
    const random = seededRandom(21);
    const rig = new IndexRig({ dimension, kind: 'hnsw' });
    let points = clusteredVectors(random, records, dimension);
    for (const [at, point] of points.entries()) rig.put(`r${at}`, point);
    let renewals = 0;
    for (let churn = 0; churn < 3; churn++) {
      points = clusteredVectors(random, records, dimension);
      const order = points
        .map((_, at) => at)
        .sort((a, b) => ((a * 7919) % 1201) - ((b * 7919) % 1201));
      for (const at of order) {
        const wasRenewing = rig.index.stats().isRenewing;
        rig.put(`r${at}`, defined(points[at], 'a point'));
        for (let left = 4; left > 0; left--) await rig.step();
        if (wasRenewing && !rig.index.stats().isRenewing) renewals++;
      }
    }
    await rig.settle();
    expect(renewals).toBeGreaterThan(3);
    const { tombstones, graphPoints } = rig.index.stats();
    expect(tombstones).toBeLessThanOrEqual(graphPoints / 5);

    const fresh = new IndexRig({ dimension, kind: 'hnsw' });
    for (const [at, point] of points.entries()) fresh.put(`r${at}`, point);
    await fresh.settle();
    const queries = clusteredVectors(seededRandom(22), 400, dimension);
    const recall = ({ index }: IndexRig): number => {
      let found = 0;
      for (const query of queries) {
        const { hits } = index.searchNear({ vector: query, k, ef });
        const bound = defined(fresh.nearest(query, k).at(-1), 'the last of the nearest');
        found += hits.filter(({ distance }) => distance <= bound).length;
      }
      return found / (queries.length * k);
    };
    expect(recall(rig)).toBeGreaterThanOrEqual(recall(fresh) - 0.005);
  });

  it('finds nothing once it is disposed of, and refuses to go on', () => {
    const rig = new IndexRig();
    rig.put('a', vector(1, 1));
    rig.index.dispose();
    expect(rig.index.searchNear({ vector: vector(1, 1), k: 1, ef: 1 }).hits).toEqual([]);
    expect([rig.index.hasWork, rig.index.disposed]).toEqual([false, true]);
  });

  it('refuses to load a record twice', () => {
    const rig = new IndexRig();
    rig.put('a', vector(1, 1), 'load');
    expect(() => rig.put('a', vector(1, 1), 'load')).toThrow(InvariantError);
  });
});
