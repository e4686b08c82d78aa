import type { Entry, EntryType } from '../../../src/raft/types.js';

const TYPE_CODES: Readonly<Record<EntryType, number>> = {
  EntryNormal: 1,
  EntryConfChange: 2,
  EntryConfChangeV2: 3,
};

/** Hash of a history that `entry` is appended to. Two logs with equal hashes are equal. */
export function extendHash(hash: number, entry: Entry): number {
  let mixed = mix(hash, entry.index);
  mixed = mix(mixed, entry.term);
  mixed = mix(mixed, TYPE_CODES[entry.type]);
  const { data } = entry;
  for (let at = 0; at < data.length; at += 1)
    mixed = Math.imul(mixed ^ (data[at] ?? 0), 0x01000193);
  return mix(mixed, data.length);
}

function mix(hash: number, value: number): number {
  const mixed = Math.imul(hash ^ value, 0x9e3779b1);
  return (mixed ^ (mixed >>> 15)) | 0;
}
