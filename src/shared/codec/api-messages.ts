/**
 * The messages of the public Records service (proto/flotilla/v1/flotilla.proto), written and read
 * by hand: no reflection, no JSON, no number boxed per float. Searches are in search-messages.ts.
 *
 * Vectors are little-endian float32 bytes; a decoded one is aligned and owns its memory. Metadata
 * stay the bytes of an encoded google.protobuf.Struct, as a view into the message. Empty bytes
 * stand for "absent" in both. Fields that are not known are skipped; what is cut off or malformed
 * is a `MalformedBytesError`.
 *
 * Lists of requests are read up to their limit and no further: two bytes make an empty part, and
 * its object takes fifty times as many.
 */
import { MalformedBytesError } from '../bytes.js';
import type { SeenShard, ServedShard } from '../consistency.js';
import { ERRORS, type ErrorReason } from '../error-codes.js';
import { limitExceeded } from '../errors.js';
import { LIMITS, type LimitName } from '../limits.js';
import {
  type ErrorBody,
  READ_CONSISTENCIES,
  type ReadConsistency,
  type Version,
  type WriteOutcome,
} from '../types.js';
import type { RequestKey } from './command.js';
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
import { NO_BYTES, ProtobufReader, ProtobufWriter } from './protobuf-wire.js';
import { readRequestKey, writeRequestKey } from './request-key.js';
import {
  type ReadTenant,
  type RecordOwner,
  readOwner,
  readTenant,
  SHARD_KEY_FIELD,
  type TenantFields,
  writeOwner,
  writeTenant,
} from './tenant-fields.js';

/** A record of an upsert. */
export interface RecordMessage {
  readonly id: string;
  readonly values: Uint8Array;
  readonly metadata: Uint8Array;
  /** A decimal number, or what a caller takes for one; empty or absent for none. */
  readonly ifVersion?: string | undefined;
  readonly ttlMs?: number | undefined;
  /** Absent and empty alike: none. */
  readonly shardKey?: string | undefined;
}

/** Which records an upsert may write. */
export type WriteMode = 'insert-only' | 'update-only';

export const WRITE_MODES: readonly WriteMode[] = ['insert-only', 'update-only'];

export interface UpsertRequest extends TenantFields {
  readonly collection: string;
  readonly records: readonly RecordMessage[];
  readonly idempotencyKey?: RequestKey | undefined;
  /** `undefined` for all of them, 'unknown' for a number that this version does not know. */
  readonly mode?: WriteMode | 'unknown' | undefined;
}

export interface PatchMessage {
  readonly id: string;
  readonly metadata: Uint8Array;
  /** As in `RecordMessage`. */
  readonly ifVersion?: string | undefined;
  /** As in `RecordMessage`. */
  readonly shardKey?: string | undefined;
}

export interface PatchRequest extends TenantFields {
  readonly collection: string;
  readonly patches: readonly PatchMessage[];
  readonly idempotencyKey?: RequestKey | undefined;
}

/** Answers an upsert, a patch and a delete: one outcome per record, in the order of the request. */
export interface WriteResponse {
  readonly outcomes: readonly WriteOutcome[];
  /** How far each shard's log had to be applied for that. @default nothing is told */
  readonly written?: readonly SeenShard[] | undefined;
}

export interface DeleteRequest extends TenantFields {
  readonly collection: string;
  readonly ids: readonly string[];
  readonly idempotencyKey?: RequestKey | undefined;
  /** As in `RecordMessage`, one per id; empty or absent where no version is demanded. */
  readonly ifVersions?: readonly string[] | undefined;
  /** One per id; empty or absent where the collection has none. */
  readonly shardKeys?: readonly string[] | undefined;
}

export interface FetchRequest extends TenantFields {
  readonly collection: string;
  readonly ids: readonly string[];
  readonly includeValues?: boolean | undefined;
  readonly includeMetadata?: boolean | undefined;
  /** As in `DeleteRequest`. */
  readonly shardKeys?: readonly string[] | undefined;
  readonly consistency?: RequestedConsistency;
  /** Instead of `consistency`. */
  readonly freshness?: RequestedFreshness;
}

