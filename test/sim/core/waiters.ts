import type { WriteResult } from './register-machine.js';

/** What became of a proposal (A8). `lost`: another entry took its place; it never takes effect. */
export type ProposalOutcome =
  | { readonly kind: 'applied'; readonly index: number; readonly result: WriteResult }
  | { readonly kind: 'lost' }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'refused'; readonly lead: number };

interface Waiter {
  readonly term: number;
  readonly settle: (outcome: ProposalOutcome) => void;
}

/** Proposals that were accepted and not decided. Each is settled once, by what is applied. */
export class Waiters {
  /** By index; several where a leader lost the lead and appended there again. */
  readonly #waiting = new Map<number, Waiter[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(index: number, term: number, settle: (outcome: ProposalOutcome) => void): void {
    const list = this.#waiting.get(index) ?? [];
    this.#waiting.set(index, list);
    list.push({ term, settle });
    this.#size += 1;
  }

  applied(index: number, term: number, result: WriteResult | undefined): void {
    for (const waiter of this.#take(index)) {
      if (waiter.term !== term) waiter.settle({ kind: 'lost' });
      else if (result === undefined) waiter.settle({ kind: 'unknown' });
      else waiter.settle({ kind: 'applied', index, result });
    }
  }

  /** A snapshot covers everything up to `index`: nobody here knows what was applied there. */
  passed(index: number): void {
    for (const at of [...this.#waiting.keys()]) {
      if (at > index) continue;
      for (const waiter of this.#take(at)) waiter.settle({ kind: 'unknown' });
    }
  }

  #take(index: number): readonly Waiter[] {
    const list = this.#waiting.get(index);
    if (list === undefined) return [];
    this.#waiting.delete(index);
    this.#size -= list.length;
    return list;
  }
}
