import type { Clock, Scheduler, Timer } from '../../../src/shared/environment.js';
import type { World } from './world.js';

const WALL_ORIGIN_MS = 1_800_000_000_000;

export interface SimClockOptions {
  /** What the monotonic clock shows when the world begins. @default 0 */
  readonly offsetMs?: number;
  /** How fast it goes: 1.05 is 5 % too fast. Timers run by it. @default 1 */
  readonly rate?: number;
  /** How far the wall clock is off. @default 0 */
  readonly wallOffsetMs?: number;
}

/**
 * Clock and timers of one process. Both run at the process's own rate.
 *
 * `pause` stops the process as SIGSTOP does: nothing of it happens, while its clocks go on.
 * `resume` lets what fell due happen at once, in order. `stop` is the end of the process: nothing
 * of it ever happens again.
 */
export class SimClock implements Clock, Scheduler {
  readonly #world: World;
  readonly #offsetMs: number;
  readonly #rate: number;
  #wallOffsetMs: number;
  #state: 'running' | 'paused' | 'stopped' = 'running';
  #overdue: (() => void)[] = [];

  constructor(world: World, options: SimClockOptions = {}) {
    this.#world = world;
    this.#offsetMs = options.offsetMs ?? 0;
    this.#rate = options.rate ?? 1;
    this.#wallOffsetMs = options.wallOffsetMs ?? 0;
  }

  get isRunning(): boolean {
    return this.#state === 'running';
  }

  get isStopped(): boolean {
    return this.#state === 'stopped';
  }

  wallMs(): number {
    return Math.floor(WALL_ORIGIN_MS + this.#world.nowMs * this.#rate + this.#wallOffsetMs);
  }

  monotonicMs(): number {
    return this.#offsetMs + this.#world.nowMs * this.#rate;
  }

  /** Somebody sets the wall clock. */
  jumpWall(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  after(delayMs: number, task: () => void): Timer {
    return this.#afterWorldMs(Math.max(0, delayMs) / this.#rate, task);
  }

  every(periodMs: number, task: () => void): Timer {
    let isCancelled = false;
    let pending: Timer;
    const next = (): void => {
      pending = this.after(periodMs, () => {
        next();
        if (!isCancelled) task();
      });
    };
    next();
    return {
      cancel: () => {
        isCancelled = true;
        pending.cancel();
      },
    };
  }

  soon(task: () => void): void {
    this.#afterWorldMs(0, task);
  }

  /**
   * Does `task` in this process once `delayMs` of the world have passed: for what comes from
   * outside, such as a disk or a network, which do not go by the process's clock.
   */
  whenRunning(delayMs: number, task: () => void): void {
    this.#afterWorldMs(delayMs, task);
  }

  pause(): void {
    if (this.#state === 'running') this.#state = 'paused';
  }

  resume(): void {
    if (this.#state !== 'paused') return;
    this.#state = 'running';
    const overdue = this.#overdue;
    this.#overdue = [];
    for (const task of overdue) this.#afterWorldMs(0, task);
  }

  stop(): void {
    this.#state = 'stopped';
    this.#overdue = [];
  }

  #afterWorldMs(delayMs: number, task: () => void): Timer {
    let isCancelled = false;
    const runUnlessCancelled = (): void => {
      if (!isCancelled) this.#runOrKeep(task, runUnlessCancelled);
    };
    const timer = this.#world.after(delayMs, runUnlessCancelled);
    return {
      cancel: () => {
        isCancelled = true;
        timer.cancel();
      },
    };
  }

  #runOrKeep(task: () => void, again: () => void): void {
    switch (this.#state) {
      case 'running':
        task();
        return;
      case 'paused':
        this.#overdue.push(again);
        return;
      case 'stopped':
        return;
    }
  }
}
