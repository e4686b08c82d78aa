import { limitSize } from '../../../src/raft/entry.js';
import {
  CompactedError,
  type ConfState,
  type Entry,
  type HardState,
  UnavailableError,
} from '../../../src/raft/types.js';
import type { StateImage } from './state-image.js';

/** The configuration that a store knows, and the last entry of the log that it covers. */
export interface StoredConfiguration {
  readonly index: number;
  readonly confState: ConfState;
}

/** One atomic batch. */
export interface StoreWrite {
  readonly hardState?: HardState | undefined;
  readonly configuration?: StoredConfiguration | undefined;
  /** Entries up to here go. */
  readonly compactedIndex?: number;
  /** Replaces the whole log (P4). `hash` is the history's up to it. */
  readonly snapshot?: { readonly image: StateImage; readonly hash: number } | undefined;
  /** Appended last; entries at and after the first one's index are replaced. */
  readonly entries: readonly Entry[];
  /** The hash of the history up to each entry. */
  readonly hashes: readonly number[];
}

/** What a replica's disk holds: its log and what belongs to it. */
export class LogImage {
  hardState: HardState = { term: 0, vote: 0, commit: 0 };
  configuration: StoredConfiguration;
  snapshot: StateImage | undefined;
  #base = { index: 0, term: 0, hash: 0 };
  #entries: Entry[] = [];
  #hashes: number[] = [];

  constructor(confState: ConfState) {
    this.configuration = { index: 0, confState };
  }

  get firstIndex(): number {
    return this.#base.index + 1;
  }

  get lastIndex(): number {
    return this.#base.index + this.#entries.length;
  }

  /** Undefined where it is compacted or beyond the end. */
  termAt(index: number): number | undefined {
    if (index === this.#base.index) return this.#base.term;
    return this.#entries[index - this.#base.index - 1]?.term;
  }

  /** Hash of the history up to `index`; undefined where that is compacted or beyond the end. */
  hashAt(index: number): number | undefined {
    if (index === this.#base.index) return this.#base.hash;
    return this.#hashes[index - this.#base.index - 1];
  }

  entryAt(index: number): Entry | undefined {
    return this.#entries[index - this.#base.index - 1];
  }

  /** Whether the entry is here. What is compacted was committed, so it was. */
  holds(index: number, term: number): boolean {
    return index < this.#base.index || this.termAt(index) === term;
  }

  term(index: number): number {
    const term = this.termAt(index);
    if (term !== undefined) return term;
    if (index < this.#base.index) throw new CompactedError(`entry ${index} is compacted`);
    throw new UnavailableError(`entry ${index} is after the last, ${this.lastIndex}`);
  }

  entries(low: number, high: number, maxSizeBytes: number): readonly Entry[] {
    if (low < this.firstIndex) throw new CompactedError(`entry ${low} is compacted`);
    if (high > this.lastIndex + 1) throw new UnavailableError(`entry ${high - 1} is not there`);
    const first = this.firstIndex;
    return limitSize(this.#entries.slice(low - first, high - first), maxSizeBytes);
  }

  apply(write: StoreWrite): void {
    if (write.snapshot !== undefined) this.#restore(write.snapshot.image, write.snapshot.hash);
    if (write.hardState !== undefined) this.hardState = write.hardState;
    if (write.configuration !== undefined) this.configuration = write.configuration;
    if (write.entries.length > 0) this.#append(write.entries, write.hashes);
    if (write.compactedIndex !== undefined) this.#compact(write.compactedIndex);
  }

  #restore(image: StateImage, hash: number): void {
    this.#base = { index: image.machine.applied, term: image.machine.appliedTerm, hash };
    this.#entries = [];
    this.#hashes = [];
    this.snapshot = image;
    this.configuration = image.configuration;
  }

  #append(entries: readonly Entry[], hashes: readonly number[]): void {
    const from = (entries[0]?.index ?? 0) - this.firstIndex;
    if (from < 0 || from > this.#entries.length) {
      throw new Error(`append at ${from + this.firstIndex}: the log ends at ${this.lastIndex}`);
    }
    this.#entries.length = from;
    this.#hashes.length = from;
    this.#entries.push(...entries);
    this.#hashes.push(...hashes);
  }

  #compact(index: number): void {
    const term = this.termAt(index);
    const hash = this.hashAt(index);
    if (term === undefined || hash === undefined || index <= this.#base.index) return;
    const count = index - this.#base.index;
    this.#entries.splice(0, count);
    this.#hashes.splice(0, count);
    this.#base = { index, term, hash };
  }
}
