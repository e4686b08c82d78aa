/** The queries of a search as its shards are asked them. */
import type { SearchQuery } from '../engine/engine.js';
import { floatBytes } from '../shared/bytes.js';
import type { ServedShard } from '../shared/consistency.js';
import { FlotillaError } from '../shared/errors.js';
import type { CollectionEntry } from '../topology/document.js';
import type { Scope } from './read-scope.js';
import { fetchRecords } from './record-fetch.js';
import type { SearchRequestQuery, VectorValues } from './requests.js';
import type { ScopedReads } from './scoped-reads.js';

export interface ShardQueries {
  /** Equal for all shards. */
  readonly queries: readonly SearchQuery[];
  /** Where the vectors of queries by id come from. */
  readonly sources: readonly ServedShard[];
}

/** Throws RECORD_NOT_FOUND and DIMENSION_MISMATCH, naming the query. */
export async function shardQueries(
  reads: ScopedReads,
  scope: Scope,
  queries: readonly SearchRequestQuery[],
): Promise<ShardQueries> {
  const { vectors, sources } = await vectorsOf(reads, scope, queries);
  const asked = queries.map(({ scoreThreshold, filter, ...query }, at) => ({
    vector: vectors[at] as Uint8Array,
    ...scope.selection,
    k: askedHits(query),
    ef: query.ef ?? 0,
    ...(scoreThreshold !== undefined && { scoreThreshold }),
    ...(filter !== undefined && { filter }),
    includeValues: query.includeValues,
    includeMetadata: query.includeMetadata,
  }));
  return { queries: asked, sources };
}

/** How many hits each shard is asked for. */
export function askedHits({
  limit,
  offset = 0,
  shardK = offset + limit,
}: Pick<SearchRequestQuery, 'limit' | 'offset' | 'shardK'>): number {
  return shardK;
}

/** Each query's vector as bytes; those of stored records are fetched first. */
async function vectorsOf(
  reads: ScopedReads,
  scope: Scope,
  queries: readonly SearchRequestQuery[],
): Promise<{ readonly vectors: Uint8Array[]; readonly sources: readonly ServedShard[] }> {
  const wanted = queries.flatMap(({ target }) => (target.kind === 'record' ? [target] : []));
  const include = { values: true, metadata: false };
  const { records, served } =
    wanted.length === 0
      ? { records: [], served: [] }
      : await fetchRecords(reads, scope, wanted, include);
  const found = new Map(wanted.map((target, at) => [target, records[at]]));
  const vectors = queries.map(({ target }, at) => {
    if (target.kind === 'vector') {
      return vectorBytes(target.values, scope.collection, `queries[${at}].vector`);
    }
    const values = found.get(target)?.values;
    if (values === undefined) {
      throw new FlotillaError('RECORD_NOT_FOUND', `There is no record ${target.id}`, {
        field: `queries[${at}].id`,
      });
    }
    return values;
  });
  return { vectors, sources: served };
}

/** A vector's bytes, checked against the collection: only here both are known. */
export function vectorBytes(
  values: VectorValues,
  collection: CollectionEntry,
  field: string,
): Uint8Array {
  const bytes = values instanceof Float32Array ? floatBytes(values) : values;
  const { dimension, name } = collection.config;
  if (bytes.length !== 4 * dimension) {
    const message = `${field} has ${bytes.length / 4} floats, the vectors of ${name} ${dimension}`;
    throw new FlotillaError('DIMENSION_MISMATCH', message, { field });
  }
  return bytes;
}
