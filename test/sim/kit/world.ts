import type { Timer } from '../../../src/shared/environment.js';
import { EventHeap, type SimEvent } from './event-heap.js';
import { SimRandom } from './sim-random.js';
import { TraceHash } from './trace-hash.js';

/**
 * One run of the simulation: virtual time, what is still to happen, and all randomness, from one
 * seed. Nothing in it waits: time jumps to the next event.
 *
 * Two ways to drive it: `step` where the code under test is synchronous, `run` where promises have
 * to settle between two events.
 */
export class World {
  readonly seed: number;
  readonly trace = new TraceHash();
  readonly #random: SimRandom;
  readonly #heap = new EventHeap();
  #nowMs = 0;
  #sequence = 0;
  #steps = 0;

  constructor(seed: number) {
    this.seed = seed;
    this.#random = new SimRandom(seed);
  }

  /** Virtual milliseconds since the world began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events that have happened. */
  get steps(): number {
    return this.#steps;
  }

  /** Events that are still to happen. */
  get pendingEvents(): number {
    return this.#heap.size;
  }

  /** A source of randomness for one component; the same name gives the same numbers. */
  fork(name: string): SimRandom {
    return this.#random.fork(name);
  }

  /** Does `task` when `delayMs` have passed. Events of the same time happen in this order. */
  after(delayMs: number, task: () => void): Timer {
    const timeMs = this.#nowMs + Math.max(0, delayMs);
    const event: SimEvent = { timeMs, sequence: this.#sequence++, task, isCancelled: false };
    this.#heap.push(event);
    return {
      cancel: () => {
        event.isCancelled = true;
      },
    };
  }

  /** As `after`, for events that nobody cancels. */
  schedule(delayMs: number, task: () => void): void {
    const timeMs = this.#nowMs + Math.max(0, delayMs);
    this.#heap.push({ timeMs, sequence: this.#sequence++, task, isCancelled: false });
  }

  /** Lets the next event happen. False when there is none. */
  step(): boolean {
    const event = this.#heap.pop();
    if (event === undefined) return false;
    this.#nowMs = event.timeMs;
    this.#steps += 1;
    event.task();
    return true;
  }

  /**
   * Lets events happen until `isDone`, with all promises settled between any two of them. Returns
   * why it ended: `idle` means that nothing is left that could happen.
   */
  async run(limits: {
    readonly untilMs?: number;
    readonly steps?: number;
    readonly isDone?: () => boolean;
  }): Promise<'done' | 'time' | 'steps' | 'idle'> {
    const lastStep = this.#steps + (limits.steps ?? Number.POSITIVE_INFINITY);
    const untilMs = limits.untilMs ?? Number.POSITIVE_INFINITY;
    await drainPromises();
    for (;;) {
      if (limits.isDone?.() === true) return 'done';
      if (this.#steps >= lastStep) return 'steps';
      const next = this.#heap.peek();
      if (next === undefined || next.timeMs > untilMs) {
        if (limits.untilMs !== undefined) this.#nowMs = untilMs;
        return next === undefined ? 'idle' : 'time';
      }
      this.step();
      await drainPromises();
    }
  }

  /** What `work` settles to; throws when it does not within `limitMs` of virtual time. */
  async settle<T>(work: Promise<T>, limitMs = 600_000): Promise<T> {
    let isSettled = false;
    const mark = (): void => {
      isSettled = true;
    };
    work.then(mark, mark);
    const why = await this.run({ untilMs: this.#nowMs + limitMs, isDone: () => isSettled });
    if (why !== 'done') throw new Error(`still waiting at ${this.#nowMs} ms: ${why}`);
    return work;
  }
}

/**
 * Lets all promise reactions run that are due. The event loop turns once: by then they all have,
 * however long their chains are. Costs 1 to 2 us.
 */
function drainPromises(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
