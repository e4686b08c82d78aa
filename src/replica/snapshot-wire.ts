/**
 * The transfer of a snapshot between two nodes, as bytes. Three calls, each answered with the
 * offset that the receiver wants next (P3):
 *
 *     begin   the MsgSnap that the file belongs to, and the file's identity
 *     chunk   a piece of the file, with its own checksum
 *     finish  the whole file was sent: check it and hand the MsgSnap to the receiver's core
 *
 * Request: service byte, format byte, method byte, the file's identity, the method's own fields.
 */

import { createMessage } from '../raft/message.js';
import type { ConfState, Message } from '../raft/types.js';
import { assert, unreachable } from '../shared/assert.js';
import { ByteReader, ByteWriter, MalformedBytesError, memberAt } from '../shared/bytes.js';
import { SERVICE } from '../shared/codec/services.js';
import type { SnapshotId } from '../storage/snapshot-files.js';

const FORMAT = 1;
const METHODS = ['begin', 'chunk', 'finish'] as const;
const ANSWERS = ['wanted', 'unknown', 'done', 'refused'] as const;
/** Bytes that stand in a call before those of a piece, at most. */
export const CHUNK_HEAD_BYTES_MAX = 128;
/** What is wrong where a byte is none of them. */
const KIND = 'snapshot call or answer of kind';

/** What a call says of its piece. */
interface ChunkHead {
  readonly id: SnapshotId;
  readonly offset: number;
  readonly crc32c: number;
}

export type SnapshotCall =
  | { readonly method: 'begin'; readonly id: SnapshotId; readonly message: Message }
  | ({ readonly method: 'chunk'; readonly bytes: Uint8Array } & ChunkHead)
  | { readonly method: 'finish'; readonly id: SnapshotId };

export type SnapshotAnswer =
  /** Go on from there. The sender obeys, whatever it thought. */
  | { readonly kind: 'wanted'; readonly offset: number }
  /** No such transfer is under way here: begin. */
  | { readonly kind: 'unknown' }
  /** The receiver's core has the snapshot, or has no use for it. */
  | { readonly kind: 'done' }
  /** This sender is out of date, or does not belong to the group. */
  | { readonly kind: 'refused'; readonly why: string };

export function encodeSnapshotCall(call: SnapshotCall): Uint8Array {
  const sizeHint = call.method === 'chunk' ? call.bytes.length + 256 : 512;
  const writer = new ByteWriter(sizeHint);
  switch (call.method) {
    case 'begin':
      writeCall(writer, call.method, call.id);
      writeSnapshotMessage(writer, call.message);
      break;
    case 'chunk':
      writeChunkHead(writer, call, call.bytes.length);
      writer.raw(call.bytes);
      break;
    case 'finish':
      writeCall(writer, call.method, call.id);
      break;
    default:
      unreachable(call);
  }
  return writer.finish();
}

/**
 * The call that carries a piece, without a copy of it: its `sizeBytes` bytes are in `room` from
 * `CHUNK_HEAD_BYTES_MAX` on, and the head is written right in front of them. A view of `room`.
 */
export function encodeChunkInPlace(
  room: Uint8Array,
  chunk: ChunkHead,
  sizeBytes: number,
): Uint8Array {
  const writer = new ByteWriter(CHUNK_HEAD_BYTES_MAX);
  writeChunkHead(writer, chunk, sizeBytes);
  const head = writer.finish();
  const start = CHUNK_HEAD_BYTES_MAX - head.length;
  assert(start >= 0, () => `the head of a piece has ${head.length} bytes`);
  room.set(head, start);
  return room.subarray(start, CHUNK_HEAD_BYTES_MAX + sizeBytes);
}

/** The bytes of a chunk are a view into `payload`. */
export function decodeSnapshotCall(payload: Uint8Array): SnapshotCall {
  const reader = new ByteReader(payload);
  const service = reader.u8();
  const format = reader.u8();
  if (service !== SERVICE.snapshot || format !== FORMAT) {
    throw new MalformedBytesError(`snapshot call of service ${service}, format ${format}`);
  }
  const method = memberAt(METHODS, reader.u8(), KIND);
  const id = readId(reader);
  const call = readCall(reader, method, id);
  reader.end();
  return call;
}

