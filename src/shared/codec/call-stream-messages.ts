/**
 * The messages of the public Calls/Exchange stream, written and read by hand. What api-messages.ts
 * says about malformed bytes and unknown fields holds here too. Byte fields that were read are
 * views of the message.
 */
import { limitExceeded } from '../errors.js';
import { LIMITS } from '../limits.js';
import { NO_BYTES, ProtobufReader, ProtobufWriter, readTextPair } from './protobuf-wire.js';

export const CALLS_SERVICE = 'flotilla.v1.Calls';
export const EXCHANGE_PATH = `/${CALLS_SERVICE}/Exchange`;

/** Ids of calls are uint32: a stream that has used all of them is followed by another. */
export const CALL_ID_MAX = 2 ** 32 - 1;

/** Names in lower case, values of printable ASCII. Of one name the last value counts. */
export type CallHeaders = readonly (readonly [name: string, value: string])[];

export interface StreamedCall {
  readonly id: number;
  readonly path: string;
  /** 0 for none. */
  readonly timeoutMs: number;
  readonly headers: CallHeaders;
  readonly request: Uint8Array;
}

export interface CallBatch {
  readonly calls: readonly StreamedCall[];
  /** Given up; looked at before the new calls. */
  readonly cancelled: readonly number[];
}

export interface StreamedAnswer {
  readonly id: number;
  /** The response or a piece of it. */
  readonly response: Uint8Array;
  /** Whether pieces follow. */
  readonly more: boolean;
  /** A status code of gRPC; 0 where the call succeeded. */
  readonly code: number;
  /** An encoded google.rpc.Status where it did not. */
  readonly status: Uint8Array;
}

export interface AnswerBatch {
  readonly answers: readonly StreamedAnswer[];
  /** Whether the node begins no more calls on this stream. */
  readonly closing: boolean;
}

/** An upper estimate of what a call or an answer takes beside its bytes. */
const CALL_BYTES = 96;
const ANSWER_BYTES = 32;

export function encodeCallBatch({ calls, cancelled }: CallBatch): Buffer {
  let sizeHintBytes = CALL_BYTES + 5 * cancelled.length;
  for (const { request } of calls) sizeHintBytes += CALL_BYTES + request.length;
  const writer = new ProtobufWriter(sizeHintBytes);
  for (const call of calls) {
    const { id, path, timeoutMs, request } = call;
    writer
      .open(1, CALL_BYTES + request.length)
      .uint(1, id)
      .string(2, path)
      .uint(3, timeoutMs);
    writeHeaders(writer, call.headers);
    writer.bytes(5, request).close();
  }
  return writer.uints(2, cancelled).finish();
}

/**
 * Throws LIMIT_EXCEEDED at the first call, id or header too many, before it is kept: two bytes are
 * enough for a call, and nobody has asked yet who sends them. No more calls than that can be under
 * way, and so none needs more ids to give calls up.
 */
export function decodeCallBatch(bytes: Uint8Array): CallBatch {
  const reader = new ProtobufReader(bytes);
  const calls: StreamedCall[] = [];
  const cancelled: number[] = [];
  const countMax = LIMITS.streamCallsMax.value;
  while (reader.next()) {
    if (reader.field === 1) {
      if (calls.length >= countMax) throw limitExceeded('streamCallsMax', 'calls');
      calls.push(readCall(reader));
    } else if (reader.field === 2) {
      if (!reader.uint32s(cancelled, countMax)) throw limitExceeded('streamCallsMax', 'cancelled');
    } else reader.skip();
  }
  return { calls, cancelled };
}

export function encodeAnswerBatch({ answers, closing }: AnswerBatch): Buffer {
  let sizeHintBytes = ANSWER_BYTES;
  for (const { response, status } of answers) {
    sizeHintBytes += ANSWER_BYTES + response.length + status.length;
  }
  const writer = new ProtobufWriter(sizeHintBytes);
  for (const { id, response, more, code, status } of answers) {
    writer
      .open(1, ANSWER_BYTES + response.length + status.length)
      .uint(1, id)
      .bytes(2, response);
    writer.bool(3, more).uint(4, code).bytes(5, status).close();
  }
  return writer.bool(2, closing).finish();
}

export function decodeAnswerBatch(bytes: Uint8Array): AnswerBatch {
  const reader = new ProtobufReader(bytes);
  const answers: StreamedAnswer[] = [];
  let closing = false;
  while (reader.next()) {
    if (reader.field === 1) answers.push(readAnswer(reader));
    else if (reader.field === 2) closing = reader.bool();
    else reader.skip();
  }
  return { answers, closing };
}

function writeHeaders(writer: ProtobufWriter, headers: CallHeaders): void {
  for (const [name, value] of headers) writer.open(4).string(1, name).string(2, value).close();
}

function readCall(reader: ProtobufReader): StreamedCall {
  const outer = reader.open();
  let id = 0;
  let path = '';
  let timeoutMs = 0;
  const headers: [string, string][] = [];
  let request = NO_BYTES;
  while (reader.next()) {
    if (reader.field === 1) id = reader.uint32();
    else if (reader.field === 2) path = reader.string();
    else if (reader.field === 3) timeoutMs = reader.uint64();
    else if (reader.field === 4) {
      if (headers.length >= LIMITS.callHeadersMax.value) {
        throw limitExceeded('callHeadersMax', 'calls.headers');
      }
      headers.push(readTextPair(reader));
    } else if (reader.field === 5) request = reader.bytes();
    else reader.skip();
  }
  reader.close(outer);
  return { id, path, timeoutMs, headers, request };
}

function readAnswer(reader: ProtobufReader): StreamedAnswer {
  const outer = reader.open();
  let id = 0;
  let response = NO_BYTES;
  let more = false;
  let code = 0;
  let status = NO_BYTES;
  while (reader.next()) {
    if (reader.field === 1) id = reader.uint32();
    else if (reader.field === 2) response = reader.bytes();
    else if (reader.field === 3) more = reader.bool();
    else if (reader.field === 4) code = reader.uint32();
    else if (reader.field === 5) status = reader.bytes();
    else reader.skip();
  }
  reader.close(outer);
  return { id, response, more, code, status };
}
