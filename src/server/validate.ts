/**
 * The door: everything that a request holds is checked here, before any of it is applied (P-9).
 * Errors name the field by its path in the request, in lowerCamelCase as in protobuf's JSON form
 * (`records[3].values`), and the limit by its name in src/shared/limits.ts.
 */
import { utf8Length } from '../shared/bytes.js';
import { checkAtMost, checkBytesAtMost, invalidField } from '../shared/checks.js';
import type { CollectionRequest, IndexedFieldRequest } from '../shared/codec/admin-messages.js';
import type { RecordMessage, RequestedConsistency } from '../shared/codec/api-messages.js';
import type { RequestKey } from '../shared/codec/command.js';
import { decodeFilter } from '../shared/codec/filter-bytes.js';
import type { RequestedFreshness } from '../shared/codec/freshness-messages.js';
import type { GroupRequest } from '../shared/codec/replica-messages.js';
import { decodeCursor } from '../shared/codec/scroll-cursor.js';
import type { DeleteByFilterRequest, ScrollRequest } from '../shared/codec/scroll-messages.js';
import type { SearchQueryMessage } from '../shared/codec/search-messages.js';
import { structFault, validateStruct } from '../shared/codec/struct.js';
import { collectionSettingsFault } from '../shared/collection-settings.js';
import type { Consistency } from '../shared/consistency.js';
import { FlotillaError, isFlotillaError } from '../shared/errors.js';
import { LIMITS, type LimitName } from '../shared/limits.js';
import type { ScrollPosition } from '../shared/scroll-position.js';
import { storedIdOf } from '../shared/stored-id.js';
import {
  type CollectionConfig,
  FIELD_TYPES,
  type IndexedField,
  METRICS,
  PLACEMENT_NAMES,
  READ_CONSISTENCIES,
  ROUTINGS,
} from '../shared/types.js';
import type { BackendQuery, BackendScroll, GroupName } from './backend.js';
import { checkScopeKeys, checkShardKey } from './validate-tenants.js';

/**
 * The greatest squared length of a vector: up to it no distance of two vectors, nor any sum on the
 * way to one, leaves the range of a float32. Under dot, graphs scale vectors by 2^20.
 */
const SQUARED_LENGTH_MAX = { l2: 2 ** 125, cosine: Number.MAX_VALUE, dot: 2 ** 85 } as const;

/** The least positive normal float32: shorter vectors have no exact direction. */
const SQUARED_LENGTH_MIN = 1.1754943508222875e-38;

const DEFAULT_M = 16;
const DEFAULT_EF_CONSTRUCTION = 200;
const DEFAULT_SCROLL_LIMIT = 100;

/** The collection that is asked for, defaults filled in. */
export function checkCollectionConfig(request: CollectionRequest): CollectionConfig {
  const { name, dimension, metric = 'cosine', m, efConstruction, ttlMs = 0 } = request;
  if (metric === 'unknown') throw invalidField('config.metric', `is none of ${METRICS.join(', ')}`);
  const { routing = 'id', placement = 'ring', splitPoints } = request;
  if (routing === 'unknown') {
    throw invalidField('config.routing', `is none of ${ROUTINGS.join(', ')}`);
  }
  if (placement === 'unknown') {
    throw invalidField('config.placement', `is none of ${PLACEMENT_NAMES.join(', ')}`);
  }
  const config = {
    name,
    dimension,
    metric,
    m: m === 0 ? DEFAULT_M : m,
    efConstruction: efConstruction === 0 ? DEFAULT_EF_CONSTRUCTION : efConstruction,
    indexedFields: request.indexedFields.map(typedField),
    ...(ttlMs > 0 && { ttlMs }),
    ...(routing !== 'id' && { routing }),
    ...(placement !== 'ring' && { placement }),
    ...(splitPoints !== undefined && { splitPoints }),
  };
  const fault = collectionSettingsFault(config);
  if (fault !== undefined) throw fault;
  return config;
}

function typedField({ path, type }: IndexedFieldRequest, index: number): IndexedField {
  if (type !== undefined) return { path, type };
  throw invalidField(`config.indexedFields[${index}].type`, `is none of ${FIELD_TYPES.join(', ')}`);
}

