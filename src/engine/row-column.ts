/** A 32-bit number a row (or a label): 4 bytes each, grown by doubling as far as it is used. */

/** What is found where nothing was set. */
export const NONE = 0xffff_ffff;

const INITIAL_CAPACITY = 64;

export class RowColumn {
  #values = new Uint32Array(INITIAL_CAPACITY).fill(NONE);

  /** The number at `at`, or `NONE`. */
  get(at: number): number {
    return at < this.#values.length ? (this.#values[at] as number) : NONE;
  }

  set(at: number, value: number): void {
    if (at >= this.#values.length) this.#grow(at);
    this.#values[at] = value;
  }

  clear(at: number): void {
    if (at < this.#values.length) this.#values[at] = NONE;
  }

  get memoryBytes(): number {
    return this.#values.byteLength;
  }

  #grow(at: number): void {
    let capacity = this.#values.length;
    while (capacity <= at) capacity *= 2;
    const grown = new Uint32Array(capacity).fill(NONE);
    grown.set(this.#values);
    this.#values = grown;
  }
}
