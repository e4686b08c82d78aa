/** A collection's index with what is stored beside it, whose searches pause at every look. */
import { expect } from 'vitest';
import { CollectionIndex } from '../../../src/engine/collection-index.js';
import type { RowHit } from '../../../src/engine/graph.js';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import { HnswIndex } from '../../../src/engine/index/hnsw-index.js';
import { distanceTo } from '../../../src/engine/index/meter.js';
import type { ScanMeans } from '../../../src/engine/near-query.js';
import { PointStore } from '../../../src/engine/point-store.js';
import { recordName } from '../../../src/engine/record-name.js';
import { RecordView } from '../../../src/engine/record-view.js';
import { Slices } from '../../../src/engine/slices.js';
import { WriteBatch } from '../../../src/engine/write-batch.js';
import { floatBytes } from '../../../src/shared/bytes.js';
import { MemoryKv } from '../../../src/shared/memory-kv.js';
import type { METRICS } from '../../../src/shared/types.js';
import { collectionConfig } from './shard-driver.js';

export interface RigOptions {
  readonly exactCopy?: boolean;
  readonly dimension?: number;
  readonly metric?: (typeof METRICS)[number];
  readonly kind?: 'flat' | 'hnsw';
}

/** An index, what is stored beside it, and what both should hold. */
export class IndexRig {
  readonly index: CollectionIndex;
  readonly model = new Map<string, Float32Array>();
  readonly #stored = new WriteBatch();
  readonly #records = new RecordView(
    new PointStore(new MemoryKv()),
    (name) => this.#stored.records(1).get(name),
    1,
  );
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

export const vector = (...values: number[]): Float32Array => Float32Array.from(values);
export const keep = async (hits: RowHit[]): Promise<RowHit[]> => hits;