/** `undefined` for the default, 'unknown' for a number that this version does not know. */
export type RequestedConsistency = ReadConsistency | 'unknown' | undefined;

export interface StoredRecordMessage {
  readonly id: string;
  /** Absent and empty alike: nobody's. */
  readonly tenant?: string | undefined;
  /** As in `RecordMessage`. */
  readonly shardKey?: string | undefined;
  readonly version: Version;
  /** Absent where the record lives for ever. */
  readonly expiresAtMs?: number | undefined;
  readonly values?: Uint8Array | undefined;
  readonly metadata?: Uint8Array | undefined;
}

export interface FetchResponse {
  readonly records: readonly StoredRecordMessage[];
  /** Where the parts come from. @default nothing is told */
  readonly served?: readonly ServedShard[] | undefined;
}

/** Bytes of a record or hit besides its id, vector and metadata, roughly. */
export const RECORD_OVERHEAD_BYTES = 96;

const OUTCOME_KINDS: readonly WriteOutcome['kind'][] = ['applied', 'not-applied', 'unknown'];

// Upsert, Patch and Delete.

export function encodeUpsertRequest(message: UpsertRequest): Buffer {
  let sizeBytes = 128 + message.collection.length;
  for (const record of message.records) sizeBytes += recordSizeBytes(record);
  const writer = new ProtobufWriter(sizeBytes).string(1, message.collection);
  for (const record of message.records) {
    writer.open(2, recordSizeBytes(record) - RECORD_OVERHEAD_BYTES);
    writer.string(1, record.id).bytes(2, record.values).bytes(3, record.metadata);
    writer
      .string(4, record.ifVersion ?? '')
      .optionalUint(5, record.ttlMs)
      .string(SHARD_KEY_FIELD, record.shardKey ?? '')
      .close();
  }
  writeRequestKey(writer, message.idempotencyKey);
  const { mode } = message;
  if (mode !== undefined && mode !== 'unknown') writer.uint(4, 1 + WRITE_MODES.indexOf(mode));
  return writeTenant(writer, message).finish();
}

export function decodeUpsertRequest(bytes: Uint8Array): UpsertRequest {
  const reader = new ProtobufReader(bytes);
  let collection = '';
  const records: RecordMessage[] = [];
  let idempotencyKey: RequestKey | undefined;
  let mode: UpsertRequest['mode'];
  const scope: ReadTenant = {};
  while (reader.next()) {
    if (reader.field === 1) collection = reader.string();
    else if (reader.field === 2) {
      checkRoom(records, 'upsertRecordsMax', 'records');
      records.push(readRecord(reader));
    } else if (reader.field === 3) idempotencyKey = readRequestKey(reader);
    else if (reader.field === 4) mode = choiceOf(WRITE_MODES, reader.uint32());
    else if (!readTenant(reader, scope)) reader.skip();
  }
  return { collection, records, idempotencyKey, mode, ...scope };
}

export function encodePatchRequest(message: PatchRequest): Buffer {
  const { collection, patches, idempotencyKey } = message;
  let sizeBytes = 128 + collection.length;
  for (const { metadata } of patches) sizeBytes += RECORD_OVERHEAD_BYTES + metadata.length;
  const writer = new ProtobufWriter(sizeBytes).string(1, collection);
  for (const { id, metadata, ifVersion, shardKey } of patches) {
    writer
      .open(2, 64 + metadata.length)
      .string(1, id)
      .bytes(2, metadata);
    writer
      .string(3, ifVersion ?? '')
      .string(SHARD_KEY_FIELD, shardKey ?? '')
      .close();
  }
  writeRequestKey(writer, idempotencyKey);
  return writeTenant(writer, message).finish();
}

