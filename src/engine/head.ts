/**
 * The rows that the graph does not cover yet, searched exactly, in order of arrival. What entries
 * bring is bounded, because every search reads it: in floats, and in rows where these are short.
 * What an open or an installed snapshot loads waits beside it, as much as there is.
 */
import { RowQueue } from './row-queue.js';
import type { Row } from './rows.js';

/** What a row counts for at least: in shorter vectors finding it costs more than its floats. */
const ROW_FLOATS_MIN = 64;
/** So many rows are searched in no time, whatever their bound. */
const ROWS_MIN = 1_024;

export class ExactHead {
  readonly #dimension: number;
  readonly #floatsMax: number;
  readonly #rowsMax: number;
  #arrivals = new RowQueue();
  #backlog = new RowQueue();
  /** Whether the backlog is next: neither may keep the other waiting. */
  #backlogIsNext = false;

  constructor(dimension: number, floatsMax: number) {
    this.#dimension = dimension;
    this.#floatsMax = floatsMax;
    this.#rowsMax = Math.max(ROWS_MIN, Math.floor(floatsMax / ROW_FLOATS_MIN));
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
    const isWithin = rows <= this.#rowsMax && rows * this.#dimension <= this.#floatsMax;
    return isWithin || this.#arrivals.size === 0;
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
    this.#backlogIsNext = this.#arrivals.has(row);
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
