/** What a Raft group replicates. A shard's engine and the topology document implement it. */

export interface CommittedEntry {
  readonly index: number;
  readonly term: number;
  /** Never empty: entries without data are left out, and covered by `lastIndex`. */
  readonly data: Uint8Array;
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
   * Called again only when the promise before has settled.
   */
  apply(entries: readonly CommittedEntry[], lastIndex: number): Promise<Result[]>;
  close(): Promise<void>;
}
