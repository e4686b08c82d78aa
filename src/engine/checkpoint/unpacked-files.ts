/** The checkpoints that come with a snapshot, on their way into a new generation. */
import type { Disk, DiskFile } from '../../shared/environment.js';
import { placeOfAttached } from './checkpoint-files.js';

/**
 * Takes files one after another, each in blocks. What it does not know by name it leaves out, and
 * what cannot be written whole it gives up: it is not worth the snapshot. That the files are right
 * is found out by who loads them.
 */
export class UnpackedFiles {
  readonly #disk: Disk;
  readonly #directory: string;
  #file: DiskFile | undefined;

  /** The directory is made when there is something to be put into it. */
  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#directory = directory;
  }

  /** Ends the file before, and begins another. */
  async begin(name: string): Promise<void> {
    await this.finish();
    const path = placeOfAttached(this.#directory, name);
    if (path === undefined) return;
    await this.#unlessItFails(async () => {
      await this.#disk.makeDirectory(this.#directory);
      this.#file = await this.#disk.openFile(path, 'write');
    });
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#unlessItFails(async () => this.#file?.write(this.#file.sizeBytes, bytes));
  }

  /** All files that could be written are durable when it resolves. */
  async finish(): Promise<void> {
    await this.#unlessItFails(async () => this.#file?.sync());
    await this.close();
  }

  /** Lets go of the file that was begun, whole or not. */
  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close().catch(() => undefined);
  }

  /** What there is of the file stays: it is not what was saved, and whoever loads it finds out. */
  async #unlessItFails(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch {
      await this.close();
    }
  }
}
