/** A collection in memory that can be searched by a chosen plan, and what it should find. */
import { expect } from 'vitest';
import type { Collection } from '../../../../src/engine/collection.js';
import { CollectionIndex } from '../../../../src/engine/collection-index.js';
import type { CostFactors } from '../../../../src/engine/engine.js';
import { FlatIndex } from '../../../../src/engine/index/flat-index.js';
import { distanceTo } from '../../../../src/engine/index/meter.js';
import type { VectorIndexFactory } from '../../../../src/engine/index/vector-index.js';
import { PayloadIndex } from '../../../../src/engine/payload/payload-index.js';
import { CostModel } from '../../../../src/engine/plan/cost-model.js';
import { PlannedSearch, type SearchTrace } from '../../../../src/engine/plan/planned-search.js';
import { PointStore } from '../../../../src/engine/point-store.js';
import { type RecordName, recordName, recordOfName } from '../../../../src/engine/record-name.js';
import { RecordView } from '../../../../src/engine/record-view.js';
import type { Row } from '../../../../src/engine/rows.js';
import { Slices } from '../../../../src/engine/slices.js';
import { WriteBatch } from '../../../../src/engine/write-batch.js';
import { ContentHash } from '../../../../src/engine/writes/content-hash.js';
import { ExpiryQueue } from '../../../../src/engine/writes/expiry-queue.js';
import { floatBytes } from '../../../../src/shared/bytes.js';
import { encodeStruct, type JsonObject } from '../../../../src/shared/codec/struct.js';
import { type Filter, matches } from '../../../../src/shared/filter.js';
import { MemoryDisk } from '../../../../src/shared/memory-disk.js';
import type { IndexedField } from '../../../../src/shared/types.js';
import { engineEnvironment } from '../harness.js';
import { collectionConfig } from '../shard-driver.js';

/** Make the planner take one plan where it has a choice. */
export const GRAPH_IS_CHEAP: CostFactors = { distance: 1e6, visit: 1e-6 };
export const GRAPH_IS_DEAR: CostFactors = { distance: 1e-6, visit: 1e6 };

export interface PlannedQuery {
  readonly vector: Float32Array;
  readonly k: number;
  readonly ef?: number;
  readonly filter?: Filter;
  readonly tenant?: string;
  /** Whether the search is asked first what it can tell now. @default false */
  readonly asksNow?: boolean;
}

interface Model {
  readonly vector: Float32Array;
  readonly tenant: string;
  readonly metadata: JsonObject;
}

export interface FoundHit {
  readonly id: string;
  readonly distance: number;
}

export interface PlannedOptions {
  readonly dimension: number;
  readonly fields: readonly IndexedField[];
  /** @default exact */
  readonly createIndex?: VectorIndexFactory;
  /** @default true */
  readonly exactCopy?: boolean;
}

export class PlannedCollection {
  readonly collection: Collection;
  readonly #disk: MemoryDisk;
  readonly #store: PointStore;
  readonly #pending = new WriteBatch();
  readonly #records = new Map<string, Model>();
  #version = 0n;
  /** Called wherever a search lets others run. */
  whenPaused: () => void = () => undefined;
  /** Called while records are being read. */
  whenRead: () => void = () => undefined;

  private constructor(disk: MemoryDisk, store: PointStore, options: PlannedOptions) {
    const { dimension, fields, createIndex = (shape) => new FlatIndex(shape) } = options;
    const config = collectionConfig({ dimension, indexedFields: fields });
    const { exactCopy = true } = options;
    const settings = { createIndex, exactCopy, headFloatsMax: 2 ** 30 };
    this.#disk = disk;
    this.#store = store;
    this.collection = {
      collectionId: 1,
      config,
      placementId: 0,
      index: new CollectionIndex(config, settings),
      payload: new PayloadIndex(fields),
      contents: new ContentHash(),
      expiries: new ExpiryQueue(),
    };
  }

  static async create(options: PlannedOptions): Promise<PlannedCollection> {
    const disk = new MemoryDisk();
    const store = new PointStore(await disk.openKv('points'));
    return new PlannedCollection(disk, store, options);
  }

