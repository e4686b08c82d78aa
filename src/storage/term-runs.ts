/**
 * The terms of a log's entries as runs of equal terms: as many runs as there were changes of term.
 *
 * Immutable, so that readers keep one version while the next one is being written.
 */
import { assert, defined } from '../shared/assert.js';

interface Run {
  readonly term: number;
  /** Index of the first entry with this term; the run ends where the next one starts. */
  readonly start: number;
}

export class TermRuns {
  readonly #runs: readonly Run[];

  private constructor(runs: readonly Run[]) {
    this.#runs = runs;
  }

  /** A log that is empty after `index`, an entry of `term` (0 and 0 for a new log). */
  static after(index: number, term: number): TermRuns {
    return new TermRuns([{ term, start: index }]);
  }

  /** How many runs there are. */
  get count(): number {
    return this.#runs.length;
  }

  /**
   * Term of the entry at `index`, which must be in the log or the one before it.
   * O(log runs); the end of the log is the caller's to know.
   */
  at(index: number): number {
    const run = this.#runs[this.#position(index)];
    assert(run !== undefined, () => `index ${index} is before the log`);
    return run.term;
  }

  /**
   * These runs with what starts at `entries[0].index` replaced by `entries`, whose terms must not
   * decrease. O(entries), and O(runs) when the runs change; the same object when they do not.
   */
  replaceFrom(entries: readonly { readonly index: number; readonly term: number }[]): TermRuns {
    const first = entries[0];
    if (first === undefined) return this;
    const kept = this.#position(first.index - 1) + 1;
    assert(kept > 0, () => `index ${first.index} is before the log`);
    let term = (this.#runs[kept - 1] as Run).term;
    const added: Run[] = [];
    for (const entry of entries) {
      if (entry.term === term) continue;
      assert(entry.term > term, () => `term ${entry.term} at ${entry.index} follows term ${term}`);
      term = entry.term;
      added.push({ term, start: entry.index });
    }
    if (added.length === 0 && kept === this.#runs.length) return this;
    return new TermRuns([...this.#runs.slice(0, kept), ...added]);
  }

  /** These runs from `index` on, which must be in the log or the one before it. O(runs). */
  dropBefore(index: number): TermRuns {
    const position = this.#position(index);
    const { term } = defined(this.#runs[position], `the term of index ${index}`);
    return new TermRuns([{ term, start: index }, ...this.#runs.slice(position + 1)]);
  }

  /** Position of the run that holds `index`; -1 before the first one. */
  #position(index: number): number {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#runs[middle] as Run).start <= index) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
