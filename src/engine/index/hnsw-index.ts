/**
 * Hierarchical navigable small worlds by `hnswlib-node`, behind guards: the addon ends the process
 * on an element that is not a number, on a filter that throws and on a thread that is gone before a
 * search or a file is done, believes every file, and takes NaN and labels above 32 bits without a
 * word.
 */
import { assert, defined, unreachable } from '../../shared/assert.js';
import { MalformedBytesError } from '../../shared/bytes.js';
import type { Disk } from '../../shared/environment.js';
import { FlotillaError, messageOf } from '../../shared/errors.js';
import { LIMITS } from '../../shared/limits.js';
import type { Metric } from '../../shared/types.js';
import { type HierarchicalNSW, loadAddon, type SearchResult, trackFileWork } from './addon.js';
import { checkHnswFile } from './hnsw-file.js';
import { IndexUse } from './index-use.js';
import {
  assertSameContents,
  assertSameIndex,
  assertSize,
  assertWhole,
  type IndexContents,
  readSavedFile,
  SavedFileReader,
} from './saved-file.js';
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
import { DOT_SCALE, squaredLengthOf } from './vector-math.js';

/** Collections are many and mostly small on each shard; memory is taken for what is there. */
const INITIAL_CAPACITY = 64;

/** What `write` writes: hnswlib has no version in its files. */
const KIND = 'hnswlib-0.8';

/** Layers are drawn from a seeded sequence, so that equal inserts make equal graphs. */
const LAYER_SEED = 100;

/**
 * Search and insert grow with the logarithm of the size and linearly with `ef` or
 * `efConstruction`; about 4 x dimension + 9 x m bytes a point. Points of equal distance come in no
 * particular order.
 */
export class HnswIndex implements VectorIndex {
  readonly #options: VectorIndexOptions;
  #graph: HierarchicalNSW;
  /** The addon takes plain arrays; a kept one spares an allocation per call. */
  readonly #plain: number[];
  #capacity = INITIAL_CAPACITY;
  #lastLabel = -1;
  #size = 0;
  #removedCount = 0;
  readonly #use = new IndexUse(() => this.#free());
  /** A filter runs inside the addon, whose memory must not move under it. */
  #isFiltering = false;

