// Goal: a filtered search finds what a look at every record finds, by whichever plan (Q1).
// Method: random records and filters over the exact index, then a real graph at every selectivity.
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import type { CostFactors } from '../../../../src/engine/engine.js';
import { HnswIndex } from '../../../../src/engine/index/hnsw-index.js';
import { CostModel, DEFAULT_FACTORS } from '../../../../src/engine/plan/cost-model.js';
import type { JsonObject } from '../../../../src/shared/codec/struct.js';
import { type Filter, parseFilter } from '../../../../src/shared/filter.js';
import { clusteredVectors, seededRandom } from '../../../support/vectors.js';
import { arbitraryFilter, arbitraryMetadata, FIELDS } from '../../shared/filter-arbitraries.js';
import { GRAPH_IS_CHEAP, GRAPH_IS_DEAR, PlannedCollection } from './planned-collection.js';

const factors: fc.Arbitrary<CostFactors> = fc.constantFrom(
  DEFAULT_FACTORS,
  GRAPH_IS_CHEAP,
  GRAPH_IS_DEAR,
);
const parsed = (json: JsonObject): Filter => parseFilter(json, FIELDS);
const vectorOf = (...floats: number[]): Float32Array => Float32Array.from(floats);

describe('a planned search over an exact index', () => {
  const record = fc.record({
    id: fc.integer({ min: 0, max: 200 }),
    at: fc.integer({ min: -50, max: 50 }),
    tenant: fc.constantFrom('', 'x'),
    metadata: fc.option(arbitraryMetadata, { nil: undefined }),
  });

  it('finds the nearest matches by every plan, in the graph or before it (Q1)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(record, { maxLength: 120 }),
        arbitraryFilter,
        fc.record({
          tenant: fc.constantFrom(undefined, 'x', 'nobody'),
          k: fc.integer({ min: 1, max: 30 }),
          factors,
          exactCopy: fc.boolean(),
          settledAt: fc.integer({ min: 0, max: 120 }),
          asksNow: fc.boolean(),
        }),
        async (records, filter, { tenant, k, factors: costs, exactCopy, settledAt, asksNow }) => {
          const planned = await PlannedCollection.create({
            dimension: 2,
            fields: FIELDS,
            exactCopy,
          });
          for (const [at, { id, at: x, tenant: of, metadata }] of records.entries()) {
            if (at === settledAt) planned.settle();
            if (metadata === undefined) planned.remove(`${id}`, of);
            else planned.put(`${id}`, vectorOf(x, at / 1_000), metadata, of);
          }
          const selected = { filter, ...(tenant && { tenant }) };
          const query = { vector: vectorOf(0, 0), k, ...selected, asksNow };
          const { hits, trace } = await planned.search(query, costs);
          const expected = planned.expected(query);
          expect(hits.map(({ distance }) => distance)).toEqual(
            expected.slice(0, k).map(({ distance }) => distance),
          );
          if (trace.matches !== undefined) expect(trace.matches).toBe(expected.length);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('answers what was right while records change between its slices (Q1, H4)', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), factors, fc.boolean(), async (seed, costs, isDeclared) => {
        const random = seededRandom(seed);
        const count = 1_500;
        const planned = await PlannedCollection.create({
          dimension: 2,
          fields: isDeclared ? FIELDS : [],
        });
        const write = (id: number, isRed: boolean): void => {
          const vector = vectorOf(random() * 100, random() * 100);
          planned.put(`${id}`, vector, { word: isRed ? 'red' : 'blue' });
        };
        for (let id = 0; id < count; id++) write(id, random() < 0.5);
        planned.settle();
        const query = { vector: vectorOf(50, 50), k: 20, filter: parsed({ word: 'red' }) };
        const before = new Set(planned.expected(query).map(({ id }) => id));
        const touched = new Set<string>();
        planned.whenPaused = () => {
          for (let change = 0; change < 20; change++) {
            const id = Math.floor(random() * count);
            touched.add(`${id}`);
            if (random() < 0.3) planned.remove(`${id}`);
            else write(id, random() < 0.5);
          }
        };
        const { hits } = await planned.search(query, costs);
        const after = planned.expected(query);
        const nowMatching = new Map(after.map(({ id, distance }) => [id, distance]));
        // Each hit is told as it is at the end, and none twice.
        expect(new Set(hits.map(({ id }) => id)).size).toBe(hits.length);
        for (const { id, distance } of hits) expect(nowMatching.get(id)).toBe(distance);
        // What matched all the time and is nearer than the last hit is among them.
        const bound = hits.at(-1)?.distance ?? Number.POSITIVE_INFINITY;
        const found = new Set(hits.map(({ id }) => id));
        const missed = after.filter(({ id, distance }) => {
          return distance < bound && before.has(id) && !touched.has(id) && !found.has(id);
        });
        expect(missed).toEqual([]);
      }),
      { numRuns: 20 },
    );
  });

  it('loses no match that is written again while metadata are read (Q1, H4)', async () => {
    for (const costs of [GRAPH_IS_CHEAP, GRAPH_IS_DEAR]) {
      const planned = await PlannedCollection.create({ dimension: 2, fields: [] });
      const write = (id: number): void =>
        planned.put(`${id}`, vectorOf(id, 1), { word: id % 3 === 0 ? 'red' : 'blue' });
      for (let id = 0; id < 900; id++) write(id);
      planned.settle();
      let next = 0;
      planned.whenRead = () => {
        for (let id = next; id < next + 30; id++) write(id % 900);
        next += 30;
      };
      const query = { vector: vectorOf(0, 0), k: 15, filter: parsed({ word: 'red' }) };
      const { hits } = await planned.search(query, costs);
      expect(hits).toEqual(planned.expected(query).slice(0, 15));
      expect(next).toBeGreaterThan(0);
    }
  });

  it('chooses its plan once, also where it was asked first what it can tell now', async () => {
    const planned = await PlannedCollection.create({ dimension: 2, fields: FIELDS });
    for (let id = 0; id < 500; id++) {
      planned.put(`${id}`, vectorOf(id, 1), { word: id % 2 === 0 ? 'red' : 'blue' });
    }
    planned.settle();
    const looks = vi.spyOn(CostModel.prototype, 'rowUs');
    const looksOf = async (asksNow: boolean): Promise<number> => {
      looks.mockClear();
      const query = { vector: vectorOf(0, 0), k: 3, filter: parsed({ word: 'red' }), asksNow };
      const { trace } = await planned.search(query, GRAPH_IS_CHEAP);
      expect(trace.plan).toBe('graph-filtered');
      return looks.mock.calls.length;
    };
    expect(await looksOf(true)).toBe(await looksOf(false));
    looks.mockRestore();
  });

  it('tells an empty collection and an empty selection apart from a failure', async () => {
    const planned = await PlannedCollection.create({ dimension: 2, fields: FIELDS });
    const filter = parsed({ word: 'a' });
    const none = await planned.search({ vector: vectorOf(0, 0), k: 3, filter });
    expect(none.hits).toEqual([]);
    planned.put('1', vectorOf(1, 1), { word: 'b' });
    const { hits, trace } = await planned.search({ vector: vectorOf(0, 0), k: 3, filter });
    expect(hits).toEqual([]);
    expect(trace).toMatchObject({ plan: 'exact-rows', matches: 0, estimatedMatches: 0 });
  });
});

