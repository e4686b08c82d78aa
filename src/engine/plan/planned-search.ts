/**
 * A search among all records, or those that a filter and a tenant select: plans, runs, and goes
 * over to the exact plan where the graph falls short, so that what it finds is right however few
 * match (Q1).
 */
import { unreachable } from '../../shared/assert.js';
import type { Collection } from '../collection.js';
import type { Explanation, PlanKind } from '../engine.js';
import type { RowHit } from '../graph.js';
import type { NearQuery, ScanMeans } from '../near-query.js';
import { SPARE_HITS } from '../row-scan.js';
import type { Row } from '../rows.js';
import type { CostModel, CostShape } from './cost-model.js';
import { estimateMatches } from './match-estimate.js';
import { firstMatching, matchingRows } from './matching-rows.js';
import {
  CANDIDATES_MAX,
  chooseFarPlan,
  choosePlan,
  exactUsOf,
  type FilteredGraphPlan,
  type Plan,
  type PlanInput,
} from './planner.js';
import { RowMatcher, type RowSelector } from './row-matcher.js';
import { VisitBudget } from './visit-budget.js';

/** How many times as many candidates are looked at where too few of them matched. */
const WIDER = 4;

/** What a search that is run in one turn may cost by the model: about what the graph takes. */
const ONE_TURN_MAX_US = 1_000;

/** What a search needs beside the collection. */
export interface SearchMeans extends ScanMeans {
  readonly costs: CostModel;
}

/** What a search did, as far as it is its own to tell. */
export type SearchTrace = Pick<
  Explanation,
  'plan' | 'reason' | 'estimatedMatches' | 'matches' | 'visited' | 'compared'
>;

/** Takes the hits in the turn in which they are right. */
type Take<T> = (hits: RowHit[]) => Promise<T>;

/**
 * One query, run once. Costs by the model at most about twice what the better plan does: the graph
 * is given up when it has cost as much as the exact plan would have, or shows early that the
 * matches lie elsewhere.
 */
export class PlannedSearch {
  readonly #collection: Collection;
  readonly #query: NearQuery;
  readonly #means: SearchMeans;
  readonly #matcher: RowMatcher;
  #plan: PlanKind = 'graph';
  #reason = 'there are no records';
  #estimatedMatches = 0;
  #matches: number | undefined = 0;
  #visited = 0;
  #compared = 0;
  #choice: { readonly plan: Plan; readonly input: PlanInput } | undefined;

  constructor(collection: Collection, query: NearQuery, selector: RowSelector, means: SearchMeans) {
    this.#collection = collection;
    this.#query = query;
    this.#means = means;
    this.#matcher = new RowMatcher(collection, means.records, selector);
  }

