/** The nearest vectors by a look at each: what recall is counted against, and the plan to beat. */
import { meterTo } from '../../src/engine/index/meter.js';
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
    const meter = meterTo('l2', query);
    const distances = new Float64Array(2);
    const nearest = new TopK<Neighbour>(k, (a, b) => a.distance - b.distance || a.row - b.row);
    let bound = Number.POSITIVE_INFINITY;
    const offer = (row: number, distance: number): void => {
      if (distance > bound) return;
      nearest.offer({ row, distance });
      bound = nearest.bound?.distance ?? bound;
    };
    for (let at = 0; at < rows.length; at += 2) {
      const row = rows[at] as number;
      const other = rows[at + 1] ?? row;
      const offset = row * this.#dimension;
      const otherOffset = other * this.#dimension;
      meter.two(this.#floats, offset, this.#floats, otherOffset, distances, 0, bound);
      offer(row, distances[0] as number);
      if (other !== row) offer(other, distances[1] as number);
    }
    return nearest.drain().map(({ row }) => row);
  }
}
