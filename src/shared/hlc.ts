/**
 * Hybrid logical clock that stamps record versions: 48 bits of milliseconds, 16 of counter.
 * Only the leader of a shard draws from it; everyone else just reads the stamp in the entry.
 */
import type { Version } from './types.js';

const COUNTER_BITS = 16n;

export class HybridClock {
  #last: Version = 0n;

  /** The highest version given out or seen so far. */
  get last(): Version {
    return this.#last;
  }

  /** Takes note of a version from the log. It is always accepted, however far ahead it is. */
  observe(version: Version): void {
    if (version > this.#last) this.#last = version;
  }

  /** A version above all before it: the wall clock where that is ahead, else one more. */
  next(wallMs: number): Version {
    const now = BigInt(Math.max(0, Math.floor(wallMs))) << COUNTER_BITS;
    this.#last = now > this.#last ? now : this.#last + 1n;
    return this.#last;
  }
}

/** Wall-clock milliseconds of a version, for display. */
export function versionMs(version: Version): number {
  return Number(version >> COUNTER_BITS);
}
