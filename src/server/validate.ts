/**
 * The door: everything that a request holds is checked here, before any of it is applied (P-9).
 * Errors name the field by its path in the request, in lowerCamelCase as in protobuf's JSON form
 * (`records[3].values`), and the limit by its name in src/shared/limits.ts.
 */
import { utf8Length } from '../shared/bytes.js';
import type { CollectionRequest } from '../shared/codec/admin-messages.js';
import type { RecordMessage } from '../shared/codec/api-messages.js';
import type { RequestKey } from '../shared/codec/command.js';
import type { SearchQueryMessage } from '../shared/codec/search-messages.js';
import { validateStruct } from '../shared/codec/struct.js';
import { FlotillaError, isFlotillaError } from '../shared/errors.js';
import { LIMITS, type LimitName } from '../shared/limits.js';
import type { CollectionConfig, IndexedField } from '../shared/types.js';
import type { BackendQuery } from './backend.js';

const NAME_FORM = /^[A-Za-z0-9_.-]+$/;

/** The greatest and the least positive normal float32. */
const FLOAT32_MAX = 3.4028234663852886e38;
const FLOAT32_NORMAL_MIN = 1.1754943508222875e-38;

const DEFAULT_M = 16;
const DEFAULT_EF_CONSTRUCTION = 200;

/** A collection's name, in whatever field it stands. */
export function checkCollectionName(name: string, field: string): void {
  if (name === '') throw invalid(field, 'a collection needs a name');
  checkAtMost('collectionNameBytesMax', utf8Length(name), field);
  if (!NAME_FORM.test(name)) {
    throw invalid(field, 'a name is made of letters, digits, "_", "-" and "."');
  }
}

/** The collection that is asked for, defaults filled in. */
export function checkCollectionConfig(request: CollectionRequest): CollectionConfig {
  const { dimension, metric, efConstruction } = request;
  checkCollectionName(request.name, 'config.name');
  if (dimension === 0) throw invalid('config.dimension', 'a vector has at least one float');
  checkAtMost('dimensionMax', dimension, 'config.dimension');
  if (metric === 'unknown') throw invalid('config.metric', 'this metric is not known');
  const m = request.m === 0 ? DEFAULT_M : request.m;
  if (m < LIMITS.mMin.value) throw limitExceeded('mMin', m, 'config.m');
  checkAtMost('mMax', m, 'config.m');
  checkAtMost('efConstructionMax', efConstruction, 'config.efConstruction');
  return {
    name: request.name,
    dimension,
    metric: metric ?? 'cosine',
    m,
    efConstruction: efConstruction === 0 ? DEFAULT_EF_CONSTRUCTION : efConstruction,
    indexedFields: checkIndexedFields(request.indexedFields),
  };
}

/** The records of one upsert into `collection`. */
export function checkRecords(
  records: readonly RecordMessage[],
  collection: CollectionConfig,
): void {
  checkBatchSize('upsertRecordsMax', records.length, 'records', 'an upsert without records');
  for (const [index, record] of records.entries()) {
    const field = `records[${index}]`;
    checkId(record.id, `${field}.id`);
    checkVector(record.values, collection, `${field}.values`);
    checkMetadata(record.metadata, `${field}.metadata`);
  }
  const repeated = indexOfRepeated(records.map((record) => record.id));
  if (repeated !== undefined) throw duplicateId(`records[${repeated}].id`);
}

/** The ids of one delete. */
export function checkIdsToDelete(ids: readonly string[]): void {
  checkBatchSize('deleteIdsMax', ids.length, 'ids', 'a delete without ids');
  for (const [index, id] of ids.entries()) checkId(id, `ids[${index}]`);
  const repeated = indexOfRepeated(ids);
  if (repeated !== undefined) throw duplicateId(`ids[${repeated}]`);
}

/** The ids of one fetch. The same id twice is answered twice. */
export function checkIdsToFetch(ids: readonly string[]): void {
  checkBatchSize('fetchIdsMax', ids.length, 'ids', 'a fetch without ids');
  for (const [index, id] of ids.entries()) checkId(id, `ids[${index}]`);
}

export function checkIdempotencyKey(key: RequestKey | undefined): void {
  if (key === undefined) return;
  const field = 'idempotencyKey';
  if (key.clientId === '') throw invalid(`${field}.clientId`, 'a key needs a client id');
  checkAtMost('idempotencyKeyBytesMax', utf8Length(key.clientId), `${field}.clientId`);
  checkSafe(key.clientStampMs, `${field}.clientStampMs`);
  if (key.sequence === 0) throw invalid(`${field}.sequence`, 'sequences count from 1');
  checkSafe(key.sequence, `${field}.sequence`);
  if (key.lowestUnanswered > key.sequence) {
    throw invalid(`${field}.lowestUnanswered`, 'this write itself is not answered yet');
  }
}

/** How many queries a batch has. */
export function checkBatch(queries: readonly SearchQueryMessage[]): void {
  checkBatchSize('searchBatchMax', queries.length, 'queries', 'a batch without queries');
}

/** One query on `collection`; `field` is its path in the request. */
export function checkQuery(
  query: SearchQueryMessage | undefined,
  collection: CollectionConfig,
  field: string,
): BackendQuery {
  if (query === undefined) throw invalid(field, 'a search needs a query');
  if (query.filter !== undefined) {
    throw new FlotillaError('FILTER_UNSUPPORTED', 'this version has no metadata filters', {
      field: `${field}.filter`,
    });
  }
  checkWindow(query, field);
  checkAtMost('efMax', query.ef, `${field}.ef`);
  if (Number.isNaN(query.scoreThreshold)) {
    throw invalid(`${field}.scoreThreshold`, 'a threshold is a number');
  }
  return {
    ...checkTarget(query, collection, field),
    k: query.k,
    offset: query.offset,
    ef: query.ef,
    ...(query.scoreThreshold !== undefined && { scoreThreshold: query.scoreThreshold }),
    includeValues: query.includeValues,
    includeMetadata: query.includeMetadata ?? true,
  };
}

