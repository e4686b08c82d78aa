/**
 * The pieces of a snapshot file on their way out: each is read once, into memory that belongs to
 * the transfer, and is sent from there, with the head of its call written in front of it. While one
 * is on its way the next is read. Memory for two pieces does for a transfer of any length: new
 * memory for each would keep the garbage collector busy on the thread that sends the heartbeats.
 */
import { assert } from '../shared/assert.js';
import { crc32c } from '../shared/crc32c.js';
import type { DiskFile } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import type { SnapshotId } from '../storage/snapshot-files.js';
import { CHUNK_HEAD_BYTES_MAX, encodeChunkInPlace } from './snapshot-wire.js';

/** For the one that is sent, and the one that is read meanwhile. */
const SPARE_ROOMS_MAX = 2;

export interface SnapshotPiece {
  /** Bytes of the file in it. */
  readonly sizeBytes: number;
  /** The call that carries it. Must not be read after `release`. */
  readonly payload: Uint8Array;
  /** Gives its memory to a later piece. To be called once. */
  release(): void;
}

export class SnapshotPieces {
  readonly #content: DiskFile;
  readonly #id: SnapshotId;
  readonly #pieceSizeBytes: number;
  /** Memory that nobody reads or writes. */
  readonly #spareRooms: Uint8Array[] = [];
  /** The piece that will most likely be wanted after the one on its way. */
  #ahead: { readonly offset: number; readonly reading: Promise<SnapshotPiece> } | undefined;

  constructor(content: DiskFile, id: SnapshotId, pieceSizeBytes: number) {
    this.#content = content;
    this.#id = id;
    this.#pieceSizeBytes = pieceSizeBytes;
  }

  /**
   * The piece from `offset` on; begins to read the one behind it. Rejects with LOG_DAMAGED where
   * the file ends before it should.
   */
  take(offset: number): Promise<SnapshotPiece> {
    const next = offset + this.#pieceSizeBytes;
    const ahead = this.#ahead;
    if (ahead?.offset === offset) {
      this.#readAhead(next);
      return ahead.reading;
    }
    // After a piece that was lost the one behind it is there already.
    if (ahead?.offset === next) return this.#read(offset);
    if (ahead !== undefined) letGo(ahead.reading);
    const piece = this.#read(offset);
    this.#readAhead(next);
    return piece;
  }

  #readAhead(offset: number): void {
    this.#ahead = undefined;
    if (offset >= this.#id.sizeBytes) return;
    const reading = this.#read(offset);
    // Whoever takes it is told.
    reading.catch(() => undefined);
    this.#ahead = { offset, reading };
  }

  async #read(offset: number): Promise<SnapshotPiece> {
    const room = this.#spareRooms.pop() ?? this.#newRoom();
    try {
      const wantedBytes = Math.min(this.#pieceSizeBytes, this.#id.sizeBytes - offset);
      const target = room.subarray(CHUNK_HEAD_BYTES_MAX, CHUNK_HEAD_BYTES_MAX + wantedBytes);
      const sizeBytes = await this.#content.readInto(offset, target);
      if (sizeBytes < wantedBytes) {
        const found = `${offset + sizeBytes} of ${this.#id.sizeBytes} bytes`;
        throw new FlotillaError('LOG_DAMAGED', `the snapshot ends after ${found}`);
      }
      return this.#pieceIn(room, offset, sizeBytes);
    } catch (thrown) {
      this.#giveBack(room);
      throw thrown;
    }
  }

  #newRoom(): Uint8Array {
    const sizeBytes = Math.min(this.#pieceSizeBytes, this.#id.sizeBytes);
    return new Uint8Array(CHUNK_HEAD_BYTES_MAX + sizeBytes);
  }

  #pieceIn(room: Uint8Array, offset: number, sizeBytes: number): SnapshotPiece {
    const bytes = room.subarray(CHUNK_HEAD_BYTES_MAX, CHUNK_HEAD_BYTES_MAX + sizeBytes);
    const head = { id: this.#id, offset, crc32c: crc32c(bytes) };
    let isReleased = false;
    return {
      sizeBytes,
      payload: encodeChunkInPlace(room, head, sizeBytes),
      release: () => {
        assert(!isReleased, 'the memory of a piece is given back twice');
        isReleased = true;
        this.#giveBack(room);
      },
    };
  }

  #giveBack(room: Uint8Array): void {
    if (this.#spareRooms.length < SPARE_ROOMS_MAX) this.#spareRooms.push(room);
  }
}

/** For a piece that nobody sends: its memory is not spare before the disk is done with it. */
function letGo(reading: Promise<SnapshotPiece>): void {
  reading.then(
    (piece) => piece.release(),
    () => undefined,
  );
}