  constructor(options: VectorIndexOptions) {
    assertOptions(options);
    this.#options = options;
    this.#plain = new Array<number>(options.dimension).fill(0);
    this.#graph = newGraph(options);
    this.#graph.initIndex({
      maxElements: INITIAL_CAPACITY,
      m: options.m,
      efConstruction: options.efConstruction,
      randomSeed: LAYER_SEED,
      allowReplaceDeleted: false,
    });
  }

  get dimension(): number {
    return this.#options.dimension;
  }

  get metric(): Metric {
    return this.#options.metric;
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
    this.#assertChangeable();
    // An insert under a used label would update in place and revive a removed point.
    assert(label > this.#lastLabel, `label ${label} comes after ${this.#lastLabel}`);
    this.#reserve(this.#size + 1);
    this.#graph.addPoint(this.#plainOf(vector), label);
    this.#lastLabel = label;
    this.#size++;
  }

  remove(label: number): void {
    assertLabel(label);
    this.#assertChangeable();
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
    this.#assertReadable();
    // More than the capacity is an error of the addon, and no more than the live can come.
    const wanted = Math.min(k, this.#size - this.#removedCount);
    if (wanted === 0) return { labels: [], distances: [] };
    this.#graph.setEf(Math.max(ef, wanted));
    const query = this.#plainOf(vector);
    const found =
      accept === undefined
        ? this.#graph.searchKnn(query, wanted)
        : this.#searchFiltered(query, wanted, accept);
    return { labels: found.neighbors, distances: this.#ownDistances(found.distances) };
  }

  canSave(disk: Disk): boolean {
    return disk.nativePath !== undefined;
  }

  /** The addon writes the graph in a thread of its own, mostly into the memory of the system. */
  async write(disk: Disk, path: string): Promise<WrittenIndex> {
    this.#assertChangeable();
    const contents = this.#contents;
    await this.#use.during('writing', () =>
      trackFileWork(this.#graph.writeIndex(nativePathOf(disk, path))),
    );
    const options = this.#options;
    return {
      seal: async () => {
        const written = await checkWritten(disk, path, options, contents);
        return { kind: KIND, options, ...contents, ...written };
      },
    };
  }

  async load(disk: Disk, path: string, saved: SavedIndex): Promise<void> {
    this.#assertChangeable();
    assert(this.#lastLabel === -1, 'only an index that was never used is loaded');
    assertSameIndex(saved, KIND, this.#options);
    const nativePath = nativePathOf(disk, path);
    await this.#use.during('loading', async () => {
      // Only a graph that holds nothing yet: where reading fails, the addon frees another twice.
      const graph = newGraph(this.#options);
      const { capacity } = await readSavedFile(disk, path, async (reader) => {
        assertSize(reader, saved);
        const contents = await checkHnswFile(reader, this.#options);
        assertWhole(reader, contents, saved);
        if (saved.points > 0) await trackFileWork(graph.readIndex(nativePath, false));
        return contents;
      });
      // hnswlib takes no capacity at all from a file without points.
      if (saved.points === 0) return;
      this.#graph = graph;
      this.#capacity = capacity;
      this.#size = saved.points;
      this.#removedCount = saved.removedPoints;
      this.#lastLabel = saved.lastLabel;
    });
  }

  dispose(): void {
    assert(!this.#isFiltering, 'a filter must not use its index');
    this.#use.dispose();
  }

  /** There is no way to free a graph but to replace it; V8 does not see its memory. */
  #free(): void {
    this.#graph.initIndex({ maxElements: 1, m: 2, efConstruction: 1 });
  }

  get #contents(): IndexContents {
    return {
      points: this.#size,
      removedPoints: this.#removedCount,
      lastLabel: this.#lastLabel,
    };
  }

  #assertChangeable(): void {
    this.#assertReadable();
    this.#use.assertChangeable();
  }

  #assertReadable(): void {
    this.#use.assertReadable();
    assert(!this.#isFiltering, 'a filter must not use its index');
  }

  #searchFiltered(query: number[], k: number, accept: (label: number) => boolean): SearchResult {
    const filter = new GuardedFilter(accept);
    this.#isFiltering = true;
    try {
      const found = this.#graph.searchKnn(query, k, filter.call);
      filter.rethrow();
      return found;
    } finally {
      this.#isFiltering = false;
    }
  }

  /** Doubles the capacity ahead of need: an insert into a full graph is an error of the addon. */
  #reserve(size: number): void {
    if (size <= this.#capacity) return;
    const capacity = 2 * this.#capacity;
    this.#graph.resizeIndex(capacity);
    this.#capacity = capacity;
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

function assertOptions({ dimension, m, efConstruction }: VectorIndexOptions): void {
  // With a single link a point the layers have no end; the counts of links have 16 bits.
  assertWithin('m', m, LIMITS.mMin.value, LIMITS.mMax.value);
  assertWithin('efConstruction', efConstruction, 1, LIMITS.efConstructionMax.value);
  assertWithin('the dimension', dimension, 1, LIMITS.dimensionMax.value);
}

/** The addon makes any number a whole one of 32 bits. */
function assertWithin(what: string, value: number, min: number, max: number): void {
  const isWithin = Number.isInteger(value) && value >= min && value <= max;
  assert(isWithin, `${what} is ${value}, not within ${min} and ${max}`);
}

/** Without points or memory for any. */
function newGraph({ metric, dimension }: VectorIndexOptions): HierarchicalNSW {
  const { HierarchicalNSW } = loadAddon();
  return new HierarchicalNSW(metric === 'l2' ? 'l2' : 'ip', dimension);
}

function nativePathOf(disk: Disk, path: string): string {
  return defined(disk.nativePath, 'a disk with real files').call(disk, path);
}

/**
 * Syncs what the addon has written and gives its size and checksum. The addon does not see that a
 * disk is full: rejects with STORE_POISONED where the file does not hold what it should.
 */
async function checkWritten(
  disk: Disk,
  path: string,
  options: VectorIndexOptions,
  wanted: IndexContents,
): Promise<{ sizeBytes: number; crc32c: number }> {
  try {
    const file = await disk.openFile(path, 'write');
    try {
      const reader = new SavedFileReader(file);
      assertSameContents(await checkHnswFile(reader, options), wanted);
      if (reader.remainingBytes > 0) throw new MalformedBytesError('it goes on after its end');
      await file.sync();
      return { sizeBytes: reader.sizeBytes, crc32c: reader.crc32c };
    } finally {
      await file.close();
    }
  } catch (error) {
    const message = `the index file ${path} could not be written: ${messageOf(error)}`;
    throw new FlotillaError('STORE_POISONED', message, { cause: error });
  }
}

/**
 * A filter that never throws across the addon: what it threw is thrown afterwards. The addon cannot
 * be broken off, and looks at every point where all are rejected; so after a throw all are
 * accepted, without being asked about, and it ends after about as many as without a filter.
 */
class GuardedFilter {
  #thrown: { readonly error: unknown } | undefined;
  readonly call: (label: number) => boolean;

  constructor(accept: (label: number) => boolean) {
    this.call = (label) => {
      if (this.#thrown !== undefined) return true;
      try {
        return accept(label) === true;
      } catch (error) {
        this.#thrown = { error };
        return true;
      }
    };
  }

  rethrow(): void {
    if (this.#thrown !== undefined) throw this.#thrown.error;
  }
}
