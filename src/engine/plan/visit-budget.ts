/**
 * What a search of the graph asks of each point, and may cost. A search cannot be broken off: it
 * ends when it has enough candidates, and it never has where everything is refused. So once the
 * budget is spent everything is accepted, which ends the search soon; its hits mean nothing then.
 */
import type { Row } from '../rows.js';
import type { RowMatcher } from './row-matcher.js';

export class VisitBudget {
  readonly #matcher: Pick<RowMatcher, 'matches'>;
  readonly #visitsMax: number;
  #visits = 0;

  constructor(matcher: Pick<RowMatcher, 'matches'>, visitsMax: number) {
    this.#matcher = matcher;
    this.#visitsMax = visitsMax;
  }

  /** Rows that were asked for so far. */
  get visits(): number {
    return this.#visits;
  }

  get isSpent(): boolean {
    return this.#visits > this.#visitsMax;
  }

  accept(row: Row): boolean {
    if (this.isSpent) return true;
    this.#visits++;
    return this.#matcher.matches(row);
  }
}
