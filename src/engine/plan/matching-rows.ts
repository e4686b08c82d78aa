/** Which of some rows match, where metadata may have to be read for it: pages of many reads. */
import { defined } from '../../shared/assert.js';
import type { Collection } from '../collection.js';
import type { ScanMeans } from '../near-query.js';
import type { Row } from '../rows.js';
import { ROWS_PER_LOOK } from '../slices.js';
import type { RowMatcher } from './row-matcher.js';

/**
 * All rows that match, ascending. In one turn where the indexes know them; otherwise a read for
 * each row that may match, in slices, and then every record is judged as it was at some moment.
 */
export async function matchingRows(
  collection: Collection,
  matcher: RowMatcher,
  means: ScanMeans,
): Promise<Uint32Array> {
  const { possible, isExact } = matcher.resolution;
  const rows = possible.rows().toRows();
  if (isExact) return rows;
  return firstMatching(collection, matcher, means, rows, rows.length);
}

/** The first `count` of the rows that match, in their order; reads little more than it needs. */
export async function firstMatching(
  collection: Collection,
  matcher: RowMatcher,
  means: ScanMeans,
  rows: Uint32Array,
  count: number,
): Promise<Uint32Array> {
  const found = new Uint32Array(Math.min(count, rows.length));
  let matches = 0;
  for (let at = 0; at < rows.length && matches < found.length; at += ROWS_PER_LOOK) {
    const page = rows.subarray(at, at + ROWS_PER_LOOK);
    matcher.limitMemory();
    await readUndecided(collection, matcher, means, page);
    for (const row of page) {
      if (matches === found.length) break;
      // What changed while the page was read is read once more.
      if (matcher.matches(row)) found[matches++] = row;
    }
    if (at + ROWS_PER_LOOK < rows.length && means.slices.isOver) await means.slices.pause();
  }
  return found.subarray(0, matches);
}

async function readUndecided(
  { index }: Collection,
  matcher: RowMatcher,
  { records, slices }: ScanMeans,
  page: Uint32Array,
): Promise<void> {
  const undecided: Row[] = [];
  for (const row of page) if (matcher.known(row) === undefined) undecided.push(row);
  if (undecided.length === 0) return;
  const versions = undecided.map((row) => index.rows.versionOf(row));
  const values = await records.read(undecided.map((row) => index.rows.nameOf(row)));
  for (const [at, row] of undecided.entries()) {
    const value = values[at];
    matcher.decide(row, defined(versions[at], 'the version of a row'), value);
    if (slices.isOverAfter(value?.metadata.length ?? 0)) await slices.pause();
  }
}
