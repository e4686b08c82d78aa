/**
 * Those who wait for a proposed entry. Each is settled exactly once (A8): by the entry that is
 * applied at its index, by the end of the leadership that appended it, or by the replica's end.
 */
import { FlotillaError } from '../shared/errors.js';

/** What became of a proposed entry. */
export type ProposalOutcome<Result> =
  | { readonly kind: 'applied'; readonly index: number; readonly result: Result }
  /** An entry of another term took the index: this one will never be applied. */
  | { readonly kind: 'lost' }
  /** The leadership ended first. The entry may be applied or lost. */
  | { readonly kind: 'unknown'; readonly error: FlotillaError };

interface Waiter<Result> {
  readonly term: number;
  readonly sizeBytes: number;
  readonly settle: (outcome: ProposalOutcome<Result>) => void;
}

export class Proposals<Result> {
  readonly #waiters = new Map<number, Waiter<Result>>();
  #pendingBytes = 0;

  /** Bytes of entries that were proposed here and are not settled. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  get size(): number {
    return this.#waiters.size;
  }

  wait(index: number, term: number, sizeBytes: number): Promise<ProposalOutcome<Result>> {
    this.#truncated(index);
    return new Promise((settle) => {
      this.#waiters.set(index, { term, sizeBytes, settle });
      this.#pendingBytes += sizeBytes;
    });
  }

  /** The entry at `index` with `term` was applied with `result`. */
  applied(index: number, term: number, result: Result): void {
    const waiter = this.#take(index);
    if (waiter === undefined) return;
    waiter.settle(waiter.term === term ? { kind: 'applied', index, result } : { kind: 'lost' });
  }

  /** An entry of another kind (a no-op, say) was applied at `index`. */
  passed(index: number): void {
    this.#take(index)?.settle({ kind: 'lost' });
  }

  /**
   * A snapshot has taken the place of all entries up to `index`: which of them came to pass is not
   * to be seen any more.
   */
  covered(index: number): void {
    const error = new FlotillaError('OUTCOME_UNKNOWN', 'A snapshot has replaced the log');
    for (const covered of [...this.#waiters.keys()].filter((at) => at <= index)) {
      this.#take(covered)?.settle({ kind: 'unknown', error });
    }
  }

  /** Nothing more will be learned here, in time, of what is pending. */
  abandon(why: string): void {
    const waiters = [...this.#waiters.values()];
    this.#waiters.clear();
    this.#pendingBytes = 0;
    for (const waiter of waiters) {
      waiter.settle({ kind: 'unknown', error: new FlotillaError('OUTCOME_UNKNOWN', why) });
    }
  }

  /** A newer proposal takes the index: the older entry is gone here, elsewhere perhaps not. */
  #truncated(index: number): void {
    const waiter = this.#take(index);
    if (waiter === undefined) return;
    const error = new FlotillaError('OUTCOME_UNKNOWN', 'The write was truncated here');
    waiter.settle({ kind: 'unknown', error });
  }

  #take(index: number): Waiter<Result> | undefined {
    const waiter = this.#waiters.get(index);
    if (waiter === undefined) return undefined;
    this.#waiters.delete(index);
    this.#pendingBytes -= waiter.sizeBytes;
    return waiter;
  }
}