  /** Searches find it in the head; `settle` moves it into the graph. */
  put(id: string, vector: Float32Array, metadata: JsonObject, tenant = ''): void {
    const { index } = this.collection;
    this.#add({ id, vector, metadata, tenant }, (name, version) => {
      return index.put(name, version, vector).row;
    });
  }

  /** As a record that an open finds: it waits for the graph outside the head. */
  load(id: string, vector: Float32Array, metadata: JsonObject): void {
    const { index } = this.collection;
    this.#add({ id, vector, metadata, tenant: '' }, (name, version) => {
      return index.load(name, version, vector);
    });
  }

  #add(
    { id, vector, metadata, tenant }: Model & { readonly id: string },
    put: (name: RecordName, version: bigint) => Row,
  ): void {
    const name = recordName({ slot: 0, tenant, id });
    const encoded = encodeStruct(metadata);
    const version = ++this.#version;
    const row = put(name, version);
    this.collection.payload.put(row, tenant, encoded);
    const values = floatBytes(vector).slice();
    this.#pending.putRecord(1, name, { version, values, metadata: encoded });
    this.#records.set(name, { vector, tenant, metadata });
  }

  remove(id: string, tenant = ''): void {
    const name = recordName({ slot: 0, tenant, id });
    const row = this.collection.index.remove(name);
    if (row === undefined) return;
    this.collection.payload.remove(row);
    this.#pending.deleteRecord(1, name);
    this.#records.delete(name);
  }

  settle(): void {
    while (this.collection.index.hasWork) this.collection.index.step();
  }

  /** What the search finds and did. */
  async search(
    query: PlannedQuery,
    factors?: CostFactors,
  ): Promise<{ hits: FoundHit[]; trace: SearchTrace }> {
    const { vector, k, ef = 64, filter, tenant, asksNow = false } = query;
    const selector = { ...(filter && { filter }), ...(tenant !== undefined && { tenant }) };
    const { clock, scheduler } = engineEnvironment(this.#disk);
    const soon = (task: () => void): void => {
      this.whenPaused();
      scheduler.soon(task);
    };
    const means = {
      records: new RecordView(this.#store, (name) => this.#readPending()?.records(1).get(name), 1),
      slices: new Slices({ clock, scheduler: { ...scheduler, soon } }),
      costs: new CostModel(factors),
    };
    const { index } = this.collection;
    const near = { vector, k: Math.min(k, index.size), ef };
    const search = new PlannedSearch(this.collection, near, selector, means);
    if (near.k === 0) return { hits: [], trace: search.trace };
    if (asksNow) search.runNow();
    const hits = await search.run(async (found) =>
      found.map(({ row, distance }) => ({ id: recordOfName(index.rows.nameOf(row)).id, distance })),
    );
    return { hits, trace: search.trace };
  }

  /** How much each search finds of what it should, which it is told or looks for, and its trace. */
  async recallOf(
    queries: readonly PlannedQuery[],
    factors?: CostFactors,
    nearest = queries.map((query) => this.expected(query).slice(0, query.k)),
  ): Promise<{ recall: number; traces: SearchTrace[] }> {
    let [found, wanted] = [0, 0];
    const traces: SearchTrace[] = [];
    for (const [at, query] of queries.entries()) {
      const { hits, trace } = await this.search(query, factors);
      const expected = nearest[at] ?? [];
      expect(hits.length).toBe(expected.length);
      const ids = new Set(hits.map(({ id }) => id));
      found += expected.filter(({ id }) => ids.has(id)).length;
      wanted += expected.length;
      traces.push(trace);
    }
    return { recall: wanted === 0 ? 1 : found / wanted, traces };
  }

  #readPending(): WriteBatch {
    queueMicrotask(() => this.whenRead());
    return this.#pending;
  }

  /** Every record that is selected, nearest first. */
  expected({ vector, filter, tenant }: PlannedQuery): FoundHit[] {
    const { metric, indexedFields } = this.collection.config;
    const distance = distanceTo(metric, vector);
    return [...this.#records]
      .filter(([, record]) => tenant === undefined || record.tenant === tenant)
      .filter(([, { metadata }]) => !filter || matches(filter, metadata, indexedFields))
      .map(([name, record]) => ({ id: recordOfName(name).id, distance: distance(record.vector) }))
      .sort((a, b) => a.distance - b.distance);
  }
}
