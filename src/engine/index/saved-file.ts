/** What the files of all kinds of index share: how they are held against what was saved. */
import { InvariantError } from '../../shared/assert.js';
import { MalformedBytesError } from '../../shared/bytes.js';
import { crc32c } from '../../shared/crc32c.js';
import type { Disk, DiskFile } from '../../shared/environment.js';
import { FlotillaError, messageOf } from '../../shared/errors.js';
import type { SavedIndex, VectorIndexOptions } from './vector-index.js';

/** Read and checked in one turn of the thread: well below a millisecond. */
const BLOCK_BYTES = 256 * 1024;

/** See `SavedIndex`. */
export type IndexContents = Pick<SavedIndex, 'points' | 'removedPoints' | 'lastLabel'>;

/**
 * A file read once from front to back, a block at a time, with the checksum of what was read.
 * Holds a block and what one `require` asks for.
 */
export class SavedFileReader {
  readonly #file: DiskFile;
  /** The bytes read and not taken, from `#at` on. */
  #view = new DataView(new ArrayBuffer(0));
  #at = 0;
  /** Bytes read from the file. */
  #readBytes = 0;
  /** Of all that was read. */
  crc32c = 0;

  constructor(file: DiskFile) {
    this.#file = file;
  }

  get sizeBytes(): number {
    return this.#file.sizeBytes;
  }

  /** Bytes of the file that were not taken yet. */
  get remainingBytes(): number {
    return this.availableBytes + this.#file.sizeBytes - this.#readBytes;
  }

  /** Bytes that can be taken without waiting. */
  get availableBytes(): number {
    return this.#view.byteLength - this.#at;
  }

  /** What `take` gives offsets into; another one after each `require`. */
  get view(): DataView {
    return this.#view;
  }

  /** Waits until this many bytes are available. `MalformedBytesError` where the file has fewer. */
  async require(sizeBytes: number): Promise<void> {
    if (sizeBytes <= this.availableBytes) return;
    if (sizeBytes > this.remainingBytes) throw new MalformedBytesError('the file ends too early');
    const missing = sizeBytes - this.availableBytes;
    const block = await this.#file.read(this.#readBytes, Math.max(BLOCK_BYTES, missing));
    if (block.length < missing) throw new MalformedBytesError('the file became shorter');
    this.#readBytes += block.length;
    this.crc32c = crc32c(block, this.crc32c);
    const joined = new Uint8Array(this.availableBytes + block.length);
    joined.set(new Uint8Array(this.#view.buffer, this.#view.byteOffset + this.#at));
    joined.set(block, this.availableBytes);
    this.#view = new DataView(joined.buffer);
    this.#at = 0;
  }

  /** Offset in `view` of the next bytes, which must be available and count as taken now. */
  take(sizeBytes: number): number {
    const at = this.#at;
    this.#at += sizeBytes;
    return at;
  }
}

/** Makes a file durable that was written with that many bytes. */
export async function syncFile(disk: Disk, path: string, sizeBytes: number): Promise<void> {
  const file = await disk.openFile(path, 'write');
  try {
    if (file.sizeBytes !== sizeBytes) {
      const message = `${path} has ${file.sizeBytes} bytes, written were ${sizeBytes}`;
      throw new FlotillaError('STORE_POISONED', message);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Opens the file, gives it to `read` and closes it. Damage of any kind is LOG_DAMAGED. */
export async function readSavedFile<T>(
  disk: Disk,
  path: string,
  read: (reader: SavedFileReader) => Promise<T>,
): Promise<T> {
  let file: DiskFile | undefined;
  try {
    file = await disk.openFile(path, 'read');
    return await read(new SavedFileReader(file));
  } catch (error) {
    if (error instanceof InvariantError) throw error;
    const what = error instanceof MalformedBytesError ? 'is damaged' : 'cannot be read';
    const message = `the index file ${path} ${what}: ${messageOf(error)}`;
    throw new FlotillaError('LOG_DAMAGED', message, { cause: error });
  } finally {
    await file?.close();
  }
}

/** Throws SETTINGS_MISMATCH unless an index of this kind and these options can hold the file. */
export function assertSameIndex(
  saved: SavedIndex,
  kind: string,
  options: VectorIndexOptions,
): void {
  const own = descriptionOf(kind, options);
  const other = descriptionOf(saved.kind, saved.options);
  if (own === other) return;
  throw new FlotillaError('SETTINGS_MISMATCH', `the saved index is ${other}, wanted is ${own}`);
}

/** `MalformedBytesError` unless all of the file was read and it is what was saved. */
export function assertWhole(
  reader: SavedFileReader,
  found: IndexContents,
  saved: SavedIndex,
): void {
  if (reader.remainingBytes > 0) throw new MalformedBytesError('the file goes on after its end');
  if (reader.crc32c !== saved.crc32c) {
    throw new MalformedBytesError(`checksum ${reader.crc32c}, saved was ${saved.crc32c}`);
  }
  assertSameContents(found, saved);
}

/** `MalformedBytesError` unless the file holds as much as it should. */
export function assertSameContents(found: IndexContents, wanted: IndexContents): void {
  for (const count of ['points', 'removedPoints', 'lastLabel'] as const) {
    if (found[count] === wanted[count]) continue;
    throw new MalformedBytesError(`${count} is ${found[count]}, not ${wanted[count]}`);
  }
}

/** `MalformedBytesError` unless the file has the size that was saved: before it is read. */
export function assertSize(reader: SavedFileReader, saved: SavedIndex): void {
  if (reader.sizeBytes === saved.sizeBytes) return;
  throw new MalformedBytesError(`${reader.sizeBytes} bytes, saved were ${saved.sizeBytes}`);
}

function descriptionOf(kind: string, options: VectorIndexOptions): string {
  const { dimension, metric, m, efConstruction } = options;
  return `${kind}, ${dimension} floats, ${metric}, m ${m}, efConstruction ${efConstruction}`;
}
