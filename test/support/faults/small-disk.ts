/** A small file system for the data of one node, filled and emptied at will: tmpfs, needs root. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const BALLAST = 'BALLAST';
const PIECE_BYTES = 8 * 1024 * 1024;
const BLOCK_BYTES = 4_096;

export interface SmallDiskOptions {
  /** Whose data it holds. */
  readonly nodeId: number;
  readonly sizeMebibytes: number;
  /** Where it is mounted; the directory is made. */
  readonly path: string;
}

export class SmallDisk {
  readonly nodeId: number;
  readonly #path: string;

  /** Whether one can be mounted here; tried out, since rights differ. */
  static isAvailable(): boolean {
    const path = mkdtempSync(join(tmpdir(), 'flotilla-mount-'));
    try {
      SmallDisk.mount({ nodeId: 0, sizeMebibytes: 1, path }).unmount();
      return true;
    } catch {
      return false;
    } finally {
      rmSync(path, { recursive: true, force: true });
    }
  }

  /** Throws where it cannot be mounted. */
  static mount({ nodeId, sizeMebibytes, path }: SmallDiskOptions): SmallDisk {
    mkdirSync(path, { recursive: true });
    const words = ['-t', 'tmpfs', '-o', `size=${sizeMebibytes}m`, 'none', path];
    execFileSync('mount', words, { stdio: 'pipe' });
    return new SmallDisk(nodeId, path);
  }

  private constructor(nodeId: number, path: string) {
    this.nodeId = nodeId;
    this.#path = path;
  }

  /** Leaves as many bytes free, or fewer; 0 for none at all. */
  fill(leftBytes: number): void {
    for (let sizeBytes = PIECE_BYTES; sizeBytes >= BLOCK_BYTES; ) {
      const isTooMuch = leftBytes > 0 && this.#freeBytes < leftBytes + sizeBytes;
      if (isTooMuch || !this.#hasAdded(sizeBytes)) sizeBytes /= 2;
    }
  }

  /** The share of it, 0 to 1, in bytes. */
  shareBytes(share: number): number {
    const { blocks, bsize } = statfsSync(this.#path);
    return Math.floor(blocks * bsize * share);
  }

  /** Takes away what `fill` has put there. */
  free(): void {
    rmSync(this.#ballastPath, { force: true });
  }

  /** To be called when no process uses it. What it holds is lost. */
  unmount(): void {
    execFileSync('umount', [this.#path], { stdio: 'pipe' });
  }

  get #ballastPath(): string {
    return join(this.#path, BALLAST);
  }

  get #freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.#path);
    return bavail * bsize;
  }

  #hasAdded(sizeBytes: number): boolean {
    try {
      writeFileSync(this.#ballastPath, Buffer.alloc(sizeBytes, 1), { flag: 'a' });
      return true;
    } catch {
      return false;
    }
  }
}
