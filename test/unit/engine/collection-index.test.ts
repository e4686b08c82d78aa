// Goal: graph and head together hold what was written, through updates, moves and renewals, and a
// search in slices keeps its guarantee. Method: random operations against a map; seeded churn.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CollectionIndex, type ScanMeans } from '../../../src/engine/collection-index.js';
import type { RowHit } from '../../../src/engine/graph.js';
import { ExactHead } from '../../../src/engine/head.js';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import { HnswIndex } from '../../../src/engine/index/hnsw-index.js';
import { distanceTo } from '../../../src/engine/index/vector-math.js';
import { PointStore } from '../../../src/engine/point-store.js';
import { recordName } from '../../../src/engine/record-name.js';
import { RecordView } from '../../../src/engine/record-view.js';
import { Slices } from '../../../src/engine/slices.js';
import { WriteBatch } from '../../../src/engine/write-batch.js';
import { defined, InvariantError } from '../../../src/shared/assert.js';
import { floatBytes } from '../../../src/shared/bytes.js';
import { LIMITS } from '../../../src/shared/limits.js';
import { MemoryKv } from '../../../src/shared/memory-kv.js';
import { METRICS } from '../../../src/shared/types.js';
import { collectionConfig } from './shard-driver.js';
import { clusteredVectors, seededRandom } from './vectors.js';

interface RigOptions {
  readonly exactCopy?: boolean;
  readonly dimension?: number;
  readonly metric?: (typeof METRICS)[number];
  readonly kind?: 'flat' | 'hnsw';
}

/** An index, what is stored beside it, and what both should hold. */
class Rig {
  readonly index: CollectionIndex;
  readonly model = new Map<string, Float32Array>();
  readonly #stored = new WriteBatch();
  readonly #records = new RecordView(new PointStore(new MemoryKv()), () => this.#stored, 1);
  readonly #metric: (typeof METRICS)[number];
  #version = 0n;

  constructor({ exactCopy = true, dimension = 2, metric = 'l2', kind = 'flat' }: RigOptions = {}) {
    this.#metric = metric;
    this.index = new CollectionIndex(collectionConfig({ dimension, metric }), {
      createIndex: (options) => (kind === 'flat' ? new FlatIndex(options) : new HnswIndex(options)),
      exactCopy,
      headFloatsMax: 64,
    });
  }

  name(id: string): string {
    return recordName({ slot: 0, tenant: '', id });
  }

  put(id: string, vector: Float32Array, how: 'put' | 'load' = 'put'): void {
    const version = ++this.#version;
    const name = this.name(id);
    if (how === 'load') this.index.load(name, version, vector);
    else expect(this.index.put(name, version, vector).existed).toBe(this.model.has(id));
    const values = floatBytes(vector);
    this.#stored.putRecord(1, name, { version, metadata: new Uint8Array(), values });
    this.model.set(id, vector);
  }

  remove(id: string): void {
    const removed = this.index.remove(this.name(id));
    expect(removed !== undefined).toBe(this.model.delete(id));
    this.#stored.deleteRecord(1, this.name(id));
  }

  /** What the mover does. */
  async step(): Promise<void> {
    if (!this.index.hasWork) return;
    const names = this.index.missingVectors();
    const values = await this.#records.read(names);
    for (const [at, name] of names.entries()) {
      const value = values[at];
      if (value !== undefined) this.index.supply(name, value);
    }
    this.index.step();
  }

  async settle(): Promise<void> {
    while (this.index.hasWork) await this.step();
  }

  idOf({ row }: RowHit): string {
    return this.index.rows.nameOf(row).slice('0/0/'.length);
  }