/** The records of one upsert into `collection`. */
export function checkRecords(
  records: readonly RecordMessage[],
  collection: CollectionConfig,
): void {
  checkRecordIds('upsertRecordsMax', records, 'records');
  for (const [index, record] of records.entries()) {
    const field = `records[${index}]`;
    checkVector(record.values, collection, `${field}.values`);
    checkMetadata(record.metadata, `${field}.metadata`);
  }
}

/** How many records a write has, and their ids, which must be distinct. */
export function checkRecordIds(
  limit: LimitName,
  records: readonly { readonly id: string; readonly shardKey?: string | undefined }[],
  field: string,
): void {
  checkBatchSize(limit, records.length, field);
  for (const [index, { id }] of records.entries()) checkId(id, `${field}[${index}].id`);
  const repeated = indexOfRepeated(records.map(({ id, shardKey }) => identityOf(id, shardKey)));
  if (repeated !== undefined) throw duplicateId(`${field}[${repeated}].id`);
}

/** The ids of one delete. */
export function checkIdsToDelete(ids: readonly string[], shardKeys: readonly string[] = []): void {
  checkBatchSize('deleteIdsMax', ids.length, 'ids');
  for (const [index, id] of ids.entries()) checkId(id, `ids[${index}]`);
  const repeated = indexOfRepeated(ids.map((id, index) => identityOf(id, shardKeys[index])));
  if (repeated !== undefined) throw duplicateId(`ids[${repeated}]`);
}

/** The ids of one fetch. The same id twice is answered twice. */
export function checkIdsToFetch(ids: readonly string[]): void {
  checkBatchSize('fetchIdsMax', ids.length, 'ids');
  for (const [index, id] of ids.entries()) checkId(id, `ids[${index}]`);
}

/**
 * A shard that forgets a client refuses unknown ones whose stamp is no later than that client's: a
 * stamp far in the future would lock out all that come after it.
 */
export function checkIdempotencyKey(key: RequestKey | undefined, wallMs: number): void {
  if (key === undefined) return;
  const field = 'idempotencyKey';
  if (key.clientId === '') throw invalidField(`${field}.clientId`, 'is empty, take a UUID');
  checkAtMost('idempotencyKeyBytesMax', utf8Length(key.clientId), `${field}.clientId`);
  checkSafe(key.clientStampMs, `${field}.clientStampMs`);
  const aheadMs = key.clientStampMs - wallMs;
  if (aheadMs > LIMITS.clientStampAheadMax.value) {
    const message = `${field}.clientStampMs is ${aheadMs} ms ahead of the node, check both clocks`;
    const options = { field: `${field}.clientStampMs`, limit: 'clientStampAheadMax' } as const;
    throw new FlotillaError('LIMIT_EXCEEDED', message, options);
  }
  if (key.sequence === 0)
    throw invalidField(`${field}.sequence`, 'is 0, writes are counted from 1');
  checkSafe(key.sequence, `${field}.sequence`);
  if (key.lowestUnanswered > key.sequence) {
    throw invalidField(
      `${field}.lowestUnanswered`,
      'is above the sequence, which is not answered yet',
    );
  }
}

/** How many queries a batch has, and how many hits they may find. */
export function checkBatch(queries: readonly SearchQueryMessage[]): void {
  checkBatchSize('searchBatchMax', queries.length, 'queries');
  const hits = queries.reduce(
    (sum, { k, offset, shardK = 0 }) => sum + Math.max(k + offset, shardK),
    0,
  );
  checkAtMost('searchBatchHitsMax', hits, 'queries');
}

/** The group that a call is about: a shard, or the topology. */
export function checkGroup({ shardId, topology }: GroupRequest): GroupName {
  if (topology && shardId !== undefined) {
    throw invalidField('shardId', 'is set and topology too, leave one out');
  }
  if (topology) return { kind: 'topology' };
  if (shardId === undefined) throw invalidField('shardId', 'is missing, and topology is not set');
  return { kind: 'shard', shardId };
}

export function checkNodeId(nodeId: number): void {
  if (nodeId === 0) throw invalidField('nodeId', 'is missing, nodes are counted from 1');
}

export function checkChangeId(changeId: number): void {
  if (changeId === 0) throw invalidField('changeId', 'is missing, the status shows it');
}

/** The two fields of a read that say how fresh it is to be. */
export interface FreshnessRequest {
  readonly consistency?: RequestedConsistency;
  readonly freshness?: RequestedFreshness;
}

