/**
 * The file that a state machine's snapshot is: key-value entries in frames that have a checksum
 * each, so that it is written, checked and read page by page, whatever its size.
 *
 *     frame    kind u8 | size u32 LE | sealed record of `size` bytes
 *     header   magic, format u8, name of the machine, applied index
 *     page     entries: key and value, each with its length before it
 *     footer   number of pages, number of entries, crc32c u32 of the file before the footer
 *
 * A frame's kind and number are part of its checksum: no frame passes in another's place. A file
 * without a footer is not whole. The same entries make the same file, byte for byte.
 */
import { assert } from './assert.js';
import { ByteReader, ByteWriter, MalformedBytesError } from './bytes.js';
import { crc32c } from './crc32c.js';
import type { Disk, DiskFile } from './environment.js';
import { FlotillaError } from './errors.js';
import type { KvEntry } from './kv.js';
import {
  RecordError,
  recordFailure,
  SEAL_SIZE_BYTES,
  sealInPlace,
  unseal,
} from './sealed-record.js';
import type { WrittenSnapshot } from './state-machine.js';

const MAGIC = 'flotilla snapshot';
const FORMAT = 1;
const KIND = { header: 1, page: 2, footer: 3 } as const;
type Kind = (typeof KIND)[keyof typeof KIND];

const FRAME_HEAD_BYTES = 5;
const BODY_AT = FRAME_HEAD_BYTES + SEAL_SIZE_BYTES;
const NO_HEAD_YET = new Uint8Array(BODY_AT);
/** A page is closed when it has this much: little enough for one slice of work. */
const PAGE_TARGET_BYTES = 256 * 1024;
/** Bounds what a reader believes of a size that it cannot check yet. */
const FRAME_MAX_BYTES = 64 * 1024 * 1024;

/** Whose state the file holds, and up to where it was applied. */
export interface SnapshotHeader {
  /** The kind of state machine and what sets it apart, such as `shard 3`. */
  readonly machine: string;
  readonly appliedIndex: number;
}

/**
 * Writes a new file of all that `pages` gives, in that order, and syncs it. Holds one page in
 * memory. Whatever was at `path` is replaced; after a failure what is there is not whole.
 */
export async function writeSnapshotFile(
  disk: Disk,
  path: string,
  header: SnapshotHeader,
  pages: AsyncIterable<readonly KvEntry[]> | Iterable<readonly KvEntry[]>,
): Promise<WrittenSnapshot> {
  await disk.remove(path);
  const file = await disk.openFile(path, 'write');
  try {
    const frames = new FrameWriter(file);
    await frames.write(KIND.header, encodeHeader(header));
    let entries = 0;
    let body = newBody();
    for await (const page of pages) {
      for (const { key, value } of page) {
        body.bytes(key).bytes(value);
        entries += 1;
        if (body.length < PAGE_TARGET_BYTES) continue;
        await frames.write(KIND.page, body);
        body = newBody();
      }
    }
    if (body.length > BODY_AT) await frames.write(KIND.page, body);
    const footer = newBody()
      .varint(frames.count - 1)
      .varint(entries)
      .u32(frames.crc32c);
    await frames.write(KIND.footer, footer);
    await file.sync();
    const { sizeBytes, crc32c } = frames;
    return { appliedIndex: header.appliedIndex, sizeBytes, crc32c };
  } finally {
    await file.close();
  }
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
      const { body } = await frames.next(KIND.header);
      const header = decodeHeader(body);
      if (header.machine !== machine) {
        const message = `${path} is the state of ${header.machine}, not of ${machine}`;
        throw new FlotillaError('SETTINGS_MISMATCH', message);
      }
      return new SnapshotFileReader(path, file, frames, header);
    } catch (error) {
      await file.close();
      throw readFailure(path, error);
    }
  }

  /**
   * The entries, once, a page at a time. Fails with LOG_DAMAGED as soon as it meets damage: only
   * who has come to the end knows that the file is whole. The arrays are the caller's.
   */
  async *pages(): AsyncGenerator<KvEntry[]> {
    try {
      let entries = 0;
      for (;;) {
        const { count, crc32c } = this.#frames;
        const { kind, body } = await this.#frames.next();
        if (kind === KIND.footer) {
          this.#checkFooter(body, { pages: count - 1, entries, crc32c });
          return;
        }
        const page = readEntries(body);
        entries += page.length;
        yield page;
      }
    } catch (error) {
      throw readFailure(this.#path, error);
    }
  }

  /** Idempotent. */
  close(): Promise<void> {
    return this.#file.close();
  }

  #checkFooter(
    footer: ByteReader,
    seen: { readonly pages: number; readonly entries: number; readonly crc32c: number },
  ): void {
    const [pages, entries, checksum] = [footer.varint(), footer.varint(), footer.u32()];
    footer.end();
    const isWhole = pages === seen.pages && entries === seen.entries && checksum === seen.crc32c;
    if (!isWhole || !this.#frames.isAtEnd) {
      throw new MalformedBytesError('the footer tells of another file');
    }
  }
}