export function decodePatchRequest(bytes: Uint8Array): PatchRequest {
  const reader = new ProtobufReader(bytes);
  let collection = '';
  const patches: PatchMessage[] = [];
  let idempotencyKey: RequestKey | undefined;
  const scope: ReadTenant = {};
  while (reader.next()) {
    if (reader.field === 1) collection = reader.string();
    else if (reader.field === 2) {
      checkRoom(patches, 'patchRecordsMax', 'patches');
      patches.push(readPatch(reader));
    } else if (reader.field === 3) idempotencyKey = readRequestKey(reader);
    else if (!readTenant(reader, scope)) reader.skip();
  }
  return { collection, patches, idempotencyKey, ...scope };
}

export function encodeDeleteRequest(message: DeleteRequest): Buffer {
  const writer = new ProtobufWriter(128 + 40 * message.ids.length).string(1, message.collection);
  for (const id of message.ids) writer.optionalString(2, id);
  writeRequestKey(writer, message.idempotencyKey);
  for (const version of message.ifVersions ?? []) writer.optionalString(4, version);
  for (const key of message.shardKeys ?? []) writer.optionalString(SHARD_KEY_FIELD, key);
  return writeTenant(writer, message).finish();
}

export function decodeDeleteRequest(bytes: Uint8Array): DeleteRequest {
  const reader = new ProtobufReader(bytes);
  let collection = '';
  const ids: string[] = [];
  const ifVersions: string[] = [];
  const shardKeys: string[] = [];
  let idempotencyKey: RequestKey | undefined;
  const scope: ReadTenant = {};
  while (reader.next()) {
    if (reader.field === 1) collection = reader.string();
    else if (reader.field === 2) {
      checkRoom(ids, 'deleteIdsMax', 'ids');
      ids.push(reader.string());
    } else if (reader.field === 3) idempotencyKey = readRequestKey(reader);
    else if (reader.field === 4) {
      checkRoom(ifVersions, 'deleteIdsMax', 'ifVersions');
      ifVersions.push(reader.string());
    } else if (reader.field === SHARD_KEY_FIELD) {
      checkRoom(shardKeys, 'deleteIdsMax', 'shardKeys');
      shardKeys.push(reader.string());
    } else if (!readTenant(reader, scope)) reader.skip();
  }
  const keys = shardKeys.length === 0 ? {} : { shardKeys };
  return { collection, ids, idempotencyKey, ifVersions, ...keys, ...scope };
}

/** Serves UpsertResponse, PatchResponse and DeleteResponse, which have the same fields. */
export function encodeWriteResponse(message: WriteResponse): Buffer {
  const writer = new ProtobufWriter(16 + 40 * message.outcomes.length);
  let appliedCount = 0;
  for (const outcome of message.outcomes) {
    writer.open(1).uint(1, 1 + OUTCOME_KINDS.indexOf(outcome.kind));
    if (outcome.kind === 'applied') {
      appliedCount++;
      writer.string(2, outcome.version.toString()).bool(3, outcome.existed);
    } else {
      writer.string(4, outcome.error.reason).string(5, outcome.error.message);
      writer.string(6, outcome.error.details?.currentVersion ?? '');
    }
    writer.close();
  }
  return writeWritten(writer.uint(2, appliedCount), message.written).finish();
}

export function decodeWriteResponse(bytes: Uint8Array): WriteResponse {
  const reader = new ProtobufReader(bytes);
  const outcomes: WriteOutcome[] = [];
  const written: SeenShard[] = [];
  while (reader.next()) {
    if (reader.field === 1) outcomes.push(readOutcome(reader));
    else if (reader.field === FRESHNESS_FIELD) written.push(readSeen(reader));
    else reader.skip();
  }
  return { outcomes, written };
}

// Fetch.

export function encodeFetchRequest(message: FetchRequest): Buffer {
  const writer = new ProtobufWriter(64 + 40 * message.ids.length).string(1, message.collection);
  for (const id of message.ids) writer.optionalString(2, id);
  writer
    .optionalBool(3, message.includeValues)
    .optionalBool(4, message.includeMetadata)
    .uint(5, consistencyNumber(message.consistency));
  for (const key of message.shardKeys ?? []) writer.optionalString(SHARD_KEY_FIELD, key);
  return writeFreshness(writeTenant(writer, message), message.freshness).finish();
}

