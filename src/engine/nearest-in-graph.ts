/** The hits of a graph, of which records of equal distance are not left to its chance. */
import type { NearQuery } from './collection-index.js';
import type { Graph, RowHit } from './graph.js';
import { SPARE_HITS } from './row-scan.js';

/**
 * At least the nearest `k` rows that the graph finds, ascending by distance; fewer where it finds
 * fewer. What comes next behind the first `k` is with them, so that the order of hits can choose:
 * a graph gives equal distances in the order in which it met them, which no other replica shares.
 *
 * One hit more than wanted is asked for, and shows whether there is a tie at the cut. Only then the
 * search is made again, for all that a search of this `ef` finds: a tie of more than that, or one
 * of which the graph misses a part, is cut where the graph says.
 */
export function nearestInGraph(graph: Graph, { vector, k, ef, accept }: NearQuery): RowHit[] {
  const found = graph.search(vector, k + 1, ef, accept);
  const [last, next] = [found[k - 1], found[k]];
  if (last === undefined || last.distance !== next?.distance) return found;
  return graph.search(vector, Math.max(ef, k + SPARE_HITS), ef, accept);
}
