/** A vector index with the labels of its records: one generation of a collection's graph. */
import type { Version } from '../shared/types.js';
import type { VectorIndex } from './index/vector-index.js';
import { LabelMap } from './label-map.js';
import type { RecordName } from './record-name.js';

export interface GraphHit {
  readonly name: RecordName;
  readonly version: Version;
  readonly distance: number;
}

export class LabeledGraph {
  readonly #index: VectorIndex;
  readonly #labels = new LabelMap();

  constructor(index: VectorIndex) {
    this.#index = index;
  }

  /** Records in the graph. */
  get records(): number {
    return this.#labels.size;
  }

  /** Points of the graph, removed ones included. */
  get points(): number {
    return this.#index.size;
  }

  get removedPoints(): number {
    return this.#index.removedCount;
  }

  has(name: RecordName): boolean {
    return this.#labels.has(name);
  }

  /** Adds the record or replaces it. Returns whether it was there. */
  put(name: RecordName, version: Version, vector: Float32Array): boolean {
    const existed = this.remove(name);
    this.#index.add(this.#labels.assign(name, version), vector);
    return existed;
  }

  /** Returns whether the record was there. */
  remove(name: RecordName): boolean {
    const label = this.#labels.release(name);
    if (label === undefined) return false;
    this.#index.remove(label);
    return true;
  }

  /** Up to `k` of the nearest records, ascending by distance. May be fewer than there are. */
  search(vector: Float32Array, k: number, ef: number): GraphHit[] {
    const { labels, distances } = this.#index.search(vector, k, ef);
    return labels.map((label, rank) => ({
      name: this.#labels.nameOf(label),
      version: this.#labels.versionOf(label),
      distance: distances[rank] as number,
    }));
  }

  dispose(): void {
    this.#index.dispose();
  }
}
