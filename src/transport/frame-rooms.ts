/**
 * Memory of large frames that have left, for those that come next, on whatever link of the node: a
 * stream of large payloads would otherwise keep the garbage collector busy on the thread that sends
 * the heartbeats. Bounded, for all links together: what is too much is left to the collector.
 */
import { assert } from '../shared/assert.js';
import { TRANSPORT_DEFAULTS } from './settings.js';

/** Larger ones are rare, and their memory is not to be kept. */
const ROOM_BYTES_MAX = 2 * 1024 * 1024;
/** For two transfers: each has a frame that is filled while another is on its way. */
const SPARE_ROOMS_MAX = 4;

export class FrameRooms {
  readonly #roomBytesMin: number;
  /** Memory that nobody reads or writes, the oldest first. */
  readonly #spare: Uint8Array[] = [];

  /** @param roomBytesMin as `TransportSettings.frameRoomBytesMin` */
  constructor(roomBytesMin: number = TRANSPORT_DEFAULTS.frameRoomBytesMin) {
    this.#roomBytesMin = roomBytesMin;
  }

  /** At least `sizeBytes`, with anything in it. It is the caller's until he gives it back. */
  take(sizeBytes: number): Uint8Array {
    const isLarge = sizeBytes >= this.#roomBytesMin;
    const at = isLarge ? this.#spare.findIndex((room) => room.length >= sizeBytes) : -1;
    const [spare] = at < 0 ? [] : this.#spare.splice(at, 1);
    return spare ?? new Uint8Array(sizeBytes);
  }

  /** `frame` is a view of memory that belongs to nobody else, and that nobody reads any more. */
  giveBack(frame: Uint8Array): void {
    const { buffer } = frame;
    const isKept = this.#spare.some((room) => room.buffer === buffer);
    assert(!isKept, 'the memory of a frame is given back twice');
    const { byteLength } = buffer;
    if (byteLength < this.#roomBytesMin || byteLength > ROOM_BYTES_MAX) return;
    this.#spare.push(new Uint8Array(buffer));
    // What was last needed is most like what will be needed.
    if (this.#spare.length > SPARE_ROOMS_MAX) this.#spare.shift();
  }
}
