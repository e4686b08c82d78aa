/**
 * How long a follower has been behind, in time: the age of the oldest committed index that it does
 * not have. The leader samples its commit index once a tick, so the answer is a tick too small at
 * most. Memory is bounded by the number of samples kept.
 */
const SAMPLES_MAX = 1_024;

export class LagMeter {
  /** Ascending in both numbers; `atMs` is when `commit` was first seen. */
  readonly #samples: { readonly atMs: number; readonly commit: number }[] = [];

  sample(nowMs: number, commit: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && last.commit >= commit) return;
    this.#samples.push({ atMs: nowMs, commit });
    if (this.#samples.length > SAMPLES_MAX) this.#samples.shift();
  }

  /** Milliseconds since the follower at `match` fell behind; 0 while it has all. */
  lagMs(nowMs: number, match: number): number {
    const firstMissing = this.#samples.find((sample) => sample.commit > match);
    return firstMissing === undefined ? 0 : nowMs - firstMissing.atMs;
  }

  reset(): void {
    this.#samples.length = 0;
  }
}
