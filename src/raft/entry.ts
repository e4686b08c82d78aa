import type { Entry } from './types.js';

/** What an entry counts against every byte limit of the core: its data. */
export function entrySizeBytes(entry: Entry): number {
  return entry.data.length;
}

export function entriesSizeBytes(entries: readonly Entry[]): number {
  let sizeBytes = 0;
  for (const entry of entries) sizeBytes += entrySizeBytes(entry);
  return sizeBytes;
}

/** The longest prefix within `maxSizeBytes`, but never less than one entry (L11). */
export function limitSize(entries: readonly Entry[], maxSizeBytes: number): readonly Entry[] {
  let sizeBytes = 0;
  for (const [position, entry] of entries.entries()) {
    sizeBytes += entrySizeBytes(entry);
    if (position > 0 && sizeBytes > maxSizeBytes) return entries.slice(0, position);
  }
  return entries;
}

/** Term and index of an entry: together they name it, in all logs (Log Matching, paper 5.3). */
export interface EntryId {
  readonly term: number;
  readonly index: number;
}

/** Whether a log that ends in `a` is at least as up to date as one that ends in `b` (E2, 5.4.1). */
export function isUpToDate(a: EntryId, b: EntryId): boolean {
  return a.term > b.term || (a.term === b.term && a.index >= b.index);
}
