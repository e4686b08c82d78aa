/** What the parts of the codec of calls between nodes share. */
import { ByteReader, ByteWriter, MalformedBytesError } from '../shared/bytes.js';

import type { ReadAnswer, ShownState } from './replica.js';

export const RPC_FORMAT = 1;
/** Of reads: they say more of how fresh they are to be, and answers tell how fresh they are. */
export const READ_FORMAT = 2;

/** Begins the answer of a read: without its state as `RPC_FORMAT` has it. */
export function beginReadAnswer(sizeHintBytes: number, state: ShownState | undefined): ByteWriter {
  const writer = new ByteWriter(sizeHintBytes);
  if (state === undefined) return writer.u8(RPC_FORMAT);
  const { appliedIndex, ageMs, nodeId } = state;
  writer.u8(READ_FORMAT).varint(appliedIndex);
  writeOptional(writer, ageMs, (age) => writer.varint(Math.ceil(age)));
  writeOptional(writer, nodeId, (id) => writer.varint(id));
  return writer;
}

/** Reads the answer of a read, which may have come in either format. */
export function readReadAnswer<T>(
  bytes: Uint8Array,
  read: (reader: ByteReader) => T,
): ReadAnswer<T> {
  if (bytes[0] === RPC_FORMAT) return { value: readAnswer(bytes, read) };
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  if (format !== READ_FORMAT) throw new MalformedBytesError(`replica answer format ${format}`);
  const appliedIndex = reader.varint();
  const ageMs = readOptional(reader, () => reader.varint());
  const nodeId = readOptional(reader, () => reader.varint());
  const value = read(reader);
  reader.end();
  const state = {
    appliedIndex,
    ...(ageMs !== undefined && { ageMs }),
    ...(nodeId !== undefined && { nodeId }),
  };
  return { value, state };
}

/** Reads an answer, which begins with the format and ends where `read` does. */
export function readAnswer<T>(bytes: Uint8Array, read: (reader: ByteReader) => T): T {
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  if (format !== RPC_FORMAT) throw new MalformedBytesError(`replica answer format ${format}`);
  const answer = read(reader);
  reader.end();
  return answer;
}

export function writeList<T>(
  writer: ByteWriter,
  items: readonly T[],
  write: (item: T) => unknown,
): void {
  writer.varint(items.length);
  for (const item of items) write(item);
}

export function readList<T>(reader: ByteReader, read: () => T): T[] {
  const items: T[] = [];
  for (let left = reader.varint(); left > 0; left--) items.push(read());
  return items;
}

export function writeOptional<T>(
  writer: ByteWriter,
  value: T | undefined,
  write: (value: T) => unknown,
): void {
  writer.bool(value !== undefined);
  if (value !== undefined) write(value);
}

export function readOptional<T>(reader: ByteReader, read: () => T): T | undefined {
  return reader.bool() ? read() : undefined;
}
