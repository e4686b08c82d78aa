/** A quantile of the latest values of a stream, such as the p95 of how long answers take. */

export interface RecentQuantileOptions {
  /** From 0 to 1. */
  readonly quantile: number;
  /** Values that count: the latest ones. Costs 8 bytes each. */
  readonly windowSize: number;
  /** Values without which there is no answer. */
  readonly valuesMin: number;
}

/** The answer is worked out anew when so much of the window is. */
const REFRESH_SHARE = 1 / 8;

export class RecentQuantile {
  readonly #options: RecentQuantileOptions;
  readonly #values: Float64Array;
  #count = 0;
  #known: number | undefined;
  #knownAtCount = 0;

  constructor(options: RecentQuantileOptions) {
    this.#options = options;
    this.#values = new Float64Array(options.windowSize);
  }

  add(value: number): void {
    this.#values[this.#count % this.#values.length] = value;
    this.#count += 1;
  }

  /**
   * As it was at most an eighth of the window ago; undefined before there are enough values. Costs
   * a sort of the window each time that an eighth of it is new.
   */
  get value(): number | undefined {
    if (this.#count < this.#options.valuesMin) return undefined;
    const news = this.#count - this.#knownAtCount;
    if (this.#known === undefined || news >= REFRESH_SHARE * this.#values.length) {
      const sorted = this.#values.slice(0, Math.min(this.#count, this.#values.length)).sort();
      const rank = Math.ceil(this.#options.quantile * sorted.length);
      this.#known = sorted[Math.max(0, rank - 1)];
      this.#knownAtCount = this.#count;
    }
    return this.#known;
  }
}
