/** Goal: run code that waits without waiting. Method: a clock that only moves when told to. */
import type {
  Clock,
  Disk,
  Environment,
  Network,
  Random,
  Scheduler,
  Timer,
} from '../../src/shared/environment.js';

interface PendingTimer {
  readonly task: () => void;
  readonly periodMs: number | undefined;
  readonly order: number;
  dueMs: number;
}

/**
 * Clock, timers and randomness under the test's control; everything is decided by the seed and the
 * order of calls. Disk and network are the test's own, where it needs them.
 */
export class VirtualEnvironment implements Environment {
  readonly clock: Clock = {
    wallMs: () => this.#wallOriginMs + this.#nowMs,
    monotonicMs: () => this.#nowMs,
  };
  readonly scheduler: Scheduler = {
    after: (delayMs, task) => this.#add(Math.max(0, delayMs), undefined, task),
    every: (periodMs, task) => this.#add(periodMs, periodMs, task),
    soon: (task) => void this.#add(0, undefined, task),
  };
  readonly random: Random;
  readonly #parts: { readonly disk?: Disk; readonly network?: Network };
  readonly #wallOriginMs: number;
  readonly #timers = new Set<PendingTimer>();
  #nowMs = 0;
  #order = 0;

  constructor(options: { seed?: number; wallMs?: number; disk?: Disk; network?: Network } = {}) {
    this.#wallOriginMs = options.wallMs ?? 1_800_000_000_000;
    this.#parts = options;
    this.random = seededRandom(options.seed ?? 1);
  }

  get disk(): Disk {
    if (this.#parts.disk === undefined) throw new Error('this test gave no disk');
    return this.#parts.disk;
  }

  get network(): Network {
    if (this.#parts.network === undefined) throw new Error('this test gave no network');
    return this.#parts.network;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  get pendingTimers(): number {
    return this.#timers.size;
  }

  /** Lets `durationMs` pass: runs what falls due, in order, and what follows from it. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs;
    await drainPromises();
    for (let next = this.#next(); next !== undefined && next.dueMs <= endMs; next = this.#next()) {
      this.#run(next);
      await drainPromises();
    }
    this.#nowMs = endMs;
  }

  /**
   * What `work` settles to, letting as much time pass as that takes. Throws when nothing is left
   * that could settle it, or `limitMs` have passed: the code under test hangs.
   */
  async settle<T>(work: Promise<T>, limitMs = 600_000): Promise<T> {
    const endMs = this.#nowMs + limitMs;
    let isSettled = false;
    const mark = (): void => {
      isSettled = true;
    };
    work.then(mark, mark);
    await drainPromises();
    while (!isSettled) {
      const next = this.#next();
      if (next === undefined || next.dueMs > endMs) {
        throw new Error(`still waiting at ${this.#nowMs} ms, ${this.#timers.size} timers pending`);
      }
      this.#run(next);
      await drainPromises();
    }
    return work;
  }

  #add(delayMs: number, periodMs: number | undefined, task: () => void): Timer {
    const timer = { task, periodMs, order: this.#order++, dueMs: this.#nowMs + delayMs };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  #next(): PendingTimer | undefined {
    let first: PendingTimer | undefined;
    for (const timer of this.#timers) {
      const isSooner =
        first === undefined ||
        timer.dueMs < first.dueMs ||
        (timer.dueMs === first.dueMs && timer.order < first.order);
      if (isSooner) first = timer;
    }
    return first;
  }

  #run(timer: PendingTimer): void {
    this.#nowMs = Math.max(this.#nowMs, timer.dueMs);
    if (timer.periodMs === undefined) this.#timers.delete(timer);
    else timer.dueMs = this.#nowMs + timer.periodMs;
    timer.task();
  }
}

/** Lets all promise reactions run that are due without time passing. */
export function drainPromises(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A small seeded generator (mulberry32); the same seed gives the same run. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const digit = (): string => Math.floor(next() * 16).toString(16);
  const digits = (length: number): string => Array.from({ length }, digit).join('');
  const uuid = (): string =>
    [digits(8), digits(4), `4${digits(3)}`, `8${digits(3)}`, digits(12)].join('-');
  return { next, uuid };
}
