/**
 * One generation of a collection's graph: a vector index, and which row each of its labels stands
 * for. Labels ascend and are never used again: an update of a row is a new label, and the old one
 * becomes a tombstone, which takes memory and time until the next generation.
 *
 * While its file is written or read it is frozen: nothing is inserted, and what is dropped is
 * hidden from searches at once and made a tombstone when that is over (H5).
 *
 * 4 bytes a row and 4 a label beside the index.
 */
import { assert } from '../shared/assert.js';
import type { Disk } from '../shared/environment.js';
import type { Compare } from '../shared/heap.js';
import type { SavedIndex, VectorIndex, WrittenIndex } from './index/vector-index.js';
import { NONE, RowColumn } from './row-column.js';
import type { Row, RowTable } from './rows.js';
import { SavedLabels } from './saved-labels.js';

export interface RowHit {
  readonly row: Row;
  /** Smaller is closer, in every metric. */
  readonly distance: number;
}

/** What every list of hits is ordered by: distance, then `RowTable.compare`. */
export function hitOrder(table: RowTable): Compare<RowHit> {
  return (a, b) => a.distance - b.distance || table.compare(a.row, b.row);
}

export class Graph {
  readonly #index: VectorIndex;
  readonly #labels = new RowColumn();
  readonly #rows = new RowColumn();
  #nextLabel = 0;
  /** Of a frozen graph: labels that become tombstones when it is thawed. */
  #hidden: Set<number> | undefined;
  /** Of the file that is being made of it. */
  #savedLabels: SavedLabels | undefined;
  #isDisposed = false;

  constructor(index: VectorIndex) {
    this.#index = index;
  }

  /** Rows that it covers. */
  get size(): number {
    return this.points - this.tombstones;
  }

  /** Points of the index, tombstones included. */
  get points(): number {
    return this.#index.size;
  }

  get tombstones(): number {
    return this.#index.removedCount + (this.#hidden?.size ?? 0);
  }

  /** Of the tables beside the index. */
  get memoryBytes(): number {
    return this.#labels.memoryBytes + this.#rows.memoryBytes;
  }

  covers(row: Row): boolean {
    return this.#labels.get(row) !== NONE;
  }

  /** Adds a row that is not covered to a graph that is not frozen: one insert into the index. */
  insert(row: Row, vector: Float32Array): void {
    assert(this.#hidden === undefined, 'an insert into a frozen graph');
    assert(!this.covers(row), () => `row ${row} is in the graph`);
    const label = this.#nextLabel;
    assert(label < NONE, 'the graph has used up its labels');
    this.#index.add(label, vector);
    this.#nextLabel++;
    this.#labels.set(row, label);
    this.#rows.set(label, row);
  }

  /** Makes the row's point a tombstone. Returns whether the row was covered. */
  drop(row: Row): boolean {
    const label = this.#labels.get(row);
    if (label === NONE) return false;
    if (this.#hidden === undefined) this.#index.remove(label);
    else this.#hidden.add(label);
    this.#savedLabels?.noteDropped(label);
    this.#labels.clear(row);
    this.#rows.clear(label);
    return true;
  }

  /**
   * Up to `k` of the nearest rows that it covers and that `accept` accepts, ascending by distance.
   * May be fewer than there are. `accept` is asked as `VectorIndex.search` does.
   */
  search(vector: Float32Array, k: number, ef: number, accept?: (row: Row) => boolean): RowHit[] {
    const acceptLabel = this.#acceptLabel(accept);
    const { labels, distances } = this.#index.search(vector, k, ef, acceptLabel);
    return labels.map((label, rank) => ({
      row: this.#rows.get(label),
      distance: distances[rank] as number,
    }));
  }

  /** Whether `write` and `load` work on this disk. */
  canSave(disk: Disk): boolean {
    return this.#index.canSave(disk);
  }

  /** From here on nothing may be inserted, and what is dropped is hidden, until it is thawed. */
  freeze(): void {
    assert(this.#hidden === undefined, 'the graph is frozen already');
    this.#hidden = new Set();
  }

  /** Makes up to `count` of what is hidden tombstones. Returns whether the graph is thawed. */
  thaw(count: number): boolean {
    if (this.#isDisposed) return true;
    const hidden = this.#hidden ?? new Set();
    let left = count;
    for (const label of hidden) {
      if (left-- === 0) return false;
      this.#index.remove(label);
      hidden.delete(label);
    }
    this.#hidden = undefined;
    return true;
  }

  /**
   * Freezes the graph, to be written as it is. Answers with what the labels of its file stand for,
   * which it keeps up to date until `endSave`.
   */
  beginSave(): SavedLabels {
    this.freeze();
    this.#savedLabels = new SavedLabels(this.#rows, this.#nextLabel);
    return this.#savedLabels;
  }

  /** Writes a graph that `beginSave` has frozen into a new file, see `VectorIndex`. */
  write(disk: Disk, path: string): Promise<WrittenIndex> {
    assert(this.#hidden !== undefined, 'the graph is not frozen');
    return this.#index.write(disk, path);
  }

  /** Nobody asks for the labels any more. */
  endSave(): void {
    this.#savedLabels = undefined;
  }

  /** Lets a label of the file that is loaded next stand for a row, in a graph that is frozen. */
  adopt(label: number, row: Row): void {
    assert(!this.covers(row), () => `row ${row} is in the graph`);
    this.#labels.set(row, label);
    this.#rows.set(label, row);
  }

  /** Makes a label of that file a tombstone, as soon as the graph is thawed. */
  reject(label: number): void {
    assert(this.#hidden !== undefined, 'the graph is not frozen');
    this.#hidden.add(label);
  }

  /**
   * Loads a file into a graph that is frozen and was never used, see `VectorIndex`. Each label that
   * is no tombstone in the file must have been adopted or rejected.
   */
  async load(disk: Disk, path: string, saved: SavedIndex): Promise<void> {
    await this.#index.load(disk, path, saved);
    this.#nextLabel = saved.lastLabel + 1;
  }

  /** Takes effect after a `write` or `load` that is under way. */
  dispose(): void {
    this.#isDisposed = true;
    this.#index.dispose();
  }

  #acceptLabel(accept?: (row: Row) => boolean): ((label: number) => boolean) | undefined {
    if (this.#hidden === undefined || this.#hidden.size === 0) {
      return accept && ((label) => accept(this.#rows.get(label)));
    }
    return (label) => {
      const row = this.#rows.get(label);
      return row !== NONE && (accept === undefined || accept(row));
    };
  }
}
