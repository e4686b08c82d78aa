/**
 * What goes over a link between two nodes: frames of a format byte and one or more records, each a
 * type byte and a body. Records that are ready in the same turn share a frame.
 *
 * Order of records is order of sending. Byte fields of decoded records are views into the frame.
 * Costs: one copy of each payload when a frame is encoded, none when it is decoded.
 */
import { unreachable } from '../shared/assert.js';
import { ByteReader, ByteWriter, MalformedBytesError } from '../shared/bytes.js';
import { readErrorBody, writeErrorBody } from '../shared/codec/error-body.js';
import type { ErrorBody } from '../shared/types.js';
import { messageSizeBytes, readMessages, writeMessages } from './raft-codec.js';
import type { GroupMessage, PeerIdentity } from './transport.js';

/** Layout of frames. Greetings are written in format 1 for ever, so that any two nodes can talk. */
export const FRAME_FORMAT = 1;

/** The first record of either side. Fields are only ever added, at the end. */
export interface Hello {
  readonly identity: PeerIdentity;
  /** Whom the sender means to talk to; a link that reached another node must not be kept. */
  readonly expectedNodeId: number;
  readonly expectedStoreId: string;
  /** The sender speaks every protocol version from `protocolVersionMin` to `protocolVersion`. */
  readonly protocolVersion: number;
  readonly protocolVersionMin: number;
  /** The sender's wall clock, in milliseconds since the Unix epoch. */
  readonly wallMs: number;
}

export type FrameRecord =
  | { readonly kind: 'hello'; readonly hello: Hello }
  /** The sender does not want the link, and says why. It closes it. */
  | { readonly kind: 'refuse'; readonly error: ErrorBody }
  | { readonly kind: 'raft'; readonly messages: readonly GroupMessage[] }
  /** Opens a request of `sizeBytes`; pieces that do not fit follow as parts. */
  | {
      readonly kind: 'request';
      readonly requestId: number;
      readonly timeoutMs: number;
      readonly sizeBytes: number;
      readonly piece: Uint8Array;
    }
  | { readonly kind: 'requestPart'; readonly requestId: number; readonly piece: Uint8Array }
  | {
      readonly kind: 'response';
      readonly requestId: number;
      readonly sizeBytes: number;
      readonly piece: Uint8Array;
    }
  | { readonly kind: 'responsePart'; readonly requestId: number; readonly piece: Uint8Array }
  /** The request failed. In answer to a control record, `requestId` is 0. */
  | { readonly kind: 'failure'; readonly requestId: number; readonly error: ErrorBody }
  | { readonly kind: 'cancel'; readonly requestId: number }
  /** Instead of a greeting: one question to a node that may not be part of a cluster yet. */
  | { readonly kind: 'control'; readonly payload: Uint8Array }
  | { readonly kind: 'controlAnswer'; readonly payload: Uint8Array };

/** Codes on the wire, never reused. */
const CODE = {
  hello: 1,
  refuse: 2,
  raft: 3,
  request: 4,
  requestPart: 5,
  response: 6,
  responsePart: 7,
  failure: 8,
  cancel: 9,
  control: 10,
  controlAnswer: 11,
} as const satisfies Record<FrameRecord['kind'], number>;

/** Names and ids of a greeting are short; what is longer is no greeting. */
const HELLO_BYTES_MAX = 4_096;
const RECORD_BYTES = 40;
const ERROR_BYTES = 512;

/** An upper estimate of the record's bytes. Exact for nothing but cheap for all. */
export function recordSizeBytes(record: FrameRecord): number {
  switch (record.kind) {
    case 'raft': {
      let size = RECORD_BYTES;
      for (const { message } of record.messages) size += messageSizeBytes(message);
      return size;
    }
    case 'request':
    case 'requestPart':
    case 'response':
    case 'responsePart':
      return RECORD_BYTES + record.piece.length;
    case 'control':
    case 'controlAnswer':
      return RECORD_BYTES + record.payload.length;
    case 'hello':
    case 'refuse':
    case 'failure':
      return ERROR_BYTES;
    case 'cancel':
      return RECORD_BYTES;
    default:
      return unreachable(record);
  }
}

/** What `writer` finishes, which is empty yet. @default one with room for what records may need */
export function encodeFrame(
  records: readonly FrameRecord[],
  writer: ByteWriter = writerFor(records),
): Uint8Array {
  writer.u8(FRAME_FORMAT);
  for (const record of records) writeRecord(writer.u8(CODE[record.kind]), record);
  return writer.finish();
}

