/**
 * Links between nodes of one process, as queues: the twin of `GrpcNetwork` for tests, the
 * simulator and the embedded cluster, with partitions on demand.
 *
 * Every delivery runs through the scheduler, so that a virtual one decides the interleaving.
 * Order is kept per direction of a link. Frames are handed over by reference, unless it is told to
 * copy them as real links do.
 */
import { assert, defined } from '../shared/assert.js';
import type {
  Connection,
  ConnectionHandlers,
  Listener,
  Network,
  Scheduler,
} from '../shared/environment.js';
import { checkFrameSize } from './frame-size.js';
import { ConnectionRefusedError } from './link-end.js';

export interface MemoryNetworkOptions {
  readonly scheduler: Scheduler;
  /**
   * Bytes on their way in one direction of a link above which `send` answers false.
   * @default 1 MiB
   */
  readonly bufferBytesMax?: number;
  /** The same for frames. @default 64 */
  readonly bufferFramesMax?: number;
  /**
   * Whether links copy frames, at the last moment, and give them back in a later turn (`onSent`),
   * overwritten: what was changed too early arrives changed, who reads too late reads `GIVEN_BACK`.
   * @default false: by reference, and none is given back
   */
  readonly copiesFrames?: boolean;
}

/** The byte that fills frames which are given back. No frame of ours begins with it. */
export const GIVEN_BACK = 0xdb;

/**
 * What a cut does to what is sent across it. `break`: links break on both sides and dials are
 * refused. `hold`: frames, closes and dials wait, as behind a firewall that drops packets; they
 * go on after `heal`, a dial only if it has not timed out by then.
 */
export type CutMode = 'break' | 'hold';

export interface CutOptions {
  /** @default 'break' */
  readonly mode?: CutMode;
  /** Whether only what goes from the first host to the second is cut. @default false */
  readonly oneWay?: boolean;
}

interface Limits {
  readonly bytes: number;
  readonly frames: number;
}

interface Bound {
  readonly host: string;
  readonly accepted: Set<MemoryConnection>;
  readonly onConnection: (connection: Connection) => void;
}

/** The registry of addresses, and of the cuts between hosts. */
export class MemoryNetwork {
  readonly #scheduler: Scheduler;
  readonly #limits: Limits;
  readonly #copiesFrames: boolean;
  readonly #listeners = new Map<string, Bound>();
  readonly #cuts = new Map<string, CutMode>();
  readonly #links = new Set<MemoryConnection>();
  /** What waits for a heal; dials and deliveries look again at each. */
  readonly #waiting = new Set<() => void>();
  #nextPort = 1;

  constructor(options: MemoryNetworkOptions) {
    this.#scheduler = options.scheduler;
    this.#limits = {
      bytes: options.bufferBytesMax ?? 1024 * 1024,
      frames: options.bufferFramesMax ?? 64,
    };
    this.#copiesFrames = options.copiesFrames ?? false;
  }

  /** The network as one host sees it. Cuts name hosts; listen addresses are free strings. */
  host(name: string): Network {
    return {
      listen: (address, onConnection) => this.#listen(name, address, onConnection),
      dial: (address, { timeoutMs }) => this.#dial(name, address, timeoutMs),
    };
  }

  /** Cuts what goes between two hosts. Replaces an earlier cut of the same direction. */
  cut(from: string, to: string, options: CutOptions = {}): void {
    const mode = options.mode ?? 'break';
    this.#cuts.set(directionKey(from, to), mode);
    if (options.oneWay !== true) this.#cuts.set(directionKey(to, from), mode);
    if (mode === 'hold') return;
    for (const link of [...this.#links]) {
      if (link.joins(from, to)) link.break(new Error('the link was cut'));
    }
  }

  /** Ends all cuts between two hosts, or all cuts there are. */
  heal(one?: string, other?: string): void {
    if (one === undefined || other === undefined) {
      this.#cuts.clear();
    } else {
      this.#cuts.delete(directionKey(one, other));
      this.#cuts.delete(directionKey(other, one));
    }
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const goOn of waiting) goOn();
  }

  async #listen(
    host: string,
    address: string,
    onConnection: (connection: Connection) => void,
  ): Promise<Listener> {
    const bound = address.endsWith(':0') ? address.slice(0, -1) + this.#nextPort++ : address;
    if (this.#listeners.has(bound)) throw new Error(`the address ${bound} is in use`);
    const entry: Bound = { host, accepted: new Set(), onConnection };
    this.#listeners.set(bound, entry);
    return {
      address: bound,
      close: async () => {
        if (this.#listeners.get(bound) === entry) this.#listeners.delete(bound);
        for (const connection of entry.accepted) connection.close();
      },
    };
  }

  #dial(host: string, address: string, timeoutMs: number): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        timer.cancel();
        this.#waiting.delete(attempt);
        act();
      };
      const fail = (why: string): void =>
        settle(() => reject(new Error(`cannot reach ${address}: ${why}`)));
      const refuse = (): void =>
        settle(() => reject(new ConnectionRefusedError(`cannot reach ${address}: refused`)));
      const attempt = (): void => {
        const bound = this.#listeners.get(address);
        const mode = bound && this.#worstCut(host, bound.host);
        if (bound === undefined) refuse();
        else if (mode === 'break') fail('the link is cut');
        else if (mode === 'hold') this.#waiting.add(attempt);
        else settle(() => resolve(this.#connect(host, address, bound)));
      };
      const timer = this.#scheduler.after(timeoutMs, () =>
        fail(`no answer within ${timeoutMs} ms`),
      );
      this.#scheduler.soon(attempt);
    });
  }

  /** A dial needs both directions. */
  #worstCut(one: string, other: string): CutMode | undefined {
    const modes = [directionKey(one, other), directionKey(other, one)].map((key) =>
      this.#cuts.get(key),
    );
    return modes.find((mode) => mode === 'break') ?? modes.find((mode) => mode === 'hold');
  }

  #connect(host: string, address: string, bound: Bound): Connection {
    const make = (from: string, to: string, remoteAddress: string): MemoryConnection =>
      new MemoryConnection({
        from,
        to,
        remoteAddress,
        limits: this.#limits,
        copiesFrames: this.#copiesFrames,
        scheduler: this.#scheduler,
        isHeld: () => this.#cuts.get(directionKey(from, to)) === 'hold',
        whenHealed: (goOn) => this.#waiting.add(goOn),
        onEnded: (connection) => {
          this.#links.delete(connection);
          bound.accepted.delete(connection);
        },
      });
    const dialled = make(host, bound.host, address);
    const accepted = make(bound.host, host, host);
    dialled.join(accepted);
    accepted.join(dialled);
    this.#links.add(dialled).add(accepted);
    bound.accepted.add(accepted);
    bound.onConnection(accepted);
    return dialled;
  }
}

