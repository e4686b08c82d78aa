/**
 * Goal: records that say who wrote them last. Method: every write has a serial; a vector carries
 * that of the write which made the record, its metadata that of the last patch.
 */
import { floatsOf } from '../../../src/shared/bytes.js';
import { encodeFilter } from '../../../src/shared/codec/filter-bytes.js';
import { decodeStruct, encodeStruct, type JsonObject } from '../../../src/shared/codec/struct.js';

export const DIMENSION = 2;
/** Records are in groups, for filters, by the serial of their last write. */
export const GROUPS = 3;
export const GROUP_FIELD = 'group';
/** Fields of the metadata that patches set, in turn. */
const MARKS = 4;
/** One patch of so many removes a field. */
const REMOVALS = 5;

/** Who made a record, and who wrote it last: the same where it was never patched. */
export interface Authors {
  readonly base: number;
  readonly serial: number;
}

/** Floats hold integers to 2^24 exactly. No two writes have the same vector. */
export function valuesOf(serial: number, key: string): Uint8Array {
  const values = Float32Array.of(serial, key.length);
  return new Uint8Array(values.buffer);
}

/** `padBytes` fill logs and snapshots. */
export function metadataOf(serial: number, padBytes: number): Uint8Array {
  return encodeStruct({ [GROUP_FIELD]: groupOf(serial), pad: '.'.repeat(padBytes) });
}

/** What a patch merges in. */
export function patchOf(serial: number): Uint8Array {
  return encodeStruct({
    [GROUP_FIELD]: groupOf(serial),
    patch: serial,
    marks: { [`mark-${serial % MARKS}`]: serial },
    ...(serial % REMOVALS === 0 && { pad: null }),
  });
}

export function groupOf(serial: number): number {
  return serial % GROUPS;
}

export function groupFilter(group: number): Uint8Array {
  return encodeFilter({ [GROUP_FIELD]: { $eq: group } });
}

/** NaN for what is no record of these clients. */
export function authorsOf(vector: ArrayLike<number>, { patch }: JsonObject): Authors {
  const base = vector.length === DIMENSION ? Number(vector[0]) : Number.NaN;
  return { base, serial: typeof patch === 'number' ? patch : base };
}

/** The same, of a record as it is read. */
export function authorsRead(
  values: Uint8Array | undefined,
  metadata: Uint8Array | undefined,
): Authors {
  if (values?.length !== 4 * DIMENSION || metadata === undefined) {
    return { base: Number.NaN, serial: Number.NaN };
  }
  return authorsOf(floatsOf(values), decodeStruct(metadata));
}
