/**
 * The messages of the public Records service that go through records by what they hold, written and
 * read by hand. What api-messages.ts says about metadata and malformed bytes holds here too.
 */
import type { SeenShard, ServedShard } from '../consistency.js';
import { limitExceeded } from '../errors.js';
import { LIMITS } from '../limits.js';
import {
  consistencyNumber,
  consistencyOf,
  type RequestedConsistency,
  readStoredRecord,
  recordSizeBytes,
  type StoredRecordMessage,
  writeStoredRecord,
} from './api-messages.js';
import {
  FRESHNESS_FIELD,
  type RequestedFreshness,
  readFreshness,
  readSeen,
  readServed,
  writeFreshness,
  writeServed,
  writeWritten,
} from './freshness-messages.js';
import { ProtobufReader, ProtobufWriter } from './protobuf-wire.js';
import {
  type ReadScopeFields,
  type ReadScopeRead,
  readReadScope,
  writeReadScope,
} from './read-scope.js';
import { type ReadTenant, readTenant, type TenantFields, writeTenant } from './tenant-fields.js';

export interface CountRequest extends ReadScopeFields {
  readonly collection: string;
  readonly consistency?: RequestedConsistency;
  /** Instead of `consistency`. */
  readonly freshness?: RequestedFreshness;
  /** An encoded Struct; `undefined` where there is none. */
  readonly filter?: Uint8Array | undefined;
}

export interface CountResponse {
  readonly count: number;
  /** Where the parts come from. @default nothing is told */
  readonly served?: readonly ServedShard[] | undefined;
}

export interface ScrollRequest extends ReadScopeFields {
  readonly collection: string;
  /** An encoded Struct; `undefined` where there is none. */
  readonly filter?: Uint8Array | undefined;
  /** 0 for the default. */
  readonly limit: number;
  /** Of the page before; empty for the first one. */
  readonly cursor: string;
  readonly includeValues: boolean;
  readonly includeMetadata?: boolean | undefined;
  readonly consistency?: RequestedConsistency;
  /** Instead of `consistency`. */
  readonly freshness?: RequestedFreshness;
}

export interface ScrollResponse {
  readonly records: readonly StoredRecordMessage[];
  /** Where the next page begins; empty after the last one. */
  readonly cursor: string;
  readonly epoch: number;
  /** Where the parts come from. @default nothing is told */
  readonly served?: readonly ServedShard[] | undefined;
}

/** Records of some shard keys. */
export interface ShardKeyFilter {
  /** At least one, which the server sees to. */
  readonly shardKeys: readonly string[];
  /** `undefined` where the request has none, which the server refuses. */
  readonly filter?: Uint8Array | undefined;
}

export interface DeleteByFilterRequest extends Pick<TenantFields, 'tenant'> {
  readonly collection: string;
  /** `undefined` where the request has none. */
  readonly filter?: Uint8Array | undefined;
  /**
   * Instead of `filter`; exactly one of them is there, which the server sees to. A node of a
   * version without this field finds no filter and refuses: were the keys beside the filter, it
   * would skip them, and delete the records of all keys.
   */
  readonly shardKeyFilter?: ShardKeyFilter | undefined;
  /** Of the answer before; empty at first. */
  readonly cursor: string;
}

export interface DeleteByFilterResponse {
  readonly deletedCount: number;
  /** Where to go on; empty where everything was looked at. */
  readonly cursor: string;
  /** As in `WriteResponse`. */
  readonly written?: readonly SeenShard[] | undefined;
}

export function encodeCountRequest(message: CountRequest): Buffer {
  const { collection, consistency, filter } = message;
  const writer = new ProtobufWriter(64 + (filter?.length ?? 0)).string(1, collection);
  writer.uint(2, consistencyNumber(consistency)).optionalBytes(3, filter);
  return writeFreshness(writeReadScope(writer, message), message.freshness).finish();
}

export function decodeCountRequest(bytes: Uint8Array): CountRequest {
  const reader = new ProtobufReader(bytes);
  let collection = '';
  let consistency: RequestedConsistency;
  let filter: Uint8Array | undefined;
  let freshness: RequestedFreshness;
  const scope: ReadScopeRead = {};
  while (reader.next()) {
    if (reader.field === 1) collection = reader.string();
    else if (reader.field === 2) consistency = consistencyOf(reader.uint32());
    else if (reader.field === 3) filter = reader.bytes();
    else if (reader.field === FRESHNESS_FIELD) freshness = readFreshness(reader);
    else if (!readReadScope(reader, scope)) reader.skip();
  }
  return { collection, consistency, freshness, filter, ...scope };
}

export function encodeCountResponse(message: CountResponse): Buffer {
  const writer = new ProtobufWriter(64).uint(1, message.count);
  return writeServed(writer, message.served).finish();
}

export function decodeCountResponse(bytes: Uint8Array): CountResponse {
  const reader = new ProtobufReader(bytes);
  let count = 0;
  const served: ServedShard[] = [];
  while (reader.next()) {
    if (reader.field === 1) count = reader.uint64();
    else if (reader.field === FRESHNESS_FIELD) served.push(readServed(reader));
    else reader.skip();
  }
  return { count, served };
}

export function encodeScrollRequest(message: ScrollRequest): Buffer {
  const { collection, filter, cursor } = message;
  const writer = new ProtobufWriter(64 + cursor.length + (filter?.length ?? 0));
  writer.string(1, collection).optionalBytes(2, filter).uint(3, message.limit).string(4, cursor);
  writer.bool(5, message.includeValues).optionalBool(6, message.includeMetadata);
  writer.uint(7, consistencyNumber(message.consistency));
  return writeFreshness(writeReadScope(writer, message), message.freshness).finish();
}

