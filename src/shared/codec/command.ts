/**
 * The entries of a shard's log. Layout: format byte, kind byte, 8 bytes of version (stamped by the
 * leader when it proposes, so that it can be written into bytes that came from the router), body.
 *
 * Everything that the apply step depends on is in here: it reads the log and its own state only.
 */
import { ByteReader, ByteWriter, MalformedBytesError } from '../bytes.js';
import type { CollectionConfig, IndexedField, Metric, Version } from '../types.js';
import { FIELD_TYPES, METRICS } from '../types.js';

export const COMMAND_FORMAT = 1;

const KIND = { write: 1, createCollection: 2, dropCollection: 3 } as const;
const VERSION_AT = 2;
const HEADER_BYTES = 10;

/** Identifies a client's request, so that a retry of it applies once. */
export interface RequestKey {
  /** Chosen by the client when it starts; a UUID in the SDK. */
  readonly clientId: string;
  /** When the client id was made, in wall-clock milliseconds. */
  readonly clientStampMs: number;
  /** Counts the client's requests from 1. */
  readonly sequence: number;
  /** The lowest sequence whose answer the client has not seen; all below may be forgotten. */
  readonly lowestUnanswered: number;
}

interface WriteTarget {
  /** Position of the record in the caller's request. Outcomes are kept by it. */
  readonly ordinal: number;
  readonly slot: number;
  readonly tenant: string;
  readonly id: string;
}

export interface UpsertOperation extends WriteTarget {
  readonly kind: 'upsert';
  /** Little-endian float32, `4 x dimension` bytes. */
  readonly values: Uint8Array;
  /** An encoded `google.protobuf.Struct`; empty for none. */
  readonly metadata: Uint8Array;
}

export interface DeleteOperation extends WriteTarget {
  readonly kind: 'delete';
}

export type WriteOperation = UpsertOperation | DeleteOperation;

export interface WriteCommand {
  readonly kind: 'write';
  readonly collectionId: number;
  /** The ownership version of the shard in the router's table. */
  readonly ownershipVersion: number;
  readonly requestKey: RequestKey;
  readonly operations: readonly WriteOperation[];
}

export interface CreateCollectionCommand {
  readonly kind: 'createCollection';
  readonly collectionId: number;
  readonly config: CollectionConfig;
}

export interface DropCollectionCommand {
  readonly kind: 'dropCollection';
  readonly collectionId: number;
}

export type Command = WriteCommand | CreateCollectionCommand | DropCollectionCommand;

/** The command's bytes, with a version of zero. */
export function encodeCommand(command: Command): Uint8Array {
  const writer = new ByteWriter(command.kind === 'write' ? sizeHintOf(command) : 128);
  writer.u8(COMMAND_FORMAT).u8(KIND[command.kind]).u64(0n);
  switch (command.kind) {
    case 'write':
      writeWrite(writer, command);
      break;
    case 'createCollection':
      writer.varint(command.collectionId);
      writeCollectionConfig(writer, command.config);
      break;
    case 'dropCollection':
      writer.varint(command.collectionId);
      break;
  }
  return writer.finish();
}

/** Reads a command. Byte fields are views into `bytes`. */
export function decodeCommand(bytes: Uint8Array): { command: Command; version: Version } {
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  if (format !== COMMAND_FORMAT) throw new MalformedBytesError(`command format ${format}`);
  const kind = reader.u8();
  const version = reader.u64();
  const command = readBody(reader, kind);
  reader.end();
  return { command, version };
}

/** Writes the leader's version into an encoded command, in place. */
export function stampCommand(bytes: Uint8Array, version: Version): void {
  new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(VERSION_AT, version, true);
}

/** The version in an encoded command, or zero for an empty (no-op) entry. */
export function commandVersion(bytes: Uint8Array): Version {
  if (bytes.length < HEADER_BYTES) return 0n;
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(VERSION_AT, true);
}

/** Bytes that one operation takes in a write command, for cutting batches into entries. */
export function operationSizeBytes(operation: WriteOperation): number {
  const target = 24 + 3 * operation.tenant.length + Buffer.byteLength(operation.id);
  if (operation.kind === 'delete') return target;
  return target + 10 + operation.values.length + operation.metadata.length;
}

function sizeHintOf(command: WriteCommand): number {
  let size = 256;
  for (const operation of command.operations) size += operationSizeBytes(operation);
  return size;
}

function writeWrite(writer: ByteWriter, command: WriteCommand): void {
  const { requestKey: key } = command;
  writer.varint(command.collectionId).varint(command.ownershipVersion);
  writer.string(key.clientId).varint(key.clientStampMs);
  writer.varint(key.sequence).varint(key.lowestUnanswered);
  writer.varint(command.operations.length);
  for (const operation of command.operations) {
    writer
      .bool(operation.kind === 'upsert')
      .varint(operation.ordinal)
      .varint(operation.slot);
    writer.string(operation.tenant).string(operation.id);
    if (operation.kind === 'upsert') writer.bytes(operation.values).bytes(operation.metadata);
  }
}

function readBody(reader: ByteReader, kind: number): Command {
  switch (kind) {
    case KIND.write:
      return readWrite(reader);
    case KIND.createCollection:
      return {
        kind: 'createCollection',
        collectionId: reader.varint(),
        config: readCollectionConfig(reader),
      };
    case KIND.dropCollection:
      return { kind: 'dropCollection', collectionId: reader.varint() };
    default:
      throw new MalformedBytesError(`command kind ${kind}`);
  }
}

function readWrite(reader: ByteReader): WriteCommand {
  const collectionId = reader.varint();
  const ownershipVersion = reader.varint();
  const requestKey: RequestKey = {
    clientId: reader.string(),
    clientStampMs: reader.varint(),
    sequence: reader.varint(),
    lowestUnanswered: reader.varint(),
  };
  const operations: WriteOperation[] = [];
  for (let left = reader.varint(); left > 0; left--) operations.push(readOperation(reader));
  return { kind: 'write', collectionId, ownershipVersion, requestKey, operations };
}

function readOperation(reader: ByteReader): WriteOperation {
  const isUpsert = reader.bool();
  const target: WriteTarget = {
    ordinal: reader.varint(),
    slot: reader.varint(),
    tenant: reader.string(),
    id: reader.string(),
  };
  if (!isUpsert) return { kind: 'delete', ...target };
  return { kind: 'upsert', ...target, values: reader.bytes(), metadata: reader.bytes() };
}

export function writeCollectionConfig(writer: ByteWriter, config: CollectionConfig): void {
  writer.string(config.name).varint(config.dimension).u8(METRICS.indexOf(config.metric));
  writer.varint(config.m).varint(config.efConstruction).varint(config.indexedFields.length);
  for (const field of config.indexedFields) {
    writer.string(field.path).u8(FIELD_TYPES.indexOf(field.type));
  }
}

export function readCollectionConfig(reader: ByteReader): CollectionConfig {
  const name = reader.string();
  const dimension = reader.varint();
  const metric: Metric = member(METRICS, reader.u8(), 'metric');
  const m = reader.varint();
  const efConstruction = reader.varint();
  const indexedFields: IndexedField[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    const path = reader.string();
    indexedFields.push({ path, type: member(FIELD_TYPES, reader.u8(), 'field type') });
  }
  return { name, dimension, metric, m, efConstruction, indexedFields };
}

function member<T>(values: readonly T[], index: number, what: string): T {
  const value = values[index];
  if (value === undefined) throw new MalformedBytesError(`${what} ${index}`);
  return value;
}