  distances(query: Float32Array): Map<string, number> {
    const distance = distanceTo(this.#metric, query);
    return new Map([...this.model].map(([id, vector]) => [id, distance(vector)]));
  }

  nearest(query: Float32Array, k: number): number[] {
    const all = [...this.distances(query).values()].sort((a, b) => a - b);
    return all.slice(0, k);
  }

  /** Each hit is a record, once, at its distance. */
  expectTrue(hits: readonly RowHit[], query: Float32Array): void {
    const distances = this.distances(query);
    const ids = hits.map((hit) => this.idOf(hit));
    expect(new Set(ids).size).toBe(ids.length);
    expect(hits.map(({ distance }) => distance)).toEqual(ids.map((id) => distances.get(id)));
  }

  /** Slices that end at every look; `onPause` runs in between. */
  means(onPause: () => Promise<void> | void = () => undefined): ScanMeans {
    let nowMs = 0;
    const clock = { wallMs: () => nowMs, monotonicMs: () => (nowMs += 10) };
    const unused = (): never => {
      throw new Error('no timers');
    };
    const soon = (task: () => void): void => {
      void Promise.resolve(onPause()).then(task);
    };
    const scheduler = { after: unused, every: unused, soon };
    return { records: this.#records, slices: new Slices({ clock, scheduler }) };
  }
}

const vector = (...values: number[]): Float32Array => Float32Array.from(values);
const keep = async (hits: RowHit[]): Promise<RowHit[]> => hits;

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

async function steps(rig: Rig, times: number): Promise<void> {
  for (let left = times; left > 0; left--) await rig.step();
}

async function operate(rig: Rig, operation: Operation): Promise<void> {
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
          const rig = new Rig({ exactCopy, kind });
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
            { vector: query, k: 40, rows: rig.index.rows.rows() },
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
      const rig = new Rig({ exactCopy });
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
      const rig = new Rig({ metric, dimension: 16, kind: 'hnsw' });
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
    const rig = new Rig();
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
    const rig = new Rig();
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
    const rig = new Rig();
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
    const rig = new Rig({ dimension, kind: 'hnsw' });
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

    const fresh = new Rig({ dimension, kind: 'hnsw' });
    for (const [at, point] of points.entries()) fresh.put(`r${at}`, point);
    await fresh.settle();
    const queries = clusteredVectors(seededRandom(22), 400, dimension);
    const recall = ({ index }: Rig): number => {
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
    const rig = new Rig();
    rig.put('a', vector(1, 1));
    rig.index.dispose();
    expect(rig.index.searchNear({ vector: vector(1, 1), k: 1, ef: 1 }).hits).toEqual([]);
    expect([rig.index.hasWork, rig.index.disposed]).toEqual([false, true]);
  });

  it('refuses to load a record twice', () => {
    const rig = new Rig();
    rig.put('a', vector(1, 1), 'load');
    expect(() => rig.put('a', vector(1, 1), 'load')).toThrow(InvariantError);
  });
});

