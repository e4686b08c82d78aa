/**
 * An index of vectors under number labels: the narrow door behind which the native addon lives.
 * Synchronous, used by one thread, held in memory only.
 */
import { assert } from '../../shared/assert.js';
import type { Metric } from '../../shared/types.js';
import { vectorFault } from './vector-math.js';

/** Labels are unsigned 32-bit numbers; the addon would wrap others silently. */
export const LABEL_MAX = 2 ** 32 - 1;

export interface VectorIndexOptions {
  readonly dimension: number;
  readonly metric: Metric;
  /** Links per point and layer. */
  readonly m: number;
  /** Candidates kept while a point is inserted. */
  readonly efConstruction: number;
}

/** The labels and distances of one search, ascending by distance. */
export interface VectorHits {
  readonly labels: readonly number[];
  /** Smaller is closer; `l2` squared, `cosine` 1 - similarity, `dot` minus the product. */
  readonly distances: readonly number[];
}

/**
 * Vectors must have the index's dimension and pass `vectorFault`; `InvariantError` otherwise, with
 * nothing changed: the callers check what users send.
 */
export interface VectorIndex {
  readonly dimension: number;
  readonly metric: Metric;
  /** Points held, removed ones included. */
  readonly size: number;
  /** Points that are removed and still take memory and time. */
  readonly removedCount: number;
  /** Adds a point. Labels ascend: one above all that were used before. */
  add(label: number, vector: Float32Array): void;
  /** Removes a point, which must be there. */
  remove(label: number): void;
  /**
   * The nearest `k` points that are not removed and that `accept` accepts; fewer where there are
   * fewer, and possibly where the index is approximate. `ef` is the number of candidates; at least
   * `k` are used. What `accept` throws is thrown again after the search.
   */
  search(
    vector: Float32Array,
    k: number,
    ef: number,
    accept?: (label: number) => boolean,
  ): VectorHits;
  /** Frees the memory. The index must not be used afterwards. */
  dispose(): void;
}

export type VectorIndexFactory = (options: VectorIndexOptions) => VectorIndex;

/** Throws unless an index of these options may hold or search the vector. */
export function assertVector(
  vector: Float32Array,
  options: { readonly dimension: number; readonly metric: Metric },
): void {
  const fault = vectorFault(vector, options.dimension, options.metric);
  assert(fault === undefined, () => `unchecked vector: ${fault?.message}`);
}

/** Throws unless the number can be a label. */
export function assertLabel(label: number): void {
  const isLabel = Number.isInteger(label) && label >= 0 && label <= LABEL_MAX;
  assert(isLabel, `not a label: ${label}`);
}

/** Throws unless the counts of a search are whole and positive. */
export function assertCounts(k: number, ef: number): void {
  assert(Number.isInteger(k) && k >= 1, `k is ${k}`);
  assert(Number.isInteger(ef) && ef >= 0, `ef is ${ef}`);
}
