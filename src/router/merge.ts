/**
 * Merging what the shards found: each answers with its own best hits in order, so that the best of
 * all are at the heads of these lists.
 */
import { mergeSorted } from '../shared/heap.js';
import { comparePositions } from '../shared/scroll-position.js';
import type { SearchHit } from './requests.js';

export interface MergeWindow {
  /** Merged hits to leave out at the front. */
  readonly offset: number;
  /** Hits to answer with, at most. */
  readonly limit: number;
}

type HitList = readonly SearchHit[];

/**
 * The hits from `offset` on, `limit` of them, of all lists together: by distance, then id, then
 * tenant. Each list is in that order already and holds a record once.
 *
 * Where two lists hold the same record (tenant and id), the newest version is the record and the
 * others are left out, also where they are closer. Replicas answer only for what they own, so this
 * is a second line of defence, and costs its full price only when it is needed.
 *
 * Takes (offset + limit) x log2(lists) comparisons, and one set look-up for each hit in the lists.
 */
export function mergeHits(lists: readonly HitList[], window: MergeWindow): SearchHit[] {
  const filled = lists.filter((list) => list.length > 0);
  const [only] = filled;
  if (only === undefined) return [];
  const count = window.offset + window.limit;
  if (filled.length === 1) return only.slice(window.offset, count);
  const merged = mergeSorted(filled, count, compareHits);
  if (isEachIdOnce(merged, filled)) return merged.slice(window.offset);
  return mergeSorted(newestOnly(filled), count, compareHits).slice(window.offset);
}

/**
 * Whether closer hits may be missing among `hits`, which `mergeHits` made of the lists: one of them
 * is as long as it was asked to be, and all of it is in front of the window's end, so that what its
 * shard did not tell may belong there too. Where it is not so, longer lists change nothing.
 */
export function isCutShort(
  lists: readonly HitList[],
  hits: HitList,
  { limit }: MergeWindow,
  askedHits: number,
): boolean {
  const end = hits.length < limit ? undefined : hits.at(-1);
  return lists.some((list) => {
    const last = list.at(-1);
    if (last === undefined || list.length < askedHits) return false;
    return end === undefined || compareHits(last, end) <= 0;
  });
}

/** The order of hits, here and on each shard; of equal distances that of scrolls. */
export function compareHits(a: SearchHit, b: SearchHit): number {
  return a.distance - b.distance || comparePositions(a, b);
}

/** Whether no id that was merged is anywhere else in the lists. Ids of two tenants may be equal. */
function isEachIdOnce(merged: HitList, lists: readonly HitList[]): boolean {
  const ids = new Set(merged.map((hit) => hit.id));
  if (ids.size < merged.length) return false;
  let found = 0;
  for (const list of lists) for (const hit of list) if (ids.has(hit.id)) found++;
  return found === merged.length;
}

/** The lists without the hits that are an older version of a record in another list. */
function newestOnly(lists: readonly HitList[]): HitList[] {
  const newest = new Map<string, SearchHit>();
  for (const hit of lists.flat()) {
    const known = newest.get(identityOf(hit));
    if (known === undefined || hit.version > known.version) newest.set(identityOf(hit), hit);
  }
  return lists.map((list) => list.filter((hit) => newest.get(identityOf(hit)) === hit));
}

function identityOf(hit: SearchHit): string {
  return JSON.stringify([hit.tenant, hit.id]);
}