/** How fresh a read is to be. */
export function checkConsistency({ consistency, freshness }: FreshnessRequest): Consistency {
  if (consistency === 'unknown') {
    throw invalidField('consistency', `is none of ${READ_CONSISTENCIES.join(', ')}`);
  }
  if (freshness === undefined) return consistency ?? 'strong';
  if (consistency !== undefined) {
    throw invalidField('freshness', 'and consistency are both set, leave one out');
  }
  if (freshness === 'eventual') return freshness;
  if ('boundedMs' in freshness) {
    const { boundedMs } = freshness;
    if (boundedMs === 0) throw invalidField('freshness.boundedMs', 'is 0, read strongly instead');
    checkAtMost('boundedMsMax', boundedMs, 'freshness.boundedMs');
    return freshness;
  }
  const field = 'freshness.session.shards';
  const { session } = freshness;
  checkAtMost('shardsMax', session.length, field);
  const repeated = indexOfRepeated(session.map(({ shardId }) => shardId));
  if (repeated !== undefined)
    throw invalidField(`${field}[${repeated}]`, 'is a shard named before');
  for (const [index, seen] of session.entries()) {
    checkSafe(seen.appliedIndex, `${field}[${index}].appliedIndex`);
    checkSafe(seen.ownershipVersion, `${field}[${index}].ownershipVersion`);
  }
  return freshness;
}

/** One query on `collection`; `field` is its path in the request. */
export function checkQuery(
  query: SearchQueryMessage | undefined,
  collection: CollectionConfig,
  field: string,
): BackendQuery {
  if (query === undefined) throw invalidField(field, 'is missing');
  checkWindow(query, field);
  checkAtMost('efMax', query.ef, `${field}.ef`);
  if (Number.isNaN(query.scoreThreshold)) {
    throw invalidField(`${field}.scoreThreshold`, 'is not a number');
  }
  return {
    k: query.k,
    offset: query.offset,
    ef: query.ef,
    ...(query.shardK !== undefined && { shardK: query.shardK }),
    ...(query.scoreThreshold !== undefined && { scoreThreshold: query.scoreThreshold }),
    ...filterOf(query.filter, collection, `${field}.filter`),
    includeValues: query.includeValues,
    includeMetadata: query.includeMetadata ?? true,
    ...checkTarget(query, collection, field),
  };
}

/** The filter of a request on `collection`, where it has one. */
export function filterOf(
  filter: Uint8Array | undefined,
  collection: CollectionConfig,
  field: string,
): { readonly filter?: Uint8Array } {
  if (filter === undefined) return {};
  decodeFilter(filter, collection.indexedFields, field);
  return { filter };
}

/** One page of a scroll over `collection`, defaults filled in. */
export function checkScroll(request: ScrollRequest, collection: CollectionConfig): BackendScroll {
  checkAtMost('scrollLimitMax', request.limit, 'limit');
  return {
    ...filterOf(request.filter, collection, 'filter'),
    ...positionOf(request.cursor),
    limit: request.limit === 0 ? DEFAULT_SCROLL_LIMIT : request.limit,
    includeValues: request.includeValues,
    includeMetadata: request.includeMetadata ?? true,
  };
}

/** What to delete from `collection`. To delete everything, the filter has to say so. */
export function checkDeleteByFilter(
  { filter: ofAllKeys, shardKeyFilter, cursor }: DeleteByFilterRequest,
  collection: CollectionConfig,
): {
  readonly selection: { readonly filter: Uint8Array; readonly after?: ScrollPosition };
  readonly shardKeys?: readonly string[];
} {
  if (ofAllKeys !== undefined && shardKeyFilter !== undefined) {
    throw invalidField('shardKeyFilter', 'is there beside a filter, leave one out');
  }
  const filter = ofAllKeys ?? shardKeyFilter?.filter;
  if (filter === undefined)
    throw invalidField('filter', 'is missing, an empty one matches all records');
  // Whoever names keys means them: an empty list is not all of them.
  if (shardKeyFilter?.shardKeys.length === 0) throw invalidField('shardKeys', 'names no key');
  decodeFilter(filter, collection.indexedFields);
  const selection = { filter, ...positionOf(cursor) };
  return { selection, ...checkScopeKeys(shardKeyFilter?.shardKeys) };
}

function positionOf(cursor: string): { readonly after?: ScrollPosition } {
  return cursor === '' ? {} : { after: decodeCursor(cursor, 'cursor') };
}

