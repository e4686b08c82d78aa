/** How far a group's log is cut off at its beginning, and when. */
import type { GroupSnapshots } from './group-snapshots.js';
import type { ReadyDriver } from './ready-driver.js';

export interface CompactionPolicy {
  /** The log is cut when it has this many applied entries ... @default 10,000 */
  readonly thresholdEntries: number;
  /** ... or this many bytes. @default 64 MiB */
  readonly thresholdBytes: number;
  /**
   * Entries that stay behind the applied index, so that a replica that is a little behind needs no
   * snapshot (S9). Never more than half of the log: big entries must not fill the disk.
   * @default 5,000
   */
  readonly trailingEntries: number;
}

export const COMPACTION_DEFAULTS: CompactionPolicy = {
  thresholdEntries: 10_000,
  thresholdBytes: 64 * 1024 * 1024,
  trailingEntries: 5_000,
};

export interface LogExtent {
  readonly firstIndex: number;
  /** Up to here the state machine's own store holds everything durably. */
  readonly durableIndex: number;
  readonly sizeBytes: number;
  /** Entries after the lowest of these are needed by a snapshot that is in use (S9, S-39). */
  readonly neededAfter: readonly number[];
}

/** The last index to cut off, or undefined where the log stays as it is. */
export function compactionPoint(policy: CompactionPolicy, extent: LogExtent): number | undefined {
  const { firstIndex, durableIndex, sizeBytes, neededAfter } = extent;
  const entries = durableIndex - firstIndex + 1;
  if (entries < policy.thresholdEntries && sizeBytes < policy.thresholdBytes) return undefined;
  const trailing = Math.min(policy.trailingEntries, Math.floor(entries / 2));
  const point = Math.min(durableIndex - trailing, ...neededAfter);
  return point >= firstIndex ? point : undefined;
}

export interface LogCompactorOptions {
  readonly policy: CompactionPolicy;
  readonly driver: Pick<ReadyDriver, 'compact' | 'compactedIndex'>;
  readonly snapshots: GroupSnapshots;
  /** Whether the state machine keeps what it applied over a restart. */
  readonly isDurable: boolean;
  readonly firstIndex: () => number;
  readonly sizeBytes: () => number;
}

/** Cuts a group's log as it grows. */
export class LogCompactor {
  readonly #options: LogCompactorOptions;

  constructor(options: LogCompactorOptions) {
    this.#options = options;
  }

  /**
   * To be called as the state machine goes on; `durableIndex` is up to where it has synced what it
   * applied. Costs a few comparisons while nothing is due.
   */
  consider(durableIndex: number): void {
    const { policy, driver, snapshots, isDurable, sizeBytes } = this.#options;
    const extent: LogExtent = {
      firstIndex: Math.max(this.#options.firstIndex(), driver.compactedIndex + 1),
      durableIndex,
      sizeBytes: sizeBytes(),
      neededAfter: snapshots.neededAfter,
    };
    const point = compactionPoint(policy, extent);
    if (point === undefined) return;
    if (isDurable || point <= snapshots.newestIndex) {
      driver.compact(point);
      snapshots.discardOld().catch(() => undefined);
    } else {
      // The state would be lost in a restart: the log is cut once a snapshot stands for it.
      snapshots.make();
    }
  }
}
