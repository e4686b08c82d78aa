/** Which plan answers a search: a pure function of what is known before it begins. */
import type { Estimate } from '../payload/candidates.js';
import type { CostModel, CostShape } from './cost-model.js';

/**
 * How a search is begun.
 *
 * `graph`: the filter leaves nothing out. `graph-filtered`: the graph is asked for matches only,
 * see `FilteredGraphPlan`.
 * `graph-checked`: the metadata of the `candidates` nearest are read, from the nearest on; `ef` is
 * so wide that as many matches are among it as the query wants candidates.
 * `exact-rows`: the matches are listed, and the distance of each is computed. `scan`: the same,
 * where metadata must be read to know the matches.
 */
export type Plan = { readonly reason: string } & (
  | { readonly kind: 'graph' | 'exact-rows' | 'scan' }
  | ({ readonly kind: 'graph-filtered' } & FilteredGraphPlan)
  | { readonly kind: 'graph-checked'; readonly candidates: number; readonly ef: number }
);

/**
 * A search of the graph for matches only. It is given up after `visitsMax` points: more would cost
 * more than the exact plan, which is followed then. It is also given up where hardly any of the
 * first points match: then `chooseFarPlan` says what follows.
 */
export interface FilteredGraphPlan {
  readonly ef: number;
  readonly visitsMax: number;
  readonly probe?: Probe;
}

/** Of the first `visits` points that are met `matchesMin` have to match. */
export interface Probe {
  readonly visits: number;
  readonly matchesMin: number;
}

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

/** The same in points that it asks about, where it is not even expected to need so many. */
const VISITS_IN_ONE_TURN_MAX = 32_768;

/**
 * Among so many points that there should be `PROBE_MATCHES` matches, a filter that has nothing to
 * do with the vectors leaves fewer than `PROBE_MATCHES_MIN` once in ten thousand times.
 */
const PROBE_MATCHES = 16;
const PROBE_MATCHES_MIN = 4;

/**
 * Candidates for each that would do where matches are near. Measured with clusters and with images:
 * where the matches lie away from the query, `ef` finds 0.91 to 0.98 of the nearest ten that it
 * would find elsewhere, 4 x `ef` 0.985, and 8 x `ef` 0.996 or more.
 */
const FAR_CANDIDATES = 8;

/**
 * The cheapest plan by the costs of this machine. Few matches make the graph visit many points, up
 * to all of them; many make the exact plan long.
 */
export function choosePlan(input: PlanInput, costs: CostModel): Plan {
  const { shape, matches, undecided, k } = input;
  if (matches.min === shape.records) {
    return { kind: 'graph', reason: 'every record matches' };
  }
  const exactKind = exactKindOf(input);
  if (matches.max <= k) {
    return { kind: exactKind, reason: 'there are no more matches than hits wanted' };
  }
  const exactUs = exactUsOf(input, costs);
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
  const rowsPerMatch = shape.records / Math.max(1, matches.expected);
  const visits = Math.ceil(PROBE_MATCHES * rowsPerMatch);
  const probe = { visits, matchesMin: PROBE_MATCHES_MIN };
  const visitsMax = visitsMaxOf(input, shape.ef, costs);
  return { kind: 'graph-filtered', ef: shape.ef, visitsMax, probe, reason };
}

/**
 * What follows where the matches turn out to lie away from the query. A graph leads to what is
 * near: it comes upon the first of them by chance, and stops when it has `ef`, with nearer ones
 * elsewhere. It needs many more candidates then, or the exact plan where these would cost more.
 */
export function chooseFarPlan(input: PlanInput, costs: CostModel): Plan {
  const { shape, matches } = input;
  const ef = Math.max(shape.ef, Math.min(CANDIDATES_MAX, FAR_CANDIDATES * shape.ef));
  const graphUs = costs.graphUs({ ...shape, ef }, matches.expected);
  const reason = 'matches lie away from the query';
  if (graphUs >= exactUsOf(input, costs)) return { kind: exactKindOf(input), reason };
  return { kind: 'graph-filtered', ef, visitsMax: visitsMaxOf(input, ef, costs), reason };
}

function exactKindOf({ undecided }: PlanInput): 'exact-rows' | 'scan' {
  return undecided === 0 ? 'exact-rows' : 'scan';
}

/** What the exact plan costs. */
export function exactUsOf(
  { shape, matches, listCost, undecided }: PlanInput,
  costs: CostModel,
): number {
  const readUs = costs.listUs(listCost) + costs.readUs(shape, undecided);
  return readUs + costs.rowUs(shape) * matches.expected;
}

/** More than is expected may be needed, and may cost as much as the exact plan. */
function visitsMaxOf(input: PlanInput, ef: number, costs: CostModel): number {
  const { shape, matches } = input;
  const expected = SPARE_VISITS * costs.visits({ ...shape, ef }, matches.expected);
  const affordable = exactUsOf(input, costs) / costs.visitUs(shape);
  return Math.ceil(Math.max(expected, Math.min(affordable, VISITS_IN_ONE_TURN_MAX)));
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
