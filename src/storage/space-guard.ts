/**
 * Watches how much room the store's file system has, and keeps a reserve of it: a file that is
 * given up when the disk is full, because opening a database after that needs room of its own.
 *
 * Space is low below the low-water mark, and is so until there is a quarter more than that. What
 * the reserve still lacks counts as used: a store is not well before it has its reserve again.
 */
import type { Disk } from '../shared/environment.js';
import { LIMITS } from '../shared/limits.js';
import type { Logger } from '../shared/logger.js';
import { type LowWaterThresholds, lowWaterBytesOf } from '../shared/low-water.js';
import type { LogStore } from './log-store.js';

/** How often the file system is asked. */
export const SPACE_PERIOD_MS = 1_000;

/** Enough again, as a multiple of the low-water mark: else each sample could change the state. */
const ENOUGH = 1.25;
/** The reserve takes at most this part of a small file system. */
const RESERVE_SHARE_MAX = 0.25;
/** The reserve grows by this a period: its own syncs must not hold the log's up. */
const RESERVE_STEP_BYTES = 4 * 1024 * 1024;

export interface SpaceThresholds extends LowWaterThresholds {
  /** Space that is kept for a reopen; at most a quarter of the disk. @default 64 MiB */
  readonly reserveSizeBytes?: number;
}

export interface SpaceGuardOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly logger: Logger;
  readonly thresholds: SpaceThresholds;
}

export class SpaceGuard {
  readonly #options: SpaceGuardOptions;
  readonly #reservePath: string;
  #state: LogStore['space'] = 'ok';
  #reserveSizeBytes = 0;
  #sampling: Promise<void> | undefined;

  private constructor(options: SpaceGuardOptions) {
    this.#options = options;
    this.#reservePath = reservePath(options.directory);
  }

  /** Looks for the reserve of an earlier run and takes the first sample. */
  static async open(options: SpaceGuardOptions): Promise<SpaceGuard> {
    const guard = new SpaceGuard(options);
    guard.#reserveSizeBytes = await sizeOf(options.disk, guard.#reservePath);
    await guard.#measure();
    return guard;
  }

  get state(): LogStore['space'] {
    return this.#state;
  }

  /** Asks the file system, and makes some of the reserve where there is room. Never rejects. */
  sample(): Promise<void> {
    this.#sampling ??= this.#sample().finally(() => {
      this.#sampling = undefined;
    });
    return this.#sampling;
  }

  /** Waits for a sample under way. */
  async close(): Promise<void> {
    await this.#sampling;
  }

  async #sample(): Promise<void> {
    try {
      const missingBytes = await this.#measure();
      if (missingBytes > 0 && this.#state === 'ok') await this.#growReserve(missingBytes);
    } catch (error) {
      this.#options.logger.warn({ error }, 'the space of the log store is not known');
    }
  }

  /** Brings the state up to date; returns what the reserve lacks. */
  async #measure(): Promise<number> {
    const { disk, directory, logger, thresholds } = this.#options;
    const { freeBytes, totalBytes } = await disk.space(directory);
    const lowWaterBytes = lowWaterBytesOf(totalBytes, thresholds);
    const wantedBytes = reserveSizeBytes(totalBytes, thresholds);
    const missingBytes = Math.max(0, wantedBytes - this.#reserveSizeBytes);
    const before = this.#state;
    const roomBytes = freeBytes - missingBytes;
    if (roomBytes < lowWaterBytes) this.#state = 'low';
    else if (roomBytes >= lowWaterBytes * ENOUGH) this.#state = 'ok';
    if (this.#state !== before) {
      const numbers = { freeBytes, totalBytes, lowWaterBytes, missingBytes };
      logger.warn(numbers, `the space of the log store is ${this.#state}`);
    }
    return missingBytes;
  }

  async #growReserve(missingBytes: number): Promise<void> {
    const sizeBytes = this.#reserveSizeBytes + Math.min(missingBytes, RESERVE_STEP_BYTES);
    await this.#options.disk.allocateFile(this.#reservePath, sizeBytes);
    this.#reserveSizeBytes = sizeBytes;
  }
}

/** How large the reserve is on a file system of `totalBytes`. */
export function reserveSizeBytes(totalBytes: number, thresholds: SpaceThresholds): number {
  const wantedBytes = thresholds.reserveSizeBytes ?? LIMITS.diskReserveBytes.value;
  return Math.min(wantedBytes, Math.floor(totalBytes * RESERVE_SHARE_MAX));
}

/** Gives the reserve up. Returns whether there was one. */
export async function releaseReserve(disk: Disk, directory: string): Promise<boolean> {
  const path = reservePath(directory);
  const hadOne = (await sizeOf(disk, path)) > 0;
  await disk.remove(path);
  return hadOne;
}

function reservePath(directory: string): string {
  return `${directory}/RESERVE`;
}

async function sizeOf(disk: Disk, path: string): Promise<number> {
  const [directory, name] = [path.slice(0, path.lastIndexOf('/')), path.split('/').at(-1)];
  const names = await disk.list(directory);
  if (name === undefined || !names.includes(name)) return 0;
  const file = await disk.openFile(path, 'read');
  try {
    return file.sizeBytes;
  } finally {
    await file.close();
  }
}