function readCall(
  reader: ByteReader,
  method: SnapshotCall['method'],
  id: SnapshotId,
): SnapshotCall {
  switch (method) {
    case 'begin':
      return { method, id, message: readSnapshotMessage(reader, id) };
    case 'chunk':
      return {
        method,
        id,
        offset: reader.varint(),
        crc32c: reader.u32(),
        bytes: reader.bytes(),
      };
    case 'finish':
      return { method, id };
    default:
      return unreachable(method);
  }
}

export function encodeSnapshotAnswer(answer: SnapshotAnswer): Uint8Array {
  const writer = new ByteWriter(64).u8(FORMAT).u8(ANSWERS.indexOf(answer.kind));
  if (answer.kind === 'wanted') writer.varint(answer.offset);
  if (answer.kind === 'refused') writer.string(answer.why);
  return writer.finish();
}

export function decodeSnapshotAnswer(bytes: Uint8Array): SnapshotAnswer {
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  if (format !== FORMAT) throw new MalformedBytesError(`snapshot answer of format ${format}`);
  const kind = memberAt(ANSWERS, reader.u8(), KIND);
  const answer = readAnswer(reader, kind);
  reader.end();
  return answer;
}

function readAnswer(reader: ByteReader, kind: SnapshotAnswer['kind']): SnapshotAnswer {
  switch (kind) {
    case 'wanted':
      return { kind, offset: reader.varint() };
    case 'refused':
      return { kind, why: reader.string() };
    case 'unknown':
    case 'done':
      return { kind };
    default:
      return unreachable(kind);
  }
}

function writeCall(writer: ByteWriter, method: SnapshotCall['method'], id: SnapshotId): void {
  writer.u8(SERVICE.snapshot).u8(FORMAT).u8(METHODS.indexOf(method));
  writeId(writer, id);
}

function writeChunkHead(writer: ByteWriter, chunk: ChunkHead, sizeBytes: number): void {
  writeCall(writer, 'chunk', chunk.id);
  writer.varint(chunk.offset).u32(chunk.crc32c).varint(sizeBytes);
}

function writeId(writer: ByteWriter, id: SnapshotId): void {
  writer.varint(id.groupId).varint(id.index).varint(id.term).string(id.sourceId);
  writer.varint(id.sizeBytes).u32(id.crc32c);
}

function readId(reader: ByteReader): SnapshotId {
  return {
    groupId: reader.varint(),
    index: reader.varint(),
    term: reader.varint(),
    sourceId: reader.string(),
    sizeBytes: reader.varint(),
    crc32c: reader.u32(),
  };
}

/** What of a MsgSnap is not in the file's identity. */
function writeSnapshotMessage(writer: ByteWriter, message: Message): void {
  const { snapshot } = message;
  if (snapshot === undefined) throw new MalformedBytesError('a MsgSnap without a snapshot');
  writer.varint(message.from).varint(message.to).varint(message.term);
  const { confState } = snapshot.meta;
  for (const ids of idLists(confState)) {
    writer.varint(ids.length);
    for (const id of ids) writer.varint(id);
  }
  writer.bool(confState.autoLeave).bytes(snapshot.data);
}

function readSnapshotMessage(reader: ByteReader, { index, term }: SnapshotId): Message {
  const from = reader.varint();
  const to = reader.varint();
  const messageTerm = reader.varint();
  const ids = (): number[] => Array.from({ length: reader.varint() }, () => reader.varint());
  const confState: ConfState = {
    voters: ids(),
    votersOutgoing: ids(),
    learners: ids(),
    learnersNext: ids(),
    autoLeave: reader.bool(),
  };
  const snapshot = { meta: { index, term, confState }, data: reader.bytes().slice() };
  return createMessage('MsgSnap', from, to, messageTerm, { snapshot });
}

function idLists(confState: ConfState): readonly (readonly number[])[] {
  const { voters, votersOutgoing, learners, learnersNext } = confState;
  return [voters, votersOutgoing, learners, learnersNext];
}