class FrameWriter {
  readonly #file: DiskFile;
  /** Frames written. */
  count = 0;
  sizeBytes = 0;
  /** Of all that was written. */
  crc32c = 0;

  constructor(file: DiskFile) {
    this.#file = file;
  }

  /** `writer` is a `newBody` with the frame's body after it. */
  async write(kind: Kind, writer: ByteWriter): Promise<void> {
    const frame = writer.finish();
    const record = frame.subarray(FRAME_HEAD_BYTES);
    assert(record.length <= FRAME_MAX_BYTES, `a snapshot frame of ${record.length} bytes`);
    const head = new DataView(frame.buffer, frame.byteOffset);
    head.setUint8(0, kind);
    head.setUint32(1, record.length, true);
    sealInPlace(record, contextOf(kind, this.count));
    await this.#file.write(this.sizeBytes, frame);
    this.count += 1;
    this.sizeBytes += frame.length;
    this.crc32c = crc32c(frame, this.crc32c);
  }
}

class FrameReader {
  readonly #file: DiskFile;
  #at = 0;
  /** Frames read. */
  count = 0;
  /** Of all that was read. */
  crc32c = 0;

  constructor(file: DiskFile) {
    this.#file = file;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#file.sizeBytes;
  }

  /** The next frame's body; `wanted` where only one kind may come. */
  async next(wanted?: Kind): Promise<{ kind: number; body: ByteReader }> {
    const head = await this.#take(FRAME_HEAD_BYTES);
    const kind = head[0] as number;
    if (wanted === undefined ? kind !== KIND.page && kind !== KIND.footer : kind !== wanted) {
      throw new MalformedBytesError(`frame ${this.count} is of kind ${kind}`);
    }
    const sizeBytes = new DataView(head.buffer, head.byteOffset).getUint32(1, true);
    if (sizeBytes > FRAME_MAX_BYTES) {
      throw new MalformedBytesError(`frame ${this.count} says that it has ${sizeBytes} bytes`);
    }
    const body = unseal(await this.#take(sizeBytes), contextOf(kind, this.count));
    this.count += 1;
    return { kind, body: new ByteReader(body) };
  }

  async #take(sizeBytes: number): Promise<Uint8Array> {
    if (sizeBytes > this.#file.sizeBytes - this.#at) {
      throw new MalformedBytesError(`the file ends in frame ${this.count}`);
    }
    const bytes = await this.#file.read(this.#at, sizeBytes);
    assert(bytes.length === sizeBytes, `read ${bytes.length} of ${sizeBytes} bytes`);
    this.#at += sizeBytes;
    this.crc32c = crc32c(bytes, this.crc32c);
    return bytes;
  }
}

function contextOf(kind: number, frame: number): Uint8Array {
  return new ByteWriter(16).u8(kind).varint(frame).finish();
}

/** With room for what stands before the body. */
function newBody(): ByteWriter {
  return new ByteWriter().raw(NO_HEAD_YET);
}

function encodeHeader({ machine, appliedIndex }: SnapshotHeader): ByteWriter {
  return newBody().string(MAGIC).u8(FORMAT).string(machine).varint(appliedIndex);
}

function decodeHeader(body: ByteReader): SnapshotHeader {
  if (body.string() !== MAGIC) throw new MalformedBytesError('this is no snapshot file');
  const format = body.u8();
  if (format !== FORMAT) throw new RecordError('unsupported-version', `format ${format}`);
  const header = { machine: body.string(), appliedIndex: body.varint() };
  body.end();
  return header;
}

function readEntries(body: ByteReader): KvEntry[] {
  const entries: KvEntry[] = [];
  while (body.remaining > 0) entries.push({ key: body.bytes(), value: body.bytes() });
  return entries;
}

function readFailure(path: string, error: unknown): unknown {
  if (error instanceof MalformedBytesError) {
    const message = `the snapshot file ${path} is damaged: ${error.message}`;
    return new FlotillaError('LOG_DAMAGED', message, { cause: error });
  }
  return recordFailure(`the snapshot file ${path}`, error);
}
