/**
 * What is searched in a collection: derived data, made anew from the point store at each open.
 * After a snapshot was installed the records are known at once, and the graph is filled with them
 * meanwhile: until it has all of them it finds less than there is.
 *
 * Removed points stay in a graph and cost memory and time. When they are more than half of it, a
 * second graph is built beside the first from a scan of the store, while writes go to both.
 */
import { assert, defined } from '../shared/assert.js';
import type { CollectionConfig, Version } from '../shared/types.js';
import type { VectorIndexFactory } from './index/vector-index.js';
import { type GraphHit, LabeledGraph } from './labeled-graph.js';
import type { RecordName } from './record-name.js';

/** A graph of fewer removed points is not worth a scan. */
const REBUILD_REMOVED_MIN = 64;

interface Rebuild {
  readonly graph: LabeledGraph;
  /** Records written since the scan began: what the scan says of them is old. */
  readonly touched: Set<RecordName>;
}

export class CollectionIndex {
  readonly #config: CollectionConfig;
  readonly #createIndex: VectorIndexFactory;
  #graph: LabeledGraph;
  #rebuild: Rebuild | undefined;
  /** Stored records that the graph does not have yet. */
  readonly #awaited = new Set<RecordName>();
  #isFilling = false;
  #disposed = false;

  constructor(config: CollectionConfig, createIndex: VectorIndexFactory) {
    this.#config = config;
    this.#createIndex = createIndex;
    this.#graph = this.#newGraph();
  }

  /** Live records. */
  get size(): number {
    return this.#graph.records + this.#awaited.size;
  }

  /** Whether the graph has all records, so that a search of it counts. */
  get isComplete(): boolean {
    return this.#awaited.size === 0;
  }

  /** Points in the graph that is searched, removed ones included. */
  get graphPoints(): number {
    return this.#graph.points;
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  has(name: RecordName): boolean {
    return this.#graph.has(name) || this.#awaited.has(name);
  }

  /** Adds the record or replaces it. Returns whether it was there. */
  put(name: RecordName, version: Version, vector: Float32Array): boolean {
    this.#rebuild?.touched.add(name);
    this.#rebuild?.graph.put(name, version, vector);
    const wasAwaited = this.#awaited.delete(name);
    return this.#graph.put(name, version, vector) || wasAwaited;
  }

  /** Returns whether the record was there. */
  remove(name: RecordName): boolean {
    this.#rebuild?.touched.add(name);
    this.#rebuild?.graph.remove(name);
    return this.#awaited.delete(name) || this.#graph.remove(name);
  }

  /** Notes a stored record that the graph gets later. */
  expect(name: RecordName): void {
    this.#awaited.add(name);
  }

  get wantsFilling(): boolean {
    return !this.isComplete && !this.#isFilling && !this.#disposed;
  }

  /** To be called before a scan of all stored records begins. */
  beginFilling(): void {
    this.#isFilling = true;
  }

  /** Takes a record of the scan over, unless it was written since. */
  fill(name: RecordName, version: Version, vector: Float32Array): void {
    if (this.#awaited.delete(name)) this.#graph.put(name, version, vector);
  }

  finishFilling(): void {
    assert(this.isComplete, () => `${this.#awaited.size} records are nowhere to be found`);
    this.#isFilling = false;
  }

  /** See `LabeledGraph.search`. */
  search(vector: Float32Array, k: number, ef: number): GraphHit[] {
    return this.#graph.search(vector, k, ef);
  }

  get wantsRebuild(): boolean {
    const { removedPoints, records } = this.#graph;
    const isWorn = removedPoints >= REBUILD_REMOVED_MIN && removedPoints > records;
    return isWorn && this.isComplete && this.#rebuild === undefined && !this.#disposed;
  }

  /** To be called in the same turn in which a scan of all stored records begins. */
  beginRebuild(): void {
    assert(this.#rebuild === undefined, 'the graph is being rebuilt already');
    this.#rebuild = { graph: this.#newGraph(), touched: new Set() };
  }

  /** Takes a record of the scan over, unless it was written since. */
  addScanned(name: RecordName, version: Version, vector: Float32Array): void {
    const { graph, touched } = defined(this.#rebuild, 'the rebuild');
    if (!touched.has(name)) graph.put(name, version, vector);
  }

  /** From here on the new graph is searched. */
  finishRebuild(): void {
    const { graph } = defined(this.#rebuild, 'the rebuild');
    const { records } = this.#graph;
    assert(graph.records === records, `rebuilt ${graph.records} of ${records} records`);
    this.#graph.dispose();
    this.#graph = graph;
    this.#rebuild = undefined;
  }

  /** Frees the graphs. The index must not be used afterwards. */
  dispose(): void {
    this.#disposed = true;
    this.#graph.dispose();
    this.#rebuild?.graph.dispose();
    this.#rebuild = undefined;
  }

  #newGraph(): LabeledGraph {
    const { dimension, metric, m, efConstruction } = this.#config;
    return new LabeledGraph(this.#createIndex({ dimension, metric, m, efConstruction }));
  }
}
