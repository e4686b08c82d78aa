import type { Connection, Listener, Network } from '../../../src/shared/environment.js';
import type { SimClock } from './sim-clock.js';
import { type LinkParts, SimConnection } from './sim-connection.js';
import type { SimRandom } from './sim-random.js';
import type { World } from './world.js';

export interface SimNetworkOptions {
  /** Every frame takes at least this long. @default 0.2 */
  readonly delayMinMs?: number;
  /** Mean of what comes on top, exponentially distributed. @default 1 */
  readonly delayMeanMs?: number;
  /** For each frame: that its connection breaks (a stream transport's loss). @default 0 */
  readonly breakProbability?: number;
  /** For each frame: that its direction stalls, up to `stallMaxMs`. @default 0 */
  readonly stallProbability?: number;
  /** @default 5000 */
  readonly stallMaxMs?: number;
  /** What arrives of a frame that goes to a host; nothing where undefined. @default all of it */
  readonly filter?: (toHost: string, frame: Uint8Array) => Uint8Array | undefined;
  /** Bytes on their way in one direction above which `send` answers false. @default 1 MiB */
  readonly bufferBytesMax?: number;
  /**
   * Whether frames are copied when they have left, and given back overwritten (`onSent`). Changes
   * nothing else of a run. @default false: by reference, and none is given back
   */
  readonly copiesFrames?: boolean;
  /** A frame of a host was changed before it had left. @default it throws */
  readonly onChangedFrame?: (fromHost: string, toHost: string) => void;
}

/**
 * `break`: open connections across the cut break, new ones are refused. `hold`: nothing arrives
 * and nobody is told, as behind a firewall that drops packets; it arrives after the heal.
 */
export type CutMode = 'break' | 'hold';

interface Bound {
  readonly host: SimHost;
  readonly onConnection: (connection: Connection) => void;
  readonly accepted: Set<SimConnection>;
}

/** Streams of frames between hosts, with delays and faults drawn from the world's seed. */
export class SimNetwork {
  readonly #world: World;
  readonly #random: SimRandom;
  readonly #options: Required<SimNetworkOptions>;
  readonly #listeners = new Map<string, Bound>();
  readonly #cuts = new Map<string, CutMode>();
  readonly #links = new Set<SimConnection>();
  /** Direction by direction: until when nothing arrives. */
  readonly #stalls = new Map<string, number>();
  /** What waits for the end of a cut. */
  #held: (() => void)[] = [];
  #faultsOn = true;
  #framesGivenBack = 0;
  #nextPort = 1;

