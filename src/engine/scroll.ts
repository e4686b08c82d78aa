/**
 * Reads of records by what they hold instead of where they lie: counts, and scrolls in the order of
 * ids. Both go over the rows that may match in slices.
 *
 * While they do, records change. A record that is there all the time is looked at once, as it is
 * at some moment of the call; nothing is looked at twice.
 */
import { FlotillaError } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';
import { comparePositions, type ScrollPosition } from '../shared/scroll-position.js';
import type { Collection } from './collection.js';
import type { ScrollPage, ScrollQuery, Selection, StoredRecord } from './engine.js';
import type { MetadataTest } from './filter/compiled-filter.js';
import type { ScanMeans } from './near-query.js';
import { matchingRows } from './plan/matching-rows.js';
import { metadataTest, RowMatcher } from './plan/row-matcher.js';
import type { RecordValue } from './record-value.js';
import { storedRecord } from './record-view.js';
import type { NamedPosition, ScrollOrder } from './scroll-order.js';
import { assertThere, includeOf, isAboutAll, rowSelector } from './search.js';
import { ROWS_PER_LOOK } from './slices.js';

/** Costs what the payload indexes take, and a read for each record of which they cannot tell. */
export async function countCollection(
  collection: Collection,
  selection: Selection,
  means: ScanMeans,
): Promise<number> {
  if (isAboutAll(selection)) return collection.index.size;
  const selector = rowSelector(collection, selection);
  const unpin = collection.index.rows.pin();
  try {
    const matcher = new RowMatcher(collection, means.records, selector);
    const rows = await matchingRows(collection, matcher, means);
    assertThere(collection);
    return rows.length;
  } finally {
    unpin();
  }
}

/**
 * Costs what `ScrollOrder` takes to find the next names, and a read for each record that the page
 * looks at, until it has its records or its bytes.
 */
export async function scrollCollection(
  collection: Collection,
  query: ScrollQuery,
  means: ScanMeans,
  order: ScrollOrder,
): Promise<ScrollPage> {
  const { limit } = query;
  if (!Number.isInteger(limit) || limit < 1) {
    throw new FlotillaError('INVALID_REQUEST', `limit is ${limit}, a page has records`);
  }
  const selector = rowSelector(collection, query);
  const { names, hasMore } = await order.after(collection, query, selector, means.slices);
  const page = new Page(query, metadataTest(collection, selector));
  // Without a filter nearly all that is read is answered.
  const step = selector.filter === undefined ? Math.min(limit, ROWS_PER_LOOK) : ROWS_PER_LOOK;
  for (let at = 0; at < names.length && !page.isFull; at += step) {
    const part = names.slice(at, at + step);
    const values = await means.records.read(part.map(({ name }) => name));
    for (const [position, named] of part.entries()) {
      if (page.isFull) break;
      const value = values[position];
      page.add(named, value);
      if (means.slices.isOverAfter(value?.metadata.length ?? 0)) await means.slices.pause();
    }
    if (means.slices.isOver) await means.slices.pause();
  }
  assertThere(collection);
  return page.finish(hasMore, names.at(-1));
}

/** The page of a scroll while it is filled. */
class Page {
  readonly #query: ScrollQuery;
  readonly #matches: MetadataTest;
  readonly #records: StoredRecord[] = [];
  #sizeBytes = 0;
  #last: ScrollPosition | undefined;

  constructor(query: ScrollQuery, matches: MetadataTest) {
    this.#query = query;
    this.#matches = matches;
  }

  get isFull(): boolean {
    return (
      this.#records.length >= this.#query.limit || this.#sizeBytes >= LIMITS.scrollBytesMax.value
    );
  }

  /** Looks at a record; `value` is absent where it was deleted meanwhile. */
  add({ id, tenant, name }: NamedPosition, value: RecordValue | undefined): void {
    this.#last = { id, tenant };
    if (value === undefined || !this.#matches(value.metadata)) return;
    const record = storedRecord(name, value, includeOf(this.#query));
    this.#records.push(record);
    this.#sizeBytes += (record.values?.length ?? 0) + (record.metadata?.length ?? 0);
  }

  /** `end` is the last record that could have been looked at. */
  finish(hasMore: boolean, end: ScrollPosition | undefined): ScrollPage {
    const last = this.#last;
    const sawAll = !hasMore && (last === undefined || isSamePosition(last, end));
    return { records: this.#records, ...(!sawAll && last !== undefined && { next: last }) };
  }
}

function isSamePosition(a: ScrollPosition, b: ScrollPosition | undefined): boolean {
  return b !== undefined && comparePositions(a, b) === 0;
}
