/**
 * An index of vectors under number labels: the narrow door behind which the native addon lives.
 * Used by one thread; synchronous, but for its way to a file and back.
 */
import { assert } from '../../shared/assert.js';
import type { Disk } from '../../shared/environment.js';
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
  /**
   * Smaller is closer; `l2` squared, `cosine` 1 - similarity, `dot` minus the product. As near to
   * the truth as the index keeps vectors: where a copy of them is kept, hits are measured by that.
   */
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
  /**
   * Adds a point, which every later search may find, wherever the index has it by then. Labels
   * ascend: one above all that were used before.
   */
  add(label: number, vector: Float32Array): void;
  /** Removes a point, which must be there. */
  remove(label: number): void;
  /**
   * The nearest `k` points that are not removed and that `accept` accepts; fewer where there are
   * fewer, and possibly where the index is approximate. `ef` is the number of candidates; at least
   * `k` are used. `accept` must not use the index; what it throws is thrown after the search.
   */
  search(
    vector: Float32Array,
    k: number,
    ef: number,
    accept?: (label: number) => boolean,
  ): VectorHits;
  /** Whether `write` and `load` work on this disk: native code needs files that are real. */
  canSave(disk: Disk): boolean;
  /**
   * Writes all points, removed ones too, into a new file, as fast as it can: until it settles `add`
   * and `remove` throw `InvariantError`. Searches go on, and a `dispose` takes effect afterwards.
   * Whatever was at `path` is replaced. Whether the file is whole is for `seal` to say; where
   * either rejects the index is as it was, and nothing is meant by what is at `path`.
   */
  write(disk: Disk, path: string): Promise<WrittenIndex>;
  /**
   * Fills an index that was never used with a file that was sealed, which is read in blocks and
   * checked before anything is taken from it. Labels go on above `saved.lastLabel`. Nothing else
   * may be called until it settles. Rejects with SETTINGS_MISMATCH where the file is of an index
   * of another kind or with other options, and with LOG_DAMAGED where it is not, byte for byte,
   * what was saved; the index is empty and can be used then.
   */
  load(disk: Disk, path: string, saved: SavedIndex): Promise<void>;
  /** Frees the memory. The index must not be used afterwards. */
  dispose(): void;
}

/** A file that an index was written into, and that counts for nothing yet. */
export interface WrittenIndex {
  /**
   * Makes the file durable, and sure that it holds what was written, in slices; its name is the
   * caller's to make durable. The index is not needed for it: it may change, or be disposed of.
   * Rejects where the file is not whole. To be called once.
   */
  seal(): Promise<SavedIndex>;
}

/** What a saved file holds. Plain data; kept beside the file, and asked for to load it. */
export interface SavedIndex {
  /** The implementation and its format: another one cannot load the file. */
  readonly kind: string;
  readonly options: VectorIndexOptions;
  /** Removed ones included. */
  readonly points: number;
  readonly removedPoints: number;
  /** Highest label that was ever used; -1 for none. */
  readonly lastLabel: number;
  readonly sizeBytes: number;
  /** Of the whole file. */
  readonly crc32c: number;
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
