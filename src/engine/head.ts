/**
 * The rows that the graph does not cover yet, searched exactly, in order of arrival. What entries
 * bring is bounded, because every search reads it: in floats, and in rows where these are short.
 * What an open or an installed snapshot loads waits beside it, as much as there is.
 *
 * While the graph takes no rows, because a file of it is written or read, the head may hold more,
 * up to a second bound. What it holds beyond the first one then goes slowly: of two rows that leave
 * it makes room for one, so that those who write go on at half the rate of the graph instead of
 * waiting until all of it is gone.
 */
import { RowQueue } from './row-queue.js';
import type { Row } from './rows.js';

/** What a row counts for at least: in shorter vectors finding it costs more than its floats. */
const ROW_FLOATS_MIN = 64;
/** So many rows are searched in no time, whatever their bound. */
const ROWS_MIN = 1_024;
/** Rows that have to leave for each that may come, where there are more than the bound says. */
const ROWS_OUT_PER_ROW_IN = 2;

export interface HeadBounds {
  /** Of what entries bring. */
  readonly floatsMax: number;
  /** As much more while the graph takes no rows. @default none */
  readonly spareFloatsMax?: number;
}

export class ExactHead {
  readonly #rowsMax: number;
  readonly #spareRowsMax: number;
  /** Rows that may be here beyond the bound. Not whole: each that leaves takes a part of one. */
  #spareRows = 0;
  #arrivals = new RowQueue();
  #backlog = new RowQueue();
  /** Whether the backlog is next: neither may keep the other waiting. */
  #backlogIsNext = false;

  constructor(dimension: number, { floatsMax, spareFloatsMax = 0 }: HeadBounds) {
    this.#rowsMax = rowsWithin(floatsMax, dimension);
    this.#spareRowsMax = rowsWithin(spareFloatsMax, dimension);
  }

  get size(): number {
    return this.#arrivals.size + this.#backlog.size;
  }

  get backlogSize(): number {
    return this.#backlog.size;
  }

  get memoryBytes(): number {
    return this.#arrivals.memoryBytes + this.#backlog.memoryBytes;
  }

  has(row: Row): boolean {
    return this.#arrivals.has(row) || this.#backlog.has(row);
  }

  /** Whether the row came with an entry. */
  hasArrived(row: Row): boolean {
    return this.#arrivals.has(row);
  }

  /**
   * Whether `count` more rows may arrive. An empty head takes any number: what is more than its
   * bound would wait for ever.
   */
  hasRoomFor(count: number): boolean {
    const rows = this.#arrivals.size + count;
    return rows <= this.#rowsMax + Math.floor(this.#spareRows) || this.#arrivals.size === 0;
  }

  /** From here on rows may come up to the second bound: none goes into the graph. */
  widen(): void {
    this.#spareRows = this.#spareRowsMax;
  }

  /** Rows go into the graph again. Those beyond the first bound have to leave. */
  narrow(): void {
    this.#spareRows = Math.max(0, this.#arrivals.size - this.#rowsMax);
  }

  /** Takes in the row of an entry. One that is there already keeps its place. */
  arrive(row: Row): void {
    if (!this.has(row)) this.#arrivals.push(row);
  }

  /** Takes in a stored row that is loaded. */
  load(row: Row): void {
    this.#backlog.push(row);
  }

  /** The row that is to go into the graph next. */
  get next(): Row | undefined {
    const { first } = this.#arrivals;
    return (this.#backlogIsNext || first === undefined) && this.#backlog.size > 0
      ? this.#backlog.first
      : first;
  }

  /** Takes out the row that has gone into the graph. */
  moved(row: Row): void {
    const hadArrived = this.#arrivals.has(row);
    this.#backlogIsNext = hadArrived;
    if (hadArrived) this.#spareRows = Math.max(0, this.#spareRows - 1 / ROWS_OUT_PER_ROW_IN);
    this.remove(row);
  }

  /** Takes the row out, where it is there. */
  remove(row: Row): void {
    if (this.#arrivals.remove(row) || !this.#backlog.remove(row)) return;
    if (this.#backlog.size === 0) this.#backlog = new RowQueue();
  }

  /** Takes out all rows that a graph covers which takes the place of the one before. */
  removeCovered(covers: (row: Row) => boolean): void {
    this.#arrivals = this.#arrivals.filter((row) => !covers(row));
    this.#backlog = this.#backlog.filter((row) => !covers(row));
  }

  eachArrival(visit: (row: Row) => void): void {
    this.#arrivals.each(visit);
  }

  /** A copy of the rows that were loaded. */
  backlog(): Uint32Array {
    return this.#backlog.toArray();
  }

  each(visit: (row: Row) => void): void {
    this.#arrivals.each(visit);
    this.#backlog.each(visit);
  }
}

/** Rows that may wait where so many floats may. */
function rowsWithin(floats: number, dimension: number): number {
  const countedRows = Math.max(ROWS_MIN, Math.floor(floats / ROW_FLOATS_MIN));
  return Math.min(countedRows, Math.floor(floats / dimension));
}
