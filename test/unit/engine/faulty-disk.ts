/**
 * Goal: stop a program between any two of its disk operations. Method: a disk that counts what
 * changes something, and from one operation on refuses everything, as a dead machine does.
 */
import type { Disk, DiskFile } from '../../../src/shared/environment.js';
import type { Kv } from '../../../src/shared/kv.js';

export class FaultyDisk implements Disk {
  readonly #disk: Disk;
  readonly #onDeath: () => void;
  /** Operations that changed something, so far. */
  steps = 0;
  /** The operation that the machine dies before. */
  #deathAt = Number.POSITIVE_INFINITY;
  readonly #open = new Set<Kv>();

  /** `onDeath` loses what a dying machine loses. */
  constructor(disk: Disk, onDeath: () => void = () => undefined) {
    this.#disk = disk;
    this.#onDeath = onDeath;
  }

  /** The machine dies before the operation that comes after `steps` more. */
  dieAfter(steps: number): void {
    this.#deathAt = this.steps + steps;
  }

  get isDead(): boolean {
    return this.steps >= this.#deathAt;
  }

  /** Frees the locks of the databases that a dead process had open. */
  async release(): Promise<void> {
    for (const kv of this.#open) await kv.close();
  }

  async openKv(path: string): Promise<Kv> {
    this.#step();
    const kv = await this.#disk.openKv(path);
    this.#open.add(kv);
    return {
      get: (key) => this.#alive(() => kv.get(key)),
      getSync: (key) => this.#alive(() => kv.getSync(key)),
      getMany: (keys) => this.#alive(() => kv.getMany(keys)),
      batch: async (operations, options) => {
        this.#step();
        await kv.batch(operations, options);
      },
      scan: (range, options) => this.#alive(() => kv.scan(range, options)),
      snapshot: () => this.#alive(() => kv.snapshot()),
      close: async () => {
        if (this.isDead) return;
        this.#open.delete(kv);
        await kv.close();
      },
    };
  }

  async openFile(path: string, mode: 'read' | 'write'): Promise<DiskFile> {
    if (mode === 'write') this.#step();
    const file = await this.#disk.openFile(path, mode);
    return {
      get sizeBytes(): number {
        return file.sizeBytes;
      },
      read: (offset, lengthBytes) => this.#alive(() => file.read(offset, lengthBytes)),
      readInto: (offset, target) => this.#alive(() => file.readInto(offset, target)),
      write: async (offset, bytes) => {
        this.#step();
        await file.write(offset, bytes);
      },
      sync: async () => {
        this.#step();
        await file.sync();
      },
      close: () => file.close(),
    };
  }

  async readFile(path: string): Promise<Uint8Array | undefined> {
    return this.#alive(() => this.#disk.readFile(path));
  }

  async list(path: string): Promise<string[]> {
    return this.#alive(() => this.#disk.list(path));
  }

  async space(path: string): Promise<{ freeBytes: number; totalBytes: number }> {
    return this.#alive(() => this.#disk.space(path));
  }

  async writeFile(path: string, bytes: Uint8Array): Promise<void> {
    this.#step();
    await this.#disk.writeFile(path, bytes);
  }

  async allocateFile(path: string, sizeBytes: number): Promise<void> {
    this.#step();
    await this.#disk.allocateFile(path, sizeBytes);
  }

  async rename(from: string, to: string): Promise<void> {
    this.#step();
    await this.#disk.rename(from, to);
  }

  async makeDirectory(path: string): Promise<void> {
    this.#step();
    await this.#disk.makeDirectory(path);
  }

  async remove(path: string): Promise<void> {
    this.#step();
    await this.#disk.remove(path);
  }

  #step(): void {
    this.#alive(() => undefined);
    this.steps += 1;
    if (this.isDead) {
      this.#onDeath();
      throw new Error('the machine died');
    }
  }

  #alive<T>(work: () => T): T {
    if (this.isDead) throw new Error('the machine is dead');
    return work();
  }
}
