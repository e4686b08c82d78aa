import type { Message } from '../../../src/raft/types.js';
import type { Cut } from '../kit/partitions.js';
import type { SimRandom } from '../kit/sim-random.js';
import type { World } from '../kit/world.js';
import type { Swarm } from './swarm.js';

const LINK_STRIDE = 64;
const HEALTHY_DELAY_MS = 5;
/** Mean of how late a second copy is, in delays of a message. */
const REPLAY_DELAYS = 10;

interface Link {
  underWay: number;
  lastArrivalMs: number;
  clogUntilMs: number;
  /** How much longer orders to campaign take than other messages. */
  orderExtraMs: number;
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
  /** Off: everything arrives, and soon. */
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
    const isOrder = this.faultsOn && message.type === 'MsgTimeoutNow';
    this.#dispatch(link, to, message, isOrder ? link.orderExtraMs : 0);
    if (this.faultsOn && this.#random.chance(this.#options.duplicateProbability)) {
      // The copy may come when much else has happened.
      const extraMs = this.#random.exponential(REPLAY_DELAYS * this.delayMs());
      this.#dispatch(link, to, message, this.#options.isOrdered ? 0 : extraMs);
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

  /** The next orders to campaign are on their way for much longer than what is sent after them. */
  delayOrders(from: number, to: number, extraMs: number): void {
    this.#link(from, to).orderExtraMs = extraMs;
  }

  /** One delay of a message. */
  delayMs(): number {
    const { delayMinMs, delayMeanMs } = this.#options;
    const meanMs = this.faultsOn ? delayMeanMs : Math.min(delayMeanMs, HEALTHY_DELAY_MS);
    return delayMinMs + this.#random.exponential(meanMs);
  }

  #isLost(link: Link): boolean {
    if (!this.faultsOn) return false;
    if (link.isCut || link.underWay >= this.#options.linkCapacity) return true;
    return this.#random.chance(this.#options.lossProbability);
  }

  #dispatch(link: Link, to: number, message: Message, extraMs: number): void {
    const { nowMs } = this.#world;
    let arrivalMs = Math.max(nowMs, link.clogUntilMs) + this.delayMs() + extraMs;
    if (this.#options.isOrdered && extraMs === 0) {
      arrivalMs = Math.max(arrivalMs, link.lastArrivalMs);
      link.lastArrivalMs = arrivalMs;
    }
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
      link = { underWay: 0, lastArrivalMs: 0, clogUntilMs: 0, orderExtraMs: 0, isCut: false };
      this.#links.set(key, link);
    }
    return link;
  }
}
