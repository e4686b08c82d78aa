/**
 * What is searched in a collection: derived data, made anew from the point store at each open.
 *
 * A record that is written is found at once, exactly, in the head; the mover takes it from there
 * into the graph, one `step` at a time (H1, H2). When a fifth of the graph's points are tombstones
 * a second generation is filled beside it from the vectors in memory, or in the store where no copy
 * is kept, and takes its place (H3). All of it is synchronous, so that a search in one turn sees
 * one state. Which graph serves, and what may be done to it, is for `CollectionGraphs` to say.
 *
 * A record costs what `RowTable` says, 24 bytes in tables of rows, 4 x dimension bytes with
 * `exactCopy`, and its point in the graph.
 */
import { assert } from '../shared/assert.js';
import { floatsOf } from '../shared/bytes.js';
import type { Disk } from '../shared/environment.js';
import { TopK } from '../shared/heap.js';
import { LIMITS } from '../shared/limits.js';
import type { CollectionConfig, Version } from '../shared/types.js';
import { CollectionGraphs, type GraphToSave } from './collection-graphs.js';
import type { GraphWork } from './engine.js';
import { Graph, hitOrder, type RowHit } from './graph.js';
import { ExactHead } from './head.js';
import { type Meter, meterTo } from './index/meter.js';
import type { VectorIndexFactory } from './index/vector-index.js';
import type { NearHits, NearQuery, ScanMeans } from './near-query.js';
import { nearestInGraph } from './nearest-in-graph.js';
import type { RecordName } from './record-name.js';
import type { RecordValue } from './record-value.js';
import type { Renewal } from './renewal.js';
import { RowScan, SPARE_HITS } from './row-scan.js';
import { type Row, RowTable } from './rows.js';
import { ROWS_PER_LOOK, type Slices } from './slices.js';
import { VectorArena } from './vector-arena.js';

/** Rows of which the vectors are read at once where no copy is kept. */
const RENEWAL_PAGE_ROWS = 64;
/** How many times as many spare hits an exact search keeps at each further attempt. */
const SPARE_GROWTH = 8;
/**
 * How many times its bound a head may hold more while its graph takes no rows: about what comes in
 * the second that a slow disk may take for a large graph.
 */
const SPARE_TIMES = 4;
/** Rows of the backlog that a search reads in one turn. */
const BACKLOG_IN_ONE_TURN_MAX = 1_024;

export interface IndexSettings {
  readonly createIndex: VectorIndexFactory;
  /** Whether the vectors of all rows stay in memory for exact scans, beside the graph's own. */
  readonly exactCopy: boolean;
  /**
   * Bound of the head. It may hold `SPARE_TIMES` as much more, up to LIMITS, while a file of the
   * graph is written or read.
   */
  readonly headFloatsMax: number;
  /** Tombstones below which no graph is made anew, whatever share of it they are. @default 64 */
  readonly renewalTombstonesMin?: number | undefined;
}

export interface IndexStats {
  readonly records: number;
  /** Records that wait for the graph; searches read all of them. */
  readonly headRows: number;
  /** Points in the graph that is searched, tombstones included. */
  readonly graphPoints: number;
  readonly tombstones: number;
  /** Whether a second graph is being filled, or about to be. */
  readonly isRenewing: boolean;
  readonly graphWork?: GraphWork | undefined;
  /** Of rows, head and vectors; without the points of the graph, which are native memory. */
  readonly memoryBytes: number;
}

export class CollectionIndex {
  /** To be read only; `put`, `load` and `remove` change it. */
  readonly rows = new RowTable();
  readonly #config: CollectionConfig;
  readonly #settings: IndexSettings;
  readonly #arena: VectorArena;
  readonly #head: ExactHead;
  readonly #graphs: CollectionGraphs;
  /** Whether the renewal is next, where the head has work too. */
  #renewalIsNext = false;
  /** The row of the head that the new generation has been given, and the old one not yet. */
  #halfMoved: Row | undefined;
  #disposed = false;

  constructor(config: CollectionConfig, settings: IndexSettings) {
    this.#config = config;
    this.#settings = settings;
    this.#arena = new VectorArena(config.dimension);
    const { headFloatsMax: floatsMax } = settings;
    const spareFloatsMax = Math.min(SPARE_TIMES * floatsMax, LIMITS.headSpareFloatsMax.value);
    this.#head = new ExactHead(config.dimension, { floatsMax, spareFloatsMax });
    this.#graphs = new CollectionGraphs(() => this.#newGraph(), settings.renewalTombstonesMin);
  }

