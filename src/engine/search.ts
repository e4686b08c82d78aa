/** One query against one collection: checked, planned, run, and answered. */
import { defined } from '../shared/assert.js';
import { decodeFilter } from '../shared/codec/filter-bytes.js';
import type { Clock } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import type { Collection } from './collection.js';
import type { CollectionIndex, NearQuery, ScanMeans } from './collection-index.js';
import type { Explanation, Hit, SearchQuery, Selection } from './engine.js';
import type { RowHit } from './graph.js';
import { checkedVector } from './index/vector-math.js';
import { isPlain, type NamedHit, plainHit } from './plain-search.js';
import { PlannedSearch, type SearchMeans } from './plan/planned-search.js';
import type { RowSelector } from './plan/row-matcher.js';
import { foundRecord } from './record-view.js';
import { collectionMissing } from './write-applier.js';

/** Candidates where the query leaves it open: the recall that most collections want. */
export const EF_DEFAULT = 64;

/**
 * What `searchCollection` answers, at once, where it can be known in this turn: of a plain query
 * about all records, unless the graph falls short or many rows wait for it after an open; about
 * some, where indexes know which and they are few. `undefined` otherwise.
 */
export function searchNow(
  collection: Collection,
  query: SearchQuery,
  means: () => SearchMeans,
): NamedHit[] | undefined {
  if (!isPlain(query)) return undefined;
  const { index, payload } = collection;
  const near = nearQuery(collection, query);
  const selector = rowSelector(collection, query);
  if (near.k === 0) return [];
  // In this turn the tenant may leave nothing out; in a later one it might.
  const { filter, tenant } = query;
  const isAll = filter === undefined && (tenant === undefined || payload.isOnly(tenant));
  const hits = isAll
    ? index.searchNearNow(near)
    : new PlannedSearch(collection, near, selector, means()).runNow();
  return hits && namedHits(index, hits, query);
}

/** Whether a query selects nothing. */
export function isAboutAll({ filter, tenant }: Selection): boolean {
  return filter === undefined && tenant === undefined;
}

/**
 * The nearest `k` records that are selected, by distance, id and tenant, also where `k` cuts
 * through equal distances: exact plans always, the graph as far as `nearestInGraph` says (Q4), so
 * that pages of one search, also from other replicas, have no record twice. Costs a search of the
 * graph and a distance per row of the head, or a distance per match, whichever is less; where the
 * graph gives fewer hits than there are, both. Whatever does not fit into a slice is read with the
 * guarantee of `RowScan` (H4).
 */
export async function searchCollection(
  collection: Collection,
  query: SearchQuery,
  means: SearchMeans,
): Promise<Hit[]> {
  const near = nearQuery(collection, query);
  const selector = rowSelector(collection, query);
  if (near.k === 0) return [];
  const search = new PlannedSearch(collection, near, selector, means);
  return search.run((hits) => attachRecords(collection, hits, query, means));
}

/** Searches as `searchCollection` does, and tells how. Reads the same clock twice. */
export async function explainSearch(
  collection: Collection,
  query: SearchQuery,
  means: SearchMeans,
  clock: Pick<Clock, 'monotonicMs'>,
): Promise<Explanation> {
  const near = nearQuery(collection, query);
  const selector = rowSelector(collection, query);
  const { filter } = selector;
  const startMs = clock.monotonicMs();
  const search = new PlannedSearch(collection, near, selector, means);
  if (near.k > 0) await search.run((hits) => attachRecords(collection, hits, query, means));
  const { payload, index } = collection;
  const fields = filter && payload.fieldsOf(filter);
  return {
    ...search.trace,
    // How many records others have is not for one tenant to know.
    records: query.tenant === undefined ? index.size : payload.recordsOf(query.tenant),
    indexedFields: fields?.indexed ?? [],
    scannedFields: fields?.scanned ?? [],
    durationMs: clock.monotonicMs() - startMs,
  };
}

/** What a read selects, checked. Throws what `decodeFilter` does. */
export function rowSelector({ config }: Collection, { filter, tenant }: Selection): RowSelector {
  return {
    ...(filter !== undefined && { filter: decodeFilter(filter, config.indexedFields) }),
    ...(tenant !== undefined && { tenant }),
  };
}

/** The checked query; `k` is at most the number of records. */
function nearQuery({ config, index }: Collection, { vector, k, ef }: SearchQuery): NearQuery {
  if (!Number.isInteger(k) || k < 1 || !Number.isInteger(ef) || ef < 0) {
    throw new FlotillaError('INVALID_REQUEST', `k is ${k} and ef is ${ef}, which are counts`);
  }
  const checked = checkedVector(vector, config);
  if (!(checked instanceof Float32Array)) throw FlotillaError.fromBody(checked);
  return { vector: checked, k: Math.min(k, index.size), ef: ef || EF_DEFAULT };
}

/**
 * The hits as they are answered. To be called in the turn in which they are right; reads the store
 * only when the query asks for more than ids and versions.
 */
async function attachRecords(
  { collectionId, index }: Collection,
  hits: readonly RowHit[],
  query: SearchQuery,
  { records }: ScanMeans,
): Promise<Hit[]> {
  // Dropped while it was being searched, in slices.
  if (index.disposed) throw FlotillaError.fromBody(collectionMissing(collectionId));
  const named = namedHits(index, hits, query);
  if (!query.includeValues && !query.includeMetadata) return named.map(plainHit);
  const include = { values: query.includeValues, metadata: query.includeMetadata };
  const values = await records.read(named.map(({ name }) => name));
  return named.map(({ name, distance }, at) => {
    const value = defined(values[at], `stored record of ${name}`);
    return { ...foundRecord(name, value, include), distance };
  });
}

/** Those within the query's threshold, in the turn in which they are right. */
function namedHits(
  { rows }: CollectionIndex,
  hits: readonly RowHit[],
  { scoreThreshold = Number.POSITIVE_INFINITY }: SearchQuery,
): NamedHit[] {
  const named: NamedHit[] = [];
  for (const { row, distance } of hits) {
    if (!(distance <= scoreThreshold)) break;
    named.push({ name: rows.nameOf(row), version: rows.versionOf(row), distance });
  }
  return named;
}