export function decodeFetchRequest(bytes: Uint8Array): FetchRequest {
  const reader = new ProtobufReader(bytes);
  let collection = '';
  const ids: string[] = [];
  let includeValues: boolean | undefined;
  let includeMetadata: boolean | undefined;
  let consistency: RequestedConsistency;
  let freshness: RequestedFreshness;
  const shardKeys: string[] = [];
  const scope: ReadTenant = {};
  while (reader.next()) {
    if (reader.field === 1) collection = reader.string();
    else if (reader.field === 2) {
      checkRoom(ids, 'fetchIdsMax', 'ids');
      ids.push(reader.string());
    } else if (reader.field === 3) includeValues = reader.bool();
    else if (reader.field === 4) includeMetadata = reader.bool();
    else if (reader.field === 5) consistency = consistencyOf(reader.uint32());
    else if (reader.field === FRESHNESS_FIELD) freshness = readFreshness(reader);
    else if (reader.field === SHARD_KEY_FIELD) {
      checkRoom(shardKeys, 'fetchIdsMax', 'shardKeys');
      shardKeys.push(reader.string());
    } else if (!readTenant(reader, scope)) reader.skip();
  }
  const include = { includeValues, includeMetadata };
  const keys = shardKeys.length === 0 ? {} : { shardKeys };
  return { collection, ids, ...include, consistency, freshness, ...keys, ...scope };
}

export function encodeFetchResponse(message: FetchResponse): Buffer {
  let sizeBytes = 16;
  for (const record of message.records) sizeBytes += recordSizeBytes(record);
  const writer = new ProtobufWriter(sizeBytes);
  for (const record of message.records) writeStoredRecord(writer, 1, record);
  return writeServed(writer, message.served).finish();
}

export function decodeFetchResponse(bytes: Uint8Array): FetchResponse {
  const reader = new ProtobufReader(bytes);
  const records: StoredRecordMessage[] = [];
  const served: ServedShard[] = [];
  while (reader.next()) {
    if (reader.field === 1) records.push(readStoredRecord(reader));
    else if (reader.field === FRESHNESS_FIELD) served.push(readServed(reader));
    else reader.skip();
  }
  return { records, served };
}

/** 0, which stands for the default, also for what has no number. */
export function consistencyNumber(consistency: RequestedConsistency): number {
  return 1 + (READ_CONSISTENCIES as readonly unknown[]).indexOf(consistency);
}

export function consistencyOf(number: number): RequestedConsistency {
  return choiceOf(READ_CONSISTENCIES, number);
}

// Parts.

/** What the number of an enum stands for: 0 for none, and 1 for the first of the choices. */
export function choiceOf<T>(choices: readonly T[], number: number): T | 'unknown' | undefined {
  return number === 0 ? undefined : (choices[number - 1] ?? 'unknown');
}

/** Throws LIMIT_EXCEEDED where the list of a request cannot take another part. */
export function checkRoom(list: readonly unknown[], limit: LimitName, field: string): void {
  if (list.length >= LIMITS[limit].value) throw limitExceeded(limit, field);
}

/** Roughly; to size buffers. */
export function recordSizeBytes(record: StoredRecordMessage | RecordMessage): number {
  const { values = NO_BYTES, metadata = NO_BYTES } = record;
  return RECORD_OVERHEAD_BYTES + record.id.length + values.length + metadata.length;
}

function readRecord(reader: ProtobufReader): RecordMessage {
  const outer = reader.open();
  let id = '';
  let values = NO_BYTES;
  let metadata = NO_BYTES;
  let ifVersion = '';
  let ttlMs: number | undefined;
  let shardKey = '';
  while (reader.next()) {
    if (reader.field === 1) id = reader.string();
    else if (reader.field === 2) values = reader.floats(values);
    else if (reader.field === 3) metadata = reader.bytes();
    else if (reader.field === 4) ifVersion = reader.string();
    else if (reader.field === 5) ttlMs = reader.uint64();
    else if (reader.field === SHARD_KEY_FIELD) shardKey = reader.string();
    else reader.skip();
  }
  reader.close(outer);
  const record = { id, values, metadata, ...(shardKey !== '' && { shardKey }) };
  if (ifVersion === '' && ttlMs === undefined) return record;
  return { ...record, ...(ifVersion !== '' && { ifVersion }), ttlMs };
}

