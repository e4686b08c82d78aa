/** The hits of a graph, of which records of equal distance are not left to its chance. */

import type { Graph, RowHit } from './graph.js';
import type { NearQuery } from './near-query.js';
import { SPARE_HITS } from './row-scan.js';

/**
 * At least the nearest `k` rows that the graph finds, in no certain order; fewer where it finds
 * fewer. What comes next behind the first `k` is with them, so that the order of hits can choose:
 * a graph gives equal distances in the order in which it met them, which no other replica shares.
 *
 * One hit more than wanted is asked for, and shows whether there is a tie at the cut: by the
 * distances of the graph, or by those that `told` gives, which are rounded otherwise and answered.
 * Only then the search is made again, for all that a search of this `ef` finds: a tie of more than
 * that, or one of which the graph misses a part, is cut where the graph says.
 */
export function nearestInGraph(
  graph: Graph,
  { vector, k, ef, accept, acceptPoint = accept }: NearQuery,
  told: (hits: readonly RowHit[]) => RowHit[],
): RowHit[] {
  const found = graph.search(vector, k + 1, ef, acceptPoint);
  const hits = told(found);
  if (found.length <= k || !(isTieAtEnd(found) || isTieAtEnd(hits))) return hits;
  return told(graph.search(vector, Math.max(ef, k + SPARE_HITS), ef, acceptPoint));
}

/** Whether the two that are farthest, of two hits or more, are equally far. */
function isTieAtEnd(hits: readonly RowHit[]): boolean {
  let farthest = Number.NEGATIVE_INFINITY;
  let second = Number.NEGATIVE_INFINITY;
  for (const { distance } of hits) {
    second = Math.max(second, Math.min(distance, farthest));
    farthest = Math.max(farthest, distance);
  }
  return second === farthest;
}
