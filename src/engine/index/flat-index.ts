/** The exact twin of the HNSW index: compares the query with every point. */
import { assert } from '../../shared/assert.js';
import { TopK } from '../../shared/heap.js';
import type { Metric } from '../../shared/types.js';
import {
  assertCounts,
  assertLabel,
  assertVector,
  type VectorHits,
  type VectorIndex,
  type VectorIndexOptions,
} from './vector-index.js';
import { distanceTo } from './vector-math.js';

/** A search costs one distance per point; equal distances are ordered by label. */
export class FlatIndex implements VectorIndex {
  readonly dimension: number;
  readonly metric: Metric;
  /** `undefined` for a removed point. */
  readonly #vectors = new Map<number, Float32Array | undefined>();
  #lastLabel = -1;
  #removedCount = 0;
  #disposed = false;

  constructor(options: VectorIndexOptions) {
    this.dimension = options.dimension;
    this.metric = options.metric;
  }

  get size(): number {
    return this.#vectors.size;
  }

  get removedCount(): number {
    return this.#removedCount;
  }

  add(label: number, vector: Float32Array): void {
    assertLabel(label);
    assertVector(vector, this);
    assert(!this.#disposed, 'the index is disposed');
    assert(label > this.#lastLabel, `label ${label} comes after ${this.#lastLabel}`);
    this.#lastLabel = label;
    this.#vectors.set(label, vector.slice());
  }

  remove(label: number): void {
    assert(this.#vectors.get(label) !== undefined, `there is no point ${label}`);
    this.#vectors.set(label, undefined);
    this.#removedCount++;
  }

  search(
    vector: Float32Array,
    k: number,
    ef: number,
    accept: (label: number) => boolean = () => true,
  ): VectorHits {
    assertVector(vector, this);
    assertCounts(k, ef);
    assert(!this.#disposed, 'the index is disposed');
    const distance = distanceTo(this.metric, vector);
    const nearest = new TopK<{ label: number; distance: number }>(
      k,
      (a, b) => a.distance - b.distance || a.label - b.label,
    );
    for (const [label, point] of this.#vectors) {
      if (point === undefined || !accept(label)) continue;
      nearest.offer({ label, distance: distance(point) });
    }
    const hits = nearest.drain();
    return { labels: hits.map((hit) => hit.label), distances: hits.map((hit) => hit.distance) };
  }

  dispose(): void {
    this.#disposed = true;
    this.#vectors.clear();
  }
}
