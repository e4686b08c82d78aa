/**
 * The file that a state machine's snapshot is: key-value entries, and files that are worth taking
 * along, in frames, so that it is written, checked and read piece by piece, whatever its size.
 *
 *     header   magic, format u8, name of the machine, applied index
 *     page     entries: key and value, each with its length before it
 *     file     name and size of a file; its bytes come next                    (format 2)
 *     bytes    of the file before them                                         (format 2)
 *     footer   number of frames since the header, number of entries, crc32c u32 of the file before
 *              the footer
 *
 * A file without a footer is not whole. The same entries and files make the same file, byte for
 * byte, and a file of entries alone is one of format 1. See frame-file.ts for the frames.
 */
import { assert, unreachable } from './assert.js';
import { type ByteReader, MalformedBytesError } from './bytes.js';
import type { Disk, DiskFile } from './environment.js';
import { FlotillaError } from './errors.js';
import { bodyLength, FrameReader, FrameWriter, frameFailure, newFrame } from './frame-file.js';
import type { KvEntry } from './kv.js';
import { RecordError } from './sealed-record.js';
import type { WrittenSnapshot } from './state-machine.js';

const MAGIC = 'flotilla snapshot';
const FORMAT = { entries: 1, entriesAndFiles: 2 } as const;
const KIND = { header: 1, page: 2, footer: 3, file: 4, bytes: 5 } as const;
const CONTENT_KINDS = [KIND.page, KIND.footer, KIND.file, KIND.bytes] as const;

/** A page is closed when it has this much: little enough for one slice of work. */
const PAGE_TARGET_BYTES = 256 * 1024;
/** Room for a page and most entries that may close it, so that its buffer need not grow. */
const PAGE_ROOM_BYTES = PAGE_TARGET_BYTES + 16 * 1024;

/** Whose state the file holds, and up to where it was applied. */
export interface SnapshotHeader {
  /** The kind of state machine and what sets it apart, such as `shard 3`. */
  readonly machine: string;
  readonly appliedIndex: number;
}

/** A file that a snapshot takes along. */
export interface AttachedFile {
  readonly name: string;
  readonly sizeBytes: number;
  /** All of its bytes, in blocks of any size. Read once. */
  readonly blocks: AsyncIterable<Uint8Array>;
}

/** What a reader gives out: all pages, then each file with its bytes behind it. */
export type SnapshotPart =
  | { readonly kind: 'page'; readonly entries: KvEntry[] }
  | { readonly kind: 'file'; readonly name: string; readonly sizeBytes: number }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array };

/**
 * Writes a new file of all that `pages` gives, in that order, and of `files`, and syncs it. Holds
 * one page in memory. Whatever was at `path` is replaced; after a failure what is there is not
 * whole.
 */
export async function writeSnapshotFile(
  disk: Disk,
  path: string,
  header: SnapshotHeader,
  pages: AsyncIterable<readonly KvEntry[]> | Iterable<readonly KvEntry[]>,
  files: readonly AttachedFile[] = [],
): Promise<WrittenSnapshot> {
  await disk.remove(path);
  const file = await disk.openFile(path, 'write');
  try {
    const frames = new FrameWriter(file);
    const format = files.length === 0 ? FORMAT.entries : FORMAT.entriesAndFiles;
    const { machine, appliedIndex } = header;
    const head = newFrame().string(MAGIC).u8(format).string(machine).varint(appliedIndex);
    await frames.write(KIND.header, head);
    const entries = await writePages(frames, pages);
    for (const attached of files) await writeAttached(frames, attached);
    const footer = newFrame()
      .varint(frames.count - 1)
      .varint(entries)
      .u32(frames.crc32c);
    await frames.write(KIND.footer, footer);
    await file.sync();
    const { sizeBytes, crc32c } = frames;
    return { appliedIndex, sizeBytes, crc32c };
  } finally {
    await file.close();
  }
}

/** Returns the number of entries. */
async function writePages(
  frames: FrameWriter,
  pages: AsyncIterable<readonly KvEntry[]> | Iterable<readonly KvEntry[]>,
): Promise<number> {
  let entries = 0;
  let body = newFrame(PAGE_ROOM_BYTES);
  for await (const page of pages) {
    for (const { key, value } of page) {
      body.bytes(key).bytes(value);
      entries += 1;
      if (body.length < PAGE_TARGET_BYTES) continue;
      await frames.write(KIND.page, body);
      body = newFrame(PAGE_ROOM_BYTES);
    }
  }
  if (bodyLength(body) > 0) await frames.write(KIND.page, body);
  return entries;
}

async function writeAttached(frames: FrameWriter, attached: AttachedFile): Promise<void> {
  const { name, sizeBytes, blocks } = attached;
  await frames.write(KIND.file, newFrame().string(name).varint(sizeBytes));
  let written = 0;
  for await (const block of blocks) {
    await frames.write(KIND.bytes, newFrame(block.length).raw(block));
    written += block.length;
  }
  assert(written === sizeBytes, () => `${name} has ${sizeBytes} bytes, and ${written} came`);
}

