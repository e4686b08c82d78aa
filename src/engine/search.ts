/** One query against one collection: checked, planned, run, and answered. */
import { defined } from '../shared/assert.js';
import { decodeFilter } from '../shared/codec/filter-bytes.js';
import type { Clock } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import type { Collection } from './collection.js';
import type { CollectionIndex } from './collection-index.js';
import type { Explanation, Hit, ScrollQuery, SearchQuery, Selection } from './engine.js';
import type { RowHit } from './graph.js';
import { checkedVector } from './index/vector-math.js';
import type { NearQuery, ScanMeans } from './near-query.js';
import { isPlain, type NamedHit, plainHit } from './plain-search.js';
import { PlannedSearch, type SearchMeans, type SearchTrace } from './plan/planned-search.js';
import type { RowSelector } from './plan/row-matcher.js';
import { foundRecord, type Include } from './record-view.js';
import { collectionMissing } from './write-applier.js';

/** Candidates where the query leaves it open: the recall that most collections want. */
export const EF_DEFAULT = 64;

/**
 * What `searchCollection` answers: at once, where it can be known in this turn, and otherwise when
 * the search ends that is under way by then. Known at once is what a plain query finds among all
 * records, unless the graph falls short or many rows wait for it after an open; among some, where
 * indexes know which and they are few. Throws what is wrong with the query.
 */
export function beginSearch(
  collection: Collection,
  query: SearchQuery,
  means: () => SearchMeans,
): NamedHit[] | Promise<Hit[]> {
  const { index } = collection;
  const near = nearQuery(collection, query);
  const selector = rowSelector(collection, query);
  if (near.k === 0) return [];
  const isAll = leavesNothingOut(collection, query);
  const nearest = isPlain(query) && isAll ? index.searchNearNow(near) : undefined;
  if (nearest !== undefined) return namedHits(index, nearest, query);
  const known = means();
  const search = new PlannedSearch(collection, near, selector, known);
  const found = isPlain(query) && !isAll ? search.runNow() : undefined;
  if (found !== undefined) return namedHits(index, found, query);
  return search.run((hits) => attachRecords(collection, hits, query, known));
}

/** Whether a query selects nothing. */
export function isAboutAll({ filter, tenant, shardKeys }: Selection): boolean {
  return filter === undefined && tenant === undefined && shardKeys === undefined;
}

/** Whether all records match, in this turn: the tenant may not be alone in a later one. */
function leavesNothingOut({ payload }: Collection, selection: Selection): boolean {
  const { filter, tenant, shardKeys } = selection;
  if (filter !== undefined || shardKeys !== undefined) return false;
  return tenant === undefined || payload.isOnly(tenant);
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
  const found = beginSearch(collection, query, () => means);
  return found instanceof Promise ? found : found.map(plainHit);
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
    ...(mayTellAll(collection, query) ? search.trace : ownTrace(collection, selector, search)),
    records: query.tenant === undefined ? index.size : payload.recordsOf(query.tenant),
    indexedFields: fields?.indexed ?? [],
    scannedFields: fields?.scanned ?? [],
    durationMs: clock.monotonicMs() - startMs,
  };
}

/** Nobody's caller may not think of tenants at all, and is told everything while there are none. */
function mayTellAll({ payload }: Collection, { tenant }: SearchQuery): boolean {
  return tenant === undefined || (tenant === '' && payload.isOnly(tenant));
}

/**
 * What follows from the tenant's own records, and which plan: what a search costs, and so why it is
 * chosen, depends on how many records others have, which is not for one tenant to know (U1).
 */
function ownTrace(
  { payload }: Collection,
  { filter, tenant, shardKeys }: RowSelector,
  { trace: { plan } }: PlannedSearch,
): SearchTrace {
  const { possible, isExact } = payload.resolve(filter, tenant, shardKeys);
  const { size } = possible.rows();
  return {
    plan,
    reason: 'what a search costs is not told to a tenant',
    estimatedMatches: size,
    ...(isExact && { matches: size }),
    visited: 0,
    compared: 0,
  };
}

/** What a read selects, checked. Throws what `decodeFilter` does. */
export function rowSelector({ config }: Collection, selection: Selection): RowSelector {
  const { filter, tenant, shardKeys } = selection;
  return {
    ...(filter !== undefined && { filter: decodeFilter(filter, config.indexedFields) }),
    ...(tenant !== undefined && { tenant }),
    ...(shardKeys !== undefined && { shardKeys }),
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
  collection: Collection,
  hits: readonly RowHit[],
  query: SearchQuery,
  { records }: ScanMeans,
): Promise<Hit[]> {
  assertThere(collection);
  const named = namedHits(collection.index, hits, query);
  if (isPlain(query)) return named.map(plainHit);
  const include = includeOf(query);
  const values = await records.read(named.map(({ name }) => name));
  return named.map(({ name, distance }, at) => {
    const value = defined(values[at], `stored record of ${name}`);
    return { distance, ...foundRecord(name, value, include) };
  });
}

/** The collection may have been dropped while it was read in slices: COLLECTION_NOT_FOUND. */
export function assertThere({ collectionId, index }: Collection): void {
  if (index.disposed) throw FlotillaError.fromBody(collectionMissing(collectionId));
}

/** What of its records a read asks for. */
export function includeOf(
  query: Pick<SearchQuery | ScrollQuery, 'includeValues' | 'includeMetadata'>,
): Include {
  return { values: query.includeValues, metadata: query.includeMetadata };
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
