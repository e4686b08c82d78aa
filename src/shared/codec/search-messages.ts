/**
 * The search messages of the public Records service, written and read by hand. What api-messages.ts
 * says about vectors, metadata and malformed bytes holds here too.
 */
import type { ServedShard } from '../consistency.js';
import {
  checkRoom,
  consistencyNumber,
  consistencyOf,
  RECORD_OVERHEAD_BYTES,
  type RequestedConsistency,
  recordSizeBytes,
  type StoredRecordMessage,
  versionOf,
  versionText,
} from './api-messages.js';
import {
  FRESHNESS_FIELD,
  type RequestedFreshness,
  readFreshness,
  readServed,
  writeFreshness,
  writeServed,
} from './freshness-messages.js';
import { NO_BYTES, ProtobufReader, ProtobufWriter } from './protobuf-wire.js';
import {
  type ReadScopeFields,
  type ReadScopeRead,
  readReadScope,
  writeReadScope,
} from './read-scope.js';
import { type RecordOwner, readOwner, SHARD_KEY_FIELD, writeOwner } from './tenant-fields.js';

export interface SearchQueryMessage {
  /** Empty where the query is by id. */
  readonly vector: Uint8Array;
  readonly id?: string | undefined;
  /** Of the record of that id. */
  readonly shardKey?: string | undefined;
  readonly k: number;
  readonly offset: number;
  /** 0 for the default. */
  readonly ef: number;
  readonly scoreThreshold?: number | undefined;
  /** An encoded Struct; `undefined` where there is none. */
  readonly filter?: Uint8Array | undefined;
  readonly includeValues: boolean;
  readonly includeMetadata?: boolean | undefined;
  /**
   * How many hits each shard is asked for; `undefined` for `k` and `offset`. A node of a version
   * without the field skips it, and asks for those.
   */
  readonly shardK?: number | undefined;
}

export interface SearchRequest extends ReadScopeFields {
  readonly collection: string;
  /** `undefined` where the request has none, which the server refuses. */
  readonly query: SearchQueryMessage | undefined;
  readonly allowPartial: boolean;
  readonly consistency?: RequestedConsistency;
  /** Instead of `consistency`. */
  readonly freshness?: RequestedFreshness;
}

export interface SearchBatchRequest extends ReadScopeFields {
  readonly collection: string;
  readonly queries: readonly SearchQueryMessage[];
  readonly allowPartial: boolean;
  readonly consistency?: RequestedConsistency;
  /** Instead of `consistency`. */
  readonly freshness?: RequestedFreshness;
}

/** A record without its expiry, which only reads by id and scrolls tell. */
export interface HitMessage extends Omit<StoredRecordMessage, 'expiresAtMs'> {
  readonly distance: number;
}

export interface ShardSummary {
  readonly total: number;
  readonly ok: number;
  /** Ids of the shards that did not answer. */
  readonly failed: readonly number[];
}

/** Where the hits of an answer come from. */
export interface SearchProvenance {
  readonly shards: ShardSummary;
  readonly degraded: boolean;
  readonly epoch: number;
  /** Where the parts come from. @default nothing is told */
  readonly served?: readonly ServedShard[] | undefined;
  /**
   * Positions of the queries whose hits may leave out nearer ones, because shards were asked for
   * fewer than the query wants. @default none
   */
  readonly cutQueries?: readonly number[] | undefined;
}

export interface SearchResponse extends SearchProvenance {
  readonly hits: readonly HitMessage[];
}

export interface SearchBatchResponse extends SearchProvenance {
  /** One list per query, in order. */
  readonly results: readonly (readonly HitMessage[])[];
}

const NO_SHARDS: ShardSummary = { total: 0, ok: 0, failed: [] };

/** A provenance while it is read. */
interface ProvenanceRead {
  shards: ShardSummary;
  degraded: boolean;
  epoch: number;
  readonly served: ServedShard[];
  readonly cutQueries: number[];
}

const emptyProvenance = (): ProvenanceRead => ({
  shards: NO_SHARDS,
  degraded: false,
  epoch: 0,
  served: [],
  cutQueries: [],
});

export function encodeSearchRequest(message: SearchRequest): Buffer {
  const { collection, query } = message;
  const sizeBytes = query === undefined ? 0 : querySizeBytes(query);
  const writer = new ProtobufWriter(64 + collection.length + sizeBytes).string(1, collection);
  if (query !== undefined) writeQuery(writer, 2, query);
  writer.bool(3, message.allowPartial);
  writer.uint(4, consistencyNumber(message.consistency));
  return writeFreshness(writeReadScope(writer, message), message.freshness).finish();
}

