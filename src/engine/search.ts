/** One query against one collection: the graph first, every record where the graph falls short. */
import { defined } from '../shared/assert.js';
import { floatsOf } from '../shared/bytes.js';
import { FlotillaError } from '../shared/errors.js';
import { TopK } from '../shared/heap.js';
import type { Collection } from './collection.js';
import type { Hit, SearchQuery } from './engine.js';
import { checkedVector, distanceTo } from './index/vector-math.js';
import type { GraphHit } from './labeled-graph.js';
import { recordName, recordOfName } from './record-name.js';
import { type Include, type RecordView, storedRecord } from './record-view.js';
import type { Slices } from './slices.js';

/** Candidates where the query leaves it open: the recall that most collections want. */
export const EF_DEFAULT = 64;

/**
 * The nearest `k` records, ascending by distance, then id. Reads as of the turn in which it is
 * called. `slices` paces the exact scan that follows where the graph gives fewer hits than there
 * are, or does not have all records yet; its cost is one distance per record.
 */
export async function searchCollection(
  collection: Collection,
  records: RecordView,
  query: SearchQuery,
  slices: Slices,
): Promise<Hit[]> {
  const vector = queryVector(collection, query);
  const wanted = Math.min(query.k, collection.index.size);
  if (wanted === 0) return [];
  if (!collection.index.isComplete) {
    return scanCollection(vector, collection, records, query, slices);
  }
  const found = collection.index.search(vector, wanted, query.ef || EF_DEFAULT);
  if (found.length < wanted) return scanCollection(vector, collection, records, query, slices);
  return attachRecords(sorted(found, query), records, query);
}

function queryVector({ config }: Collection, { vector, k, ef }: SearchQuery): Float32Array {
  if (!Number.isInteger(k) || k < 1 || !Number.isInteger(ef) || ef < 0) {
    throw new FlotillaError('INVALID_REQUEST', `k is ${k} and ef is ${ef}, which are counts`);
  }
  const checked = checkedVector(vector, config);
  if (!(checked instanceof Float32Array)) throw FlotillaError.fromBody(checked);
  return checked;
}

function isNearEnough(hit: GraphHit, { scoreThreshold }: SearchQuery): boolean {
  return scoreThreshold === undefined || hit.distance <= scoreThreshold;
}

function sorted(hits: readonly GraphHit[], query: SearchQuery): GraphHit[] {
  return hits.filter((hit) => isNearEnough(hit, query)).sort(compareHits);
}

/** By distance, then id; the name parts the same id of two tenants. */
function compareHits(a: GraphHit, b: GraphHit): number {
  if (a.distance !== b.distance) return a.distance - b.distance;
  if (a.name === b.name) return 0;
  const [idA, idB] = [recordOfName(a.name).id, recordOfName(b.name).id];
  if (idA !== idB) return idA < idB ? -1 : 1;
  return a.name < b.name ? -1 : 1;
}

function includeOf(query: SearchQuery): Include {
  return { values: query.includeValues, metadata: query.includeMetadata };
}

/** Reads the store only when the query asks for more than ids and versions. */
async function attachRecords(
  hits: readonly GraphHit[],
  records: RecordView,
  query: SearchQuery,
): Promise<Hit[]> {
  if (!query.includeValues && !query.includeMetadata) {
    return hits.map(({ name, version, distance }) => {
      const { tenant, id } = recordOfName(name);
      return { tenant, id, version, distance };
    });
  }
  const values = await records.read(hits.map(({ name }) => name));
  return hits.map(({ name, distance }, at) => {
    const value = defined(values[at], `stored record of ${name}`);
    return { ...storedRecord(name, value, includeOf(query)), distance };
  });
}

async function scanCollection(
  vector: Float32Array,
  { config }: Collection,
  records: RecordView,
  query: SearchQuery,
  slices: Slices,
): Promise<Hit[]> {
  const distance = distanceTo(config.metric, vector);
  const nearest = new TopK<GraphHit & { readonly hit: Hit }>(query.k, compareHits);
  for await (const page of records.all()) {
    for (const { key, value } of page) {
      const candidate = {
        name: recordName(key),
        version: value.version,
        distance: distance(floatsOf(value.values)),
      };
      if (!isNearEnough(candidate, query)) continue;
      const record = storedRecord(candidate.name, value, includeOf(query));
      nearest.offer({ ...candidate, hit: { ...record, distance: candidate.distance } });
    }
    if (slices.isOver) await slices.pause();
  }
  return nearest.drain().map(({ hit }) => hit);
}
