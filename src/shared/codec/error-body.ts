/** Errors as bytes, as they cross from node to node. */
import type { ByteReader, ByteWriter } from '../bytes.js';
import { ERRORS, type ErrorReason } from '../error-codes.js';
import type { ErrorBody } from '../types.js';

const FLAG = { field: 1, limit: 2, details: 4 } as const;

export function writeErrorBody(writer: ByteWriter, error: ErrorBody): void {
  const { field, limit, details } = error;
  writer.string(error.reason).string(error.message);
  writer.u8(
    (field === undefined ? 0 : FLAG.field) |
      (limit === undefined ? 0 : FLAG.limit) |
      (details === undefined ? 0 : FLAG.details),
  );
  if (field !== undefined) writer.string(field);
  if (limit !== undefined) writer.string(limit.name).f64(limit.value);
  if (details === undefined) return;
  const entries = Object.entries(details);
  writer.varint(entries.length);
  for (const [name, value] of entries) writer.string(name).string(value);
}

/** Throws `MalformedBytesError`. A reason that only a newer node knows becomes INTERNAL. */
export function readErrorBody(reader: ByteReader): ErrorBody {
  const reason = reader.string();
  const message = reader.string();
  const flags = reader.u8();
  return {
    ...knownReason(reason, message),
    ...((flags & FLAG.field) !== 0 && { field: reader.string() }),
    ...((flags & FLAG.limit) !== 0 && { limit: { name: reader.string(), value: reader.f64() } }),
    ...((flags & FLAG.details) !== 0 && { details: readDetails(reader) }),
  };
}

function knownReason(reason: string, message: string): { reason: ErrorReason; message: string } {
  if (Object.hasOwn(ERRORS, reason)) return { reason: reason as ErrorReason, message };
  return { reason: 'INTERNAL', message: `${reason}: ${message}` };
}

function readDetails(reader: ByteReader): Record<string, string> {
  const entries: [string, string][] = [];
  for (let left = reader.varint(); left > 0; left--) {
    const name = reader.string();
    entries.push([name, reader.string()]);
  }
  return Object.fromEntries(entries);
}