export function decodeSearchRequest(bytes: Uint8Array): SearchRequest {
  const reader = new ProtobufReader(bytes);
  let collection = '';
  let query: SearchQueryMessage | undefined;
  let allowPartial = false;
  let consistency: RequestedConsistency;
  let freshness: RequestedFreshness;
  const scope: ReadScopeRead = {};
  while (reader.next()) {
    if (reader.field === 1) collection = reader.string();
    else if (reader.field === 2) query = readQuery(reader);
    else if (reader.field === 3) allowPartial = reader.bool();
    else if (reader.field === 4) consistency = consistencyOf(reader.uint32());
    else if (reader.field === FRESHNESS_FIELD) freshness = readFreshness(reader);
    else if (!readReadScope(reader, scope)) reader.skip();
  }
  return { collection, query, allowPartial, consistency, freshness, ...scope };
}

export function encodeSearchBatchRequest(message: SearchBatchRequest): Buffer {
  let sizeBytes = 64 + message.collection.length;
  for (const query of message.queries) sizeBytes += querySizeBytes(query);
  const writer = new ProtobufWriter(sizeBytes).string(1, message.collection);
  for (const query of message.queries) writeQuery(writer, 2, query);
  writer.bool(3, message.allowPartial);
  writer.uint(4, consistencyNumber(message.consistency));
  return writeFreshness(writeReadScope(writer, message), message.freshness).finish();
}

export function decodeSearchBatchRequest(bytes: Uint8Array): SearchBatchRequest {
  const reader = new ProtobufReader(bytes);
  let collection = '';
  const queries: SearchQueryMessage[] = [];
  let allowPartial = false;
  let consistency: RequestedConsistency;
  let freshness: RequestedFreshness;
  const scope: ReadScopeRead = {};
  while (reader.next()) {
    if (reader.field === 1) collection = reader.string();
    else if (reader.field === 2) {
      checkRoom(queries, 'searchBatchMax', 'queries');
      queries.push(readQuery(reader));
    } else if (reader.field === 3) allowPartial = reader.bool();
    else if (reader.field === 4) consistency = consistencyOf(reader.uint32());
    else if (reader.field === FRESHNESS_FIELD) freshness = readFreshness(reader);
    else if (!readReadScope(reader, scope)) reader.skip();
  }
  return { collection, queries, allowPartial, consistency, freshness, ...scope };
}

export function encodeSearchResponse(message: SearchResponse): Buffer {
  const writer = new ProtobufWriter(64 + hitsSizeBytes(message.hits));
  writeHits(writer, message.hits);
  writeProvenance(writer, message);
  return writer.finish();
}

export function decodeSearchResponse(bytes: Uint8Array): SearchResponse {
  const reader = new ProtobufReader(bytes);
  const hits: HitMessage[] = [];
  const provenance = emptyProvenance();
  while (reader.next()) {
    if (reader.field === 1) hits.push(readHit(reader));
    else readProvenance(reader, provenance);
  }
  return { hits, ...provenance };
}

export function encodeSearchBatchResponse(message: SearchBatchResponse): Buffer {
  const listSizesBytes = message.results.map(hitsSizeBytes);
  const writer = new ProtobufWriter(listSizesBytes.reduce((sum, size) => sum + size + 8, 64));
  for (const [index, hits] of message.results.entries()) {
    writer.open(1, listSizesBytes[index]);
    writeHits(writer, hits);
    writer.close();
  }
  writeProvenance(writer, message);
  return writer.finish();
}

export function decodeSearchBatchResponse(bytes: Uint8Array): SearchBatchResponse {
  const reader = new ProtobufReader(bytes);
  const results: HitMessage[][] = [];
  const provenance = emptyProvenance();
  while (reader.next()) {
    if (reader.field === 1) results.push(readHits(reader));
    else readProvenance(reader, provenance);
  }
  return { results, ...provenance };
}

// Parts.

function hitsSizeBytes(hits: readonly HitMessage[]): number {
  let sizeBytes = 0;
  for (const hit of hits) sizeBytes += recordSizeBytes(hit);
  return sizeBytes;
}

function querySizeBytes(query: SearchQueryMessage): number {
  return 64 + query.vector.length + (query.filter?.length ?? 0) + (query.id?.length ?? 0);
}

function writeHits(writer: ProtobufWriter, hits: readonly HitMessage[]): void {
  for (const hit of hits) {
    writer.open(1, recordSizeBytes(hit) - RECORD_OVERHEAD_BYTES);
    writer.string(1, hit.id).float(2, hit.distance);
    writer.bytes(3, hit.values).bytes(4, hit.metadata);
    writer.string(5, versionText(hit.version));
    writeOwner(writer, hit);
    writer.close();
  }
}

