/**
 * How long to wait before a repeat: a random time from nothing up to a bound that doubles, so that
 * calls that failed together do not come back together ("full jitter").
 */
export interface FullJitterOptions {
  /** Bound of the first wait. */
  readonly minMs: number;
  /** Bound of any wait. */
  readonly maxMs: number;
  /** A float in [0, 1). */
  readonly random: () => number;
}

export class FullJitter {
  readonly #options: FullJitterOptions;
  #boundMs: number;

  constructor(options: FullJitterOptions) {
    this.#options = options;
    this.#boundMs = Math.min(options.minMs, options.maxMs);
  }

  nextMs(): number {
    const delayMs = this.#options.random() * this.#boundMs;
    // Also from a bound of nothing: repeats without any pause would bury a node that is starting.
    this.#boundMs = Math.min(Math.max(1, 2 * this.#boundMs), this.#options.maxMs);
    return delayMs;
  }
}
