/** The time that one request has left, whatever the number of attempts it takes. */
import type { Deadline } from '../shared/deadline.js';
import type { Clock } from '../shared/environment.js';
import type { GiveUpSignal } from '../shared/give-up.js';

export class TimeBudget {
  readonly signal: GiveUpSignal | undefined;
  readonly #clock: Clock;
  readonly #endMs: number;

  constructor(clock: Clock, deadline: Deadline) {
    this.#clock = clock;
    this.#endMs = clock.monotonicMs() + deadline.timeoutMs;
    this.signal = deadline.signal;
  }

  get leftMs(): number {
    return Math.max(0, this.#endMs - this.#clock.monotonicMs());
  }

  get isCancelled(): boolean {
    return this.signal?.aborted === true;
  }

  get isSpent(): boolean {
    return this.isCancelled || this.leftMs === 0;
  }

  /** A budget over the first part of what is left, `share` from 0 to 1. */
  firstPart(share: number): TimeBudget {
    return this.firstMs(this.leftMs * share);
  }

  /** A budget that ends after `durationMs`, or with this one if that is sooner. */
  firstMs(durationMs: number): TimeBudget {
    const timeoutMs = Math.min(durationMs, this.leftMs);
    return new TimeBudget(this.#clock, { timeoutMs, signal: this.signal });
  }

  /** For waiting on a single thing. */
  toDeadline(): Deadline {
    return { timeoutMs: this.leftMs, signal: this.signal };
  }
}
