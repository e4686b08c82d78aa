/** How much of a disk is kept free for what must be written. */
import { LIMITS } from './limits.js';

/** Where it differs from the limits. */
export interface LowWaterThresholds {
  /** Of the disk, 0 to 1. @default 0.1 */
  readonly lowWaterShare?: number | undefined;
  /** ... or this, where it is less. @default 1 GiB */
  readonly lowWaterBytes?: number | undefined;
}

/** Free space below which proposals are refused, on a disk of this size. */
export function lowWaterBytesOf(totalBytes: number, thresholds: LowWaterThresholds = {}): number {
  const {
    lowWaterShare = LIMITS.diskLowWaterPercent.value / 100,
    lowWaterBytes = LIMITS.diskLowWaterBytes.value,
  } = thresholds;
  return Math.min(lowWaterShare * totalBytes, lowWaterBytes);
}