  /** Live records. */
  get size(): number {
    return this.rows.size;
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  has(name: RecordName): boolean {
    return this.rows.rowOf(name) !== undefined;
  }

  /** Whether the vectors of all rows are in memory, so that an exact scan reads no store. */
  get keepsVectors(): boolean {
    return this.#settings.exactCopy;
  }

  /** Whether `puts` more records may be put: one that applies entries waits for it (P-10). */
  hasRoomFor(puts: number): boolean {
    return this.#head.hasRoomFor(puts);
  }

  /** Adds the record or replaces it: a copy of the vector, no insert. */
  put(name: RecordName, version: Version, vector: Float32Array): { row: Row; existed: boolean } {
    const placed = this.rows.put(name, version);
    this.#graphs.drop(placed.row);
    this.#arena.put(placed.row, vector);
    this.#head.arrive(placed.row);
    return placed;
  }

  /** Gives a record that is there another version: its vector, and its place, stay as they are. */
  touch(name: RecordName, version: Version): Row {
    const { row, existed } = this.rows.put(name, version);
    assert(existed, () => `${name} is touched, and not there`);
    return row;
  }

  /** Adds a stored record that is not there: it waits for the graph outside the head's bound. */
  load(name: RecordName, version: Version, vector: Float32Array): Row {
    const { row, existed } = this.rows.put(name, version);
    assert(!existed, () => `${name} is loaded twice`);
    this.#arena.put(row, vector);
    this.#head.load(row);
    return row;
  }

  /** Removes the record and returns the row that it had; `undefined` where it was not there. */
  remove(name: RecordName): Row | undefined {
    const row = this.rows.release(name);
    if (row === undefined) return undefined;
    this.#graphs.drop(row);
    this.#head.remove(row);
    this.#arena.release(row);
    return row;
  }

  /**
   * The nearest `k` rows as they are now. Costs a search of the graph, a distance for each row of
   * the head and one for each hit: those of the hits are exact, wherever a copy is kept.
   */
  searchNear(query: NearQuery): NearHits {
    return this.#near(query, (visit) => this.#head.each(visit), []);
  }

  /** As `searchNear`; `undefined` where that would take long, or the graph finds too few. */
  searchNearNow(query: NearQuery): RowHit[] | undefined {
    if (!this.isOneTurn) return undefined;
    const { hits, isShort } = this.searchNear(query);
    return isShort ? undefined : hits;
  }

  /** Whether few enough rows wait for the graph after an open that a search reads all at once. */
  get isOneTurn(): boolean {
    return this.#head.backlogSize <= BACKLOG_IN_ONE_TURN_MAX;
  }

  /**
   * As `searchNear`, for a head that may be long after an open: the rows that were loaded are read
   * in slices first. Calls `take` in the turn in which the hits are right, see `RowScan`.
   */
  async searchNearInSlices<T>(
    query: NearQuery,
    means: ScanMeans,
    take: (near: NearHits) => Promise<T>,
  ): Promise<T> {
    const { accept } = query;
    if (this.isOneTurn) return take(this.searchNear(query));
    // What waits for its turn has no copy of the backlog yet.
    await means.slices.pause();
    if (this.#disposed) return take({ hits: [], isShort: false });
    const backlog = this.#head.backlog();
    const rows = accept === undefined ? backlog : await acceptedRows(backlog, accept, means.slices);
    return this.searchRows({ ...query, rows }, means, (loaded) =>
      take(this.#near(query, (visit) => this.#head.eachArrival(visit), loaded)),
    );
  }

  /**
   * The nearest `k` of the given rows, exactly, with the guarantee of `RowScan`: a distance a row,
   * in slices. `rows` must be in use and stay as they are; they must pass `accept`, which is asked
   * again about those that are found. Calls `take` in the turn in which the hits are right.
   */
  async searchRows<T>(
    { vector, k, rows, accept }: Omit<NearQuery, 'ef'> & { readonly rows: Uint32Array },
    means: ScanMeans,
    take: (hits: RowHit[]) => Promise<T>,
  ): Promise<T> {
    const meter = this.#meterTo(vector);
    const unpin = this.rows.pin();
    try {
      const { rows: table } = this;
      let scanned = rows;
      // More at each attempt: what is nearest may be written all the time.
      for (let spareHits = SPARE_HITS; ; spareHits *= SPARE_GROWTH) {
        const scan = new RowScan({
          table,
          arena: this.#arena,
          rows: scanned,
          meter,
          k,
          spareHits,
          accept,
          ...means,
        });
        await scan.run();
        const hits = scan.finish();
        if (hits !== undefined) return take(hits);
        await means.slices.pause();
        scanned = scanned.filter((row) => table.hasRow(row));
      }
    } finally {
      unpin();
    }
  }

  /** As `searchRows`, in the turn of the call; `undefined` where a vector has to be read. */
  searchRowsNow(
    { vector, k }: Pick<NearQuery, 'vector' | 'k'>,
    rows: Uint32Array,
    { records, slices }: ScanMeans,
  ): RowHit[] | undefined {
    const meter = this.#meterTo(vector);
    const [table, arena] = [this.rows, this.#arena];
    const scan = new RowScan({
      table,
      arena,
      rows,
      meter,
      k,
      spareHits: 0,
      records,
      slices,
    });
    return scan.runNow() ? scan.finish() : undefined;
  }

  /** Whether `step` has something to do. */
  get hasWork(): boolean {
    if (this.#disposed || this.#graphs.isFrozen) return false;
    const { renewal, isRenewalDue } = this.#graphs;
    return this.#head.size > 0 || renewal !== undefined || isRenewalDue;
  }

  /**
   * The records of which `step` needs the vectors: `supply` is to be called with them before it is.
   * Empty wherever a copy is kept.
   */
  missingVectors(): RecordName[] {
    const { renewal } = this.#graphs;
    if (this.#settings.exactCopy || renewal === undefined) return [];
    const { limit } = this.rows;
    const first = renewal.next(limit);
    if (first === undefined || this.#arena.has(first)) return [];
    const coming = renewal.coming(RENEWAL_PAGE_ROWS, limit);
    return coming.filter((row) => !this.#arena.has(row)).map((row) => this.rows.nameOf(row));
  }

  /** Takes what is stored of a missing vector, unless the record was written since. */
  supply(name: RecordName, { version, values }: RecordValue): void {
    const row = this.rows.rowOf(name);
    if (row === undefined || this.rows.versionOf(row) !== version) return;
    if (!this.#arena.has(row)) this.#arena.put(row, floatsOf(values));
  }

  /** A piece of the work that waits: one insert into a graph at most. */
  step(): void {
    if (this.#graphs.isRenewalDue) {
      // Which vectors it needs first is asked before the next step.
      this.#graphs.beginRenewal();
      return;
    }
    const { renewal } = this.#graphs;
    const half = this.#halfMoved;
    const row = this.#head.next;
    this.#halfMoved = undefined;
    if (half !== undefined && this.#head.has(half) && renewal?.graph.covers(half)) {
      this.#cover(half);
    } else if (renewal === undefined) {
      if (row !== undefined) this.#cover(row);
    } else if (row === undefined || this.#renewalIsNext) {
      this.#renew(renewal);
    } else {
      renewal.graph.insert(row, this.#arena.at(row));
      this.#halfMoved = row;
      this.#renewalIsNext = true;
    }
  }

  /** Rows that wait for the graph. */
  get waitingRows(): number {
    return this.#head.size;
  }

  /** Rows that the graph covers. */
  get coveredRows(): number {
    return this.#graphs.serving.size;
  }

  /** See `CollectionGraphs`. */
  get unsavedInserts(): number {
    return this.#graphs.unsavedInserts;
  }

  /** Whether `beginSave` may be called. */
  canSave(disk: Disk): boolean {
    return !this.#disposed && this.#graphs.canSave(disk);
  }

  /** Freezes the graph, to be written: rows wait in the head, which may hold more then (H5). */
  beginSave(): GraphToSave {
    this.#head.widen();
    return this.#graphs.beginSave();
  }

  /** The graph is written, or that has failed, and it is thawed: rows go into it again. */
  endWriting(): void {
    this.#graphs.endWriting();
    this.#head.narrow();
  }

  /** The file counts now, where `isSaved`, or is given up. */
  endSave(isSaved: boolean): void {
    this.#graphs.endSave(isSaved);
  }

  /** To be called of a graph that is empty: rows wait in the head until `endRestore`. */
  awaitRestore(): void {
    this.#head.widen();
    this.#graphs.awaitRestore();
  }

  /** The frozen graph into which the file is to be loaded. Rows that change are dropped from it. */
  beginRestore(): Graph {
    return this.#graphs.beginRestore();
  }

  /** The graph that is loaded and thawed serves from here on, or is given up (H6). */
  endRestore(isRestored: boolean): void {
    this.#graphs.endRestore(isRestored);
    if (isRestored) this.#head.removeCovered((row) => this.#graphs.serving.covers(row));
    this.#head.narrow();
  }

  /** Frees the vectors of rows from `first` to before `end` that the graph covers. */
  releaseCovered(first: Row, end: Row): void {
    for (let row = first; row < end; row++) {
      if (this.#graphs.serving.covers(row)) this.#arena.release(row);
    }
  }

  stats(): IndexStats {
    const { serving, isRenewing, memoryBytes } = this.#graphs;
    return {
      records: this.rows.size,
      headRows: this.#head.size,
      graphPoints: serving.points,
      tombstones: serving.tombstones,
      isRenewing,
      graphWork: this.#graphs.workBeside(this.#head.backlogSize),
      memoryBytes:
        this.rows.memoryBytes + this.#arena.memoryBytes + this.#head.memoryBytes + memoryBytes,
    };
  }

  /** Frees the graphs. A search that is under way finds nothing; no other call may be made. */
  dispose(): void {
    this.#disposed = true;
    this.rows.clear();
    this.#graphs.dispose();
  }

  /**
   * Merges the hits of the graph, the rows that `eachHeadRow` visits, and hits among the loaded
   * rows, which may have been written or have gone into the graph since they were found.
   */
  #near(
    query: NearQuery,
    eachHeadRow: (visit: (row: Row) => void) => void,
    loaded: readonly RowHit[],
  ): NearHits {
    if (this.#disposed) return { hits: [], isShort: false };
    const { vector, k, accept } = query;
    const meter = this.#meterTo(vector);
    const nearest = new TopK<RowHit>(k, hitOrder(this.rows));
    const { serving } = this.#graphs;
    const found = nearestInGraph(serving, query, (hits) => this.#told(hits, meter));
    for (const hit of found) nearest.offer(hit);
    const known = new Set(loaded.length === 0 ? [] : found.map(({ row }) => row));
    for (const hit of loaded) {
      if (!known.has(hit.row) && !this.#head.hasArrived(hit.row)) nearest.offer(hit);
    }
    const eachAccepted = (visit: (row: Row) => void): void =>
      eachHeadRow((row) => {
        if (accept === undefined || accept(row)) visit(row);
      });
    const bound = (): number => nearest.bound?.distance ?? Number.POSITIVE_INFINITY;
    const offer = (row: Row, distance: number): void => {
      if (distance <= bound()) nearest.offer({ row, distance });
    };
    this.#arena.measureEach(eachAccepted, meter, offer, bound);
    return { hits: nearest.drain(), isShort: found.length < Math.min(k, serving.size) };
  }

  /** The same rows, by the vectors that are here: those of others stay as the graph says. */
  #told(hits: readonly RowHit[], meter: Meter): RowHit[] {
    const told: RowHit[] = [];
    const eachHeld = (visit: (row: Row) => void): void => {
      for (const hit of hits) {
        if (this.#arena.has(hit.row)) visit(hit.row);
        else told.push(hit);
      }
    };
    this.#arena.measureEach(eachHeld, meter, (row, distance) => told.push({ row, distance }));
    return told;
  }

  #meterTo(vector: Float32Array): Meter {
    return meterTo(this.#config.metric, vector);
  }

  /** Moves a row of the head into the graph that is searched. */
  #cover(row: Row): void {
    this.#graphs.insert(row, this.#arena.at(row));
    this.#head.moved(row);
    if (!this.#settings.exactCopy) this.#arena.release(row);
  }

  /** Copies a row into the new generation, or puts that in the place of the old one. */
  #renew(renewal: Renewal): void {
    this.#renewalIsNext = false;
    const row = renewal.next(this.rows.limit);
    if (row === undefined) {
      this.#graphs.endRenewal();
      return;
    }
    renewal.graph.insert(row, this.#arena.at(row));
    if (!this.#settings.exactCopy) this.#arena.release(row);
  }

  #newGraph(): Graph {
    const { dimension, metric, m, efConstruction } = this.#config;
    return new Graph(this.#settings.createIndex({ dimension, metric, m, efConstruction }));
  }
}

/** Those that are accepted, each asked in some turn: others run in between. */
async function acceptedRows(
  rows: Uint32Array,
  accept: (row: Row) => boolean,
  slices: Slices,
): Promise<Uint32Array> {
  const accepted = new Uint32Array(rows.length);
  let count = 0;
  for (const [at, row] of rows.entries()) {
    if (accept(row)) accepted[count++] = row;
    if (at % ROWS_PER_LOOK === 0 && slices.isOver) await slices.pause();
  }
  return accepted.subarray(0, count);
}
