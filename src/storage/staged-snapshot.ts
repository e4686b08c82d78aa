/**
 * A snapshot file that arrives in pieces, and whose progress survives a restart (P3).
 *
 * Beside the data lies a file of marks, one for each piece that was written: how far the data goes
 * and the checksum of all of it up to there. Both are synced before a piece counts. Resuming
 * believes the last mark that the data itself confirms, so what is counted is durable and correct.
 */
import { assert } from '../shared/assert.js';
import { ByteReader, ByteWriter, utf8 } from '../shared/bytes.js';
import { crc32c, joinedCrc32c } from '../shared/crc32c.js';
import type { Disk, DiskFile } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import { decodeBody, RecordError, SEAL_SIZE_BYTES, seal } from '../shared/sealed-record.js';
import { nameOf, type SnapshotId } from './snapshot-name.js';

const MARK_BODY_BYTES = 12;
const MARK_SIZE_BYTES = SEAL_SIZE_BYTES + MARK_BODY_BYTES;
/** Read at a time when what is there is checked: a slice of about a millisecond. */
const READ_SIZE_BYTES = 1024 * 1024;

/** The data up to `offset`, and its checksum. */
interface Mark {
  readonly offset: number;
  readonly crc32c: number;
}

const START: Mark = { offset: 0, crc32c: 0 };

/** The files that a staging consists of. */
export interface StagingFiles {
  readonly data: DiskFile;
  readonly marks: DiskFile;
}

/** Opens, or makes, the two files. */
export async function openStaging(
  disk: Disk,
  directory: string,
  id: SnapshotId,
): Promise<StagingFiles> {
  const data = await disk.openFile(`${directory}/${nameOf(id, 'part')}`, 'write');
  try {
    return { data, marks: await disk.openFile(`${directory}/${nameOf(id, 'mark')}`, 'write') };
  } catch (thrown) {
    await data.close();
    throw thrown;
  }
}

export class SnapshotStaging {
  readonly id: SnapshotId;
  readonly #files: StagingFiles;
  #marked: Mark;
  #marksCount: number;
  /** Pieces are taken one at a time. */
  #tail: Promise<void> = Promise.resolve();
  #ended: Error | undefined;

  private constructor(id: SnapshotId, files: StagingFiles, marks: readonly Mark[]) {
    this.id = id;
    this.#files = files;
    this.#marked = marks[marks.length - 1] ?? START;
    this.#marksCount = marks.length;
  }

  /** Reads all that is there once, to confirm it: a second for about a gigabyte. */
  static async resume(id: SnapshotId, files: StagingFiles): Promise<SnapshotStaging> {
    const marks = await readMarks(id, files.marks);
    const found = await confirmed(files.data, marks);
    // Read is not durable: it may have been written just before a process was killed.
    await Promise.all([files.data.sync(), files.marks.sync()]);
    return new SnapshotStaging(id, files, found);
  }

  get nextOffset(): number {
    return this.#marked.offset;
  }

  get isEnded(): boolean {
    return this.#ended !== undefined;
  }

  /** Checksum of the data up to `nextOffset`. */
  get crc32c(): number {
    return this.#marked.crc32c;
  }

  /**
   * Durable and counted when it resolves. `checksum` is that of `bytes`, which are read until then.
   * A piece that does not start at `nextOffset` is ignored. INVALID_REQUEST for one that goes
   * beyond the file. After a failure the staging is at its end; staging the same snapshot again
   * goes on from what was counted.
   */
  write(offset: number, bytes: Uint8Array, checksum: number): Promise<void> {
    const written = this.#tail.then(() => this.#write(offset, bytes, checksum));
    this.#tail = written.catch(() => undefined);
    return written;
  }

  /** Waits for the pieces under way and takes no more. Idempotent. */
  async close(): Promise<void> {
    this.#ended ??= new Error('the staged snapshot is closed');
    await this.#tail;
    await this.#files.data.close();
    await this.#files.marks.close();
  }

