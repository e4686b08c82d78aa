/**
 * How old the state of a replica is, at most: it holds all that was committed before a moment of
 * this node's own clocks (R11).
 */
import type { Clock } from '../shared/environment.js';
import { DRIFT_FRACTION } from './timing.js';

/** One moment, by both clocks of this node. */
export interface Moment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

export class FreshnessMark {
  readonly #clock: Clock;
  #newest: Moment | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** All that was committed before it is applied here; undefined while nothing is known. */
  get newest(): Moment | undefined {
    return this.#newest;
  }

  now(): Moment {
    return { monotonicMs: this.#clock.monotonicMs(), wallMs: this.#clock.wallMs() };
  }

  /** `complete` has to be from before the question was asked that is answered by now. */
  note(complete: Moment): void {
    if (this.#newest !== undefined && complete.monotonicMs <= this.#newest.monotonicMs) return;
    this.#newest = complete;
  }

  /**
   * Milliseconds since the moment, at least: the clock may run slow within the drift that leases
   * allow for (R9). A suspended machine stops the monotonic clock, a jump the wall clock: each of
   * them can make the age greater than it is, both together are needed to make it less.
   */
  ageMs({ monotonicMs, wallMs }: Moment): number {
    const elapsedMs = this.#clock.monotonicMs() - monotonicMs;
    return Math.max(elapsedMs, this.#clock.wallMs() - wallMs) * (1 + DRIFT_FRACTION);
  }
}
