import type { Message } from '../../../src/raft/types.js';
import type { Cut } from '../kit/partitions.js';
import type { SimRandom } from '../kit/sim-random.js';
import type { World } from '../kit/world.js';
import type { Swarm } from './swarm.js';

const LINK_STRIDE = 64;

interface Link {
  underWay: number;
  lastArrivalMs: number;
  clogUntilMs: number;
  isCut: boolean;
}

/**
 * A network of single messages between machines 0 to 63: each may be late, lost, doubled, overtake
 * others, be dropped because too many are under way, or be cut off.
 */
export class MessageNetwork {
  readonly #world: World;
  readonly #random: SimRandom;
  readonly #options: Swarm['network'];
  readonly #links = new Map<number, Link>();
  readonly #receive: (machine: number, message: Message) => void;
  /** Off: everything arrives, after the usual delay. */
  faultsOn = true;

  constructor(
    world: World,
    options: Swarm['network'],
    receive: (machine: number, message: Message) => void,
  ) {
    this.#world = world;
    this.#random = world.fork('messages');
    this.#options = options;
    this.#receive = receive;
  }

  send(from: number, to: number, message: Message): void {
    const link = this.#link(from, to);
    if (this.#isLost(link)) return;
    this.#dispatch(link, to, message);
    if (this.faultsOn && this.#random.chance(this.#options.duplicateProbability)) {
      this.#dispatch(link, to, message);
    }
  }

  /** Also cuts off what is under way. */
  cut(cuts: readonly Cut<number>[]): void {
    for (const [from, to] of cuts) this.#link(from, to).isCut = true;
  }

  heal(): void {
    for (const link of this.#links.values()) {
      link.isCut = false;
      link.clogUntilMs = 0;
    }
  }

  isCut(from: number, to: number): boolean {
    return this.#link(from, to).isCut;
  }

  /** What is sent from now on arrives after the clog. */
  clog(from: number, to: number, durationMs: number): void {
    this.#link(from, to).clogUntilMs = this.#world.nowMs + durationMs;
  }

  /** One delay of a message. */
  delayMs(): number {
    return this.#options.delayMinMs + this.#random.exponential(this.#options.delayMeanMs);
  }

  #isLost(link: Link): boolean {
    if (!this.faultsOn) return false;
    if (link.isCut || link.underWay >= this.#options.linkCapacity) return true;
    return this.#random.chance(this.#options.lossProbability);
  }

  #dispatch(link: Link, to: number, message: Message): void {
    const { nowMs } = this.#world;
    let arrivalMs = Math.max(nowMs, link.clogUntilMs) + this.delayMs();
    if (this.#options.isOrdered) arrivalMs = Math.max(arrivalMs, link.lastArrivalMs);
    link.lastArrivalMs = Math.max(arrivalMs, link.lastArrivalMs);
    link.underWay += 1;
    this.#world.schedule(arrivalMs - nowMs, () => {
      link.underWay -= 1;
      if (!link.isCut) this.#receive(to, message);
    });
  }

  #link(from: number, to: number): Link {
    const key = from * LINK_STRIDE + to;
    let link = this.#links.get(key);
    if (link === undefined) {
      link = { underWay: 0, lastArrivalMs: 0, clogUntilMs: 0, isCut: false };
      this.#links.set(key, link);
    }
    return link;
  }
}
