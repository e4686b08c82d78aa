/**
 * An exact search of many rows, in slices, while rows change in between.
 *
 * What it guarantees (H4): every record that it was given and that lives until it ends is judged by
 * a vector that it had at some moment between start and end; none is given twice; and each hit is
 * told as the record is in the turn in which `finish` is called.
 */
import { defined } from '../shared/assert.js';
import { floatsOf } from '../shared/bytes.js';
import { TopK } from '../shared/heap.js';
import type { Version } from '../shared/types.js';
import { hitOrder, type RowHit } from './graph.js';
import type { Meter } from './index/meter.js';
import type { RecordView } from './record-view.js';
import type { Row, RowTable } from './rows.js';
import { ROWS_PER_LOOK, type Slices } from './slices.js';
import type { VectorArena } from './vector-arena.js';

/**
 * Hits that a search keeps beyond the wanted ones, to begin with: what takes the place of those
 * that change before it ends.
 */
export const SPARE_HITS = 16;

export interface RowScanOptions {
  readonly table: RowTable;
  readonly arena: VectorArena;
  /** Rows in use; must not change while the scan lasts. */
  readonly rows: Uint32Array;
  readonly meter: Meter;
  readonly k: number;
  /** Hits beyond the wanted ones, in the place of those that change before the end. */
  readonly spareHits: number;
  /** Asked in `finish` whether a row still is one of those to search. @default all are */
  readonly accept?: ((row: Row) => boolean) | undefined;
  /** Where vectors are read that the arena does not have. */
  readonly records: RecordView;
  readonly slices: Slices;
}

interface Candidate extends RowHit {
  readonly version: Version;
}

export class RowScan {
  readonly #options: RowScanOptions;
  readonly #kept: number;
  readonly #nearest: TopK<Candidate>;

  constructor(options: RowScanOptions) {
    this.#options = options;
    this.#kept = Math.min(options.k + options.spareHits, options.rows.length);
    this.#nearest = new TopK<Candidate>(this.#kept, hitOrder(options.table));
  }

  /** One distance a row. The caller pins the row table from before until `finish`. */
  async run(): Promise<void> {
    const { rows, slices } = this.#options;
    for (let at = 0; at < rows.length; at += ROWS_PER_LOOK) {
      const page = rows.subarray(at, at + ROWS_PER_LOOK);
      const absent = this.#measureHeld(page);
      if (absent.length > 0) await this.#measureStored(absent);
      if (at + ROWS_PER_LOOK < rows.length && slices.isOver) await slices.pause();
    }
  }

  /** As `run`, in the turn of the call; false, with nothing found, where a vector is not held. */
  runNow(): boolean {
    return this.#measureHeld(this.#options.rows).length === 0;
  }

  /**
   * The nearest `k`, ascending, as they are now; fewer only where there are fewer. `undefined`
   * where more than the spare hits have changed, so that others may be nearer: the search has to be
   * made again, with more of them. With as many as there are rows it never is.
   */
  finish(): RowHit[] | undefined {
    const { table, k, rows, accept = () => true } = this.#options;
    const hits: RowHit[] = [];
    const hasAll = this.#kept === rows.length;
    const changesMax = hasAll ? Number.POSITIVE_INFINITY : this.#kept - k;
    let changes = 0;
    for (const { row, version, distance } of this.#nearest.drain()) {
      const isWanted = table.hasRow(row) && accept(row);
      const isSame = isWanted && table.versionOf(row) === version;
      if (!isSame && ++changes > changesMax) return undefined;
      if (isWanted) hits.push({ row, distance: isSame ? distance : this.#measureNow(row) });
    }
    return hits.sort(hitOrder(table)).slice(0, k);
  }

  /** The distance of a row in use, in the turn of the call. */
  #measureNow(row: Row): number {
    const { table, arena, meter, records } = this.#options;
    if (arena.has(row)) return arena.measure(row, meter);
    const stored = defined(records.readNow(table.nameOf(row)), `stored record of row ${row}`);
    return meter.one(floatsOf(stored.values));
  }

  /** Measures what the arena has; returns the rows that it does not have. */
  #measureHeld(page: Uint32Array): Row[] {
    const { table, arena, meter } = this.#options;
    const absent: Row[] = [];
    const eachHeld = (visit: (row: Row) => void): void => {
      for (let at = 0; at < page.length; at++) {
        const row = page[at] as Row;
        if (arena.has(row)) visit(row);
        else if (table.hasRow(row)) absent.push(row);
      }
    };
    const offer = (row: Row, distance: number): void => this.#offer(row, distance);
    arena.measureEach(eachHeld, meter, offer, () => this.#bound);
    return absent;
  }

  async #measureStored(rows: readonly Row[]): Promise<void> {
    const { table, records, meter } = this.#options;
    const versions = rows.map((row) => table.versionOf(row));
    const values = await records.read(rows.map((row) => table.nameOf(row)));
    for (const [at, row] of rows.entries()) {
      const value = defined(values[at], `stored record of row ${row}`);
      this.#offer(row, meter.one(floatsOf(value.values)), versions[at]);
    }
  }

  /** What is farther is not among the hits. */
  get #bound(): number {
    return this.#nearest.bound?.distance ?? Number.POSITIVE_INFINITY;
  }

  /** `read` is the version that the distance is of, where that is not the one of this turn. */
  #offer(row: Row, distance: number, read?: Version): void {
    if (distance > this.#bound) return;
    // Only now: a version is an object of its own each time it is looked up.
    const version = read ?? this.#options.table.versionOf(row);
    this.#nearest.offer({ row, distance, version });
  }
}