function writerFor(records: readonly FrameRecord[]): ByteWriter {
  return new ByteWriter(records.reduce((sum, record) => sum + recordSizeBytes(record), 1));
}

/** Throws `MalformedBytesError`, and nothing else, on bytes that are not a whole frame. */
export function decodeFrame(frame: Uint8Array): FrameRecord[] {
  const reader = new ByteReader(frame);
  const format = reader.u8();
  if (format !== FRAME_FORMAT) throw new MalformedBytesError(`frame format ${format}`);
  const records: FrameRecord[] = [];
  do records.push(readRecord(reader, reader.u8()));
  while (reader.remaining > 0);
  return records;
}

function writeRecord(writer: ByteWriter, record: FrameRecord): void {
  switch (record.kind) {
    case 'hello':
      writeHello(writer, record.hello);
      return;
    case 'refuse':
      writeErrorBody(writer, record.error);
      return;
    case 'raft':
      writeMessages(writer, record.messages);
      return;
    case 'request':
      writer.varint(record.requestId).varint(record.timeoutMs).varint(record.sizeBytes);
      writer.bytes(record.piece);
      return;
    case 'response':
      writer.varint(record.requestId).varint(record.sizeBytes).bytes(record.piece);
      return;
    case 'requestPart':
    case 'responsePart':
      writer.varint(record.requestId).bytes(record.piece);
      return;
    case 'failure':
      writeErrorBody(writer.varint(record.requestId), record.error);
      return;
    case 'cancel':
      writer.varint(record.requestId);
      return;
    case 'control':
    case 'controlAnswer':
      writer.bytes(record.payload);
      return;
    default:
      unreachable(record);
  }
}

function readRecord(reader: ByteReader, code: number): FrameRecord {
  switch (code) {
    case CODE.hello:
      return { kind: 'hello', hello: readHello(reader) };
    case CODE.refuse:
      return { kind: 'refuse', error: readErrorBody(reader) };
    case CODE.raft:
      return { kind: 'raft', messages: readMessages(reader) };
    case CODE.request:
      return {
        kind: 'request',
        requestId: reader.varint(),
        timeoutMs: reader.varint(),
        sizeBytes: reader.varint(),
        piece: reader.bytes(),
      };
    case CODE.requestPart:
      return { kind: 'requestPart', requestId: reader.varint(), piece: reader.bytes() };
    case CODE.response:
      return {
        kind: 'response',
        requestId: reader.varint(),
        sizeBytes: reader.varint(),
        piece: reader.bytes(),
      };
    case CODE.responsePart:
      return { kind: 'responsePart', requestId: reader.varint(), piece: reader.bytes() };
    case CODE.failure:
      return { kind: 'failure', requestId: reader.varint(), error: readErrorBody(reader) };
    case CODE.cancel:
      return { kind: 'cancel', requestId: reader.varint() };
    case CODE.control:
      return { kind: 'control', payload: reader.bytes() };
    case CODE.controlAnswer:
      return { kind: 'controlAnswer', payload: reader.bytes() };
    default:
      throw new MalformedBytesError(`frame record type ${code}`);
  }
}

function writeHello(writer: ByteWriter, hello: Hello): void {
  const { identity } = hello;
  const body = new ByteWriter(ERROR_BYTES);
  body.varint(hello.protocolVersion).varint(hello.protocolVersionMin);
  body.string(identity.clusterId).varint(identity.nodeId);
  body.string(identity.storeId).varint(identity.incarnation);
  body.varint(hello.expectedNodeId).string(hello.expectedStoreId).f64(hello.wallMs);
  writer.bytes(body.finish());
}

/** Leaves fields that a newer node added unread. */
function readHello(reader: ByteReader): Hello {
  const bytes = reader.bytes();
  if (bytes.length > HELLO_BYTES_MAX) {
    throw new MalformedBytesError(`a greeting of ${bytes.length} bytes`);
  }
  const body = new ByteReader(bytes);
  const protocolVersion = body.varint();
  const protocolVersionMin = body.varint();
  const identity: PeerIdentity = {
    clusterId: body.string(),
    nodeId: body.varint(),
    storeId: body.string(),
    incarnation: body.varint(),
  };
  return {
    identity,
    expectedNodeId: body.varint(),
    expectedStoreId: body.string(),
    protocolVersion,
    protocolVersionMin,
    wallMs: body.f64(),
  };
}
