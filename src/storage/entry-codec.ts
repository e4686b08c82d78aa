/**
 * One log entry as a value of the database: a sealed record (its context is its key) of
 *
 *     type u8 | term u64 LE | payload
 */
import type { Entry, EntryType } from '../raft/types.js';
import { MalformedBytesError } from '../shared/bytes.js';
import type { KvOperation } from '../shared/kv.js';
import { decodeBody, SEAL_SIZE_BYTES, sealInPlace } from '../shared/sealed-record.js';
import { entryKey, indexOfKey } from './keys.js';

const TERM_SIZE_BYTES = 8;
const HEADER_SIZE_BYTES = SEAL_SIZE_BYTES + 1 + TERM_SIZE_BYTES;
const U32 = 2 ** 32;

/** Never renumbered: these numbers are on disk. */
const TYPE_NUMBERS: Readonly<Record<EntryType, number>> = {
  EntryNormal: 0,
  EntryConfChange: 1,
  EntryConfChangeV2: 2,
};

const TYPES: readonly EntryType[] = ['EntryNormal', 'EntryConfChange', 'EntryConfChangeV2'];

/**
 * Appends the writes of `entries` to `operations`, encoded into one buffer: each payload is copied
 * once. Returns the same entries over that buffer, so that the caller's is not held on to.
 */
export function encodeEntries(
  groupId: number,
  entries: readonly Entry[],
  operations: KvOperation[],
): Entry[] {
  let sizeBytes = 0;
  for (const entry of entries) sizeBytes += HEADER_SIZE_BYTES + entry.data.length;
  const buffer = new Uint8Array(sizeBytes);
  const view = new DataView(buffer.buffer);
  const stored: Entry[] = [];
  let at = 0;
  for (const { type, term, index, data } of entries) {
    const value = buffer.subarray(at, at + HEADER_SIZE_BYTES + data.length);
    value[SEAL_SIZE_BYTES] = TYPE_NUMBERS[type];
    view.setUint32(at + SEAL_SIZE_BYTES + 1, term >>> 0, true);
    view.setUint32(at + SEAL_SIZE_BYTES + 5, Math.floor(term / U32), true);
    value.set(data, HEADER_SIZE_BYTES);
    const key = entryKey(groupId, index);
    sealInPlace(value, key);
    operations.push({ type: 'put', key, value });
    stored.push({ type, term, index, data: value.subarray(HEADER_SIZE_BYTES) });
    at += value.length;
  }
  return stored;
}

/** The entry that is stored under `key`; its data is a view of `value`. Throws a `RecordError`. */
export function decodeEntry(key: Uint8Array, value: Uint8Array): Entry {
  return decodeBody(value, key, (body) => {
    const type = TYPES[body[0] as number];
    const data = body.subarray(1 + TERM_SIZE_BYTES);
    if (type === undefined) throw new MalformedBytesError(`entry type ${body[0]}`);
    if (body.length < 1 + TERM_SIZE_BYTES) throw new MalformedBytesError('the term is cut short');
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    const term = view.getUint32(1, true) + view.getUint32(5, true) * U32;
    return { type, term, index: indexOfKey(key), data };
  });
}