interface ConnectionParts {
  readonly from: string;
  readonly to: string;
  readonly remoteAddress: string;
  readonly limits: Limits;
  readonly copiesFrames: boolean;
  readonly scheduler: Scheduler;
  /** Whether what this side sends has to wait. */
  isHeld(): boolean;
  whenHealed(goOn: () => void): void;
  onEnded(connection: MemoryConnection): void;
}

/** One side of a link. It owns the queue of what it sends; the other side's handlers empty it. */
class MemoryConnection implements Connection {
  readonly remoteAddress: string;
  readonly #parts: ConnectionParts;
  #other: MemoryConnection | undefined;
  #handlers: ConnectionHandlers | undefined;
  #outgoing: Uint8Array[] = [];
  #outgoingBytes = 0;
  #full = false;
  #deliveryDue = false;
  #closed = false;
  #end: { readonly error: Error | undefined } | undefined;
  /** One function per side, so that waiting twice for a heal is waiting once. */
  readonly #deliverAgain = (): void => this.#deliverSoon();

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
    this.remoteAddress = parts.remoteAddress;
  }

  join(other: MemoryConnection): void {
    this.#other = other;
  }

  joins(one: string, other: string): boolean {
    const { from, to } = this.#parts;
    return (from === one && to === other) || (from === other && to === one);
  }

  send(frame: Uint8Array): boolean {
    checkFrameSize(frame.length);
    if (this.#closed) return false;
    this.#outgoing.push(frame);
    this.#outgoingBytes += frame.length;
    const { bytes, frames } = this.#parts.limits;
    if (this.#outgoingBytes > bytes || this.#outgoing.length > frames) this.#full = true;
    this.#deliverSoon();
    return !this.#full;
  }

  start(handlers: ConnectionHandlers): void {
    assert(this.#handlers === undefined, 'a connection is started once');
    this.#handlers = handlers;
    this.#peer().#deliverSoon();
    if (this.#end !== undefined) this.#tellEnd();
  }

  close(): void {
    if (this.#closed) return;
    this.#finish(undefined);
    this.#deliverSoon();
  }

  /** Ends the link at once for both sides. What was on its way is lost. */
  break(error: Error): void {
    this.#outgoing = [];
    this.#finish(error);
  }

  #peer(): MemoryConnection {
    return defined(this.#other, 'the other side of the link');
  }

  #deliverSoon(): void {
    if (this.#deliveryDue) return;
    this.#deliveryDue = true;
    this.#parts.scheduler.soon(() => {
      this.#deliveryDue = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    const receiver = this.#peer();
    if (this.#parts.isHeld()) {
      this.#parts.whenHealed(this.#deliverAgain);
      return;
    }
    if (receiver.#handlers === undefined && !receiver.#closed) return;
    const frames = this.#outgoing;
    this.#outgoing = [];
    this.#outgoingBytes = 0;
    const { copiesFrames } = this.#parts;
    for (const frame of copiesFrames ? frames.map(copyOf) : frames) {
      if (!receiver.#closed) receiver.#handlers?.onFrame(frame);
    }
    if (copiesFrames) this.#giveBackSoon(frames);
    if (this.#closed) {
      receiver.#finish(undefined);
    } else if (this.#full) {
      this.#full = false;
      this.#handlers?.onDrain();
    }
  }

  #giveBackSoon(frames: readonly Uint8Array[]): void {
    this.#parts.scheduler.soon(() => {
      for (const frame of frames) {
        // What is not given back is not ours to overwrite either.
        if (this.#closed || this.#handlers?.onSent === undefined) return;
        frame.fill(GIVEN_BACK);
        this.#handlers.onSent(frame);
      }
    });
  }

  #finish(error: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#end = { error };
    this.#parts.onEnded(this);
    if (this.#handlers !== undefined) this.#tellEnd();
  }

  #tellEnd(): void {
    this.#parts.scheduler.soon(() => {
      const end = this.#end;
      this.#end = undefined;
      if (end !== undefined) this.#handlers?.onClose(end.error);
    });
  }
}

/** Not by `slice`, which of a Buffer is a view. */
function copyOf(frame: Uint8Array): Uint8Array {
  return new Uint8Array(frame);
}

function directionKey(from: string, to: string): string {
  return `${from} -> ${to}`;
}
