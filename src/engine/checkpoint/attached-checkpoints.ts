/** The checkpoints that a snapshot takes along: their files, held and open while it is written. */
import type { Disk, DiskFile } from '../../shared/environment.js';
import type { AttachedFile } from '../../shared/snapshot-file.js';
import type { Slices } from '../slices.js';
import { attachedName, type Checkpoint, type CheckpointFiles } from './checkpoint-files.js';

/** Read and passed on in one turn: well below a millisecond. */
const BLOCK_BYTES = 256 * 1024;

export class AttachedCheckpoints {
  readonly #disk: Disk;
  readonly #files: CheckpointFiles;
  readonly #slices: Slices;
  readonly #releases: (() => Promise<void>)[];
  readonly #open: DiskFile[] = [];
  readonly #unreadable = new Set<Checkpoint>();

  /** Holds the files from here on. */
  constructor(
    disk: Disk,
    files: CheckpointFiles,
    slices: Slices,
    checkpoints: readonly Checkpoint[],
  ) {
    this.#disk = disk;
    this.#files = files;
    this.#slices = slices;
    this.#releases = checkpoints.map((checkpoint) => files.hold(checkpoint));
  }

  /** Those of which a file could not be opened or read. */
  get unreadable(): readonly Checkpoint[] {
    return [...this.#unreadable];
  }

  /** The two files of a checkpoint; none where they cannot be opened. */
  async open(checkpoint: Checkpoint): Promise<AttachedFile[]> {
    const attached: AttachedFile[] = [];
    for (const kind of ['graph', 'labels'] as const) {
      try {
        const file = await this.#disk.openFile(this.#files.pathOf(checkpoint, kind), 'read');
        this.#open.push(file);
        attached.push({
          name: attachedName(checkpoint, kind),
          sizeBytes: file.sizeBytes,
          blocks: this.#slices.between(this.#blocks(checkpoint, file)),
        });
      } catch {
        this.#unreadable.add(checkpoint);
        return [];
      }
    }
    return attached;
  }

  /** Closes the files and lets go of them. */
  async close(): Promise<void> {
    for (const file of this.#open) await file.close();
    for (const release of this.#releases) await release();
  }

  async *#blocks(checkpoint: Checkpoint, file: DiskFile): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < file.sizeBytes; at += BLOCK_BYTES) {
      yield await this.#read(checkpoint, file, at);
    }
  }

  async #read(checkpoint: Checkpoint, file: DiskFile, at: number): Promise<Uint8Array> {
    try {
      const wanted = Math.min(BLOCK_BYTES, file.sizeBytes - at);
      const block = await file.read(at, wanted);
      if (block.length === wanted) return block;
      throw new Error(`the file ends at ${at + block.length}`);
    } catch (error) {
      this.#unreadable.add(checkpoint);
      throw error;
    }
  }
}
