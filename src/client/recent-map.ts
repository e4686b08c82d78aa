/** A map of bounded size: what was not used for the longest time makes room for what is new. */
export class RecentMap<Key, Value> {
  readonly #sizeMax: number;
  /** In the order of their last use. */
  readonly #entries = new Map<Key, Value>();

  constructor(sizeMax: number) {
    this.#sizeMax = sizeMax;
  }

  get(key: Key): Value | undefined {
    const value = this.#entries.get(key);
    if (value === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, value);
    return value;
  }

  set(key: Key, value: Value): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    const [oldest = key] = this.#entries.keys();
    if (this.#entries.size > this.#sizeMax) this.#entries.delete(oldest);
  }

  values(): Iterable<Value> {
    return this.#entries.values();
  }
}
