import type { Random } from '../../../src/shared/environment.js';

/**
 * A seeded source of randomness (xoshiro128**), with the draws that simulations need.
 *
 * `fork` makes an independent source from a name: a component that draws more numbers than before
 * changes nothing for the others, so that a shrunk run stays close to the one that failed.
 */
export class SimRandom implements Random {
  readonly #origin: number;
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number) {
    this.#origin = seed >>> 0;
    const next = splitMix(seed);
    this.#a = next();
    this.#b = next();
    this.#c = next();
    // The one state that the generator would never leave is all zeros.
    this.#d = next() | 1;
  }

  fork(name: string): SimRandom {
    let hash = 0x811c9dc5 ^ this.#origin;
    for (let at = 0; at < name.length; at += 1) {
      hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193);
    }
    return new SimRandom(splitMix(hash)());
  }

  /** 32 random bits, as an unsigned number. */
  bits(): number {
    const b = this.#b;
    const mixed = Math.imul(b, 5);
    const result = Math.imul((mixed << 7) | (mixed >>> 25), 9) >>> 0;
    const shifted = b << 9;
    this.#c ^= this.#a;
    this.#d ^= b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  next(): number {
    return this.bits() / 2 ** 32;
  }

  uuid(): string {
    const digits = [0, 0, 0, 0].map(() => this.bits().toString(16).padStart(8, '0')).join('');
    const parts = [digits.slice(0, 8), digits.slice(8, 12), `4${digits.slice(13, 16)}`];
    return [...parts, `8${digits.slice(17, 20)}`, digits.slice(20)].join('-');
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return probability > 0 && this.next() < probability;
  }

  /** An integer with `min <= result <= max`. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  /** A number with `min <= result < max`. */
  between(min: number, max: number): number {
    return min + this.next() * (max - min);
  }

  /** Exponentially distributed: mostly short, sometimes long. At most 20 times the mean. */
  exponential(mean: number): number {
    return Math.min(-Math.log(1 - this.next()), 20) * mean;
  }

  /** One of the items. Throws a `RangeError` where there is none. */
  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError('nothing to pick from');
    return items[Math.floor(this.next() * items.length)] as T;
  }

  /** The items in another order. */
  shuffled<T>(items: readonly T[]): T[] {
    const left = [...items];
    const result: T[] = [];
    while (left.length > 0) {
      const at = Math.floor(this.next() * left.length);
      result.push(...left.splice(at, 1));
    }
    return result;
  }
}

/** Spreads a seed over 32-bit words: seeds that differ little give states that differ much. */
function splitMix(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  };
}
