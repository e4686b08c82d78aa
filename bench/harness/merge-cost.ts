/** What the merge of the shards' hits takes, beside a sort of all of them. */
import { performance } from 'node:perf_hooks';
import { compareHits, mergeHits } from '../../src/router/merge.js';
import type { SearchHit } from '../../src/router/requests.js';
import { seededRandom } from '../../test/support/vectors.js';
import { idOfRow } from './dataset.js';
import { median, pairedRatio, round } from './statistics.js';

export interface MergeSize {
  readonly lists: number;
  /** In each list, and in the answer. */
  readonly hits: number;
  readonly rounds: number;
}

const RUNS = 9;
const SEED = 7;

/** Medians of runs that take turns. `ratio` is the time of the sort by that of the merge. */
export function mergeBesideSort(size: MergeSize): {
  readonly mergeUs: number;
  readonly sortUs: number;
  readonly ratio: number;
} {
  const lists = listsOf(size);
  const merge = (): unknown => mergeHits(lists, { offset: 0, limit: size.hits });
  const sort = (): unknown => lists.flat().sort(compareHits).slice(0, size.hits);
  const merges: number[] = [];
  const sorts: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    merges.push(timeUs(merge, size.rounds));
    sorts.push(timeUs(sort, size.rounds));
  }
  return {
    mergeUs: round(median(merges), 1),
    sortUs: round(median(sorts), 1),
    ratio: round(pairedRatio(sorts, merges), 2),
  };
}

function timeUs(work: () => unknown, rounds: number): number {
  const startMs = performance.now();
  for (let round = 0; round < rounds; round++) work();
  return (1_000 * (performance.now() - startMs)) / rounds;
}

/** Each list in the order of hits; no record in two of them. */
function listsOf({ lists, hits }: MergeSize): SearchHit[][] {
  const random = seededRandom(SEED);
  return Array.from({ length: lists }, (_, list) =>
    Array.from({ length: hits }, (_unused, at) => ({
      id: idOfRow(list * hits + at),
      tenant: '',
      version: 1n,
      distance: random(),
    })).sort(compareHits),
  );
}
