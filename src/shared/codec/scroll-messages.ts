/**
 * The messages of the public Records service that go through records by what they hold, written and
 * read by hand. What api-messages.ts says about metadata and malformed bytes holds here too.
 */
import {
  consistencyNumber,
  consistencyOf,
  type RequestedConsistency,
  readStoredRecord,
  recordSizeBytes,
  type StoredRecordMessage,
  writeStoredRecord,
} from './api-messages.js';
import { ProtobufReader, ProtobufWriter } from './protobuf-wire.js';

export interface ScrollRequest {
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
}

export interface ScrollResponse {
  readonly records: readonly StoredRecordMessage[];
  /** Where the next page begins; empty after the last one. */
  readonly cursor: string;
  readonly epoch: number;
}

export interface DeleteByFilterRequest {
  readonly collection: string;
  /** `undefined` where the request has none, which the server refuses. */
  readonly filter?: Uint8Array | undefined;
  /** Of the answer before; empty at first. */
  readonly cursor: string;
}

export interface DeleteByFilterResponse {
  readonly deletedCount: number;
  /** Where to go on; empty where everything was looked at. */
  readonly cursor: string;
}

export function encodeScrollRequest(message: ScrollRequest): Buffer {
  const { collection, filter, cursor } = message;
  const writer = new ProtobufWriter(64 + cursor.length + (filter?.length ?? 0));
  writer.string(1, collection).optionalBytes(2, filter).uint(3, message.limit).string(4, cursor);
  writer.bool(5, message.includeValues).optionalBool(6, message.includeMetadata);
  return writer.uint(7, consistencyNumber(message.consistency)).finish();
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
  while (reader.next()) {
    if (reader.field === 1) collection = reader.string();
    else if (reader.field === 2) filter = reader.bytes();
    else if (reader.field === 3) limit = reader.uint32();
    else if (reader.field === 4) cursor = reader.string();
    else if (reader.field === 5) includeValues = reader.bool();
    else if (reader.field === 6) includeMetadata = reader.bool();
    else if (reader.field === 7) consistency = consistencyOf(reader.uint32());
    else reader.skip();
  }
  return { collection, filter, limit, cursor, includeValues, includeMetadata, consistency };
}

export function encodeScrollResponse({ records, cursor, epoch }: ScrollResponse): Buffer {
  let sizeBytes = 64 + cursor.length;
  for (const record of records) sizeBytes += recordSizeBytes(record);
  const writer = new ProtobufWriter(sizeBytes);
  for (const record of records) writeStoredRecord(writer, 1, record);
  return writer.string(2, cursor).uint(3, epoch).finish();
}

export function decodeScrollResponse(bytes: Uint8Array): ScrollResponse {
  const reader = new ProtobufReader(bytes);
  const records: StoredRecordMessage[] = [];
  let cursor = '';
  let epoch = 0;
  while (reader.next()) {
    if (reader.field === 1) records.push(readStoredRecord(reader));
    else if (reader.field === 2) cursor = reader.string();
    else if (reader.field === 3) epoch = reader.uint64();
    else reader.skip();
  }
  return { records, cursor, epoch };
}

export function encodeDeleteByFilterRequest(message: DeleteByFilterRequest): Buffer {
  const { collection, filter, cursor } = message;
  const writer = new ProtobufWriter(64 + cursor.length + (filter?.length ?? 0));
  return writer.string(1, collection).optionalBytes(2, filter).string(3, cursor).finish();
}

export function decodeDeleteByFilterRequest(bytes: Uint8Array): DeleteByFilterRequest {
  const reader = new ProtobufReader(bytes);
  let collection = '';
  let filter: Uint8Array | undefined;
  let cursor = '';
  while (reader.next()) {
    if (reader.field === 1) collection = reader.string();
    else if (reader.field === 2) filter = reader.bytes();
    else if (reader.field === 3) cursor = reader.string();
    else reader.skip();
  }
  return { collection, filter, cursor };
}

export function encodeDeleteByFilterResponse(message: DeleteByFilterResponse): Buffer {
  return new ProtobufWriter(64).uint(1, message.deletedCount).string(2, message.cursor).finish();
}

export function decodeDeleteByFilterResponse(bytes: Uint8Array): DeleteByFilterResponse {
  const reader = new ProtobufReader(bytes);
  let deletedCount = 0;
  let cursor = '';
  while (reader.next()) {
    if (reader.field === 1) deletedCount = reader.uint64();
    else if (reader.field === 2) cursor = reader.string();
    else reader.skip();
  }
  return { deletedCount, cursor };
}
