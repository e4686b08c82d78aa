/**
 * The entries of a shard's log. Layout: format byte, kind byte, 8 bytes of version (stamped by the
 * leader when it proposes, so that it can be written into bytes that came from the router), body.
 *
 * Everything that the apply step depends on is in here: it reads the log and its own state only.
 */
import { unreachable } from '../assert.js';
import { ByteReader, ByteWriter, MalformedBytesError, memberAt } from '../bytes.js';
import type { OwnershipChange, PlacementOwnership } from '../ownership.js';
import type { SessionReach } from '../session-reach.js';
import type { CollectionConfig, Version, WriteCondition } from '../types.js';
import { readCollectionConfig, writeCollectionConfig } from './collection-config.js';
import {
  readOwnership,
  readOwnershipChange,
  writeOwnership,
  writeOwnershipChange,
} from './ownership.js';
import { readSessionReach, writeSessionReach } from './session-reach.js';

export const COMMAND_FORMAT = 1;

const KIND = {
  write: 1,
  createCollection: 2,
  dropCollection: 3,
  expire: 4,
  mark: 5,
  fenceUnits: 6,
  changeOwnership: 7,
  liftFence: 8,
  /** A changeOwnership that has a `reach`. */
  gainOwnership: 9,
} as const;
/** The first byte of an operation: what it does, and which parts it has besides. */
const OPERATION = { delete: 0, upsert: 1, patch: 2 } as const;
const OPERATION_MASK = 3;
const FLAG = { condition: 4, ttl: 8 } as const;
const CONDITIONS: readonly WriteCondition['kind'][] = ['absent', 'exists', 'version'];
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

interface ConditionalWrite extends WriteTarget {
  /** Looked at when the operation is applied. @default none */
  readonly condition?: WriteCondition;
}

export interface UpsertOperation extends ConditionalWrite {
  readonly kind: 'upsert';
  /** Little-endian float32, `4 x dimension` bytes. */
  readonly values: Uint8Array;
  /** An encoded `google.protobuf.Struct`; empty for none. */
  readonly metadata: Uint8Array;
  /** How long the record lives, from its version on; 0 for ever. @default the collection's */
  readonly ttlMs?: number;
}

export interface DeleteOperation extends ConditionalWrite {
  readonly kind: 'delete';
}

/** Changes metadata and nothing else; a record that is not there is not made. */
export interface PatchOperation extends ConditionalWrite {
  readonly kind: 'patch';
  /** An encoded Struct, merged into the metadata as RFC 7396 has it: null removes a field. */
  readonly metadata: Uint8Array;
}

export type WriteOperation = UpsertOperation | DeleteOperation | PatchOperation;

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
  /**
   * What the shard owns of the collection's placement, where that is not the default one. A shard
   * that knows the placement already goes by what it knows.
   */
  readonly ownership?: PlacementOwnership;
}

export interface DropCollectionCommand {
  readonly kind: 'dropCollection';
  readonly collectionId: number;
}

/** A record, as it was at one version. */
export interface RecordVersion {
  readonly slot: number;
  readonly tenant: string;
  readonly id: string;
  readonly version: Version;
}

/**
 * Deletes records whose time is over. The leader's clock has said so; whoever applies it asks only
 * whether they still have these versions. So it needs no request key, and is safe to repeat.
 */
export interface ExpireCommand {
  readonly kind: 'expire';
  readonly collectionId: number;
  readonly records: readonly RecordVersion[];
}

/** Changes nothing: fixes a position of the log, at which replicas note what they hold. */
export interface MarkCommand {
  readonly kind: 'mark';
}

/** Names a change of who owns what; they are numbered along the topology, and never repeated. */
interface OwnershipStep {
  readonly changeId: number;
  readonly placementId: number;
}

/**
 * The shard is about to own less. Refused with TENANT_HAS_DATA where it holds records of what it
 * would lose; else it writes no more of them, until the change is decided (O2).
 */
