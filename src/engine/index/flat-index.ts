/** The exact twin of the HNSW index: compares the query with every point. */
import { assert } from '../../shared/assert.js';
import type { Disk } from '../../shared/environment.js';
import { TopK } from '../../shared/heap.js';
import type { Metric } from '../../shared/types.js';
import { readFlatFile, writeFlatFile } from './flat-file.js';
import { IndexUse } from './index-use.js';
import { distanceTo } from './meter.js';
import { assertSameIndex, assertSize, assertWhole, readSavedFile, syncFile } from './saved-file.js';
import {
  assertCounts,
  assertLabel,
  assertVector,
  type SavedIndex,
  type VectorHits,
  type VectorIndex,
  type VectorIndexOptions,
  type WrittenIndex,
} from './vector-index.js';

const KIND = 'flat-1';

/** A search costs one distance per point; equal distances are ordered by label. */
export class FlatIndex implements VectorIndex {
  readonly #options: VectorIndexOptions;
  /** `undefined` for a removed point. */
  #vectors = new Map<number, Float32Array | undefined>();
  #lastLabel = -1;
  #removedCount = 0;
  readonly #use = new IndexUse(() => this.#vectors.clear());

  constructor(options: VectorIndexOptions) {
    this.#options = options;
  }

  get dimension(): number {
    return this.#options.dimension;
  }

  get metric(): Metric {
    return this.#options.metric;
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
    this.#use.assertChangeable();
    assert(label > this.#lastLabel, `label ${label} comes after ${this.#lastLabel}`);
    this.#lastLabel = label;
    this.#vectors.set(label, vector.slice());
  }

  remove(label: number): void {
    this.#use.assertChangeable();
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
    this.#use.assertReadable();
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

  canSave(): boolean {
    return true;
  }

  async write(disk: Disk, path: string): Promise<WrittenIndex> {
    const contents = {
      points: this.size,
      removedPoints: this.#removedCount,
      lastLabel: this.#lastLabel,
    };
    const options = this.#options;
    const written = await this.#use.during('writing', () =>
      writeFlatFile(disk, path, this.#vectors, this.dimension),
    );
    return {
      seal: async () => {
        await syncFile(disk, path, written.sizeBytes);
        return { kind: KIND, options, ...contents, ...written };
      },
    };
  }

  async load(disk: Disk, path: string, saved: SavedIndex): Promise<void> {
    this.#use.assertChangeable();
    assert(this.#lastLabel === -1, 'only an index that was never used is loaded');
    assertSameIndex(saved, KIND, this.#options);
    await this.#use.during('loading', async () => {
      const contents = await readSavedFile(disk, path, async (reader) => {
        assertSize(reader, saved);
        const read = await readFlatFile(reader, this.dimension);
        assertWhole(reader, read, saved);
        return read;
      });
      this.#vectors = contents.vectors;
      this.#lastLabel = contents.lastLabel;
      this.#removedCount = contents.removedPoints;
    });
  }

  dispose(): void {
    this.#use.dispose();
  }
}
