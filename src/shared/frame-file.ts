/**
 * Files of frames that have a checksum each, so that they are written, checked and read piece by
 * piece, whatever their size.
 *
 *     frame    kind u8 | size u32 LE | sealed record of `size` bytes
 *
 * A frame's kind and number are part of its checksum: no frame passes in another's place. Whether a
 * file is whole is for its last frame to say.
 */
import { assert } from './assert.js';
import { ByteReader, ByteWriter, MalformedBytesError } from './bytes.js';
import { crc32c } from './crc32c.js';
import type { DiskFile } from './environment.js';
import { FlotillaError } from './errors.js';
import { recordFailure, SEAL_SIZE_BYTES, sealInPlace, unseal } from './sealed-record.js';

const FRAME_HEAD_BYTES = 5;
const BODY_AT = FRAME_HEAD_BYTES + SEAL_SIZE_BYTES;
const NO_HEAD_YET = new Uint8Array(BODY_AT);
/** Bounds what a reader believes of a size that it cannot check yet. */
const FRAME_MAX_BYTES = 64 * 1024 * 1024;

/** What a frame's body is written into: with room for what stands before it. */
export function newFrame(sizeHintBytes = 256): ByteWriter {
  return new ByteWriter(BODY_AT + sizeHintBytes).raw(NO_HEAD_YET);
}

/** Bytes of the body that is in the frame so far. */
export function bodyLength(frame: ByteWriter): number {
  return frame.length - BODY_AT;
}

/** Writes from the beginning of a file, and does not sync. */
export class FrameWriter {
  readonly #file: DiskFile;
  /** Frames written. */
  count = 0;
  sizeBytes = 0;
  /** Of all that was written. */
  crc32c = 0;

  constructor(file: DiskFile) {
    this.#file = file;
  }

  /** `writer` is a `newFrame` with the frame's body after it. */
  async write(kind: number, writer: ByteWriter): Promise<void> {
    const frame = writer.finish();
    const record = frame.subarray(FRAME_HEAD_BYTES);
    assert(record.length <= FRAME_MAX_BYTES, `a frame of ${record.length} bytes`);
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

/** Reads a file from the beginning. */
export class FrameReader {
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

  /**
   * The next frame, which must be of one of the kinds. `MalformedBytesError` or `RecordError` where
   * there is none that is whole.
   */
  async next<Kind extends number>(
    kinds: readonly Kind[],
  ): Promise<{ kind: Kind; body: ByteReader }> {
    const head = await this.#take(FRAME_HEAD_BYTES);
    const kind = kinds.find((one) => one === head[0]);
    if (kind === undefined) {
      throw new MalformedBytesError(`frame ${this.count} is of kind ${head[0]}`);
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

/**
 * What a caller is told when a file of frames cannot be read: LOG_DAMAGED or UNSUPPORTED_VERSION.
 * Other errors pass through. `what` names the file.
 */
export function frameFailure(what: string, error: unknown): unknown {
  if (error instanceof MalformedBytesError) {
    const message = `${what} is damaged: ${error.message}`;
    return new FlotillaError('LOG_DAMAGED', message, { cause: error });
  }
  return recordFailure(what, error);
}

function contextOf(kind: number, frame: number): Uint8Array {
  return new ByteWriter(16).u8(kind).varint(frame).finish();
}