export function decodeScrollRequest(bytes: Uint8Array): ScrollRequest {
  const reader = new ProtobufReader(bytes);
  let collection = '';
  let filter: Uint8Array | undefined;
  let limit = 0;
  let cursor = '';
  let includeValues = false;
  let includeMetadata: boolean | undefined;
  let consistency: RequestedConsistency;
  let freshness: RequestedFreshness;
  const scope: ReadScopeRead = {};
  while (reader.next()) {
    if (reader.field === 1) collection = reader.string();
    else if (reader.field === 2) filter = reader.bytes();
    else if (reader.field === 3) limit = reader.uint32();
    else if (reader.field === 4) cursor = reader.string();
    else if (reader.field === 5) includeValues = reader.bool();
    else if (reader.field === 6) includeMetadata = reader.bool();
    else if (reader.field === 7) consistency = consistencyOf(reader.uint32());
    else if (reader.field === FRESHNESS_FIELD) freshness = readFreshness(reader);
    else if (!readReadScope(reader, scope)) reader.skip();
  }
  const include = { includeValues, includeMetadata };
  return { collection, filter, limit, cursor, ...include, consistency, freshness, ...scope };
}

export function encodeScrollResponse(message: ScrollResponse): Buffer {
  const { records, cursor, epoch, served } = message;
  let sizeBytes = 64 + cursor.length;
  for (const record of records) sizeBytes += recordSizeBytes(record);
  const writer = new ProtobufWriter(sizeBytes);
  for (const record of records) writeStoredRecord(writer, 1, record);
  return writeServed(writer.string(2, cursor).uint(3, epoch), served).finish();
}

export function decodeScrollResponse(bytes: Uint8Array): ScrollResponse {
  const reader = new ProtobufReader(bytes);
  const records: StoredRecordMessage[] = [];
  let cursor = '';
  let epoch = 0;
  const served: ServedShard[] = [];
  while (reader.next()) {
    if (reader.field === 1) records.push(readStoredRecord(reader));
    else if (reader.field === 2) cursor = reader.string();
    else if (reader.field === 3) epoch = reader.uint64();
    else if (reader.field === FRESHNESS_FIELD) served.push(readServed(reader));
    else reader.skip();
  }
  return { records, cursor, epoch, served };
}

export function encodeDeleteByFilterRequest(message: DeleteByFilterRequest): Buffer {
  const { collection, filter, shardKeyFilter, cursor } = message;
  const filterBytes = filter?.length ?? shardKeyFilter?.filter?.length ?? 0;
  const writer = new ProtobufWriter(64 + cursor.length + filterBytes);
  writer.string(1, collection).optionalBytes(2, filter).string(3, cursor);
  if (shardKeyFilter !== undefined) writeShardKeyFilter(writer, shardKeyFilter);
  return writeTenant(writer, { tenant: message.tenant }).finish();
}

export function decodeDeleteByFilterRequest(bytes: Uint8Array): DeleteByFilterRequest {
  const reader = new ProtobufReader(bytes);
  let collection = '';
  let filter: Uint8Array | undefined;
  let shardKeyFilter: ShardKeyFilter | undefined;
  let cursor = '';
  const scope: ReadTenant = {};
  while (reader.next()) {
    if (reader.field === 1) collection = reader.string();
    else if (reader.field === 2) filter = reader.bytes();
    else if (reader.field === 3) cursor = reader.string();
    else if (reader.field === 4) shardKeyFilter = readShardKeyFilter(reader);
    else if (!readTenant(reader, scope)) reader.skip();
  }
  const { tenant } = scope;
  const keyed = shardKeyFilter !== undefined && { shardKeyFilter };
  return { collection, filter, ...keyed, cursor, ...(tenant !== undefined && { tenant }) };
}

function writeShardKeyFilter(writer: ProtobufWriter, { shardKeys, filter }: ShardKeyFilter): void {
  writer.open(4);
  for (const key of shardKeys) writer.optionalString(1, key);
  writer.optionalBytes(2, filter).close();
}

function readShardKeyFilter(reader: ProtobufReader): ShardKeyFilter {
  const outer = reader.open();
  const shardKeys: string[] = [];
  let filter: Uint8Array | undefined;
  while (reader.next()) {
    if (reader.field === 1) {
      if (shardKeys.length >= LIMITS.scopeShardKeysMax.value) {
        throw limitExceeded('scopeShardKeysMax', 'shardKeys');
      }
      shardKeys.push(reader.string());
    } else if (reader.field === 2) filter = reader.bytes();
    else reader.skip();
  }
  reader.close(outer);
  return { shardKeys, filter };
}

export function encodeDeleteByFilterResponse(message: DeleteByFilterResponse): Buffer {
  const writer = new ProtobufWriter(64).uint(1, message.deletedCount).string(2, message.cursor);
  return writeWritten(writer, message.written).finish();
}

export function decodeDeleteByFilterResponse(bytes: Uint8Array): DeleteByFilterResponse {
  const reader = new ProtobufReader(bytes);
  let deletedCount = 0;
  let cursor = '';
  const written: SeenShard[] = [];
  while (reader.next()) {
    if (reader.field === 1) deletedCount = reader.uint64();
    else if (reader.field === 2) cursor = reader.string();
    else if (reader.field === FRESHNESS_FIELD) written.push(readSeen(reader));
    else reader.skip();
  }
  return { deletedCount, cursor, written };
}
