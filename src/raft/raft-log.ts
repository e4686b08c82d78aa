import { type EntryId, entriesSizeBytes, isUpToDate, limitSize } from './entry.js';
import { invariant } from './invariant.js';
import { CompactedError, type Entry, type LogReader, type Snapshot } from './types.js';
import { Unstable } from './unstable.js';

/** Never 0 for an entry that is not there: 0 would match another missing entry (L5). */
export type TermLookup = number | 'compacted' | 'unavailable';

/** What a MsgApp says: these entries follow on that one. */
export interface LogSlice {
  readonly previous: EntryId;
  readonly entries: readonly Entry[];
}

/** A batch of entries that was handed out and is not applied yet. */
interface ApplyingBatch {
  readonly lastIndex: number;
  readonly sizeBytes: number;
}

export interface RaftLogOptions {
  /** Index up to which the state machine is applied; undefined for the beginning of the log. */
  readonly applied: number | undefined;
  /** Bound on the entries handed out and not yet applied (A1). */
  readonly maxApplyingBytes: number;
  /** Whether entries may be applied that this replica itself has not made durable. */
  readonly appliesUnstable: boolean;
}

/**
 * A replica's log: the durable part in storage, the rest in `Unstable`, and three positions in it.
 *
 * `applied <= applying <= committed <= lastIndex()`, but for one case: after a crash the state
 * machine may be ahead of a commit index, or of entries, that had not reached the disk. What it
 * has applied is then not handed out again when it comes back.
 */
export class RaftLog {
  readonly #storage: LogReader;
  readonly #unstable: Unstable;
  readonly #maxApplyingBytes: number;
  readonly #appliesUnstable: boolean;
  #committed: number;
  #applying: number;
  #applied: number;
  #applyingBatches: ApplyingBatch[] = [];
  #applyingBytes = 0;
  #applyingPaused = false;

  constructor(storage: LogReader, options: RaftLogOptions) {
    const compacted = storage.firstIndex() - 1;
    const applied = options.applied ?? compacted;
    invariant(
      applied >= compacted,
      () => `applied ${applied} is behind the compacted log, which starts after ${compacted}`,
    );
    this.#storage = storage;
    this.#unstable = new Unstable(storage.lastIndex() + 1);
    this.#maxApplyingBytes = options.maxApplyingBytes;
    this.#appliesUnstable = options.appliesUnstable;
    this.#committed = compacted;
    this.#applying = applied;
    this.#applied = applied;
  }

  get committed(): number {
    return this.#committed;
  }

  /** Up to where the state machine is known to have applied. */
  get applied(): number {
    return this.#applied;
  }

  firstIndex(): number {
    return this.#unstable.firstIndex() ?? this.#storage.firstIndex();
  }

  lastIndex(): number {
    return this.#unstable.lastIndex() ?? this.#storage.lastIndex();
  }

  lastId(): EntryId {
    const index = this.lastIndex();
    const term = this.term(index);
    invariant(typeof term === 'number', () => `the last entry, ${index}, is ${term}`);
    return { term, index };
  }

  /** Term of the entry at `index`, which may be the one before the first. */
  term(index: number): TermLookup {
    const term = this.#unstable.term(index);
    if (term !== undefined) return term;
    if (index < this.firstIndex() - 1) return 'compacted';
    if (index > this.lastIndex()) return 'unavailable';
    return this.#storage.term(index);
  }

  matches(id: EntryId): boolean {
    return this.term(id.index) === id.term;
  }

  /** Whether a candidate whose log ends in `last` may be voted for (E2). */
  isUpToDate(last: EntryId): boolean {
    return isUpToDate(last, this.lastId());
  }

  /** Entries from `low` on, at most `maxSizeBytes` but at least one where there is one. */
  entriesFrom(low: number, maxSizeBytes: number): readonly Entry[] {
    return this.slice(low, this.lastIndex() + 1, maxSizeBytes);
  }

