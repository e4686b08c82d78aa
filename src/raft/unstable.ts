import type { EntryId } from './entry.js';
import { invariant } from './invariant.js';
import type { Entry, Snapshot } from './types.js';

/**
 * The end of the log that is not known to be durable: perhaps a snapshot, then entries.
 *
 * `offset` is the index of the first entry held here; it may be at or below the last index of the
 * storage, whose entries from there on are then outdated. What is before `offsetInProgress` was
 * handed out to be written.
 */
export class Unstable {
  #snapshot: Snapshot | undefined;
  #snapshotInProgress = false;
  #entries: Entry[] = [];
  #offset: number;
  #offsetInProgress: number;

  constructor(offset: number) {
    this.#offset = offset;
    this.#offsetInProgress = offset;
  }

  get offset(): number {
    return this.#offset;
  }

  /** The snapshot to be installed, handed out or not. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot;
  }

  get hasEntries(): boolean {
    return this.#entries.length > 0;
  }

  get hasNextEntries(): boolean {
    return this.#offset + this.#entries.length > this.#offsetInProgress;
  }

  get hasNextSnapshot(): boolean {
    return this.#snapshot !== undefined && !this.#snapshotInProgress;
  }

  /** First index of the log, where a snapshot sets it. */
  firstIndex(): number | undefined {
    return this.#snapshot === undefined ? undefined : this.#snapshot.meta.index + 1;
  }

  /** Last index of the log, where it is held here. */
  lastIndex(): number | undefined {
    if (this.#entries.length > 0) return this.#offset + this.#entries.length - 1;
    return this.#snapshot?.meta.index;
  }

  /** Term of the entry at `index`, where it is held here. */
  term(index: number): number | undefined {
    if (index >= this.#offset) return this.#entries[index - this.#offset]?.term;
    if (this.#snapshot?.meta.index === index) return this.#snapshot.meta.term;
    return undefined;
  }

  /** Entries that were not handed out yet. */
  nextEntries(): readonly Entry[] {
    return this.#entries.slice(this.#offsetInProgress - this.#offset);
  }

  /** The snapshot, unless it was handed out already. */
  nextSnapshot(): Snapshot | undefined {
    return this.#snapshotInProgress ? undefined : this.#snapshot;
  }

  /** Notes that all that is held here was handed out to be written. */
  acceptInProgress(): void {
    this.#offsetInProgress = this.#offset + this.#entries.length;
    this.#snapshotInProgress = this.#snapshot !== undefined;
  }

  /**
   * Everything up to this entry is durable. Ignored when the entry is not held here or has another
   * term: it was replaced while it was being written (S8).
   */
  stableTo(id: EntryId): void {
    if (id.index < this.#offset || this.term(id.index) !== id.term) return;
    this.#entries = this.#entries.slice(id.index + 1 - this.#offset);
    this.#offset = id.index + 1;
    this.#offsetInProgress = Math.max(this.#offsetInProgress, this.#offset);
  }

  stableSnapshotTo(index: number): void {
    if (this.#snapshot?.meta.index !== index) return;
    this.#snapshot = undefined;
    this.#snapshotInProgress = false;
  }

  /** Starts over behind `snapshot`: nothing from before survives it (P4). */
  restore(snapshot: Snapshot): void {
    this.#offset = snapshot.meta.index + 1;
    this.#offsetInProgress = this.#offset;
    this.#entries = [];
    this.#snapshot = snapshot;
    this.#snapshotInProgress = false;
  }

  /** Replaces everything from the first of `entries` on. Cost: the entries kept plus the new. */
  truncateAndAppend(entries: readonly Entry[]): void {
    const from = entries[0]?.index;
    if (from === undefined) return;
    const end = this.#offset + this.#entries.length;
    invariant(from <= end, () => `append at ${from} leaves a gap after ${end - 1}`);
    if (from <= this.#offset) {
      this.#entries = [...entries];
      this.#offset = from;
      this.#offsetInProgress = from;
      return;
    }
    this.#entries.length = from - this.#offset;
    for (const entry of entries) this.#entries.push(entry);
    this.#offsetInProgress = Math.min(this.#offsetInProgress, from);
  }

  /** Entries with `low <= index < high`, which must be held here. */
  slice(low: number, high: number): readonly Entry[] {
    const end = this.#offset + this.#entries.length;
    invariant(
      this.#offset <= low && low <= high && high <= end,
      () => `slice [${low}, ${high}) is outside of the unstable [${this.#offset}, ${end})`,
    );
    return this.#entries.slice(low - this.#offset, high - this.#offset);
  }
}
