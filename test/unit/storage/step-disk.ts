// Goal: crash the machine at one chosen operation of the disk, of any kind.
// Method: a memory disk behind a counter of everything that changes it.
import type { Disk, DiskFile } from '../../../src/shared/environment.js';
import type { Kv, KvOptions } from '../../../src/shared/kv.js';
import type { MemoryDisk } from '../../../src/shared/memory-disk.js';

export interface CrashPoint {
  /** The operation to crash at, from 1; a number beyond the last one crashes never. */
  readonly step: number;
  /** Whether the operation has begun: it may then be lost, or have come through unsynced. */
  readonly isUnderWay: boolean;
  /** Unsynced writes of each file and database that survive. */
  readonly keepWrites: number;
}

export const NEVER: CrashPoint = { step: 0, isUnderWay: false, keepWrites: 0 };

/** After its crash every operation fails, as for a process whose machine has stopped. */
export class StepDisk implements Disk {
  readonly #disk: MemoryDisk;
  readonly #point: CrashPoint;
  #hasCrashed = false;
  steps = 0;

  constructor(disk: MemoryDisk, point: CrashPoint = NEVER) {
    this.#disk = disk;
    this.#point = point;
  }

  get hasCrashed(): boolean {
    return this.#hasCrashed;
  }

  async openKv(path: string, options?: KvOptions): Promise<Kv> {
    this.#assertAlive();
    void options;
    const kv = await this.#disk.openKv(path);
    return {
      get: (key) => kv.get(key),
      getSync: (key) => kv.getSync(key),
      getMany: (keys) => kv.getMany(keys),
      batch: (operations, how) => this.#step(() => kv.batch(operations, how)),
      scan: (range, how) => kv.scan(range, how),
      snapshot: () => kv.snapshot(),
      close: () => kv.close(),
    };
  }

  async readFile(path: string): Promise<Uint8Array | undefined> {
    this.#assertAlive();
    return this.#disk.readFile(path);
  }

  writeFile(path: string, bytes: Uint8Array): Promise<void> {
    return this.#step(() => this.#disk.writeFile(path, bytes));
  }

  async openFile(path: string, mode: 'read' | 'write'): Promise<DiskFile> {
    const file = await this.#step(() => this.#disk.openFile(path, mode));
    return {
      get sizeBytes(): number {
        return file.sizeBytes;
      },
      read: (offset, lengthBytes) => file.read(offset, lengthBytes),
      readInto: (offset, target) => file.readInto(offset, target),
      write: (offset, bytes) => this.#step(() => file.write(offset, bytes)),
      sync: () => this.#step(() => file.sync()),
      close: () => file.close(),
    };
  }

  allocateFile(path: string, sizeBytes: number): Promise<void> {
    return this.#step(() => this.#disk.allocateFile(path, sizeBytes));
  }

  rename(from: string, to: string): Promise<void> {
    return this.#step(() => this.#disk.rename(from, to));
  }

  async list(path: string): Promise<string[]> {
    this.#assertAlive();
    return this.#disk.list(path);
  }

  makeDirectory(path: string): Promise<void> {
    return this.#step(() => this.#disk.makeDirectory(path));
  }

  remove(path: string): Promise<void> {
    return this.#step(() => this.#disk.remove(path));
  }

  async space(): Promise<{ freeBytes: number; totalBytes: number }> {
    this.#assertAlive();
    return this.#disk.space();
  }

  async #step<T>(operation: () => Promise<T>): Promise<T> {
    this.#assertAlive();
    this.steps += 1;
    if (this.steps !== this.#point.step) return operation();
    const begun = this.#point.isUnderWay ? operation() : undefined;
    this.#hasCrashed = true;
    this.#disk.crash(this.#point.keepWrites);
    await begun;
    this.#assertAlive();
    throw new Error('not reached');
  }

  #assertAlive(): void {
    if (this.#hasCrashed) throw new Error('the machine has crashed');
  }
}
