/** The nearest vectors by a look at each: what recall is counted against, and the plan to beat. */
import { distanceTo } from '../../src/engine/index/vector-math.js';
import { TopK } from '../../src/shared/heap.js';

interface Neighbour {
  readonly row: number;
  readonly distance: number;
}

/** All vectors in one piece of memory. */
export class ExactScan {
  readonly #dimension: number;
  readonly #floats: Float32Array;
  readonly #allRows: Uint32Array;

  constructor(vectors: readonly Float32Array[], dimension: number) {
    this.#dimension = dimension;
    this.#floats = new Float32Array(vectors.length * dimension);
    for (const [row, vector] of vectors.entries()) this.#floats.set(vector, row * dimension);
    this.#allRows = Uint32Array.from(vectors.keys());
  }

  /** By squared Euclidean distance, then row. Costs a distance for each of `rows`. */
  nearest(query: Float32Array, k: number, rows: Uint32Array = this.#allRows): number[] {
    const distance = distanceTo('l2', query);
    const nearest = new TopK<Neighbour>(k, (a, b) => a.distance - b.distance || a.row - b.row);
    let bound = Number.POSITIVE_INFINITY;
    for (let at = 0; at < rows.length; at++) {
      const row = rows[at] as number;
      const found = distance(this.#floats, row * this.#dimension);
      if (found > bound) continue;
      nearest.offer({ row, distance: found });
      bound = nearest.bound?.distance ?? bound;
    }
    return nearest.drain().map(({ row }) => row);
  }
}
