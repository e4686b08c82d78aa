/** What a Raft group replicates. A shard's engine and the topology document implement it. */

export interface CommittedEntry {
  readonly index: number;
  readonly term: number;
  /** Never empty: entries without data are left out, and covered by `lastIndex`. */
  readonly data: Uint8Array;
}

/** A snapshot file that a state machine has written. */
export interface WrittenSnapshot {
  /** What the file's state was applied up to. */
  readonly appliedIndex: number;
  readonly sizeBytes: number;
  /** Of the whole file. */
  readonly crc32c: number;
}

/**
 * A deterministic state machine. `Result` is what applying one entry answers to its proposer.
 *
 * Applying reads the entries and the machine's own state, never a clock or local settings, so that
 * all replicas get the same results. A local failure (disk, addon) rejects and stops the replica;
 * it is never turned into a result.
 */
export interface StateMachine<Result> {
  /** Loads what is stored and tells up to which index it was applied. */
  open(): Promise<{ readonly appliedIndex: number }>;
  /**
   * Applies entries in log order; the batch and `lastIndex` become visible and stored together
   * (A3). `lastIndex` may lie beyond the last entry where no-ops follow. One result per entry.
   *
   * Of a machine that keeps its state on disk, what the calls before have changed is there when the
   * promise resolves: the log behind that may go. What this call has changed may still be on its
   * way, and is lost in a crash together with its index, as a `lastIndex` without entries may be:
   * the log has it.
   * Called again only when the promise before has settled.
   */
  apply(entries: readonly CommittedEntry[], lastIndex: number): Promise<Result[]>;
  /**
   * Writes a view of exactly what was applied when it is called into a new file, which is durable
   * when the promise resolves. The view is pinned before an apply that is called later takes
   * effect; it must not be called while an apply is under way. Applying and reading go on
   * meanwhile. A failure leaves an unfinished file that no reader takes for whole; removing it is
   * the caller's.
   *
   * Replicas with the same applied index write the same entries, where they run the same version.
   * What else a file takes along, to spare its reader work, is each replica's own.
   */
  writeSnapshot(path: string): Promise<WrittenSnapshot>;
  /**
   * Replaces the whole state by the file's: whole or not at all, also when the machine crashes. Not
   * to be called while an apply is under way, nor the other way round; reads go on. Doing it again
   * comes to the same. Also allowed before `open`.
   *
   * Rejects with LOG_DAMAGED when the file is damaged or incomplete, UNSUPPORTED_VERSION when a
   * newer version wrote it, SETTINGS_MISMATCH when it is another machine's: the old state stays.
   */
  installSnapshot(path: string): Promise<{ readonly appliedIndex: number }>;
  close(): Promise<void>;
}
