/**
 * Hierarchical navigable small worlds by `hnswlib-node`, behind guards: the addon ends the process
 * on an element that is not a number, on a filter that throws and on a thread that is terminated
 * inside a search, and takes NaN and labels above 32 bits without a word. This is the only file
 * that imports it.
 */
import addon from 'hnswlib-node';
import { assert, unreachable } from '../../shared/assert.js';
import type { Metric } from '../../shared/types.js';
import {
  assertCounts,
  assertLabel,
  assertVector,
  type VectorHits,
  type VectorIndex,
  type VectorIndexOptions,
} from './vector-index.js';
import { DOT_SCALE, squaredLengthOf } from './vector-math.js';

/** Collections are many and mostly small on each shard; memory is taken for what is there. */
const INITIAL_CAPACITY = 64;

/** Layers are drawn from a seeded sequence, so that equal inserts make equal graphs. */
const LAYER_SEED = 100;

/**
 * Search and insert grow with the logarithm of the size and linearly with `ef` or
 * `efConstruction`; about 4 x dimension + 9 x m bytes a point. Points of equal distance come in no
 * particular order.
 */
export class HnswIndex implements VectorIndex {
  readonly dimension: number;
  readonly metric: Metric;
  readonly #graph: addon.HierarchicalNSW;
  /** The addon takes plain arrays; a kept one spares an allocation per call. */
  readonly #plain: number[];
  #capacity = INITIAL_CAPACITY;
  #lastLabel = -1;
  #size = 0;
  #removedCount = 0;
  #disposed = false;

  constructor(options: VectorIndexOptions) {
    // With a single link a point the layers have no end.
    assert(options.m >= 2 && options.efConstruction >= 1, 'm and efConstruction are too small');
    this.dimension = options.dimension;
    this.metric = options.metric;
    this.#plain = new Array<number>(options.dimension).fill(0);
    this.#graph = new addon.HierarchicalNSW(
      options.metric === 'l2' ? 'l2' : 'ip',
      options.dimension,
    );
    this.#graph.initIndex({
      maxElements: INITIAL_CAPACITY,
      m: options.m,
      efConstruction: options.efConstruction,
      randomSeed: LAYER_SEED,
      allowReplaceDeleted: false,
    });
  }

  get size(): number {
    return this.#size;
  }

  get removedCount(): number {
    return this.#removedCount;
  }

  add(label: number, vector: Float32Array): void {
    assertLabel(label);
    assertVector(vector, this);
    // An insert under a used label would update in place and revive a removed point.
    assert(label > this.#lastLabel, `label ${label} comes after ${this.#lastLabel}`);
    this.#reserve(this.#size + 1);
    this.#graph.addPoint(this.#plainOf(vector), label);
    this.#lastLabel = label;
    this.#size++;
  }

  remove(label: number): void {
    assertLabel(label);
    assert(!this.#disposed, 'the index is disposed');
    // The addon itself refuses, with an error that is safe, a label without a point.
    this.#graph.markDelete(label);
    this.#removedCount++;
  }

  search(
    vector: Float32Array,
    k: number,
    ef: number,
    accept?: (label: number) => boolean,
  ): VectorHits {
    assertVector(vector, this);
    assertCounts(k, ef);
    assert(!this.#disposed, 'the index is disposed');
    // More than the capacity is an error of the addon, and no more than the live can come.
    const wanted = Math.min(k, this.#size - this.#removedCount);
    if (wanted === 0) return { labels: [], distances: [] };
    this.#graph.setEf(Math.max(ef, wanted));
    const filter = accept === undefined ? undefined : new GuardedFilter(accept);
    const query = this.#plainOf(vector);
    const found = this.#graph.searchKnn(query, wanted, filter?.call);
    filter?.rethrow();
    return { labels: found.neighbors, distances: this.#ownDistances(found.distances) };
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    // There is no way to free a graph but to replace it; V8 does not see its memory.
    this.#graph.initIndex({ maxElements: 1, m: 2, efConstruction: 1 });
  }

  /** Doubles the capacity ahead of need: an insert into a full graph is an error of the addon. */
  #reserve(size: number): void {
    assert(!this.#disposed, 'the index is disposed');
    if (size <= this.#capacity) return;
    this.#capacity *= 2;
    this.#graph.resizeIndex(this.#capacity);
  }

  /** The floats as a plain array, of length 1 under cosine. Valid until the next call. */
  #plainOf(vector: Float32Array): number[] {
    const scale = this.#scaleOf(vector);
    const plain = this.#plain;
    for (let at = 0; at < vector.length; at++) plain[at] = (vector[at] as number) * scale;
    return plain;
  }

  #scaleOf(vector: Float32Array): number {
    switch (this.metric) {
      case 'l2':
        return 1;
      case 'cosine':
        return 1 / Math.sqrt(squaredLengthOf(vector));
      case 'dot':
        return DOT_SCALE;
      default:
        return unreachable(this.metric);
    }
  }

  /** The addon's `ip` distance is 1 - product: right for cosine, to be undone for dot. */
  #ownDistances(distances: number[]): number[] {
    if (this.metric !== 'dot') return distances;
    return distances.map((distance) => Math.fround((distance - 1) / (DOT_SCALE * DOT_SCALE)));
  }
}

/** A filter that never throws across the addon: it rejects, and throws afterwards. */
class GuardedFilter {
  #thrown: { readonly error: unknown } | undefined;
  readonly call: (label: number) => boolean;

  constructor(accept: (label: number) => boolean) {
    this.call = (label) => {
      if (this.#thrown !== undefined) return false;
      try {
        return accept(label) === true;
      } catch (error) {
        this.#thrown = { error };
        return false;
      }
    };
  }

  rethrow(): void {
    if (this.#thrown !== undefined) throw this.#thrown.error;
  }
}