  constructor(world: World, options: SimNetworkOptions = {}) {
    this.#world = world;
    this.#random = world.fork('network');
    this.#options = {
      delayMinMs: 0.2,
      delayMeanMs: 1,
      breakProbability: 0,
      stallProbability: 0,
      stallMaxMs: 5_000,
      bufferBytesMax: 1024 * 1024,
      filter: (_, frame) => frame,
      copiesFrames: false,
      onChangedFrame: (from, to) => {
        throw new Error(`a frame from ${from} to ${to} was changed before it had left`);
      },
      ...options,
    };
  }

  /** The network as one process sees it. A restarted process takes a new one. */
  host(name: string, clock: SimClock): SimHost {
    return new SimHost(name, clock, {
      listen: (host, address, onConnection) => this.#listen(host, address, onConnection),
      dial: (host, address, timeoutMs) => this.#dial(host, address, timeoutMs),
      end: (host, how) => this.#endHost(host, how),
    });
  }

  /** Cuts one direction. Replaces an earlier cut of it. */
  cut(from: string, to: string, mode: CutMode): void {
    this.#cuts.set(directionKey(from, to), mode);
    if (mode === 'hold') return;
    for (const link of [...this.#links]) if (link.joins(from, to)) link.break('the link was cut');
  }

  /** Ends all cuts and stalls. */
  heal(): void {
    this.#cuts.clear();
    this.#stalls.clear();
    const held = this.#held;
    this.#held = [];
    for (const goOn of held) goOn();
  }

  /** Breaks all connections between two hosts, which may dial again at once. */
  breakLinks(one: string, other: string): void {
    for (const link of [...this.#links]) {
      if (link.joins(one, other)) link.break('connection reset by peer');
    }
  }

  /** Nothing goes from one to the other for a while; then all of it arrives. */
  stall(from: string, to: string, durationMs: number): void {
    this.#stalls.set(directionKey(from, to), this.#world.nowMs + durationMs);
  }

  /** Frames whose memory their senders have back. */
  get framesGivenBack(): number {
    return this.#framesGivenBack;
  }

  /** Switches the faults that are drawn for each frame; cuts and stalls are the caller's. */
  set faultsOn(on: boolean) {
    this.#faultsOn = on;
  }

  async #listen(
    host: SimHost,
    address: string,
    onConnection: (connection: Connection) => void,
  ): Promise<Listener> {
    const bound = address.endsWith(':0') ? address.slice(0, -1) + this.#nextPort++ : address;
    const current = this.#listeners.get(bound);
    if (current !== undefined && !current.host.clock.isStopped) {
      throw new Error(`the address ${bound} is in use`);
    }
    const entry: Bound = { host, onConnection, accepted: new Set() };
    this.#listeners.set(bound, entry);
    return {
      address: bound,
      close: async () => {
        if (this.#listeners.get(bound) === entry) this.#listeners.delete(bound);
        for (const connection of [...entry.accepted]) connection.close();
      },
    };
  }

  #dial(host: SimHost, address: string, timeoutMs: number): Promise<Connection> {
    return new Promise((resolve, reject) => {
      let isSettled = false;
      const settle = (act: () => void): void => {
        if (isSettled) return;
        isSettled = true;
        timer.cancel();
        host.clock.whenRunning(this.#delayMs(), act);
      };
      const refuse = (why: string): void =>
        settle(() => reject(new Error(`cannot reach ${address}: ${why}`)));
      const attempt = (): void => {
        if (isSettled || host.clock.isStopped) return;
        const bound = this.#listeners.get(address);
        const cut = bound && this.#worstCut(host.name, bound.host.name);
        if (bound === undefined) refuse('connection refused');
        else if (cut === 'break') refuse('the link is cut');
        else if (cut === 'hold') this.#held.push(attempt);
        else if (!bound.host.isUnreachable) {
          settle(() => resolve(this.#connect(host, address, bound)));
        }
      };
      const timer = host.clock.after(timeoutMs, () => refuse(`no answer within ${timeoutMs} ms`));
      this.#world.schedule(this.#delayMs(), attempt);
    });
  }

  #connect(host: SimHost, address: string, bound: Bound): Connection {
    const dialled = new SimConnection(this.#parts(host, bound.host, address));
    const accepted = new SimConnection(this.#parts(bound.host, host, host.name), () =>
      bound.accepted.delete(accepted),
    );
    SimConnection.join(dialled, accepted);
    this.#links.add(dialled).add(accepted);
    if (this.#listeners.get(address) !== bound || bound.host.clock.isStopped) {
      dialled.break('connection reset by peer');
      return dialled;
    }
    bound.accepted.add(accepted);
    bound.host.clock.whenRunning(0, () => bound.onConnection(accepted));
    return dialled;
  }

  #parts(from: SimHost, to: SimHost, remoteAddress: string): LinkParts {
    const key = directionKey(from.name, to.name);
    return {
      fromHost: from.name,
      toHost: to.name,
      remoteAddress,
      own: from.clock,
      world: this.#world,
      bufferBytesMax: this.#options.bufferBytesMax,
      copiesFrames: this.#options.copiesFrames,
      delayMs: () => this.#delayMs() + this.#stallMs(key),
      left: (frame) => this.#options.filter(to.name, frame),
      isHeld: () => this.#cuts.get(key) === 'hold',
      whenHealed: (goOn) => this.#held.push(goOn),
      breaksNow: () => this.#faultsOn && this.#random.chance(this.#options.breakProbability),
      onChanged: () => this.#options.onChangedFrame(from.name, to.name),
      onGivenBack: () => {
        this.#framesGivenBack += 1;
      },
      onEnded: (link) => this.#links.delete(link),
    };
  }

  #delayMs(): number {
    return this.#options.delayMinMs + this.#random.exponential(this.#options.delayMeanMs);
  }

  #stallMs(key: string): number {
    const { stallProbability, stallMaxMs } = this.#options;
    const { nowMs } = this.#world;
    if (this.#faultsOn && this.#random.chance(stallProbability)) {
      this.#stalls.set(key, nowMs + this.#random.between(0, stallMaxMs));
    }
    return Math.max(0, (this.#stalls.get(key) ?? 0) - nowMs);
  }

  /** A connection needs both directions. */
  #worstCut(one: string, other: string): CutMode | undefined {
    const there = this.#cuts.get(directionKey(one, other));
    const back = this.#cuts.get(directionKey(other, one));
    if (there === 'break' || back === 'break') return 'break';
    return there ?? back;
  }

  #endHost(host: SimHost, how: 'reset' | 'silent'): void {
    for (const [address, bound] of [...this.#listeners]) {
      if (bound.host === host && how === 'reset') this.#listeners.delete(address);
    }
    for (const link of [...this.#links]) {
      if (!link.belongsTo(host.clock)) continue;
      if (how === 'reset') link.break('connection reset by peer');
      else link.vanish();
    }
  }
}

interface HostActions {
  listen(
    host: SimHost,
    address: string,
    onConnection: (connection: Connection) => void,
  ): Promise<Listener>;
  dial(host: SimHost, address: string, timeoutMs: number): Promise<Connection>;
  end(host: SimHost, how: 'reset' | 'silent'): void;
}

/** The network of one process. */
export class SimHost implements Network {
  readonly name: string;
  readonly clock: SimClock;
  readonly #actions: HostActions;
  #isUnreachable = false;

  constructor(name: string, clock: SimClock, actions: HostActions) {
    this.name = name;
    this.clock = clock;
    this.#actions = actions;
  }

  /** The machine is gone: who dials gets no answer at all. */
  get isUnreachable(): boolean {
    return this.#isUnreachable;
  }

  listen(address: string, onConnection: (connection: Connection) => void): Promise<Listener> {
    return this.#actions.listen(this, address, onConnection);
  }

  dial(address: string, { timeoutMs }: { timeoutMs: number }): Promise<Connection> {
    return this.#actions.dial(this, address, timeoutMs);
  }

  /**
   * The process has died. `reset`: its kernel closes the connections and refuses new ones.
   * `silent`: the machine is gone as well, nobody is told anything.
   */
  end(how: 'reset' | 'silent'): void {
    this.#isUnreachable = how === 'silent';
    this.#actions.end(this, how);
  }
}

function directionKey(from: string, to: string): string {
  return `${from} -> ${to}`;
}
