import { limitSize } from './entry.js';
import { invariant } from './invariant.js';
import {
  CompactedError,
  type ConfState,
  type Entry,
  type HardState,
  type LogReader,
  type Snapshot,
  UnavailableError,
} from './types.js';

const NO_CONF_STATE: ConfState = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

/** The reference `LogReader`: everything in memory, with setters that play the host's part. */
export class MemoryStorage implements LogReader {
  #hardState: HardState = { term: 0, vote: 0, commit: 0 };
  #snapshot: Snapshot;
  /** Position of the last compacted entry; its term is kept for matching. */
  #base = { term: 0, index: 0 };
  #entries: Entry[] = [];

  constructor(confState: ConfState = NO_CONF_STATE) {
    this.#snapshot = { meta: { index: 0, term: 0, confState }, data: new Uint8Array() };
  }

  initialState(): { readonly hardState: HardState; readonly confState: ConfState } {
    return { hardState: this.#hardState, confState: this.#snapshot.meta.confState };
  }

  entries(low: number, high: number, maxSizeBytes: number): readonly Entry[] {
    if (low < this.firstIndex()) {
      throw new CompactedError(`entry ${low} is before the first, ${this.firstIndex()}`);
    }
    if (high > this.lastIndex() + 1) {
      throw new UnavailableError(`entry ${high - 1} is after the last, ${this.lastIndex()}`);
    }
    const first = this.firstIndex();
    return limitSize(this.#entries.slice(low - first, high - first), maxSizeBytes);
  }

  term(index: number): number {
    if (index === this.#base.index) return this.#base.term;
    if (index < this.#base.index) {
      throw new CompactedError(`entry ${index} is before the first, ${this.firstIndex()}`);
    }
    const entry = this.#entries[index - this.firstIndex()];
    if (entry === undefined) {
      throw new UnavailableError(`entry ${index} is after the last, ${this.lastIndex()}`);
    }
    return entry.term;
  }

  firstIndex(): number {
    return this.#base.index + 1;
  }

  lastIndex(): number {
    return this.#base.index + this.#entries.length;
  }

  snapshot(): Snapshot | undefined {
    return this.#snapshot.meta.index === 0 ? undefined : this.#snapshot;
  }

  setHardState(hardState: HardState): void {
    this.#hardState = hardState;
  }

  /** Replaces everything from the first of `entries` on; what is compacted already is skipped. */
  append(entries: readonly Entry[]): void {
    const fresh = entries.filter((entry) => entry.index >= this.firstIndex());
    const from = fresh[0]?.index;
    if (from === undefined) return;
    invariant(
      from <= this.lastIndex() + 1,
      () => `append at ${from} leaves a gap after ${this.lastIndex()}`,
    );
    this.#entries.length = from - this.firstIndex();
    for (const entry of fresh) this.#entries.push(entry);
  }

  /** Drops the entries up to and including `index`. */
  compact(index: number): void {
    if (index <= this.#base.index) {
      throw new CompactedError(`entry ${index} is before the first, ${this.firstIndex()}`);
    }
    const term = this.term(index);
    this.#entries.splice(0, index - this.#base.index);
    this.#base = { term, index };
  }

  /** Keeps a snapshot of the state at `index`, with the configuration then; the log stays. */
  createSnapshot(index: number, confState: ConfState, data: Uint8Array): Snapshot {
    invariant(
      index > this.#snapshot.meta.index,
      () => `snapshot at ${index} is not newer than ${this.#snapshot.meta.index}`,
    );
    this.#snapshot = { meta: { index, term: this.term(index), confState }, data };
    return this.#snapshot;
  }

  /** Replaces snapshot and whole log by a snapshot from a leader. */
  applySnapshot(snapshot: Snapshot): void {
    invariant(
      snapshot.meta.index > this.#snapshot.meta.index,
      () => `snapshot at ${snapshot.meta.index} is not newer than ${this.#snapshot.meta.index}`,
    );
    this.#snapshot = snapshot;
    this.#base = { term: snapshot.meta.term, index: snapshot.meta.index };
    this.#entries = [];
  }
}
