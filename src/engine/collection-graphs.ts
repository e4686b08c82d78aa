/**
 * The graphs of a collection: the one that serves, beside it the next generation while a worn one
 * is renewed, or the one that is loaded to take its place. And what the files allow meanwhile:
 *
 *     file work    rows go into the graph    a renewal begins    may be saved
 *     none         yes                       yes                 yes
 *     writing      no                        no                  no
 *     sealing      yes                       no                  no
 *     restoring    no                        no                  no
 *
 * `writing` is as long as the library needs the graph to be still, `sealing` as long as its labels
 * are listed and the files made durable (H5).
 */
import { assert } from '../shared/assert.js';
import type { Disk } from '../shared/environment.js';
import type { GraphWork } from './engine.js';
import type { Graph } from './graph.js';
import { Renewal } from './renewal.js';
import type { Row } from './rows.js';
import type { SavedLabels } from './saved-labels.js';

/** A graph of fewer tombstones is not worth another one. */
const TOMBSTONES_MIN = 64;
/** Points for each tombstone below which a graph is worn. */
const RENEWAL_POINTS_PER_TOMBSTONE = 5;

/** What is to be written of a collection. */
export interface GraphToSave {
  /** Frozen. */
  readonly graph: Graph;
  readonly labels: SavedLabels;
}

export class CollectionGraphs {
  readonly #create: () => Graph;
  readonly #tombstonesMin: number;
  #serving: Graph;
  #renewal: Renewal | undefined;
  /** The graph that is being loaded. */
  #restored: Graph | undefined;
  #fileWork: 'none' | 'writing' | 'sealing' | 'restoring' = 'none';
  #unsavedInserts = 0;
  /** How many of them the file has that is being made. */
  #insertsInFile = 0;

  /** `tombstonesMin`: a graph that has fewer is not worn. */
  constructor(create: () => Graph, tombstonesMin = TOMBSTONES_MIN) {
    this.#create = create;
    this.#tombstonesMin = tombstonesMin;
    this.#serving = create();
  }

  /** The one that is searched. */
  get serving(): Graph {
    return this.#serving;
  }

  /** What the serving graph is being renewed by. */
  get renewal(): Renewal | undefined {
    return this.#renewal;
  }

  /** Whether a fifth of what serves are tombstones: another one would be better (H3). */
  get isWorn(): boolean {
    const { tombstones, points } = this.#serving;
    if (tombstones < this.#tombstonesMin) return false;
    return tombstones * RENEWAL_POINTS_PER_TOMBSTONE > points;
  }

  /** Whether it is time for `beginRenewal`. */
  get isRenewalDue(): boolean {
    return this.#isIdle && this.isWorn;
  }

  /** Whether no row may go into the graph now. */
  get isFrozen(): boolean {
    return this.#fileWork === 'writing' || this.#fileWork === 'restoring';
  }

  /** Whether the graph that serves is being renewed, or about to be. */
  get isRenewing(): boolean {
    return this.#renewal !== undefined || this.isWorn;
  }

  /** See `GraphWork`. `backlogRows` of those that an open has loaded wait for the graph. */
  workBeside(backlogRows: number): GraphWork | undefined {
    if (this.#fileWork === 'restoring') return 'loading';
    return this.isRenewing || backlogRows > 0 ? 'rebuilding' : undefined;
  }

  /** Inserts that made the serving graph what it is, and that its last checkpoint has not. */
  get unsavedInserts(): number {
    return this.#unsavedInserts;
  }

  /** Of the tables beside the indexes. */
  get memoryBytes(): number {
    const graphs = [this.#serving, this.#renewal?.graph, this.#restored];
    return graphs.reduce((sum, graph) => sum + (graph?.memoryBytes ?? 0), 0);
  }

  /** Puts a row into the graph that serves. */
  insert(row: Row, vector: Float32Array): void {
    this.#serving.insert(row, vector);
    this.#unsavedInserts++;
  }

  /** Takes a row out of all of them. */
  drop(row: Row): void {
    this.#serving.drop(row);
    this.#renewal?.graph.drop(row);
    this.#restored?.drop(row);
  }

  beginRenewal(): void {
    assert(this.isRenewalDue, 'a graph is renewed that is not worn');
    this.#renewal = new Renewal(this.#serving, this.#create());
  }

  /** The new generation, which covers what the worn one does, serves from here on. */
  endRenewal(): void {
    assert(this.#renewal !== undefined, 'no renewal is under way');
    const { graph } = this.#renewal;
    const [covered, renewed] = [this.#serving.size, graph.size];
    assert(covered === renewed, () => `${renewed} of ${covered} rows were renewed`);
    this.#serving.dispose();
    this.#serving = graph;
    this.#renewal = undefined;
    this.#unsavedInserts = renewed;
  }

  /** Whether `beginSave` may be called: not while the graph is loaded or about to be replaced. */
  canSave(disk: Disk): boolean {
    return this.#isIdle && this.#serving.canSave(disk);
  }

  /** Freezes the graph, to be written. */
  beginSave(): GraphToSave {
    assert(this.#isIdle, 'the graph is in use');
    this.#fileWork = 'writing';
    this.#insertsInFile = this.#unsavedInserts;
    return { graph: this.#serving, labels: this.#serving.beginSave() };
  }

  /** The graph is thawed: rows go into it while its file is sealed. */
  endWriting(): void {
    assert(this.#fileWork === 'writing', 'the graph is not being written');
    this.#fileWork = 'sealing';
  }

  /** `isSaved` tells whether there is a file that counts now. */
  endSave(isSaved: boolean): void {
    assert(this.#fileWork === 'sealing', 'the graph is not being saved');
    this.#fileWork = 'none';
    this.#serving.endSave();
    if (isSaved) this.#unsavedInserts -= this.#insertsInFile;
  }

  /** To be called of a graph that is empty: no row goes into it until `endRestore`. */
  awaitRestore(): void {
    assert(this.#serving.points === 0, 'a graph is restored over another one');
    this.#fileWork = 'restoring';
  }

  /** The frozen graph into which the file is to be loaded. Rows that change are dropped from it. */
  beginRestore(): Graph {
    assert(this.#fileWork === 'restoring', 'nothing is to be restored');
    this.#restored = this.#create();
    this.#restored.freeze();
    return this.#restored;
  }

  /** The graph that is loaded and thawed serves from here on, or is given up (H6). */
  endRestore(isRestored: boolean): void {
    const restored = this.#restored;
    this.#restored = undefined;
    this.#fileWork = 'none';
    if (isRestored && restored !== undefined) {
      this.#serving.dispose();
      this.#serving = restored;
    } else restored?.dispose();
  }

  /** Takes effect after what is under way with a file. */
  dispose(): void {
    this.#serving.dispose();
    this.#renewal?.graph.dispose();
    this.#renewal = undefined;
    this.#restored?.dispose();
    this.#restored = undefined;
  }

  /** Whether the serving graph is neither written, loaded nor about to be replaced. */
  get #isIdle(): boolean {
    return this.#fileWork === 'none' && this.#renewal === undefined;
  }
}
