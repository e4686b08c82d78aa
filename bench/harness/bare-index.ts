/** `hnswlib-node` alone, in this thread: what a search costs without records and a network. */
import addon from 'hnswlib-node';
import type { Dataset } from './dataset.js';

export interface BareIndexOptions {
  readonly m: number;
  readonly efConstruction: number;
  /** Candidates of every search. */
  readonly ef: number;
}

export interface BareIndex {
  readonly insertsPerSecond: number;
  /** Rows of the nearest `k`. */
  readonly search: (vector: Float32Array, k: number) => number[];
}

/** Squared Euclidean distance. Blocks while it inserts all vectors. */
export function buildBareIndex({ base, dimension }: Dataset, options: BareIndexOptions): BareIndex {
  const { m, efConstruction, ef } = options;
  const index = new addon.HierarchicalNSW('l2', dimension);
  index.initIndex({ maxElements: base.length, m, efConstruction });
  const startMs = performance.now();
  for (const [row, vector] of base.entries()) index.addPoint(Array.from(vector), row);
  const insertsPerSecond = Math.round((base.length * 1_000) / (performance.now() - startMs));
  index.setEf(ef);
  return {
    insertsPerSecond,
    search: (vector, k) => index.searchKnn(Array.from(vector), k).neighbors,
  };
}
