/** A scheduler whose time passes only when the test says so; every run is the same. */
import type { Clock, Random, Scheduler, Timer } from '../../../src/shared/environment.js';

interface Due {
  readonly atMs: number;
  readonly task: () => void;
}

export class VirtualTime implements Scheduler, Clock {
  nowMs = 0;
  #timers = new Set<Due>();
  #soon: (() => void)[] = [];

  /** Timers that are set and not due. */
  get timers(): number {
    return this.#timers.size;
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.nowMs;
  }

  monotonicMs(): number {
    return this.nowMs;
  }

  after(delayMs: number, task: () => void): Timer {
    const due: Due = { atMs: this.nowMs + delayMs, task };
    this.#timers.add(due);
    return { cancel: () => void this.#timers.delete(due) };
  }

  every(periodMs: number, task: () => void): Timer {
    let timer = this.after(periodMs, tick.bind(this));
    function tick(this: VirtualTime): void {
      timer = this.after(periodMs, tick.bind(this));
      task();
    }
    return { cancel: () => timer.cancel() };
  }

  soon(task: () => void): void {
    this.#soon.push(task);
  }

  /** Runs all that is due without time passing, promise continuations included. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 3; ) {
      const tasks = this.#soon;
      this.#soon = [];
      for (const task of tasks) task();
      await new Promise((resolve) => setImmediate(resolve));
      quiet = tasks.length === 0 && this.#soon.length === 0 ? quiet + 1 : 0;
    }
  }

  /** Lets time pass, stopping at each timer on the way. */
  async pass(durationMs: number): Promise<void> {
    const endMs = this.nowMs + durationMs;
    await this.settle();
    for (;;) {
      const next = [...this.#timers].sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined || next.atMs > endMs) break;
      this.#timers.delete(next);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.task();
      await this.settle();
    }
    this.nowMs = endMs;
  }
}

/** The middle of every range. */
export const fixedRandom: Random = {
  next: () => 0.5,
  uuid: () => '00000000-0000-4000-8000-000000000000',
};
