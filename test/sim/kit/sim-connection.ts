import { assert, defined } from '../../../src/shared/assert.js';
import { crc32c } from '../../../src/shared/crc32c.js';
import type { Connection, ConnectionHandlers } from '../../../src/shared/environment.js';
import { GIVEN_BACK } from '../../../src/transport/memory-network.js';
import type { SimClock } from './sim-clock.js';
import type { World } from './world.js';

/** What a connection needs of its network. One per side: `own` is the process that holds it. */
export interface LinkParts {
  readonly fromHost: string;
  readonly toHost: string;
  readonly remoteAddress: string;
  readonly own: SimClock;
  readonly world: World;
  readonly bufferBytesMax: number;
  readonly copiesFrames: boolean;
  /** How long the next frame is on its way. */
  delayMs(): number;
  /** What is left of a frame that this side sends; undefined where it is lost. */
  left(frame: Uint8Array): Uint8Array | undefined;
  /** Whether what this side sends has to wait for the end of a cut. */
  isHeld(): boolean;
  whenHealed(goOn: () => void): void;
  /** Whether the connection breaks at this frame. */
  breaksNow(): boolean;
  /** A frame that has left is not what it was when it was sent. */
  onChanged(): void;
  /** The sender has the memory of a frame back. */
  onGivenBack(): void;
  onEnded(link: SimConnection): void;
}

interface FrameParcel {
  readonly kind: 'frame';
  /** Memory of the sender, and its checksum when it was sent; 0 where frames are not copied. */
  readonly sent: Uint8Array;
  readonly checksum: number;
  /** What arrives. */
  frame: Uint8Array;
}

/** What is on its way: frames, then perhaps the end of the connection. */
type Parcel = FrameParcel | { readonly kind: 'end'; readonly error: Error | undefined };

/** Buffers up to this length are hashed whole; of longer ones the beginning and the length. */
const HASHED_BYTES_MAX = 512;

/**
 * One side of a connection. What it sends arrives in order, each frame at its own time; what came
 * before `start` waits. A side whose process is paused takes nothing until it goes on.
 *
 * Where frames are copied, each is at the moment when it is due at the other side, as late as a
 * network could; its memory is then overwritten and given back. That happens within events that
 * there are anyway, so that a run is the same whether frames are copied or not.
 */
export class SimConnection implements Connection {
  readonly remoteAddress: string;
  readonly #parts: LinkParts;
  readonly #onGone: (() => void) | undefined;
  #other: SimConnection | undefined;
  #handlers: ConnectionHandlers | undefined;
  /** On its way to the other side, oldest first. */
  readonly #underWay: Parcel[] = [];
  /** How many of those have had their time, and arrive as soon as nothing holds them. */
  #due = 0;
  /** Frames that have left, and whose memory this side's process was not yet given back. */
  #departed: Uint8Array[] = [];
  /** Arrived here before anyone listened. */
  #early: Parcel[] = [];
  #lastArrivalMs = 0;
  #sentBytes = 0;
  #isFull = false;
  #isClosed = false;
  #wasTold = false;

  constructor(parts: LinkParts, onGone?: () => void) {
    this.#parts = parts;
    this.#onGone = onGone;
    this.remoteAddress = parts.remoteAddress;
  }

  static join(one: SimConnection, other: SimConnection): void {
    one.#other = other;
    other.#other = one;
  }

  joins(one: string, other: string): boolean {
    const { fromHost, toHost } = this.#parts;
    return (fromHost === one && toHost === other) || (fromHost === other && toHost === one);
  }

  belongsTo(clock: SimClock): boolean {
    return this.#parts.own === clock;
  }

