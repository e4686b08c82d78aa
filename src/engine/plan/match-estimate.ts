/** How many rows match, before a plan is chosen: by the indexes, or by a sample of metadata. */
import { type Estimate, exactly } from '../payload/candidates.js';
import type { Resolution } from '../payload/payload-index.js';
import type { CostModel, CostShape } from './cost-model.js';
import type { PlanInput } from './planner.js';
import type { RowMatcher } from './row-matcher.js';

/** Rows whose metadata tell how many match, where the indexes do not. */
const SAMPLE_ROWS = 64;

export type KnownMatches = Pick<PlanInput, 'matches' | 'listCost' | 'possible' | 'undecided'>;

/**
 * Lists the matches where their number is uncertain and listing is cheap beside a search; reads up
 * to `SAMPLE_ROWS` records where metadata decide.
 */
export function estimateMatches(
  matcher: RowMatcher,
  shape: CostShape,
  costs: CostModel,
): KnownMatches {
  const { resolution } = matcher;
  if (!resolution.isExact) return sampledMatches(matcher, resolution);
  const { estimate, cost } = resolution.possible;
  const isKnown = estimate.min === estimate.max;
  if (isKnown || 2 * costs.listUs(cost) > costs.graphUs(shape, estimate.expected)) {
    return { matches: estimate, listCost: cost, possible: estimate.max, undecided: 0 };
  }
  const { size } = resolution.possible.rows();
  return { matches: exactly(size), listCost: 0, possible: size, undecided: 0 };
}

/** Rows at even distances are as good as random ones: their order is that of arrival. */
function sampledMatches(
  matcher: RowMatcher,
  { possible, certain }: Pick<Resolution, 'possible' | 'certain'>,
): KnownMatches {
  const rows = possible.rows().toRows();
  const certainRows = certain.rows();
  const undecided = rows.length - certainRows.size;
  const stride = Math.max(1, Math.floor(undecided / SAMPLE_ROWS));
  let [sampled, found, passed] = [0, 0, 0];
  for (const row of rows) {
    if (sampled === SAMPLE_ROWS) break;
    if (certainRows.has(row) || passed++ % stride !== 0) continue;
    sampled++;
    if (matcher.matches(row)) found++;
  }
  return {
    matches: estimateBySample({ certain: certainRows.size, undecided, sampled, found }),
    listCost: 0,
    possible: rows.length,
    undecided: undecided - sampled,
  };
}

/** A sample without a match does not show that there is none. */
function estimateBySample(counts: {
  readonly certain: number;
  readonly undecided: number;
  readonly sampled: number;
  readonly found: number;
}): Estimate {
  const { certain, undecided, sampled, found } = counts;
  const min = certain + found;
  const max = certain + undecided - (sampled - found);
  if (min === max) return exactly(min);
  const share = (found + 0.5) / (sampled + 1);
  return { min, max, expected: Math.max(min, Math.min(max, certain + share * undecided)) };
}
