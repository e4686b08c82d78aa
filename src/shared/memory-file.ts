/**
 * A file of the memory disk: its bytes, and what a crash takes back.
 *
 * Space that was only allocated, or skipped by a write, reads as zeros and takes no memory.
 */

/** What a write replaced. */
interface UndoRecord {
  readonly offset: number;
  readonly previous: Uint8Array;
  readonly previousSizeBytes: number;
}

const CAPACITY_MIN_BYTES = 64;

export class MemoryFile {
  #bytes: Uint8Array;
  #sizeBytes: number;
  /** Oldest first; emptied up to a write when that write is synced. */
  #unsynced: UndoRecord[] = [];

  /** `bytes` are durable. */
  constructor(bytes: Uint8Array = new Uint8Array()) {
    this.#bytes = new Uint8Array(bytes);
    this.#sizeBytes = bytes.length;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  read(offset: number, lengthBytes: number): Uint8Array {
    const found = new Uint8Array(Math.max(0, Math.min(lengthBytes, this.#sizeBytes - offset)));
    this.readInto(offset, found);
    return found;
  }

  /** The number of bytes that there were. */
  readInto(offset: number, target: Uint8Array): number {
    const length = Math.max(0, Math.min(target.length, this.#sizeBytes - offset));
    const written = this.#bytes.subarray(offset, offset + length);
    target.set(written);
    target.fill(0, written.length, length);
    return length;
  }

  write(offset: number, bytes: Uint8Array): void {
    const end = offset + bytes.length;
    this.#unsynced.push({
      offset,
      previous: this.read(offset, bytes.length),
      previousSizeBytes: this.#sizeBytes,
    });
    this.#reserve(end);
    this.#bytes.set(bytes, offset);
    this.#sizeBytes = Math.max(this.#sizeBytes, end);
  }

  /** Grows the file durably, by zeros. */
  allocate(sizeBytes: number): void {
    this.#sizeBytes = Math.max(this.#sizeBytes, sizeBytes);
  }

  /** Names all writes so far to `markSynced`. */
  mark(): unknown {
    return this.#unsynced.at(-1);
  }

  /** The write of `mark` and all before it survive a crash from now on. */
  markSynced(mark: unknown): void {
    this.#unsynced = this.#unsynced.slice(this.#unsynced.indexOf(mark as UndoRecord) + 1);
  }

  /** Loses all unsynced writes but the first `keepWrites`. */
  crash(keepWrites: number): void {
    for (const { offset, previous, previousSizeBytes } of this.#unsynced
      .splice(keepWrites)
      .reverse()) {
      this.#bytes.fill(0, previousSizeBytes);
      this.#bytes.set(previous, offset);
      this.#sizeBytes = previousSizeBytes;
    }
    this.#unsynced = [];
  }

  #reserve(sizeBytes: number): void {
    if (sizeBytes <= this.#bytes.length) return;
    const capacity = Math.max(sizeBytes, this.#bytes.length * 2, CAPACITY_MIN_BYTES);
    const grown = new Uint8Array(capacity);
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
}
