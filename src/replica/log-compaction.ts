/** How far a group's log is cut off at its beginning, and when. */
import type { Logger } from '../shared/logger.js';
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
  /**
   * The log is kept behind a snapshot that is being sent as long as it has fewer bytes than this. A
   * receiver that is slower than that gets the rest of its snapshot, and then a newer one.
   * @default 512 MiB
   */
  readonly transferBytesMax: number;
}

export const COMPACTION_DEFAULTS: CompactionPolicy = {
  thresholdEntries: 10_000,
  thresholdBytes: 64 * 1024 * 1024,
  trailingEntries: 5_000,
  transferBytesMax: 512 * 1024 * 1024,
};

export interface LogExtent {
  readonly firstIndex: number;
  /** Up to here the state machine's own store holds everything durably. */
  readonly durableIndex: number;
  readonly sizeBytes: number;
  /** Entries after the lowest of these are wanted for a snapshot that is in use (S9, S-39). */
  readonly neededAfter: readonly number[];
}

/** The last index to cut off, or undefined where the log stays as it is. */
export function compactionPoint(policy: CompactionPolicy, extent: LogExtent): number | undefined {
  const { firstIndex, durableIndex, sizeBytes } = extent;
  const entries = durableIndex - firstIndex + 1;
  if (entries < policy.thresholdEntries && sizeBytes < policy.thresholdBytes) return undefined;
  const trailing = Math.min(policy.trailingEntries, Math.floor(entries / 2));
  const point = Math.min(durableIndex - trailing, ...keptFor(policy, extent));
  return point >= firstIndex ? point : undefined;
}

/**
 * The snapshots that the log is kept for: those that it still goes on from. Beyond the bound the
 * oldest is given up, so that one slow receiver costs the others nothing.
 */
function keptFor(
  { transferBytesMax }: CompactionPolicy,
  { firstIndex, sizeBytes, neededAfter }: LogExtent,
): readonly number[] {
  const continued = neededAfter.filter((index) => index >= firstIndex - 1);
  if (sizeBytes < transferBytesMax) return continued;
  const oldest = Math.min(...continued);
  return continued.filter((index) => index > oldest);
}

export interface LogCompactorOptions {
  readonly policy: CompactionPolicy;
  readonly driver: Pick<ReadyDriver, 'compact' | 'compactedIndex'>;
  readonly snapshots: GroupSnapshots;
  /** Whether the state machine keeps what it applied over a restart. */
  readonly isDurable: boolean;
  readonly firstIndex: () => number;
  readonly sizeBytes: () => number;
  readonly logger: Logger;
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
    const { policy, driver, snapshots, isDurable, firstIndex, sizeBytes, logger } = this.#options;
    // How big the log is without what is about to go is not known before that is gone.
    if (driver.compactedIndex > 0) return;
    const extent: LogExtent = {
      firstIndex: firstIndex(),
      durableIndex,
      sizeBytes: sizeBytes(),
      neededAfter: snapshots.neededAfter,
    };
    const point = compactionPoint(policy, extent);
    if (point === undefined) return;
    const oldest = Math.min(...extent.neededAfter);
    if (oldest >= extent.firstIndex - 1 && oldest < point) {
      const { sizeBytes: logSizeBytes } = extent;
      logger.warn({ index: oldest, logSizeBytes }, 'a snapshot is sent too slowly to keep the log');
    }
    if (isDurable || point <= snapshots.newestIndex) {
      driver.compact(point);
      snapshots.discardOld().catch(() => undefined);
    } else {
      // The state would be lost in a restart: the log is cut once a snapshot stands for it.
      snapshots.make();
    }
  }
}