describe('a search in slices', () => {
  const changes = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant('put' as const), id: fc.nat(1_500), at: fc.nat(3_000) }),
      fc.record({ kind: fc.constant('remove' as const), id: fc.nat(1_500), at: fc.nat(3_000) }),
      fc.record({ kind: fc.constant('again' as const), id: fc.nat(40), at: fc.nat(60) }),
      fc.record({ kind: fc.constant('steps' as const), id: fc.nat(200), at: fc.nat(1) }),
    ),
    { maxLength: 120, size: 'max' },
  );

  describe.each([true, false])('with an exact copy: %s', (exactCopy) => {
    it.each(['rows', 'near'] as const)(
      'loses and doubles no record while %s change (H4)',
      async (kind) => {
        await fc.assert(
          fc.asyncProperty(
            changes,
            fc.nat(3_000),
            fc.integer({ min: 1, max: 30 }),
            async (steps, at, k) => {
              const rig = new Rig({ exactCopy });
              for (let id = 0; id < 1_500; id++) rig.put(`r${id}`, vector(2 * id, 0), 'load');
              for (let left = kind === 'near' ? 300 : 700; left > 0; left--) await rig.step();
              const query = vector(at, 0);
              /** All distances that each record had from the start on. */
              const past = new Map([...rig.distances(query)].map(([id, one]) => [id, [one]]));
              const removed = new Set<string>();
              let pauses = 0;
              const means = rig.means(async () => {
                const share = steps.slice(pauses * 30, pauses * 30 + 30);
                pauses++;
                for (const step of share) await carryOut(rig, step, removed);
                for (const [id, one] of rig.distances(query)) past.get(id)?.push(one);
              });
              const hits =
                kind === 'rows'
                  ? await rig.index.searchRows(
                      { vector: query, k, rows: rig.index.rows.toArray() },
                      means,
                      keep,
                    )
                  : await rig.index.searchNearInSlices(
                      { vector: query, k, ef: 64 },
                      means,
                      (near) => keep(near.hits),
                    );
              expect(pauses).toBeGreaterThan(0);
              rig.expectTrue(hits, query);
              expectNoneLost(rig, hits, k, past, removed);
            },
          ),
          { numRuns: 25 },
        );
      },
    );
  });

  /** What lived all the while is found, unless it was once no nearer than the last hit. */
  function expectNoneLost(
    rig: Rig,
    hits: readonly RowHit[],
    k: number,
    past: ReadonlyMap<string, readonly number[]>,
    removed: ReadonlySet<string>,
  ): void {
    const worst = (hits.length < k ? undefined : hits.at(-1)?.distance) ?? Number.POSITIVE_INFINITY;
    const found = new Set(hits.map((hit) => rig.idOf(hit)));
    for (const [id, distances] of past) {
      if (removed.has(id) || Math.max(...distances) >= worst) continue;
      expect(found, `${id} at ${distances}`).toContain(id);
    }
  }

  async function carryOut(
    rig: Rig,
    { kind, id, at }: { kind: string; id: number; at: number },
    removed: Set<string>,
  ): Promise<void> {
    const name = `r${id}`;
    if (kind === 'put') rig.put(name, vector(at, 0));
    else if (kind === 'steps') for (let left = id; left > 0; left--) await rig.step();
    else if (rig.model.has(name)) {
      rig.remove(name);
      removed.add(name);
      if (kind === 'again') rig.put(name, vector(at, 0));
    }
  }

  it('asks for the rows of a long backlog in slices, and again at its end (H4)', async () => {
    const rig = new Rig();
    for (let id = 0; id < 3_000; id++) rig.put(`r${id}`, vector(id, 0), 'load');
    const refused = new Set<number>();
    let asked = 0;
    const askedInTurns: number[] = [];
    const means = rig.means(() => {
      askedInTurns.push(asked);
      asked = 0;
      // One is refused from here on, and the row of another is used again by what arrives.
      if (askedInTurns.length === 3) refused.add(2);
      if (askedInTurns.length === 4) rig.remove('r4');
      if (askedInTurns.length === 5) rig.put('new', vector(1, 0));
    });
    const accept = (row: number): boolean => {
      asked++;
      return row % 2 === 0 && !refused.has(row);
    };
    const query = { vector: vector(0, 0), k: 4, ef: 10, accept };
    const hits = await rig.index.searchNearInSlices(query, means, ({ hits }) => keep(hits));
    expect(hits.map((hit) => rig.idOf(hit))).toEqual(['r0', 'new', 'r6', 'r8']);
    expect(Math.max(...askedInTurns)).toBeLessThanOrEqual(256);
  });

  it('begins again where too many of the nearest are gone at its end', async () => {
    const rig = new Rig();
    for (let id = 0; id < 1_000; id++) rig.put(`r${id}`, vector(id, 0), 'load');
    let pauses = 0;
    const means = rig.means(() => {
      // After all of the nearest were read.
      if (++pauses === 3) for (let id = 0; id < 60; id++) rig.remove(`r${id}`);
    });
    const rows = rig.index.rows.toArray();
    const hits = await rig.index.searchRows({ vector: vector(0, 0), k: 3, rows }, means, keep);
    expect(hits.map((hit) => rig.idOf(hit))).toEqual(['r60', 'r61', 'r62']);
    expect(pauses).toBeGreaterThan(3);
  });

  it.each([true, false])(
    'ends although all of the nearest are written again and again, copy: %s (H4)',
    async (exactCopy) => {
      const rig = new Rig({ exactCopy });
      for (let id = 0; id < 1_000; id++) rig.put(`r${id}`, vector(id, 0), 'load');
      await rig.settle();
      let pauses = 0;
      const means = rig.means(async () => {
        if (++pauses > 500) throw new Error('it does not end');
        for (let id = 0; id < 60; id++) rig.put(`r${id}`, vector(id, (pauses % 2) / 4));
        await rig.settle();
      });
      const query = vector(0, 0);
      const rows = rig.index.rows.toArray();
      const hits = await rig.index.searchRows({ vector: query, k: 3, rows }, means, keep);
      expect(hits.map((hit) => rig.idOf(hit))).toEqual(['r0', 'r1', 'r2']);
      rig.expectTrue(hits, query);
    },
  );

  it('ends with nothing where its collection is dropped meanwhile', async () => {
    const rig = new Rig();
    for (let id = 0; id < 2_000; id++) rig.put(`r${id}`, vector(id, 0), 'load');
    const means = rig.means(() => {
      if (!rig.index.disposed) rig.index.dispose();
    });
    const query = { vector: vector(0, 0), k: 3, ef: 10 };
    expect(await rig.index.searchNearInSlices(query, means, ({ hits }) => keep(hits))).toEqual([]);
  });
});