function readPatch(reader: ProtobufReader): PatchMessage {
  const outer = reader.open();
  let id = '';
  let metadata = NO_BYTES;
  let ifVersion = '';
  let shardKey = '';
  while (reader.next()) {
    if (reader.field === 1) id = reader.string();
    else if (reader.field === 2) metadata = reader.bytes();
    else if (reader.field === 3) ifVersion = reader.string();
    else if (reader.field === SHARD_KEY_FIELD) shardKey = reader.string();
    else reader.skip();
  }
  reader.close(outer);
  const patch = { id, metadata, ...(shardKey !== '' && { shardKey }) };
  return ifVersion === '' ? patch : { ...patch, ifVersion };
}

export function writeStoredRecord(
  writer: ProtobufWriter,
  field: number,
  record: StoredRecordMessage,
): void {
  writer.open(field, recordSizeBytes(record) - RECORD_OVERHEAD_BYTES);
  writer.string(1, record.id).bytes(2, record.values).bytes(3, record.metadata);
  writer.string(4, versionText(record.version)).optionalUint(5, record.expiresAtMs);
  writeOwner(writer, record);
  writer.close();
}

export function readStoredRecord(reader: ProtobufReader): StoredRecordMessage {
  const outer = reader.open();
  let id = '';
  let values: Uint8Array | undefined;
  let metadata: Uint8Array | undefined;
  let version = 0n;
  let expiresAtMs: number | undefined;
  const owner: RecordOwner = {};
  while (reader.next()) {
    if (reader.field === 1) id = reader.string();
    else if (reader.field === 2) values = reader.floats(values ?? NO_BYTES);
    else if (reader.field === 3) metadata = reader.bytes();
    else if (reader.field === 4) version = versionOf(reader.string());
    else if (reader.field === 5) expiresAtMs = reader.uint64();
    else if (!readOwner(reader, owner)) reader.skip();
  }
  reader.close(outer);
  return { id, version, expiresAtMs, values, metadata, ...owner };
}

function readOutcome(reader: ProtobufReader): WriteOutcome {
  const outer = reader.open();
  let kind = 0;
  let version = '';
  let existed = false;
  let reason = '';
  let message = '';
  let currentVersion = '';
  while (reader.next()) {
    if (reader.field === 1) kind = reader.uint32();
    else if (reader.field === 2) version = reader.string();
    else if (reader.field === 3) existed = reader.bool();
    else if (reader.field === 4) reason = reader.string();
    else if (reader.field === 5) message = reader.string();
    else if (reader.field === 6) currentVersion = reader.string();
    else reader.skip();
  }
  reader.close(outer);
  const details = currentVersion === '' ? {} : { details: { currentVersion } };
  switch (OUTCOME_KINDS[kind - 1]) {
    case 'applied':
      return { kind: 'applied', version: versionOf(version), existed };
    case 'not-applied':
      return { kind: 'not-applied', error: { ...details, ...errorBody(reason, message) } };
    default:
      // A kind from a newer server says nothing that can be relied upon.
      return { kind: 'unknown', error: errorBody(reason, message) };
  }
}

/** A reason from a newer server is not in this version's table. */
function errorBody(reason: string, message: string): ErrorBody {
  if (Object.hasOwn(ERRORS, reason)) return { reason: reason as ErrorReason, message };
  return { reason: 'INTERNAL', message, details: { reason } };
}

export function versionText(version: Version): string {
  return version === 0n ? '' : version.toString();
}

export function versionOf(text: string): Version {
  if (text === '') return 0n;
  if (!/^\d{1,20}$/.test(text))
    throw new MalformedBytesError(`not a version: ${text.slice(0, 32)}`);
  return BigInt(text);
}
