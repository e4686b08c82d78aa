/** The stored form of a record. One without an expiry has the bytes that it had from the start. */
import type { ByteReader } from '../shared/bytes.js';
import type { Version } from '../shared/types.js';
import { openValue, sealValue } from './sealed-value.js';

/** A record as the store keeps it under its key. */
export interface RecordValue {
  readonly version: Version;
  /** By wall clocks; absent for never. */
  readonly expiresAtMs?: number;
  /** Encoded `google.protobuf.Struct`; empty for none. */
  readonly metadata: Uint8Array;
  /** Little-endian float32. */
  readonly values: Uint8Array;
}

/** Versions of the seal: that of records that last, and that of those that expire. */
const LASTING = 1;
const EXPIRING = 2;

/** The newest version of a record's value that this code reads. */
export const RECORD_VALUE_VERSION_MAX = EXPIRING;

export function sealRecordValue(key: Uint8Array, value: RecordValue): Uint8Array {
  const { version, expiresAtMs, metadata, values } = value;
  return sealValue(
    key,
    (body) => {
      body.u64(version);
      if (expiresAtMs !== undefined) body.varint(expiresAtMs);
      body.bytes(metadata).raw(values);
    },
    24 + metadata.length + values.length,
    expiresAtMs === undefined ? LASTING : EXPIRING,
  );
}

/** Byte fields are views into `value`. Throws as `openValue` does. */
export function openRecordValue(key: Uint8Array, value: Uint8Array): RecordValue {
  return openValue(key, value, readRecordValue, RECORD_VALUE_VERSION_MAX);
}

function readRecordValue(body: ByteReader, format: number): RecordValue {
  const version = body.u64();
  const expiry = format === EXPIRING ? { expiresAtMs: body.varint() } : {};
  const metadata = body.bytes();
  return { version, ...expiry, metadata, values: body.raw(body.remaining) };
}