  /** Entries with `low <= index < high`, cut off after `maxSizeBytes` (L11). */
  slice(low: number, high: number, maxSizeBytes: number): readonly Entry[] {
    if (low < this.firstIndex()) {
      throw new CompactedError(`entry ${low} is before the first, ${this.firstIndex()}`);
    }
    invariant(
      high <= this.lastIndex() + 1,
      () => `slice [${low}, ${high}) is beyond the last entry, ${this.lastIndex()}`,
    );
    if (low >= high) return [];
    const border = this.#unstable.offset;
    if (low >= border) return limitSize(this.#unstable.slice(low, high), maxSizeBytes);
    const stableEnd = Math.min(high, border);
    const stable = this.#storage.entries(low, stableEnd, maxSizeBytes);
    if (high <= border || stable.length < stableEnd - low) return stable;
    const leftBytes = maxSizeBytes - entriesSizeBytes(stable);
    if (leftBytes < 0) return stable;
    const unstable = limitSize(this.#unstable.slice(border, high), leftBytes);
    if (unstable.length === 1 && entriesSizeBytes(unstable) > leftBytes) return stable;
    return [...stable, ...unstable];
  }

  /** Appends a leader's own entries, or what a follower found to be new. */
  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    invariant(
      first.index > this.#committed,
      () => `append at ${first.index} would replace committed entries (up to ${this.#committed})`,
    );
    this.#unstable.truncateAndAppend(entries);
  }

  /**
   * Takes over what a leader sent, where it follows on this log: replaces from the first entry that
   * conflicts, never more (L1), and commits up to `leaderCommit` within the slice (L3). Returns the
   * index of the slice's last entry, or undefined where the log does not hold its predecessor.
   */
  maybeAppend(slice: LogSlice, leaderCommit: number): number | undefined {
    if (!this.matches(slice.previous)) return undefined;
    const fresh = slice.entries.findIndex((entry) => !this.matches(entry));
    if (fresh >= 0) {
      const first = slice.previous.index + 1 + fresh;
      invariant(
        first > this.#committed,
        () => `entry ${first} conflicts with a committed one (up to ${this.#committed})`,
      );
      this.append(slice.entries.slice(fresh));
    }
    const last = slice.previous.index + slice.entries.length;
    this.commitTo(Math.min(leaderCommit, last));
    return last;
  }

  /**
   * The last position at or before `index` whose term is not above `term`: where a log that ends in
   * (`index`, `term`) may still agree with this one (L4). The term is 0 when it is not known any
   * more. Cost: the entries passed over, each looked up.
   */
  findConflictByTerm(index: number, term: number): EntryId {
    for (let at = index; at > 0; at--) {
      const ours = this.term(at);
      if (typeof ours !== 'number') return { term: 0, index: at };
      if (ours <= term) return { term: ours, index: at };
    }
    return { term: 0, index: 0 };
  }

  commitTo(index: number): void {
    if (index <= this.#committed) return;
    invariant(
      index <= this.lastIndex(),
      () => `commit ${index} is beyond the last entry, ${this.lastIndex()}: was the log damaged?`,
    );
    this.#committed = index;
  }

  /**
   * Commits up to the entry where it is of that term: of its own term where a leader has counted
   * (E11, paper 5.4.2), of any where another replica knows it to be committed (E13).
   */
  maybeCommit(id: EntryId): boolean {
    if (id.index <= this.#committed || id.term === 0 || !this.matches(id)) return false;
    this.commitTo(id.index);
    return true;
  }

  get hasUnstableSnapshot(): boolean {
    return this.#unstable.snapshot !== undefined;
  }

  get hasUnstableEntries(): boolean {
    return this.#unstable.hasEntries;
  }

  get hasNextUnstable(): boolean {
    return this.#unstable.hasNextEntries || this.#unstable.hasNextSnapshot;
  }

  nextUnstableEntries(): readonly Entry[] {
    return this.#unstable.hasNextEntries ? this.#unstable.nextEntries() : [];
  }

  nextUnstableSnapshot(): Snapshot | undefined {
    return this.#unstable.nextSnapshot();
  }

  /** Notes that everything unstable was handed out to be written. */
  acceptUnstable(): void {
    this.#unstable.acceptInProgress();
  }

  stableTo(id: EntryId): void {
    this.#unstable.stableTo(id);
  }

  /** The snapshot at `index` is durable and installed; committed state, whoever led by then. */
  installedSnapshot(index: number): void {
    this.#unstable.stableSnapshotTo(index);
    this.#applying = Math.max(this.#applying, index);
    this.appliedTo(index);
  }

  /** The newest snapshot, or undefined while the host is making one. */
  snapshot(): Snapshot | undefined {
    return this.#unstable.snapshot ?? this.#storage.snapshot();
  }

  /** Starts over behind a leader's snapshot (P4). */
  restore(snapshot: Snapshot): void {
    const { index } = snapshot.meta;
    this.#committed = index;
    this.#applied = Math.min(this.#applied, index);
    this.#applying = Math.min(this.#applying, index);
    this.#unstable.restore(snapshot);
  }

  get hasNextCommitted(): boolean {
    return (
      !this.#applyingPaused && !this.hasUnstableSnapshot && this.#applying < this.#maxAppliable()
    );
  }

  /** What to apply next, within the bound on what is handed out. */
  nextCommitted(): readonly Entry[] {
    if (!this.hasNextCommitted) return [];
    const leftBytes = this.#maxApplyingBytes - this.#applyingBytes;
    return this.slice(this.#applying + 1, this.#maxAppliable() + 1, leftBytes);
  }

  /** Notes that these entries were handed out to be applied. */
  acceptApplying(entries: readonly Entry[]): void {
    const last = entries.at(-1);
    if (last === undefined) return;
    const sizeBytes = entriesSizeBytes(entries);
    this.#applying = last.index;
    this.#applyingBatches.push({ lastIndex: last.index, sizeBytes });
    this.#applyingBytes += sizeBytes;
    // What was cut off would go over the bound; it waits until something of this is applied.
    this.#applyingPaused =
      this.#applyingBytes >= this.#maxApplyingBytes || last.index < this.#maxAppliable();
  }

  /** The state machine has applied up to `index`. May skip batches, and come twice. */
  appliedTo(index: number): void {
    invariant(
      index <= this.#applying,
      () => `applied ${index} was not handed out (up to ${this.#applying})`,
    );
    if (index <= this.#applied) return;
    this.#applied = index;
    const open = this.#applyingBatches.findIndex((batch) => batch.lastIndex > index);
    const done = this.#applyingBatches.splice(0, open < 0 ? this.#applyingBatches.length : open);
    if (done.length === 0) return;
    for (const batch of done) this.#applyingBytes -= batch.sizeBytes;
    this.#applyingPaused = this.#applyingBytes >= this.#maxApplyingBytes;
  }

  #maxAppliable(): number {
    return this.#appliesUnstable
      ? this.#committed
      : Math.min(this.#committed, this.#unstable.offset - 1);
  }
}