  send(sent: Uint8Array): boolean {
    if (this.#isClosed) return false;
    if (this.#parts.breaksNow()) {
      this.break('connection reset by peer');
      return false;
    }
    const frame = this.#parts.left(sent);
    if (frame === undefined) return !this.#isFull;
    this.#sentBytes += frame.length;
    this.#isFull ||= this.#sentBytes > this.#parts.bufferBytesMax;
    const checksum = this.#parts.copiesFrames ? crc32c(sent) : 0;
    this.#dispatch({ kind: 'frame', sent, checksum, frame });
    return !this.#isFull;
  }

  start(handlers: ConnectionHandlers): void {
    assert(this.#handlers === undefined, 'a connection is started once');
    this.#handlers = handlers;
    this.#parts.own.soon(() => {
      const early = this.#early;
      this.#early = [];
      for (const parcel of early) this.#take(parcel);
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#forget();
    this.#dispatch({ kind: 'end', error: undefined });
    this.#receive({ kind: 'end', error: undefined });
  }

  /** Both sides learn at once that the connection is gone; what was on its way is lost. */
  break(why: string): void {
    for (const side of [this, this.#peer()]) {
      if (side.#isClosed) continue;
      side.#forget();
      side.#receive({ kind: 'end', error: new Error(why) });
    }
  }

  /** This side's machine is gone; the other side is not told. */
  vanish(): void {
    this.#forget();
  }

  #forget(): void {
    this.#isClosed = true;
    this.#parts.onEnded(this);
    this.#onGone?.();
  }

  #peer(): SimConnection {
    return defined(this.#other, 'the other side of the link');
  }

  /** Frames keep their order, however long each would take. */
  #dispatch(parcel: Parcel): void {
    const { world } = this.#parts;
    const arrivalMs = Math.max(this.#lastArrivalMs, world.nowMs + this.#parts.delayMs());
    this.#lastArrivalMs = arrivalMs;
    this.#underWay.push(parcel);
    world.schedule(arrivalMs - world.nowMs, () => {
      if (parcel.kind === 'frame' && this.#parts.copiesFrames) this.#departs(parcel);
      this.#due += 1;
      if (this.#due > 1) return;
      if (this.#parts.isHeld()) this.#parts.whenHealed(() => this.#deliverDue());
      else this.#deliverDue();
    });
  }

  /** The network needs the memory of what was sent no more. */
  #departs(parcel: FrameParcel): void {
    const { sent, checksum } = parcel;
    if (crc32c(sent) !== checksum) this.#parts.onChanged();
    if (parcel.frame === sent) parcel.frame = new Uint8Array(sent);
    this.#departed.push(sent);
    // A process that is paused hears of it with the next frame that leaves when it goes on.
    if (!this.#parts.own.isRunning) return;
    const departed = this.#departed;
    this.#departed = [];
    for (const frame of departed) {
      if (this.#isClosed || this.#handlers?.onSent === undefined) return;
      frame.fill(GIVEN_BACK);
      this.#handlers.onSent(frame);
      this.#parts.onGivenBack();
    }
  }

  #deliverDue(): void {
    for (; this.#due > 0; this.#due -= 1) {
      const parcel = this.#underWay.shift();
      if (parcel !== undefined) this.#peer().#receive(parcel);
    }
  }

  #receive(parcel: Parcel): void {
    this.#parts.own.whenRunning(0, () => {
      if (this.#handlers === undefined || this.#early.length > 0) this.#early.push(parcel);
      else this.#take(parcel);
    });
  }

  #take(parcel: Parcel): void {
    const handlers = defined(this.#handlers, 'handlers');
    if (parcel.kind === 'end') {
      if (!this.#isClosed) this.#forget();
      if (this.#wasTold) return;
      this.#wasTold = true;
      handlers.onClose(parcel.error);
      return;
    }
    const { frame } = parcel;
    this.#peer().#arrived(frame.length);
    if (this.#isClosed) return;
    const { trace } = this.#parts.world;
    trace.addText(this.#parts.toHost);
    trace.addNumber(frame.length);
    trace.addBytes(frame.length > HASHED_BYTES_MAX ? frame.subarray(0, HASHED_BYTES_MAX) : frame);
    handlers.onFrame(frame);
  }

  #arrived(sizeBytes: number): void {
    this.#sentBytes -= sizeBytes;
    if (!this.#isFull || this.#sentBytes > 0) return;
    this.#isFull = false;
    this.#parts.own.soon(() => {
      if (!this.#isClosed) this.#handlers?.onDrain();
    });
  }
}