  get trace(): SearchTrace {
    return {
      plan: this.#plan,
      reason: this.#reason,
      estimatedMatches: this.#estimatedMatches,
      ...(this.#matches !== undefined && { matches: this.#matches }),
      visited: this.#visited + this.#matcher.reads,
      compared: this.#compared,
    };
  }

  /**
   * What `run` finds, in the turn of the call: where all records match, or indexes tell the matches
   * and they are few. `undefined` otherwise, and where the graph falls short.
   */
  runNow(): RowHit[] | undefined {
    const { possible, isExact } = this.#matcher.resolution;
    if (!isExact) return undefined;
    const { index } = this.#collection;
    const { plan, input } = this.#chosen;
    switch (plan.kind) {
      case 'graph':
        return index.searchNearNow(this.#query);
      case 'exact-rows': {
        if (exactUsOf(input, this.#means.costs) > ONE_TURN_MAX_US) return undefined;
        return index.searchRowsNow(this.#query, possible.rows().toRows(), this.#means);
      }
      case 'graph-filtered':
      case 'graph-checked':
      case 'scan':
        return undefined;
      default:
        return unreachable(plan);
    }
  }

  /** Finds the nearest matches, in `hitOrder`; by the plan that `runNow` chose, where it did. */
  async run<T>(take: Take<T>): Promise<T> {
    const { plan, input } = this.#chosen;
    switch (plan.kind) {
      case 'graph':
        return this.#searchGraph(take);
      case 'graph-filtered':
        return this.#searchFilteredGraph(plan, input, take);
      case 'graph-checked':
        return this.#searchCheckedGraph(plan.candidates, plan.ef, take);
      case 'exact-rows':
      case 'scan':
        return this.#searchRows(take);
      default:
        return unreachable(plan);
    }
  }

  /** Chosen once: to estimate how many match may cost half as much as a search. */
  get #chosen(): { readonly plan: Plan; readonly input: PlanInput } {
    this.#choice ??= this.#choosePlan();
    return this.#choice;
  }

  #choosePlan(): { readonly plan: Plan; readonly input: PlanInput } {
    const shape = this.#shape;
    const known = estimateMatches(this.#matcher, shape, this.#means.costs);
    const { matches } = known;
    this.#estimatedMatches = Math.round(matches.expected);
    this.#matches = matches.min === matches.max ? matches.min : undefined;
    const input = { shape, k: this.#query.k, ...known };
    const plan = choosePlan(input, this.#means.costs);
    this.#plan = plan.kind === 'graph-checked' ? 'graph-filtered' : plan.kind;
    this.#reason = plan.reason;
    return { plan, input };
  }

  get #shape(): CostShape {
    const { index, config } = this.#collection;
    const { ef, k } = this.#query;
    return {
      records: index.size,
      dimension: config.dimension,
      ef: Math.max(ef, k),
      exactCopy: index.keepsVectors,
    };
  }

  /** Asks nothing of the points, and so has to look at the hits: records may have changed. */
  #searchGraph<T>(take: Take<T>): Promise<T> {
    return this.#collection.index.searchNearInSlices(this.#query, this.#means, (near) => {
      if (near.isShort) return this.#fallBack('the graph found too few', take);
      if (near.hits.every(({ row }) => this.#matcher.matches(row))) return take(near.hits);
      return this.#fallBack('records changed meanwhile', take);
    });
  }

  #searchFilteredGraph<T>(plan: FilteredGraphPlan, input: PlanInput, take: Take<T>): Promise<T> {
    const { index } = this.#collection;
    const budget = new VisitBudget(this.#matcher, plan);
    const acceptPoint = (row: Row): boolean => budget.accept(row);
    // What the graph does not cover says nothing about where its matches are (Q5).
    const accept = (row: Row): boolean => this.#matcher.matches(row);
    const query = { ...this.#query, ef: plan.ef, accept, acceptPoint };
    return index.searchNearInSlices(query, this.#means, (near) => {
      this.#visited += budget.visits;
      switch (budget.givenUp) {
        case 'far':
          return this.#searchFar(input, take);
        case 'spent':
          return this.#fallBack(`the graph was given up after ${budget.visits} points`, take);
        case undefined:
          return near.isShort ? this.#fallBack('the graph found too few', take) : take(near.hits);
        default:
          return unreachable(budget.givenUp);
      }
    });
  }

  #searchFar<T>(input: PlanInput, take: Take<T>): Promise<T> {
    const plan = chooseFarPlan(input, this.#means.costs);
    if (plan.kind !== 'graph-filtered') return this.#fallBack(plan.reason, take);
    this.#reason = `${this.#reason}; ${plan.reason}: ${plan.ef} candidates`;
    return this.#searchFilteredGraph(plan, input, take);
  }

  /** Reads the metadata of what is nearest, from the nearest on, until enough of it matches. */
  async #searchCheckedGraph<T>(candidates: number, ef: number, take: Take<T>): Promise<T> {
    const { index, payload } = this.#collection;
    const { k } = this.#query;
    const { changes } = payload;
    const accept = (row: Row): boolean => this.#matcher.isPossible(row);
    const near = { ...this.#query, k: candidates, ef, accept };
    const found = await index.searchNearInSlices(near, this.#means, async (nearest) => nearest);
    if (found.isShort) return this.#fallBack('the graph found too few', take);
    const matching = await this.#firstMatches(found.hits, k + SPARE_HITS);
    const last = matching.at(-1);
    if (last === undefined || matching.length < k) {
      if (candidates < CANDIDATES_MAX) {
        const wider = Math.min(CANDIDATES_MAX, WIDER * candidates);
        // The last of what a search finds are the least certain: these now matter.
        const widerEf = Math.max(ef, Math.min(CANDIDATES_MAX, WIDER * wider));
        return this.#searchCheckedGraph(wider, widerEf, take);
      }
      return this.#fallBack(`too few of ${candidates} candidates match`, take);
    }
    const rows = Uint32Array.from(matching, ({ row }) => row);
    return this.#measureRows(rows, (hits) => {
      // What is not among the matches was farther than the last of them.
      const farthest = hits.at(k - 1)?.distance ?? Number.POSITIVE_INFINITY;
      if (payload.changes === changes || farthest <= last.distance) return take(hits);
      return this.#fallBack('records changed meanwhile', take);
    });
  }

  async #firstMatches(hits: readonly RowHit[], count: number): Promise<RowHit[]> {
    const candidates = Uint32Array.from(hits, ({ row }) => row);
    const rows = await firstMatching(
      this.#collection,
      this.#matcher,
      this.#means,
      candidates,
      count,
    );
    const matching = new Set(rows);
    return hits.filter(({ row }) => matching.has(row));
  }

  #fallBack<T>(why: string, take: Take<T>): Promise<T> {
    this.#plan = this.#matcher.resolution.isExact ? 'exact-rows' : 'scan';
    this.#reason = `${this.#reason}; ${why}`;
    return this.#searchRows(take);
  }

  async #searchRows<T>(take: Take<T>): Promise<T> {
    const rows = await matchingRows(this.#collection, this.#matcher, this.#means);
    this.#matches = rows.length;
    return this.#measureRows(rows, take);
  }

  #measureRows<T>(rows: Uint32Array, take: Take<T>): Promise<T> {
    this.#compared += rows.length;
    const accept = (row: Row): boolean => this.#matcher.matches(row);
    const query = { ...this.#query, rows, accept };
    return this.#collection.index.searchRows(query, this.#means, take);
  }
}
