/**
 * Keys of the log database: `groupId u32 BE | kind u8 | index u64 BE`, the index for entries only.
 * All of a group lies together, its entries in the order of their indexes.
 */
import { assert } from '../shared/assert.js';
import type { KvRange } from '../shared/kv.js';

const CONFIGURATION = 0x63;
const ENTRY = 0x65;
const GENESIS = 0x67;
const META = 0x6d;

const GROUP_SIZE_BYTES = 4;
const ENTRY_KEY_SIZE_BYTES = 13;
const GROUP_ID_MAX = 0xffff_fffe;
const U32 = 2 ** 32;

export function assertGroupId(groupId: number): void {
  const valid = Number.isInteger(groupId) && groupId >= 0 && groupId <= GROUP_ID_MAX;
  assert(valid, () => `a group id is a whole number up to ${GROUP_ID_MAX}, not ${groupId}`);
}

function keyOf(groupId: number, kind: number): Uint8Array {
  const key = new Uint8Array(GROUP_SIZE_BYTES + 1);
  new DataView(key.buffer).setUint32(0, groupId);
  key[GROUP_SIZE_BYTES] = kind;
  return key;
}

export function entryKey(groupId: number, index: number): Uint8Array {
  const key = new Uint8Array(ENTRY_KEY_SIZE_BYTES);
  const view = new DataView(key.buffer);
  view.setUint32(0, groupId);
  key[GROUP_SIZE_BYTES] = ENTRY;
  view.setUint32(GROUP_SIZE_BYTES + 1, Math.floor(index / U32));
  view.setUint32(GROUP_SIZE_BYTES + 5, index >>> 0);
  return key;
}

/** Index in a key that `entryKey` made. */
export function indexOfKey(key: Uint8Array): number {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  return view.getUint32(GROUP_SIZE_BYTES + 1) * U32 + view.getUint32(GROUP_SIZE_BYTES + 5);
}

export function genesisKey(groupId: number): Uint8Array {
  return keyOf(groupId, GENESIS);
}

export function metaKey(groupId: number): Uint8Array {
  return keyOf(groupId, META);
}

export function configurationKey(groupId: number): Uint8Array {
  return keyOf(groupId, CONFIGURATION);
}

/** The entries with `first <= index < end`. */
export function entryRange(groupId: number, first: number, end: number): KvRange {
  return { gte: entryKey(groupId, first), lt: entryKey(groupId, end) };
}

/** Every key of one group. */
export function groupRange(groupId: number): KvRange {
  return { gte: keyOf(groupId, 0), lt: keyOf(groupId + 1, 0) };
}

/** Every key of every group. */
export const ALL_KEYS: KvRange = { gte: keyOf(0, 0), lt: keyOf(0xffff_ffff, 0) };