  async #write(offset: number, bytes: Uint8Array, checksum: number): Promise<void> {
    if (this.#ended) throw this.#ended;
    if (offset !== this.nextOffset || bytes.length === 0) return;
    const end = offset + bytes.length;
    if (end > this.id.sizeBytes) {
      const message = `bytes up to ${end} of a snapshot that has ${this.id.sizeBytes}`;
      throw new FlotillaError('INVALID_REQUEST', message);
    }
    const together = joinedCrc32c(this.#marked.crc32c, checksum, bytes.length);
    const mark = { offset: end, crc32c: together };
    const record = encodeMark(this.id, this.#marksCount, mark);
    const { data, marks } = this.#files;
    try {
      await Promise.all([
        data.write(offset, bytes).then(() => data.sync()),
        marks.write(this.#marksCount * MARK_SIZE_BYTES, record).then(() => marks.sync()),
      ]);
    } catch (thrown) {
      // What a failed sync has left of the earlier ones is for the next resume to find out.
      this.#ended = thrown instanceof Error ? thrown : new Error(String(thrown));
      throw thrown;
    }
    this.#marked = mark;
    this.#marksCount += 1;
  }
}

/** What a mark belongs to: its snapshot and its place. */
function contextOf(id: SnapshotId, number: number): Uint8Array {
  return utf8(`${nameOf(id, 'mark')}/${number}`);
}

function encodeMark(id: SnapshotId, number: number, mark: Mark): Uint8Array {
  const body = new ByteWriter().u64(BigInt(mark.offset)).u32(mark.crc32c).finish();
  assert(body.length === MARK_BODY_BYTES, 'a mark of another size');
  return seal(body, contextOf(id, number));
}

/** The marks before the first one that is not whole. */
async function readMarks(id: SnapshotId, file: DiskFile): Promise<Mark[]> {
  const bytes = await file.read(0, file.sizeBytes);
  const marks: Mark[] = [];
  for (let at = 0; at + MARK_SIZE_BYTES <= bytes.length; at += MARK_SIZE_BYTES) {
    const record = bytes.subarray(at, at + MARK_SIZE_BYTES);
    try {
      marks.push(decodeBody(record, contextOf(id, marks.length), decodeMark));
    } catch (thrown) {
      if (thrown instanceof RecordError) return marks;
      throw thrown;
    }
  }
  return marks;
}

function decodeMark(body: Uint8Array): Mark {
  const reader = new ByteReader(body);
  const mark = { offset: Number(reader.u64()), crc32c: reader.u32() };
  reader.end();
  return mark;
}

/** The marks that the data confirms. */
async function confirmed(data: DiskFile, marks: readonly Mark[]): Promise<readonly Mark[]> {
  const room = roomFor(data);
  let read = START;
  for (const [position, mark] of marks.entries()) {
    if (mark.offset <= read.offset || mark.offset > data.sizeBytes) return marks.slice(0, position);
    read = { offset: mark.offset, crc32c: await checksumOf(data, read, mark.offset, room) };
    if (read.crc32c !== mark.crc32c) return marks.slice(0, position);
  }
  return marks;
}

/** Checksum of all that a file has on disk: a second for about a gigabyte, slice by slice. */
export function checksumOfAll(file: DiskFile): Promise<number> {
  return checksumOf(file, START, file.sizeBytes, roomFor(file));
}

/** What a file is read into, slice by slice: new memory for each would be the collector's work. */
function roomFor(file: DiskFile): Uint8Array {
  return new Uint8Array(Math.min(READ_SIZE_BYTES, file.sizeBytes));
}

/** Checksum of the file up to `end`, that of the part before being known. */
async function checksumOf(
  file: DiskFile,
  known: Mark,
  end: number,
  room: Uint8Array,
): Promise<number> {
  let { offset, crc32c: checksum } = known;
  while (offset < end) {
    const slice = room.subarray(0, end - offset);
    const sizeBytes = await file.readInto(offset, slice);
    if (sizeBytes === 0) break;
    checksum = crc32c(slice.subarray(0, sizeBytes), checksum);
    offset += sizeBytes;
  }
  return checksum;
}