describe('a planned search over a graph', () => {
  const COUNT = 2_000;
  const DIMENSION = 16;
  const SHARES = [1, 0.5, 0.1, 0.01, 0.001];
  /** Built once: the tests only read them. */
  const collections = new Map<boolean, Promise<PlannedCollection>>();
  const vectors = clusteredVectors({ count: COUNT + 8, dimension: DIMENSION, seed: 3 });
  const queries = vectors.slice(COUNT);

  const built = (exactCopy: boolean): Promise<PlannedCollection> => {
    const building = collections.get(exactCopy) ?? build(exactCopy);
    collections.set(exactCopy, building);
    return building;
  };

  /** `rank` selects any share, and so does `free`, which is not declared. */
  const build = async (exactCopy: boolean): Promise<PlannedCollection> => {
    const planned = await PlannedCollection.create({
      dimension: DIMENSION,
      fields: [
        { path: 'rank', type: 'float' },
        { path: 'word', type: 'keyword' },
      ],
      createIndex: (options) => new HnswIndex(options),
      exactCopy,
    });
    const random = seededRandom(9);
    for (let at = 0; at < COUNT; at++) {
      const rank = random();
      const word = rank < 0.3 ? 'low' : 'high';
      const vector = vectors[at] as Float32Array;
      planned.put(`${at}`, vector, { rank, free: rank, word, only: at === 77 ? 'me' : 'other' });
    }
    planned.settle();
    return planned;
  };

  const recallOf = async (
    planned: PlannedCollection,
    filter: Filter,
    costs?: CostFactors,
  ): Promise<{ recall: number; plans: Set<string> }> => {
    const asked = queries.map((vector) => ({ vector, k: 10, ef: 64, filter }));
    const { recall, traces } = await planned.recallOf(asked, costs);
    return { recall, plans: new Set(traces.map(({ plan }) => plan)) };
  };

  it.each([true, false])('has recall 0.99 at every selectivity (exact copy: %s)', async (copy) => {
    const planned = await built(copy);
    for (const path of ['rank', 'free']) {
      for (const share of SHARES) {
        for (const costs of [undefined, GRAPH_IS_CHEAP, GRAPH_IS_DEAR]) {
          const filter = parsed({ [path]: { $lt: share } });
          const { recall } = await recallOf(planned, filter, costs);
          expect({ path, share, isGood: recall >= 0.99 }).toEqual({ path, share, isGood: true });
        }
      }
    }
    const one = await recallOf(planned, parsed({ only: 'me' }));
    expect(one.recall).toBe(1);
  });

  it('takes the graph where most match and the rows where few do', async () => {
    const planned = await built(true);
    const planOf = async (json: JsonObject): Promise<Set<string>> =>
      (await recallOf(planned, parsed(json))).plans;
    expect(await planOf({ rank: { $lt: 2 } })).toEqual(new Set(['graph']));
    expect(await planOf({ rank: { $lt: 0.9 } })).toEqual(new Set(['graph-filtered']));
    expect(await planOf({ rank: { $lt: 0.002 } })).toEqual(new Set(['exact-rows']));
    expect(await planOf({ only: 'me' })).toEqual(new Set(['scan']));
    expect(await planOf({ free: { $lt: 0.9 } })).toEqual(new Set(['graph-filtered']));
  });

  it('gives the graph up where the matches lie far away, and finds them all the same', async () => {
    const planned = await PlannedCollection.create({
      dimension: DIMENSION,
      fields: [{ path: 'side', type: 'keyword' }],
      createIndex: (options) => new HnswIndex(options),
    });
    for (let at = 0; at < COUNT; at++) {
      const isFar = at % 4 === 0;
      const vector = (vectors[at] as Float32Array).map((float) => float + (isFar ? 40 : 0));
      planned.put(`${at}`, vector, { side: isFar ? 'far' : 'near' });
    }
    planned.settle();
    const filter = parsed({ side: 'far' });
    const costs = { distance: 6, visit: 1 };
    // Dear enough that a quarter is left to the graph, which then meets all the others first.
    const { recall } = await recallOf(planned, filter, costs);
    expect(recall).toBe(1);
    const [vector = vectorOf()] = queries;
    const { trace } = await planned.search({ vector, k: 10, filter }, costs);
    expect(trace).toMatchObject({ plan: 'exact-rows', matches: COUNT / 4, compared: COUNT / 4 });
    expect(trace.reason).toContain('lie away from the query');
    expect(trace.visited).toBeLessThan(COUNT / 4);
    // Where more candidates are worth a try, and all others are still nearer than the matches.
    const tried = { vector, k: 10, ef: 16, filter };
    const { hits, trace: more } = await planned.search(tried, { distance: 10, visit: 1 });
    expect(hits.map(({ id }) => id)).toEqual(
      planned
        .expected(tried)
        .slice(0, 10)
        .map(({ id }) => id),
    );
    expect(more.plan).toBe('exact-rows');
    expect(more.reason).toMatch(/lie away from the query: 128 candidates; .* given up after/);
  });

  it('tells what a search visited, compared and expected', async () => {
    const planned = await built(true);
    const [vector = vectorOf()] = queries;
    const trace = async (json: JsonObject) =>
      (await planned.search({ vector, k: 10, filter: parsed(json) })).trace;
    const exact = await trace({ rank: { $lt: 0.01 } });
    expect(exact).toMatchObject({ plan: 'exact-rows', visited: 0, compared: exact.matches });
    expect(exact.estimatedMatches).toBe(exact.matches);
    const graph = await trace({ rank: { $lt: 0.8 } });
    expect(graph).toMatchObject({ plan: 'graph-filtered', compared: 0 });
    expect(graph.visited).toBeGreaterThan(64);
    const scanned = await trace({ free: { $lt: 0.01 } });
    expect(scanned).toMatchObject({ plan: 'scan', matches: exact.matches });
  });
});