function readHits(reader: ProtobufReader): HitMessage[] {
  const outer = reader.open();
  const hits: HitMessage[] = [];
  while (reader.next()) {
    if (reader.field === 1) hits.push(readHit(reader));
    else reader.skip();
  }
  reader.close(outer);
  return hits;
}

function readHit(reader: ProtobufReader): HitMessage {
  const outer = reader.open();
  let id = '';
  let distance = 0;
  let values: Uint8Array | undefined;
  let metadata: Uint8Array | undefined;
  let version = 0n;
  const owner: RecordOwner = {};
  while (reader.next()) {
    if (reader.field === 1) id = reader.string();
    else if (reader.field === 2) distance = reader.float();
    else if (reader.field === 3) values = reader.floats(values ?? NO_BYTES);
    else if (reader.field === 4) metadata = reader.bytes();
    else if (reader.field === 5) version = versionOf(reader.string());
    else if (!readOwner(reader, owner)) reader.skip();
  }
  reader.close(outer);
  return { id, distance, version, values, metadata, ...owner };
}

function writeQuery(writer: ProtobufWriter, field: number, query: SearchQueryMessage): void {
  writer.open(field, query.vector.length).bytes(1, query.vector).optionalString(2, query.id);
  writer.uint(3, query.k).uint(4, query.offset).uint(5, query.ef);
  writer.optionalFloat(6, query.scoreThreshold);
  writer.optionalBytes(7, query.filter);
  writer.bool(8, query.includeValues).optionalBool(9, query.includeMetadata);
  writer.optionalUint(10, query.shardK);
  writer.string(SHARD_KEY_FIELD, query.shardKey ?? '').close();
}

function readQuery(reader: ProtobufReader): SearchQueryMessage {
  const outer = reader.open();
  let vector = NO_BYTES;
  let id: string | undefined;
  const counts: QueryCounts = { k: 0, offset: 0, ef: 0 };
  let scoreThreshold: number | undefined;
  let filter: Uint8Array | undefined;
  let includeValues = false;
  let includeMetadata: boolean | undefined;
  let shardKey = '';
  while (reader.next()) {
    if (reader.field === 1) vector = reader.floats(vector);
    else if (reader.field === 2) id = reader.string();
    else if (reader.field === 6) scoreThreshold = reader.float();
    else if (reader.field === 7) filter = reader.bytes();
    else if (reader.field === 8) includeValues = reader.bool();
    else if (reader.field === 9) includeMetadata = reader.bool();
    else if (reader.field === SHARD_KEY_FIELD) shardKey = reader.string();
    else if (!readCounts(reader, counts)) reader.skip();
  }
  reader.close(outer);
  const target = { vector, id, ...(shardKey !== '' && { shardKey }) };
  return { scoreThreshold, filter, includeValues, includeMetadata, ...target, ...counts };
}

/** How much a query asks for, while it is read. */
interface QueryCounts {
  k: number;
  offset: number;
  ef: number;
  shardK?: number;
}

/** Reads one of the fields into `counts`; false, with nothing read, where it is another one. */
function readCounts(reader: ProtobufReader, counts: QueryCounts): boolean {
  if (reader.field === 3) counts.k = reader.uint32();
  else if (reader.field === 4) counts.offset = reader.uint32();
  else if (reader.field === 5) counts.ef = reader.uint32();
  else if (reader.field === 10) counts.shardK = reader.uint32();
  else return false;
  return true;
}

function writeProvenance(writer: ProtobufWriter, message: SearchProvenance): void {
  const { total, ok, failed } = message.shards;
  writer.open(2).uint(1, total).uint(2, ok).uints(3, failed).close();
  writer
    .bool(3, message.degraded)
    .uint(4, message.epoch)
    .uints(5, message.cutQueries ?? []);
  writeServed(writer, message.served);
}

/** Reads one of the fields that SearchResponse and SearchBatchResponse share. */
function readProvenance(reader: ProtobufReader, into: ProvenanceRead): void {
  if (reader.field === 2) into.shards = readShardSummary(reader);
  else if (reader.field === 3) into.degraded = reader.bool();
  else if (reader.field === 4) into.epoch = reader.uint64();
  else if (reader.field === 5) reader.uint32s(into.cutQueries);
  else if (reader.field === FRESHNESS_FIELD) into.served.push(readServed(reader));
  else reader.skip();
}

function readShardSummary(reader: ProtobufReader): ShardSummary {
  const outer = reader.open();
  let total = 0;
  let ok = 0;
  const failed: number[] = [];
  while (reader.next()) {
    if (reader.field === 1) total = reader.uint32();
    else if (reader.field === 2) ok = reader.uint32();
    else if (reader.field === 3) reader.uint32s(failed);
    else reader.skip();
  }
  reader.close(outer);
  return { total, ok, failed };
}