function checkTarget(
  { vector, id }: SearchQueryMessage,
  collection: CollectionConfig,
  field: string,
): { readonly vector: Uint8Array } | { readonly id: string } {
  if (id === undefined) {
    if (vector.length === 0) throw invalid(field, 'a query needs a vector or an id');
    checkVector(vector, collection, `${field}.vector`);
    return { vector };
  }
  if (vector.length > 0) throw invalid(field, 'a query has a vector or an id, not both');
  checkId(id, `${field}.id`);
  return { id };
}

function checkWindow({ k, offset }: SearchQueryMessage, field: string): void {
  if (k === 0) throw invalid(`${field}.k`, 'k is at least 1');
  checkAtMost('kMax', k, `${field}.k`);
  checkAtMost('kMax', k + offset, `${field}.offset`);
}

function checkId(id: string, field: string): void {
  if (id === '') throw invalid(field, 'an id is not empty');
  // Three bytes a UTF-16 unit at most: most ids need no counting.
  if (3 * id.length > LIMITS.idBytesMax.value) checkAtMost('idBytesMax', utf8Length(id), field);
}

function checkVector(bytes: Uint8Array, { dimension, metric }: CollectionConfig, field: string) {
  const count = bytes.length / 4;
  if (count !== dimension) {
    throw new FlotillaError(
      'DIMENSION_MISMATCH',
      `the vector has ${count} floats, the collection ${dimension}`,
      { field, details: { expected: String(dimension), actual: String(count) } },
    );
  }
  const squaredLength = squaredLengthOf(bytes);
  // The sum is NaN or infinite as soon as one float is, and distances overflow where it does.
  if (!(squaredLength <= FLOAT32_MAX)) {
    throw new FlotillaError('NOT_FINITE', notFiniteMessage(bytes), { field });
  }
  if (metric === 'cosine' && squaredLength < FLOAT32_NORMAL_MIN) {
    throw new FlotillaError('ZERO_VECTOR', 'a vector of zeros has no direction', { field });
  }
}

function squaredLengthOf(bytes: Uint8Array): number {
  let sum = 0;
  for (const value of floatView(bytes)) sum += value * value;
  return sum;
}

function notFiniteMessage(bytes: Uint8Array): string {
  const index = floatView(bytes).findIndex((value) => !Number.isFinite(value));
  if (index >= 0) return `float ${index} is not a finite number`;
  return 'the floats are so large that distances overflow';
}

/** Decoded vectors are aligned, so that no copy is needed. */
function floatView(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

function checkMetadata(metadata: Uint8Array, field: string): void {
  if (metadata.length === 0) return;
  checkAtMost('metadataBytesMax', metadata.length, field);
  try {
    validateStruct(metadata);
  } catch (error) {
    if (!isFlotillaError(error)) throw error;
    throw FlotillaError.fromBody({ ...error.body, field }, error);
  }
}

function checkIndexedFields(fields: CollectionRequest['indexedFields']): IndexedField[] {
  checkAtMost('indexedFieldsMax', fields.length, 'config.indexedFields');
  const checked = fields.map(({ path, type }, index) => {
    const field = `config.indexedFields[${index}]`;
    const segments = path.split('.');
    if (segments.includes('')) throw invalid(`${field}.path`, 'a path has names between its dots');
    // No metadata can have a field that is deeper or longer than metadata may be.
    checkAtMost('metadataDepthMax', segments.length, `${field}.path`);
    checkAtMost('metadataBytesMax', utf8Length(path), `${field}.path`);
    if (type === undefined) throw invalid(`${field}.type`, 'a field needs a known type');
    return { path, type };
  });
  const repeated = indexOfRepeated(checked.map((field) => field.path));
  if (repeated === undefined) return checked;
  throw invalid(`config.indexedFields[${repeated}].path`, 'a path is declared once');
}

function checkBatchSize(limit: LimitName, count: number, field: string, whenEmpty: string): void {
  if (count === 0) throw invalid(field, `${whenEmpty} does nothing`);
  checkAtMost(limit, count, field);
}

function checkSafe(value: number, field: string): void {
  if (!Number.isSafeInteger(value)) throw invalid(field, 'numbers end at 2^53 - 1');
}

function checkAtMost(limit: LimitName, actual: number, field: string): void {
  if (actual > LIMITS[limit].value) throw limitExceeded(limit, actual, field);
}

function indexOfRepeated(values: readonly string[]): number | undefined {
  const seen = new Set<string>();
  for (const [index, value] of values.entries()) {
    if (seen.has(value)) return index;
    seen.add(value);
  }
  return undefined;
}

function invalid(field: string, message: string): FlotillaError {
  return new FlotillaError('INVALID_REQUEST', `${field}: ${message}`, { field });
}

function duplicateId(field: string): FlotillaError {
  return new FlotillaError('DUPLICATE_ID', `${field}: the id stands in the request before`, {
    field,
  });
}

function limitExceeded(limit: LimitName, actual: number, field: string): FlotillaError {
  const { value, unit, what } = LIMITS[limit];
  return new FlotillaError(
    'LIMIT_EXCEEDED',
    `${field}: ${actual} ${unit}, the limit is ${value} (${what})`,
    { field, limit },
  );
}
