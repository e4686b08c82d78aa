/**
 * Readers of vector files, streamed with constant memory.
 *
 * fvecs, bvecs and ivecs (TEXMEX): per vector an int32 dimension, then that many float32, bytes or
 * int32; all little-endian. jsonl: per line an object `{id, values, metadata, expiresAtMs, tenant,
 * shardKey}`, of which only the first two must be there.
 */
import { open } from 'node:fs/promises';
import { extname } from 'node:path';
import type { JsonObject } from '../shared/codec/struct.js';
import { LIMITS } from '../shared/limits.js';

export type VectorFormat = 'fvecs' | 'bvecs' | 'jsonl';

/** `version` is left aside: it is among what `flotilla scroll` writes. */
const RECORD_FIELDS: readonly string[] = [
  'id',
  'values',
  'metadata',
  'expiresAtMs',
  'tenant',
  'shardKey',
  'version',
];

export const VECTOR_FORMATS: readonly VectorFormat[] = ['fvecs', 'bvecs', 'jsonl'];

/** One record of a file. */
export interface FileRecord {
  /** Position in the file, from 0; blank lines do not count. */
  readonly row: number;
  /** Absent in formats that have none. */
  readonly id?: string;
  readonly values: Float32Array;
  readonly metadata?: JsonObject;
  /** When the record expires, by the wall clock. */
  readonly expiresAtMs?: number;
  /** Whose it is, where the file says it. */
  readonly tenant?: string;
  readonly shardKey?: string;
  /** Where in the file the record ends: reading can start here again. */
  readonly endOffset: number;
}

/** Where to start reading. */
export interface FilePosition {
  readonly row: number;
  readonly offset: number;
}

export const FILE_START: FilePosition = { row: 0, offset: 0 };

/** The file is malformed; the message names the file and the line or offset. */
export class VectorFileError extends Error {
  override readonly name = 'VectorFileError';
}

const CHUNK_BYTES = 1024 * 1024;
const LINE_BYTES_MAX = 4 * 1024 * 1024;
const DIMENSION_BYTES = 4;
const NEWLINE = 0x0a;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
/** Neighbours of a query in an ivecs file may be more than the floats of a vector. */
const NEIGHBOURS_MAX = 1_000_000;

/** The format that the file's name says, or `undefined`. */
export function formatOf(path: string): VectorFormat | undefined {
  return VECTOR_FORMATS.find((format) => extname(path).toLowerCase() === `.${format}`);
}

/** The records of a file from `start` on, in order. All vectors have the first one's dimension. */
export async function* readVectorFile(
  path: string,
  format: VectorFormat,
  start: FilePosition = FILE_START,
): AsyncGenerator<FileRecord> {
  const records = format === 'jsonl' ? readJsonLines(path, start) : readRows(path, format, start);
  let dimension: number | undefined;
  for await (const record of records) {
    dimension ??= record.values.length;
    if (record.values.length !== dimension) {
      throw new VectorFileError(
        `${path}: record ${record.row} has ${record.values.length} values, the ones before ` +
          `have ${dimension}`,
      );
    }
    yield record;
  }
}

/** The vectors of an ivecs file, such as the row numbers of the true neighbours of queries. */
export async function* readIntegerVectors(path: string): AsyncGenerator<Int32Array> {
  const layout = { elementBytes: 4, dimensionMax: NEIGHBOURS_MAX };
  for await (const { payload } of rowsOf(path, layout, FILE_START)) {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    yield Int32Array.from({ length: payload.length / 4 }, (_, at) => view.getInt32(at * 4, true));
  }
}