export interface FenceUnitsCommand extends OwnershipStep {
  readonly kind: 'fenceUnits';
  readonly change: OwnershipChange;
}

/** The change is decided for: from here on the shard owns this, under the new version (O3). */
export interface ChangeOwnershipCommand extends OwnershipStep {
  readonly kind: 'changeOwnership';
  readonly change: OwnershipChange;
  /** The one after the shard's own; one that it has passed already changes nothing. */
  readonly ownershipVersion: number;
  /**
   * Of a shard that gains: what those may have applied that had the keys before (O5).
   * @default nothing
   */
  readonly reach?: SessionReach;
}

/** The change is decided against: everything is as before, and a late fence of it is void. */
export interface LiftFenceCommand extends OwnershipStep {
  readonly kind: 'liftFence';
}

export type OwnershipCommand = FenceUnitsCommand | ChangeOwnershipCommand | LiftFenceCommand;

export type Command =
  | WriteCommand
  | CreateCollectionCommand
  | DropCollectionCommand
  | ExpireCommand
  | MarkCommand
  | OwnershipCommand;

/** The command's bytes, with the version that its own has to be above, or zero. */
export function encodeCommand(command: Command): Uint8Array {
  const writer = new ByteWriter(command.kind === 'write' ? sizeHintOf(command) : 128);
  const reach = command.kind === 'changeOwnership' ? command.reach : undefined;
  const kind = reach === undefined ? KIND[command.kind] : KIND.gainOwnership;
  writer
    .u8(COMMAND_FORMAT)
    .u8(kind)
    .u64(reach?.lastVersion ?? 0n);
  switch (command.kind) {
    case 'write':
      writeWrite(writer, command);
      break;
    case 'createCollection':
      writer.varint(command.collectionId);
      writeCollectionConfig(writer, command.config);
      if (command.ownership !== undefined) writeOwnership(writer, command.ownership);
      break;
    case 'dropCollection':
      writer.varint(command.collectionId);
      break;
    case 'expire':
      writeExpire(writer, command);
      break;
    case 'mark':
      break;
    case 'fenceUnits':
    case 'changeOwnership':
    case 'liftFence':
      writeOwnershipCommand(writer, command);
      break;
    default:
      unreachable(command);
  }
  return writer.finish();
}

function writeOwnershipCommand(writer: ByteWriter, command: OwnershipCommand): void {
  writer.varint(command.changeId).varint(command.placementId);
  if (command.kind === 'liftFence') return;
  writeOwnershipChange(writer, command.change);
  if (command.kind === 'fenceUnits') return;
  writer.varint(command.ownershipVersion);
  if (command.reach !== undefined) writeSessionReach(writer, command.reach);
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
  const target = 42 + 3 * operation.tenant.length + Buffer.byteLength(operation.id);
  switch (operation.kind) {
    case 'delete':
      return target;
    case 'patch':
      return target + 5 + operation.metadata.length;
    case 'upsert':
      return target + 10 + operation.values.length + operation.metadata.length;
    default:
      return unreachable(operation);
  }
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
  for (const operation of command.operations) writeOperation(writer, operation);
}

function writeOperation(writer: ByteWriter, operation: WriteOperation): void {
  const { condition } = operation;
  const ttlMs = operation.kind === 'upsert' ? operation.ttlMs : undefined;
  writer
    .u8(
      OPERATION[operation.kind] |
        (condition === undefined ? 0 : FLAG.condition) |
        (ttlMs === undefined ? 0 : FLAG.ttl),
    )
    .varint(operation.ordinal)
    .varint(operation.slot);
  writer.string(operation.tenant).string(operation.id);
  if (condition !== undefined) writeCondition(writer, condition);
  if (ttlMs !== undefined) writer.varint(ttlMs);
  if (operation.kind === 'upsert') writer.bytes(operation.values);
  if (operation.kind !== 'delete') writer.bytes(operation.metadata);
}

