/** Merging the pages that the shards of a scroll answer with. Pure. */
import { mergeSorted } from '../shared/heap.js';
import { LIMITS } from '../shared/limits.js';
import { comparePositions, type ScrollPosition } from '../shared/scroll-position.js';
import type { FetchedRecord } from './requests.js';

export interface ScrollPart {
  /** In order. */
  readonly records: readonly FetchedRecord[];
  /** Up to where the part looked; absent where it looked at everything. */
  readonly next?: ScrollPosition;
}

/**
 * How many records to ask each shard for, so that together they nearly always fill a page: ids are
 * spread evenly, so that a shard has its share of the page give or take a few roots of it.
 */
export function shareOfPage(limit: number, shards: number): number {
  const share = limit / shards;
  return Math.min(limit, Math.ceil(share + 4 * Math.sqrt(share) + 4));
}

/**
 * The first `limit` records of all parts, and no more than a page may have bytes. Ends where the
 * first of the parts does: what comes behind may be on its shard. Of a record that is on two shards
 * the newest version counts.
 */
export function mergePages(parts: readonly ScrollPart[], limit: number): ScrollPart {
  const end = parts
    .flatMap(({ next }) => (next === undefined ? [] : [next]))
    .reduce<ScrollPosition | undefined>(earlier, undefined);
  const known = parts.map(({ records }) =>
    end === undefined ? records : records.filter((one) => comparePositions(one, end) <= 0),
  );
  let last: FetchedRecord | undefined;
  const merged = mergeSorted(known, limit + 1, compareRecords, (record) => {
    const isNew = last === undefined || comparePositions(last, record) !== 0;
    last = record;
    return isNew;
  });
  const records = merged.slice(0, Math.min(limit, countWithinBytes(merged)));
  const lastKept = records.at(-1);
  const next =
    records.length < merged.length && lastKept !== undefined ? positionOf(lastKept) : end;
  return { records, ...(next !== undefined && { next }) };
}

function earlier(first: ScrollPosition | undefined, second: ScrollPosition): ScrollPosition {
  return first === undefined || comparePositions(second, first) < 0 ? second : first;
}

/** The newer version of a record comes before the older one. */
function compareRecords(a: FetchedRecord, b: FetchedRecord): number {
  const order = comparePositions(a, b);
  if (order !== 0 || a.version === b.version) return order;
  return a.version > b.version ? -1 : 1;
}

/** How many of the records make a page: at least one, where there is one. */
function countWithinBytes(records: readonly FetchedRecord[]): number {
  let sizeBytes = 0;
  for (const [at, { values, metadata }] of records.entries()) {
    if (sizeBytes >= LIMITS.scrollBytesMax.value) return at;
    sizeBytes += (values?.length ?? 0) + (metadata?.length ?? 0);
  }
  return records.length;
}

function positionOf({ id, tenant }: ScrollPosition): ScrollPosition {
  return { id, tenant };
}
