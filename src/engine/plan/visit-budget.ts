/**
 * What a search of the graph asks of each point, and may cost. A search cannot be broken off: it
 * ends when it has enough candidates, and it never has where everything is refused. So once it is
 * given up everything is accepted, which ends the search soon; its hits mean nothing then.
 */
import type { Row } from '../rows.js';
import type { FilteredGraphPlan } from './planner.js';
import type { RowMatcher } from './row-matcher.js';

/** Why a search was given up. */
export type GivenUpVisits = 'far' | 'spent';

export class VisitBudget {
  readonly #matcher: Pick<RowMatcher, 'matches'>;
  readonly #plan: Omit<FilteredGraphPlan, 'ef'>;
  #visits = 0;
  #matches = 0;
  #givenUp: GivenUpVisits | undefined;

  constructor(matcher: Pick<RowMatcher, 'matches'>, plan: Omit<FilteredGraphPlan, 'ef'>) {
    this.#matcher = matcher;
    this.#plan = plan;
  }

  /** Rows that were asked for so far. */
  get visits(): number {
    return this.#visits;
  }

  get givenUp(): GivenUpVisits | undefined {
    return this.#givenUp;
  }

  accept(row: Row): boolean {
    if (this.#givenUp !== undefined) return true;
    const { visitsMax, probe } = this.#plan;
    this.#visits++;
    const isMatch = this.#matcher.matches(row);
    if (isMatch) this.#matches++;
    if (this.#visits > visitsMax) this.#givenUp = 'spent';
    else if (this.#visits === probe?.visits && this.#matches < probe.matchesMin) {
      this.#givenUp = 'far';
    }
    return isMatch;
  }
}
