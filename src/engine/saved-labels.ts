/**
 * The labels that are no tombstones in the file of a graph, and which rows they stand for: told
 * page by page, while the graph that was written goes on. A label whose row is dropped meanwhile
 * stands for none; those that come later are not in the file. Keeps a number for each drop.
 */
import { NONE, type RowColumn } from './row-column.js';
import type { Row } from './rows.js';

export interface SavedLabel {
  readonly label: number;
  /** `undefined` where it was dropped since. */
  readonly row: Row | undefined;
}

export class SavedLabels {
  readonly #rows: RowColumn;
  readonly #end: number;
  readonly #dropped = new Set<number>();

  /** `rows` is by label, and goes on changing; the file has labels below `end`. */
  constructor(rows: RowColumn, end: number) {
    this.#rows = rows;
    this.#end = end;
  }

  /** To be told of each label that stands for no row any more. */
  noteDropped(label: number): void {
    if (label < this.#end) this.#dropped.add(label);
  }

  /** Up to `count` labels from `first` on, ascending; fewer only at the end. */
  page(first: number, count: number): SavedLabel[] {
    const found: SavedLabel[] = [];
    for (let label = first; label < this.#end && found.length < count; label++) {
      const row = this.#rows.get(label);
      if (row !== NONE) found.push({ label, row });
      else if (this.#dropped.has(label)) found.push({ label, row: undefined });
    }
    return found;
  }
}
