/**
 * Filtered searches at every selectivity: the graph with a filter, the matches one by one, and what
 * the planner makes of it; microseconds a query and recall@10. The last column is what was chosen
 * over the better of the two. Then the same where the field is not declared, on LevelDB.
 *
 * Run compiled. Arguments: records (100,000), dimension (128), ef (64).
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { argv } from 'node:process';
import type { Collection } from '../../src/engine/collection.js';
import { CollectionIndex } from '../../src/engine/collection-index.js';
import type { RowHit } from '../../src/engine/graph.js';
import { HnswIndex } from '../../src/engine/index/hnsw-index.js';
import type { NearQuery } from '../../src/engine/near-query.js';
import { PayloadIndex } from '../../src/engine/payload/payload-index.js';
import { type CostModel, calibrate } from '../../src/engine/plan/cost-model.js';
import { matchingRows } from '../../src/engine/plan/matching-rows.js';
import { PlannedSearch, type SearchMeans } from '../../src/engine/plan/planned-search.js';
import { RowMatcher } from '../../src/engine/plan/row-matcher.js';
import { PointStore } from '../../src/engine/point-store.js';
import { recordName } from '../../src/engine/record-name.js';
import { RecordView } from '../../src/engine/record-view.js';
import { Slices } from '../../src/engine/slices.js';
import { WriteBatch } from '../../src/engine/write-batch.js';
import { ContentHash } from '../../src/engine/writes/content-hash.js';
import { ExpiryQueue } from '../../src/engine/writes/expiry-queue.js';
import { RealDisk } from '../../src/node/real-disk.js';
import { floatBytes } from '../../src/shared/bytes.js';
import { encodeStruct, type JsonObject } from '../../src/shared/codec/struct.js';
import type { Clock, Scheduler } from '../../src/shared/environment.js';
import { type Filter, parseFilter } from '../../src/shared/filter.js';
import type { CollectionConfig } from '../../src/shared/types.js';
import { clusteredVectors, seededRandom } from '../../test/support/vectors.js';

const RECORDS = Number(argv[2] ?? 100_000);
const DIMENSION = Number(argv[3] ?? 128);
const EF = Number(argv[4] ?? 64);
const QUERIES = 40;
const K = 10;
const SHARES = [1, 0.99, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.001];
const RECORDS_PER_BATCH = 500;

const CONFIG: CollectionConfig = {
  name: 'bench',
  dimension: DIMENSION,
  metric: 'l2',
  m: 16,
  efConstruction: 200,
  indexedFields: [
    { path: 'rank', type: 'float' },
    { path: 'number', type: 'integer' },
  ],
};

const clock: Clock = { wallMs: () => 0, monotonicMs: () => performance.now() };
const noTimer = (): never => {
  throw new Error('engines have no timers');
};
const scheduler: Scheduler = { after: noTimer, every: noTimer, soon: (task) => setImmediate(task) };

interface Measured {
  readonly us: number;
  readonly hits: readonly (readonly RowHit[])[];
}

class FilterBench {
  readonly #collection: Collection;
  readonly #store: PointStore;
  readonly #costs: CostModel;
  readonly #queries: readonly Float32Array[];
  readonly rows: Record<string, string | number>[] = [];

  private constructor(
    collection: Collection,
    store: PointStore,
    costs: CostModel,
    queries: readonly Float32Array[],
  ) {
    this.#collection = collection;
    this.#store = store;
    this.#costs = costs;
    this.#queries = queries;
  }

  static async build(directory: string): Promise<FilterBench> {
    const createIndex = (options: ConstructorParameters<typeof HnswIndex>[0]): HnswIndex =>
      new HnswIndex(options);
    const store = new PointStore(await new RealDisk().openKv(directory));
    const settings = { createIndex, exactCopy: true, headFloatsMax: 2 ** 40 };
    const index = new CollectionIndex(CONFIG, settings);
    const payload = new PayloadIndex(CONFIG.indexedFields);
    const [contents, expiries] = [new ContentHash(), new ExpiryQueue()];
    const place = { collectionId: 1, placementId: 0 };
    const collection = { ...place, config: CONFIG, index, payload, contents, expiries };
    const all = clusteredVectors({ count: RECORDS + QUERIES, dimension: DIMENSION, seed: 11 });
    const random = seededRandom(5);
    let batch = new WriteBatch();
    let payloadMs = 0;
    for (const [at, vector] of all.slice(0, RECORDS).entries()) {
      const rank = random();
      const metadata = encodeStruct({ rank, free: rank, number: at });
      const name = recordName({ slot: 0, tenant: '', id: `record-${at}` });
      const { row } = index.put(name, 1n, vector);
      const startMs = performance.now();
      payload.put(row, '', metadata);
      payloadMs += performance.now() - startMs;
      batch.putRecord(1, name, { version: 1n, metadata, values: floatBytes(vector) });
      if (at % RECORDS_PER_BATCH !== RECORDS_PER_BATCH - 1) continue;
      await store.commit(batch, at);
      batch = new WriteBatch();
    }
    await store.commit(batch, RECORDS);
    const putUs = ((1_000 * payloadMs) / RECORDS).toFixed(2);
    const bytes = Math.round(payload.memoryBytes / RECORDS);
    console.log(`payload index: ${putUs} us a put, ${bytes} bytes a record`);
    while (index.hasWork) index.step();
    const costs = calibrate(clock, createIndex);
    console.log('factors', costs.factors);
    return new FilterBench(collection, store, costs, all.slice(RECORDS));
  }

  async measure(what: string, json: JsonObject): Promise<void> {
    const filter = parseFilter(json, CONFIG.indexedFields);
    const exact = await this.#each((near) => this.#rows(near, filter));
    const graph = await this.#each((near) => this.#graph(near, filter));
    const plans = new Set<string>();
    const chosen = await this.#each(async (near) => {
      const search = new PlannedSearch(this.#collection, near, { filter }, this.#means());
      const hits = await search.run(async (found) => found);
      plans.add(search.trace.plan);
      return hits;
    });
    this.rows.push({
      filter: what,
      'graph us': Math.round(graph.us),
      'graph recall': recall(graph, exact),
      'rows us': Math.round(exact.us),
      'chosen us': Math.round(chosen.us),
      'chosen recall': recall(chosen, exact),
      plan: [...plans].join(' '),
      'over better': (chosen.us / Math.min(graph.us, exact.us)).toFixed(2),
    });
  }

  async close(): Promise<void> {
    await this.#store.close();
  }

  /** The median time of a query, and all hits; the first queries warm up. */
  async #each(search: (near: NearQuery) => Promise<RowHit[]>): Promise<Measured> {
    const hits: RowHit[][] = [];
    const timesUs: number[] = [];
    for (const vector of this.#queries) {
      const near = { vector, k: K, ef: EF };
      if (timesUs.length === 0) await search(near);
      const startMs = performance.now();
      hits.push(await search(near));
      timesUs.push(1_000 * (performance.now() - startMs));
    }
    timesUs.sort((a, b) => a - b);
    return { us: timesUs[timesUs.length >> 1] ?? 0, hits };
  }

  async #graph(near: NearQuery, filter: Filter): Promise<RowHit[]> {
    const matcher = this.#matcher(filter);
    const accept = (row: number): boolean => matcher.matches(row);
    return this.#collection.index.searchNear({ ...near, accept }).hits;
  }

  async #rows(near: NearQuery, filter: Filter): Promise<RowHit[]> {
    const means = this.#means();
    const rows = await matchingRows(this.#collection, this.#matcher(filter), means);
    return this.#collection.index.searchRows({ ...near, rows }, means, async (hits) => hits);
  }

  #matcher(filter: Filter): RowMatcher {
    return new RowMatcher(this.#collection, this.#means().records, { filter });
  }

  #means(): SearchMeans {
    return {
      records: new RecordView(this.#store, () => undefined, 1),
      slices: new Slices({ clock, scheduler }),
      costs: this.#costs,
    };
  }
}

function recall(found: Measured, exact: Measured): string {
  let [hits, wanted] = [0, 0];
  for (const [at, expected] of exact.hits.entries()) {
    const rows = new Set(found.hits[at]?.map(({ row }) => row));
    hits += expected.filter(({ row }) => rows.has(row)).length;
    wanted += expected.length;
  }
  return (wanted === 0 ? 1 : hits / wanted).toFixed(4);
}

const directory = mkdtempSync(join(tmpdir(), 'flotilla-bench-'));
const bench = await FilterBench.build(directory);
for (const share of SHARES) {
  await bench.measure(`declared ${100 * share} %`, { rank: { $lt: share } });
}
await bench.measure('declared, one match', { number: 4_321 });
for (const share of [0.5, 0.1, 0.01]) {
  await bench.measure(`undeclared ${100 * share} %`, { free: { $lt: share } });
}
await bench.measure('undeclared below declared 1 %', { free: { $lt: 0.5 }, rank: { $lt: 0.01 } });
await bench.close();
rmSync(directory, { recursive: true });
console.log(`${RECORDS} records of ${DIMENSION} floats, ef ${EF}, k ${K}`);
console.table(bench.rows);
