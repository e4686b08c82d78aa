import { InvariantViolation } from '../observer.js';

/**
 * What the group has committed, as far as anyone knows: index by index the term of the entry and
 * the hash of the history up to it. Invariants share it; nothing is ever taken out.
 */
export class CommittedLog {
  readonly #hashes: (number | undefined)[] = [];
  readonly #terms: (number | undefined)[] = [];
  #lastIndex = 0;
  #maxTerm = 0;

  /** The highest index that is known to be committed. */
  get lastIndex(): number {
    return this.#lastIndex;
  }

  /** The highest term of a committed entry. */
  get maxTerm(): number {
    return this.#maxTerm;
  }

  termAt(index: number): number | undefined {
    return this.#terms[index];
  }

  hashAt(index: number): number | undefined {
    return this.#hashes[index];
  }

  /** Somebody takes the entry for committed. Throws in `invariant`'s name when it is another. */
  record(
    entry: { readonly index: number; readonly term: number; readonly hash: number },
    invariant: string,
    who: number,
  ): void {
    const { index, term, hash } = entry;
    const knownHash = this.#hashes[index];
    if (knownHash === undefined) {
      this.#hashes[index] = hash;
      this.#terms[index] = term;
      this.#lastIndex = Math.max(this.#lastIndex, index);
      this.#maxTerm = Math.max(this.#maxTerm, term);
      return;
    }
    if (knownHash === hash && this.#terms[index] === term) return;
    throw new InvariantViolation(
      invariant,
      `replica ${who} has committed another ${index} than the group: ` +
        `term ${term} (${hash}), not term ${this.#terms[index]} (${knownHash})`,
    );
  }
}
