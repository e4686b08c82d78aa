/** What the parts of the codec of calls between nodes share. */
import { ByteReader, type ByteWriter, MalformedBytesError } from '../shared/bytes.js';

export const RPC_FORMAT = 1;

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

export function memberAt<T>(values: readonly T[], index: number, what: string): T {
  const value = values[index];
  if (value === undefined) throw new MalformedBytesError(`${what} ${index}`);
  return value;
}
