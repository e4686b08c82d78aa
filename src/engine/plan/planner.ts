/** Which plan answers a search: a pure function of what is known before it begins. */
import type { Estimate } from '../payload/candidates.js';
import type { CostModel, CostShape } from './cost-model.js';

/**
 * How a search is begun.
 *
 * `graph`: the filter leaves nothing out. `graph-filtered`: the graph is asked for matches only, up
 * to `visitsMax` points: more would cost more than the exact plan, which is followed then.
 * `graph-checked`: the metadata of the `candidates` nearest are read, from the nearest on; `ef` is
 * so wide that as many matches are among it as the query wants candidates.
 * `exact-rows`: the matches are listed, and the distance of each is computed. `scan`: the same,
 * where metadata must be read to know the matches.
 */
export type Plan = { readonly reason: string } & (
  | { readonly kind: 'graph' | 'exact-rows' | 'scan' }
  | { readonly kind: 'graph-filtered'; readonly visitsMax: number }
  | { readonly kind: 'graph-checked'; readonly candidates: number; readonly ef: number }
);

export interface PlanInput {
  readonly shape: CostShape;
  /** Hits wanted. */
  readonly k: number;
  readonly matches: Estimate;
  /** Listing the rows that may match: the cost that their `Candidates` tell. 0 where they are. */
  readonly listCost: number;
  /** Rows that may match as far as indexes know, at most. */
  readonly possible: number;
  /** Those of which the metadata must be read. 0 where indexes know all. */
  readonly undecided: number;
}

/** Candidates for each hit that is expected among them: matches are not spread evenly. */
const CANDIDATES_PER_HIT = 1.5;

/** Searches of the graph that take this many times what is expected are nothing unusual. */
const SPARE_VISITS = 1.5;

/** What a search of the graph keeps at most: more would hold up the thread for too long. */
export const CANDIDATES_MAX = 8_192;

/**
 * The cheapest plan by the costs of this machine. Few matches make the graph visit many points, up
 * to all of them; many make the exact plan long.
 */
export function choosePlan(input: PlanInput, costs: CostModel): Plan {
  const { shape, matches, undecided, k } = input;
  if (matches.min === shape.records) {
    return { kind: 'graph', reason: 'every record matches' };
  }
  const exactKind = undecided === 0 ? 'exact-rows' : 'scan';
  if (matches.max <= k) {
    return { kind: exactKind, reason: 'there are no more matches than hits wanted' };
  }
  const exactUs =
    costs.listUs(input.listCost) +
    costs.readUs(shape, undecided) +
    costs.rowUs(shape) * matches.expected;
  const { candidates, ef } = candidatesFor(input);
  const graphUs =
    undecided === 0
      ? costs.graphUs(shape, matches.expected)
      : costs.readUs(shape, candidates) + costs.graphUs({ ...shape, ef }, input.possible);
  const told = `${Math.round(graphUs)} us by the graph, ${Math.round(exactUs)} us by exact rows`;
  const reason = `expected are ${told}`;
  if (graphUs >= exactUs || (undecided > 0 && candidates > CANDIDATES_MAX)) {
    return { kind: exactKind, reason };
  }
  if (undecided > 0) return { kind: 'graph-checked', candidates, ef, reason };
  // Where matches lie far from the query the graph visits more; that may cost as much again.
  const expectedVisits = costs.visits(shape, matches.expected);
  const visitsMax = Math.ceil(
    Math.max(SPARE_VISITS * expectedVisits, exactUs / costs.visitUs(shape)),
  );
  return { kind: 'graph-filtered', visitsMax, reason };
}

/** How many of the nearest possible rows have to be read to find `k` matches among them. */
function candidatesFor({ k, shape, matches, possible }: PlanInput): {
  readonly candidates: number;
  readonly ef: number;
} {
  const rowsPerMatch = possible / Math.max(1, matches.expected);
  const wanted = Math.ceil(CANDIDATES_PER_HIT * k * rowsPerMatch) + k;
  const candidates = Math.max(k, Math.min(possible, wanted));
  const ef = Math.min(CANDIDATES_MAX, Math.ceil(shape.ef * rowsPerMatch));
  return { candidates, ef: Math.max(ef, candidates) };
}
