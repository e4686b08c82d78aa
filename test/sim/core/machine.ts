import type { SimRandom } from '../kit/sim-random.js';
import type { World } from '../kit/world.js';

/**
 * One computer: a clock that runs at its own rate, and a process that can be paused. It holds at
 * most one replica at a time.
 */
export class Machine {
  readonly index: number;
  readonly random: SimRandom;
  readonly #world: World;
  readonly #offsetMs: number;
  readonly #rate: number;
  #isPaused = false;
  #overdue: (() => void)[] = [];

  constructor(world: World, index: number, driftFraction: number) {
    this.index = index;
    this.#world = world;
    this.random = world.fork(`machine ${index}`);
    this.#offsetMs = this.random.between(1, 1_000_000);
    // Mostly as far off as allowed: what holds at the ends holds between them.
    this.#rate = 1 + driftFraction * this.random.pick([-1, 1, this.random.between(-1, 1)]);
  }

  /** The monotonic clock. It goes on while the process is paused. */
  get nowMs(): number {
    return this.#offsetMs + this.#world.nowMs * this.#rate;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** How long a duration of this machine's clock takes in the world. */
  worldMs(ownMs: number): number {
    return ownMs / this.#rate;
  }

  /** Does `task` now, or when the process goes on. */
  run(task: () => void): void {
    if (this.#isPaused) this.#overdue.push(task);
    else task();
  }

  pause(): void {
    this.#isPaused = true;
  }

  /** What happened meanwhile is handed over at once, in order. */
  resume(): void {
    this.#isPaused = false;
    const overdue = this.#overdue;
    this.#overdue = [];
    for (const task of overdue) this.#world.schedule(0, () => this.run(task));
  }

  /** What waited for a process that is gone is gone as well. */
  forgetOverdue(): void {
    this.#overdue = [];
    this.#isPaused = false;
  }
}
