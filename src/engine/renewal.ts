/**
 * A fresh generation that is filled beside the one that serves: with the rows that it covers, one
 * after another, while the rows that come go into both.
 */
import type { Graph } from './graph.js';
import type { Row } from './rows.js';

export class Renewal {
  readonly graph: Graph;
  readonly #worn: Graph;
  /** All rows below it that the worn graph covers are in the new one. */
  #cursor = 0;

  /** `graph` is empty. */
  constructor(worn: Graph, graph: Graph) {
    this.#worn = worn;
    this.graph = graph;
  }

  /** The next row to be copied, below `limit`; `undefined` when all that there are, are. */
  next(limit: number): Row | undefined {
    while (this.#cursor < limit && !this.#isMissing(this.#cursor)) this.#cursor++;
    return this.#cursor < limit ? this.#cursor : undefined;
  }

  /** Up to `count` rows that are to be copied next. */
  coming(count: number, limit: number): Row[] {
    const rows: Row[] = [];
    for (let row = this.#cursor; row < limit && rows.length < count; row++) {
      if (this.#isMissing(row)) rows.push(row);
    }
    return rows;
  }

  #isMissing(row: Row): boolean {
    return this.#worn.covers(row) && !this.graph.covers(row);
  }
}