function writeCondition(writer: ByteWriter, condition: WriteCondition): void {
  writer.u8(CONDITIONS.indexOf(condition.kind));
  if (condition.kind === 'version') writer.u64(condition.version);
}

function writeExpire(writer: ByteWriter, { collectionId, records }: ExpireCommand): void {
  writer.varint(collectionId).varint(records.length);
  for (const { slot, tenant, id, version } of records) {
    writer.varint(slot).string(tenant).string(id).u64(version);
  }
}

function readBody(reader: ByteReader, kind: number): Command {
  switch (kind) {
    case KIND.write:
      return readWrite(reader);
    case KIND.createCollection:
      return readCreateCollection(reader);
    case KIND.dropCollection:
      return { kind: 'dropCollection', collectionId: reader.varint() };
    case KIND.expire:
      return readExpire(reader);
    case KIND.mark:
      return { kind: 'mark' };
    case KIND.fenceUnits:
      return {
        kind: 'fenceUnits',
        ...readOwnershipStep(reader),
        change: readOwnershipChange(reader),
      };
    case KIND.changeOwnership:
      return readChangeOwnership(reader);
    case KIND.gainOwnership:
      return { ...readChangeOwnership(reader), reach: readSessionReach(reader) };
    case KIND.liftFence:
      return { kind: 'liftFence', ...readOwnershipStep(reader) };
    default:
      throw new MalformedBytesError(`command kind ${kind}`);
  }
}

function readCreateCollection(reader: ByteReader): CreateCollectionCommand {
  const collectionId = reader.varint();
  const config = readCollectionConfig(reader);
  const ownership = reader.remaining > 0 ? readOwnership(reader) : undefined;
  return {
    kind: 'createCollection',
    collectionId,
    config,
    ...(ownership !== undefined && { ownership }),
  };
}

function readOwnershipStep(reader: ByteReader): OwnershipStep {
  return { changeId: reader.varint(), placementId: reader.varint() };
}

function readChangeOwnership(reader: ByteReader): ChangeOwnershipCommand {
  const step = readOwnershipStep(reader);
  const change = readOwnershipChange(reader);
  return { kind: 'changeOwnership', ...step, change, ownershipVersion: reader.varint() };
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
  const head = reader.u8();
  const kind = head & OPERATION_MASK;
  const target: WriteTarget = {
    ordinal: reader.varint(),
    slot: reader.varint(),
    tenant: reader.string(),
    id: reader.string(),
  };
  const condition = (head & FLAG.condition) === 0 ? undefined : readCondition(reader);
  const ttlMs = (head & FLAG.ttl) === 0 ? undefined : reader.varint();
  const common = { ...target, ...(condition !== undefined && { condition }) };
  if (head > (OPERATION_MASK | FLAG.condition | FLAG.ttl)) {
    throw new MalformedBytesError(`operation ${head}`);
  }
  if (kind === OPERATION.upsert) {
    const contents = { values: reader.bytes(), metadata: reader.bytes() };
    return { kind: 'upsert', ...common, ...(ttlMs !== undefined && { ttlMs }), ...contents };
  }
  if (ttlMs !== undefined) throw new MalformedBytesError(`operation ${head} has a ttl`);
  if (kind === OPERATION.delete) return { kind: 'delete', ...common };
  if (kind === OPERATION.patch) return { kind: 'patch', ...common, metadata: reader.bytes() };
  throw new MalformedBytesError(`operation ${head}`);
}

function readCondition(reader: ByteReader): WriteCondition {
  const kind = memberAt(CONDITIONS, reader.u8(), 'condition');
  return kind === 'version' ? { kind, version: reader.u64() } : { kind };
}

function readExpire(reader: ByteReader): ExpireCommand {
  const collectionId = reader.varint();
  const records: RecordVersion[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    records.push({
      slot: reader.varint(),
      tenant: reader.string(),
      id: reader.string(),
      version: reader.u64(),
    });
  }
  return { kind: 'expire', collectionId, records };
}
