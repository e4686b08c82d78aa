/**
 * A queue of frames from one thread to another, in memory that both see. Waking a thread costs as
 * much as a small search, and so does a message; a frame costs its bytes. The writer never waits:
 * where a frame does not fit it is told so. The reader says when it sleeps, and only then somebody
 * has to wake it, by other means.
 *
 * One thread writes and one reads. A frame lies in one piece, its place divisible by 8. Both ends
 * count the bytes that went through, modulo 2^32: equal counts are an empty ring.
 */
import { assert } from '../shared/assert.js';

/** Each counter on a cache line of its own: the two threads change different ones. */
const CONTROL_BYTES = 192;
const READ = 0;
const WRITTEN = 16;
/** 1 while the reader sleeps. */
const ASLEEP = 32;

const HEADER_BYTES = 8;
/** In the place of a frame's size: the next one lies at the beginning. */
const GO_ON_AT_START = 0xffff_ffff;

/** Memory for a ring, empty, with a reader that sleeps. `sizeBytes` is a power of two. */
export function newRing(sizeBytes: number): SharedArrayBuffer {
  assert(Number.isInteger(Math.log2(sizeBytes)), `a ring of ${sizeBytes} bytes`);
  const shared = new SharedArrayBuffer(CONTROL_BYTES + sizeBytes);
  new Int32Array(shared)[ASLEEP] = 1;
  return shared;
}

/** The frames of a ring, as bytes and as what they are made of. A place is an offset in bytes. */
class RingMemory {
  readonly bytes: Uint8Array;
  readonly units: Uint16Array;
  readonly numbers: Float64Array;
  readonly words: BigUint64Array;
  protected readonly control: Int32Array;
  protected readonly sizes: Uint32Array;
  protected readonly sizeBytes: number;

  constructor(shared: SharedArrayBuffer) {
    this.control = new Int32Array(shared, 0, CONTROL_BYTES / Int32Array.BYTES_PER_ELEMENT);
    this.bytes = new Uint8Array(shared, CONTROL_BYTES);
    this.units = new Uint16Array(shared, CONTROL_BYTES);
    this.numbers = new Float64Array(shared, CONTROL_BYTES);
    this.words = new BigUint64Array(shared, CONTROL_BYTES);
    this.sizes = new Uint32Array(shared, CONTROL_BYTES);
    this.sizeBytes = shared.byteLength - CONTROL_BYTES;
  }

  protected placeOf(count: number): number {
    // A power of two: counts of 32 bits go on where they begin again.
    return (count & (this.sizeBytes - 1)) >>> 0;
  }
}

export class RingWriter extends RingMemory {
  #written = 0;

  /**
   * Where a frame of up to `sizeBytes` may be written, or `undefined` where there is no room for
   * it. It may be left alone, or reserved anew; the reader sees it when it is committed.
   */
  reserve(sizeBytes: number): number | undefined {
    const wanted = frameBytes(sizeBytes);
    const place = this.placeOf(this.#written);
    const untilEnd = this.sizeBytes - place;
    const skipped = wanted <= untilEnd ? 0 : untilEnd;
    const used = (this.#written - Atomics.load(this.control, READ)) >>> 0;
    if (wanted > this.sizeBytes || used + skipped + wanted > this.sizeBytes) return undefined;
    if (skipped > 0) {
      this.sizes[place / Uint32Array.BYTES_PER_ELEMENT] = GO_ON_AT_START;
      this.#written = (this.#written + skipped) | 0;
    }
    return this.placeOf(this.#written) + HEADER_BYTES;
  }

  /** Hands the reserved frame over, of which so many bytes were written. */
  commit(sizeBytes: number): void {
    this.sizes[this.placeOf(this.#written) / Uint32Array.BYTES_PER_ELEMENT] = sizeBytes;
    this.#written = (this.#written + frameBytes(sizeBytes)) | 0;
    Atomics.store(this.control, WRITTEN, this.#written);
  }

  /** Whether the reader sleeps: then who asks has to wake it. Answers true once a sleep. */
  takeWake(): boolean {
    if (Atomics.load(this.control, ASLEEP) === 0) return false;
    return Atomics.exchange(this.control, ASLEEP, 0) === 1;
  }
}

export class RingReader extends RingMemory {
  readonly #characters: Buffer;
  #read = 0;
  /** Where the frames end that it knows of. */
  #known = 0;

  constructor(shared: SharedArrayBuffer) {
    super(shared);
    this.#characters = Buffer.from(shared, CONTROL_BYTES);
  }

  /** The characters that lie there, one or two bytes each. */
  text(place: number, sizeBytes: number, encoding: 'latin1' | 'utf16le'): string {
    return this.#characters.toString(encoding, place, place + sizeBytes);
  }

  /** Whether frames wait, those that came since the last look included. */
  get hasFrames(): boolean {
    return this.waitingBytes > 0;
  }

  /** What those frames take. */
  get waitingBytes(): number {
    return (Atomics.load(this.control, WRITTEN) - this.#read) >>> 0;
  }

  /** Takes notice of what has been written by now: `next` goes up to there. */
  look(): void {
    this.#known = Atomics.load(this.control, WRITTEN);
  }

  /** Where the oldest frame lies; `undefined` where there is none before the last look. */
  next(): number | undefined {
    if (this.#read === this.#known) return undefined;
    const place = this.placeOf(this.#read);
    if (this.#sizeAt(place) !== GO_ON_AT_START) return place + HEADER_BYTES;
    this.#read = (this.#read + this.sizeBytes - place) | 0;
    return HEADER_BYTES;
  }

  /** Gives the oldest frame's bytes back, tells how many. To be called once after each `next`. */
  release(): number {
    const sizeBytes = frameBytes(this.#sizeAt(this.placeOf(this.#read)));
    this.#read = (this.#read + sizeBytes) | 0;
    Atomics.store(this.control, READ, this.#read);
    return sizeBytes;
  }

  /**
   * Falls asleep: for the next frame it is woken. Returns false, and stays awake, where a frame has
   * come meanwhile.
   */
  sleep(): boolean {
    Atomics.store(this.control, ASLEEP, 1);
    if (!this.hasFrames) return true;
    Atomics.store(this.control, ASLEEP, 0);
    return false;
  }

  #sizeAt(place: number): number {
    return this.sizes[place / Uint32Array.BYTES_PER_ELEMENT] as number;
  }
}

/** With its header, up to where the next one may begin. */
function frameBytes(sizeBytes: number): number {
  return HEADER_BYTES + Math.ceil(sizeBytes / 8) * 8;
}