/** Groups an iterable into arrays of `size`; the last one may be shorter. */
export async function* batchesOf<T>(source: AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let batch: T[] = [];
  for await (const item of source) {
    batch.push(item);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

interface Row {
  readonly row: number;
  readonly offset: number;
  /** The elements' bytes: a view that is valid until the next row is asked for. */
  readonly payload: Buffer;
  readonly endOffset: number;
}

interface RowLayout {
  readonly elementBytes: number;
  readonly dimensionMax: number;
}

async function* rowsOf(path: string, layout: RowLayout, start: FilePosition): AsyncGenerator<Row> {
  let pending: Buffer = Buffer.alloc(0);
  let { row, offset } = start;
  for await (const chunk of chunksOf(path, start.offset)) {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    let at = 0;
    while (pending.length - at >= DIMENSION_BYTES) {
      const dimension = pending.readInt32LE(at);
      if (dimension < 1 || dimension > layout.dimensionMax) {
        throw new VectorFileError(
          `${path}: at offset ${offset} a vector says that it has ${dimension} elements; ` +
            `1 to ${layout.dimensionMax} are possible`,
        );
      }
      const sizeBytes = DIMENSION_BYTES + dimension * layout.elementBytes;
      if (pending.length - at < sizeBytes) break;
      const payload = pending.subarray(at + DIMENSION_BYTES, at + sizeBytes);
      yield { row, offset, payload, endOffset: offset + sizeBytes };
      at += sizeBytes;
      offset += sizeBytes;
      row += 1;
    }
    pending = pending.subarray(at);
  }
  if (pending.length > 0) {
    throw new VectorFileError(`${path}: the last vector, at offset ${offset}, is cut off`);
  }
}

async function* readRows(
  path: string,
  format: 'fvecs' | 'bvecs',
  start: FilePosition,
): AsyncGenerator<FileRecord> {
  const layout = {
    elementBytes: format === 'fvecs' ? 4 : 1,
    dimensionMax: LIMITS.dimensionMax.value,
  };
  for await (const { row, offset, payload, endOffset } of rowsOf(path, layout, start)) {
    const values = format === 'fvecs' ? floatsOf(payload) : Float32Array.from(payload);
    if (!values.every(Number.isFinite)) {
      throw new VectorFileError(`${path}: the vector at offset ${offset} holds NaN or infinity`);
    }
    yield { row, values, endOffset };
  }
}

function floatsOf(payload: Buffer): Float32Array {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const values = new Float32Array(payload.length / 4);
  for (let at = 0; at < values.length; at++) values[at] = view.getFloat32(at * 4, true);
  return values;
}

async function* readJsonLines(path: string, start: FilePosition): AsyncGenerator<FileRecord> {
  let { row } = start;
  for await (const { lineNumber, bytes, endOffset } of linesOf(path, start.offset)) {
    // After a resume the line's number within the whole file is not known, but its end is.
    const place =
      start.offset === 0 ? `${path}:${lineNumber}` : `${path}: the line that ends at ${endOffset}`;
    const text = decodeUtf8(bytes, place);
    if (text.trim() === '') continue;
    yield { row, ...parseJsonRecord(text, place), endOffset };
    row += 1;
  }
}

interface Line {
  /** From 1, counted from where reading started. */
  readonly lineNumber: number;
  readonly bytes: Buffer;
  readonly endOffset: number;
}

async function* linesOf(path: string, startOffset: number): AsyncGenerator<Line> {
  let pending: Buffer = Buffer.alloc(0);
  let offset = startOffset;
  let lineNumber = 1;
  for await (const chunk of chunksOf(path, startOffset)) {
    // Only the new bytes can hold the line's end, so a long line is not searched over and over.
    let searchFrom = pending.length;
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    let at = 0;
    for (;;) {
      const end = pending.indexOf(NEWLINE, Math.max(at, searchFrom));
      if (end < 0) break;
      offset += end + 1 - at;
      yield { lineNumber, bytes: pending.subarray(at, end), endOffset: offset };
      lineNumber += 1;
      at = end + 1;
      searchFrom = at;
    }
    pending = pending.subarray(at);
    if (pending.length > LINE_BYTES_MAX) {
      throw new VectorFileError(
        `${path}: the line at offset ${offset} is longer than ${LINE_BYTES_MAX} bytes`,
      );
    }
  }
  if (pending.length > 0) {
    yield { lineNumber, bytes: pending, endOffset: offset + pending.length };
  }
}

async function* chunksOf(path: string, startOffset: number): AsyncGenerator<Buffer> {
  const file = await open(path, 'r');
  try {
    let position = startOffset;
    for (;;) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      yield chunk.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

function decodeUtf8(bytes: Buffer, place: string): string {
  const marked = bytes.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(marked ? bytes.subarray(3) : bytes);
  } catch {
    throw new VectorFileError(`${place} is not UTF-8`);
  }
}

function parseJsonRecord(
  text: string,
  place: string,
): Omit<FileRecord, 'row' | 'endOffset'> & { readonly id: string } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new VectorFileError(
      `${place} is not JSON: ${error instanceof Error ? error.message : ''}`,
    );
  }
  if (!isObject(parsed)) throw new VectorFileError(`${place} is not an object`);
  const { id, values, metadata, expiresAtMs, tenant, shardKey } = parsed;
  const stranger = Object.keys(parsed).find((name) => !RECORD_FIELDS.includes(name));
  if (stranger !== undefined) {
    throw new VectorFileError(
      `${place} has the unknown field "${stranger}"; there are ${RECORD_FIELDS.join(', ')}`,
    );
  }
  if (typeof id !== 'string' || id === '') {
    throw new VectorFileError(`${place} has no "id" that is a non-empty string`);
  }
  if (!isVector(values)) {
    throw new VectorFileError(
      `${place} has no "values" that are 1 to ${LIMITS.dimensionMax.value} finite numbers`,
    );
  }
  if (metadata !== undefined && metadata !== null && !isObject(metadata)) {
    throw new VectorFileError(`${place} has "metadata" that is not an object`);
  }
  if (expiresAtMs !== undefined && !isInstant(expiresAtMs)) {
    throw new VectorFileError(`${place} has "expiresAtMs" that are no milliseconds since 1970`);
  }
  if (tenant !== undefined && typeof tenant !== 'string') {
    throw new VectorFileError(`${place} has a "tenant" that is not a string`);
  }
  if (shardKey !== undefined && typeof shardKey !== 'string') {
    throw new VectorFileError(`${place} has a "shardKey" that is not a string`);
  }
  return {
    id,
    values: Float32Array.from(values),
    ...(isObject(metadata) && { metadata }),
    ...(expiresAtMs !== undefined && { expiresAtMs }),
    ...(tenant !== undefined && { tenant }),
    ...(shardKey !== undefined && { shardKey }),
  };
}

function isInstant(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function isVector(value: unknown): value is number[] {
  if (!Array.isArray(value) || value.length < 1 || value.length > LIMITS.dimensionMax.value) {
    return false;
  }
  // A number may be finite as a double and infinite as the float that is stored.
  return value.every((item) => typeof item === 'number' && Number.isFinite(Math.fround(item)));
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