function checkTarget(
  { vector, id, shardKey }: SearchQueryMessage,
  collection: CollectionConfig,
  field: string,
): { readonly vector: Uint8Array } | { readonly id: string; readonly shardKey?: string } {
  if (id === undefined) {
    if (vector.length === 0) throw invalidField(field, 'has neither a vector nor an id');
    checkVector(vector, collection, `${field}.vector`);
    return { vector };
  }
  if (vector.length > 0) throw invalidField(field, 'has both a vector and an id, leave one out');
  checkId(id, `${field}.id`);
  return { id, ...checkShardKey(shardKey, `${field}.shardKey`) };
}

function checkWindow({ k, offset, shardK }: SearchQueryMessage, field: string): void {
  if (k === 0) throw invalidField(`${field}.k`, 'is 0, ask for at least 1 hit');
  checkAtMost('kMax', k, `${field}.k`);
  checkAtMost('kMax', k + offset, `${field}.offset`);
  if (shardK === undefined) return;
  if (shardK === 0)
    throw invalidField(`${field}.shardK`, 'is 0, ask each shard for at least 1 hit');
  checkAtMost('shardKMax', shardK, `${field}.shardK`);
}

function checkId(id: string, field: string): void {
  if (id === '') throw invalidField(field, 'is empty');
  checkBytesAtMost('idBytesMax', id, field);
}

function checkVector(bytes: Uint8Array, { dimension, metric }: CollectionConfig, field: string) {
  const count = bytes.length / 4;
  if (count !== dimension) {
    const message = `${field} has ${count} floats, the vectors of the collection ${dimension}`;
    const details = { expected: String(dimension), actual: String(count) };
    throw new FlotillaError('DIMENSION_MISMATCH', message, { field, details });
  }
  const squaredLength = squaredLengthOf(bytes);
  // The sum is NaN or infinite as soon as one float is.
  if (!(squaredLength <= SQUARED_LENGTH_MAX[metric])) {
    throw new FlotillaError('NOT_FINITE', `${field} ${notFiniteFault(bytes)}`, { field });
  }
  if (metric === 'cosine' && squaredLength < SQUARED_LENGTH_MIN) {
    const message = `${field} has a length of 0, or too near to it for a direction`;
    throw new FlotillaError('ZERO_VECTOR', message, { field });
  }
}

function squaredLengthOf(bytes: Uint8Array): number {
  const floats = floatView(bytes);
  let sum = 0;
  // An iterator over the floats would take twice as long.
  for (let at = 0; at < floats.length; at++) {
    const value = floats[at] as number;
    sum += value * value;
  }
  return sum;
}

function notFiniteFault(bytes: Uint8Array): string {
  const index = floatView(bytes).findIndex((value) => !Number.isFinite(value));
  if (index >= 0) return `has NaN or an infinity at position ${index}`;
  return 'is so long that distances to it overflow';
}

/** Decoded vectors are aligned, so that no copy is needed. */
function floatView(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

export function checkMetadata(metadata: Uint8Array, field: string): void {
  if (metadata.length === 0) return;
  checkAtMost('metadataBytesMax', metadata.length, field);
  try {
    validateStruct(metadata);
  } catch (error) {
    if (!isFlotillaError(error)) throw error;
    const { body } = structFault(metadata, error);
    const message = `${field}: ${body.message}`;
    throw FlotillaError.fromBody({ ...body, field, message }, error);
  }
}

/** What names a record of one tenant. */
function identityOf(id: string, shardKey: string | undefined): string {
  return shardKey === undefined || shardKey === '' ? id : storedIdOf(shardKey, id);
}

function checkBatchSize(limit: LimitName, count: number, field: string): void {
  if (count === 0) throw invalidField(field, 'is empty, send at least one');
  checkAtMost(limit, count, field);
}

function checkSafe(value: number, field: string): void {
  if (!Number.isSafeInteger(value)) throw invalidField(field, 'is above 2^53 - 1');
}

function indexOfRepeated(values: readonly (string | number)[]): number | undefined {
  const seen = new Set<string | number>();
  for (const [index, value] of values.entries()) {
    if (seen.has(value)) return index;
    seen.add(value);
  }
  return undefined;
}

function duplicateId(field: string): FlotillaError {
  const message = `${field} is an id that the request has before, send each id once`;
  return new FlotillaError('DUPLICATE_ID', message, { field });
}
