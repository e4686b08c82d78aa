/** A group's persisted log as the consensus core reads it: bounds, terms and size limits. */
import {
  CompactedError,
  type ConfState,
  type Entry,
  type HardState,
  type LogReader,
  type Snapshot,
  UnavailableError,
} from '../raft/types.js';
import { assert } from '../shared/assert.js';
import type { LogState } from './log-state.js';
import type { GroupGenesis } from './log-store.js';

export class GroupReader implements LogReader {
  readonly genesis: GroupGenesis;
  readonly #entryAt: (index: number) => Entry;
  #state: LogState;

  /** `entryAt` is asked for indexes of the log only. */
  constructor(genesis: GroupGenesis, state: LogState, entryAt: (index: number) => Entry) {
    this.genesis = genesis;
    this.#state = state;
    this.#entryAt = entryAt;
  }

  /** What is durable. */
  get state(): LogState {
    return this.#state;
  }

  /** Shows a state that has become durable. */
  publish(state: LogState): void {
    this.#state = state;
  }

  /** What is durable at the time of the call; a group is opened by asking. */
  initialState(): { readonly hardState: HardState; readonly confState: ConfState } {
    const { term, vote, commit } = this.#state.meta;
    const { confState } = this.#state.configuration;
    return { hardState: { term, vote, commit }, confState };
  }

  entries(low: number, high: number, maxSizeBytes: number): readonly Entry[] {
    assert(low <= high, () => `entries from ${low} to ${high}`);
    if (low < this.firstIndex()) throw new CompactedError(`entry ${low} is compacted away`);
    if (high > this.lastIndex() + 1) {
      throw new UnavailableError(`entry ${high - 1} is beyond the last, ${this.lastIndex()}`);
    }
    const found: Entry[] = [];
    let sizeBytes = 0;
    for (let index = low; index < high; index++) {
      const entry = this.#entryAt(index);
      sizeBytes += entry.data.length;
      if (found.length > 0 && sizeBytes > maxSizeBytes) break;
      found.push(entry);
    }
    return found;
  }

  term(index: number): number {
    if (index < this.firstIndex() - 1) {
      throw new CompactedError(`the term of entry ${index} is compacted away`);
    }
    if (index > this.lastIndex()) {
      throw new UnavailableError(`entry ${index} is beyond the last, ${this.lastIndex()}`);
    }
    return this.#state.terms.at(index);
  }

  firstIndex(): number {
    return this.#state.meta.firstIndex;
  }

  lastIndex(): number {
    return this.#state.meta.lastIndex;
  }

  /** Snapshot files are the host's, which wraps this reader. */
  snapshot(): Snapshot | undefined {
    return undefined;
  }
}
