import type { Ready } from '../../../../src/raft/types.js';
import { InvariantViolation, type Observer } from '../observer.js';
import type { SimReplica } from '../sim-replica.js';

const TERMS_MAX = 2 ** 21;

/** Two logs with an entry of the same index and term are the same up to there (paper 5.3). */
export class LogMatching implements Observer {
  /** By index and term: the hash of the history that ends in that entry. */
  readonly #histories = new Map<number, number>();

  onReady({ id }: SimReplica, { entries }: Ready, hashes: readonly number[]): void {
    for (let at = 0; at < entries.length; at += 1) {
      const entry = entries[at];
      const hash = hashes[at];
      if (entry === undefined || hash === undefined) return;
      const key = entry.index * TERMS_MAX + entry.term;
      const known = this.#histories.get(key);
      if (known === undefined) this.#histories.set(key, hash);
      else if (known !== hash) {
        throw new InvariantViolation(
          'LogMatching',
          `entry ${entry.term}/${entry.index} of replica ${id} has another history than elsewhere`,
        );
      }
    }
  }

  /** Hash of the history that ends in the entry, if anyone ever wrote it. */
  historyOf(index: number, term: number): number | undefined {
    return this.#histories.get(index * TERMS_MAX + term);
  }
}