/** An open snapshot file. What it gives out has passed its checksums. */
export class SnapshotFileReader {
  readonly header: SnapshotHeader;
  readonly #path: string;
  readonly #file: DiskFile;
  readonly #frames: FrameReader;

  private constructor(path: string, file: DiskFile, frames: FrameReader, header: SnapshotHeader) {
    this.#path = path;
    this.#file = file;
    this.#frames = frames;
    this.header = header;
  }

  /**
   * Opens the file and reads its header. Rejects with LOG_DAMAGED where there is no whole header,
   * UNSUPPORTED_VERSION for a newer format and SETTINGS_MISMATCH for another machine's state.
   */
  static async open(disk: Disk, path: string, machine: string): Promise<SnapshotFileReader> {
    const file = await disk.openFile(path, 'read');
    try {
      const frames = new FrameReader(file);
      const { body } = await frames.next([KIND.header]);
      const header = decodeHeader(body);
      if (header.machine !== machine) {
        const message = `${path} is the state of ${header.machine}, not of ${machine}`;
        throw new FlotillaError('SETTINGS_MISMATCH', message);
      }
      return new SnapshotFileReader(path, file, frames, header);
    } catch (error) {
      await file.close();
      throw frameFailure(nameOf(path), error);
    }
  }

  /**
   * All that the file holds, once, a frame at a time. Fails with LOG_DAMAGED as soon as it meets
   * damage: only who has come to the end knows that the file is whole. The arrays are the caller's.
   */
  async *parts(): AsyncGenerator<SnapshotPart> {
    const content = new ContentCheck();
    try {
      for (;;) {
        const { count, crc32c } = this.#frames;
        const { kind, body } = await this.#frames.next(CONTENT_KINDS);
        if (kind === KIND.footer) {
          content.finish();
          this.#checkFooter(body, { frames: count - 1, entries: content.entries, crc32c });
          return;
        }
        const part = readPart(kind, body);
        content.note(part);
        yield part;
      }
    } catch (error) {
      throw frameFailure(nameOf(this.#path), error);
    }
  }

  /** The entries alone, with the same promise: the files are read, and left out. */
  async *pages(): AsyncGenerator<KvEntry[]> {
    for await (const part of this.parts()) if (part.kind === 'page') yield part.entries;
  }

  /** Idempotent. */
  close(): Promise<void> {
    return this.#file.close();
  }

  #checkFooter(
    footer: ByteReader,
    seen: { readonly frames: number; readonly entries: number; readonly crc32c: number },
  ): void {
    const [frames, entries, checksum] = [footer.varint(), footer.varint(), footer.u32()];
    footer.end();
    const isWhole = frames === seen.frames && entries === seen.entries && checksum === seen.crc32c;
    if (!isWhole || !this.#frames.isAtEnd) {
      throw new MalformedBytesError('the footer tells of another file');
    }
  }
}

/** Holds that what is attached comes after the pages, and as much of it as it says. */
class ContentCheck {
  entries = 0;
  #hasFiles = false;
  /** Bytes of the file before that have not come yet. */
  #missingBytes = 0;

  note(part: SnapshotPart): void {
    switch (part.kind) {
      case 'page':
        if (this.#hasFiles) throw new MalformedBytesError('a page comes after a file');
        this.entries += part.entries.length;
        break;
      case 'file':
        this.finish();
        this.#hasFiles = true;
        this.#missingBytes = part.sizeBytes;
        break;
      case 'bytes':
        this.#missingBytes -= part.bytes.length;
        if (this.#missingBytes < 0) throw new MalformedBytesError('a file is longer than it says');
        break;
      default:
        unreachable(part);
    }
  }

  finish(): void {
    if (this.#missingBytes > 0) throw new MalformedBytesError('a file is shorter than it says');
  }
}

function readPart(
  kind: typeof KIND.page | typeof KIND.file | typeof KIND.bytes,
  body: ByteReader,
): SnapshotPart {
  switch (kind) {
    case KIND.page:
      return { kind: 'page', entries: readEntries(body) };
    case KIND.file: {
      const part = { kind: 'file', name: body.string(), sizeBytes: body.varint() } as const;
      body.end();
      return part;
    }
    case KIND.bytes:
      return { kind: 'bytes', bytes: body.raw(body.remaining) };
    default:
      return unreachable(kind);
  }
}

function decodeHeader(body: ByteReader): SnapshotHeader {
  if (body.string() !== MAGIC) throw new MalformedBytesError('this is no snapshot file');
  const format = body.u8();
  if (format !== FORMAT.entries && format !== FORMAT.entriesAndFiles) {
    throw new RecordError('unsupported-version', `format ${format}`);
  }
  const header = { machine: body.string(), appliedIndex: body.varint() };
  body.end();
  return header;
}

function readEntries(body: ByteReader): KvEntry[] {
  const entries: KvEntry[] = [];
  while (body.remaining > 0) entries.push({ key: body.bytes(), value: body.bytes() });
  return entries;
}

function nameOf(path: string): string {
  return `the snapshot file ${path}`;
}
