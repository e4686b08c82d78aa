/** `hnswlib-node` alone, in this thread: what a search costs without records and a network. */
import addon from 'hnswlib-node';

export interface BareIndexOptions {
  readonly dimension: number;
  readonly m: number;
  readonly efConstruction: number;
  /** Vectors that it has room for. */
  readonly capacity: number;
}

/**
 * Squared Euclidean distance; vectors go in under the labels 0, 1, 2, ... The library takes plain
 * arrays only: queries are to be made ones beforehand, as the caller of a library would have them.
 */
export class BareIndex {
  readonly #index: addon.HierarchicalNSW;
  #size = 0;
  #ef = 0;

  constructor({ dimension, m, efConstruction, capacity }: BareIndexOptions) {
    this.#index = new addon.HierarchicalNSW('l2', dimension);
    this.#index.initIndex({ maxElements: capacity, m, efConstruction });
  }

  insert(vector: Float32Array): void {
    this.#index.addPoint(plainArray(vector), this.#size++);
  }

  /** Returns the milliseconds that it took. */
  insertAll(vectors: readonly Float32Array[]): number {
    const startMs = performance.now();
    for (const vector of vectors) this.insert(vector);
    return performance.now() - startMs;
  }

  /** Labels of the nearest `k`, of those that `accept` accepts. */
  search(query: number[], k: number, ef: number, accept?: (label: number) => boolean): number[] {
    if (ef !== this.#ef) this.#index.setEf(ef);
    this.#ef = ef;
    return this.#index.searchKnn(query, k, accept).neighbors;
  }
}

/** The same numbers; several times as fast as `Array.from`. */
export function plainArray(vector: Float32Array): number[] {
  const plain = new Array<number>(vector.length);
  for (let at = 0; at < vector.length; at++) plain[at] = vector[at] as number;
  return plain;
}
