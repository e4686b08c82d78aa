/**
 * Linearizable reads of a group: a quorum round gives an index (R1), then the read waits until the
 * state machine has applied it.
 */
import { FlotillaError } from '../shared/errors.js';
import type { GiveUpSignal } from '../shared/give-up.js';
import { LIMITS } from '../shared/limits.js';

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: FlotillaError) => void;
}

export class Reads {
  #lastRequestId = 0;
  #appliedIndex: number;
  readonly #confirming = new Map<number, Waiter>();
  /** Confirmed reads, and the index that each of them waits for. */
  readonly #applying = new Map<Waiter, number>();

  constructor(appliedIndex: number) {
    this.#appliedIndex = appliedIndex;
  }

  get size(): number {
    return this.#confirming.size + this.#applying.size;
  }

  /**
   * `ask` hands the request id to the core and tells whether it was taken. Rejects with
   * TOO_MANY_REQUESTS where it was not, or too many reads wait here: while a state machine is held
   * up, those whose callers have given up wait as well, unless they say so. With CANCELLED once
   * `givenUp` is aborted, which is to be of this wait alone.
   */
  start(ask: (requestId: number) => boolean, givenUp?: GiveUpSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#isFull) return reject(tooMany('that their index is applied'));
      const requestId = ++this.#lastRequestId;
      const waiter = { resolve, reject };
      this.#confirming.set(requestId, waiter);
      givenUp?.addEventListener('abort', () => {
        this.#confirming.delete(requestId);
        this.#giveUp(waiter);
      });
      if (ask(requestId)) return;
      this.#confirming.delete(requestId);
      reject(tooMany('for a quorum round'));
    });
  }

  /** Resolves when `index` is applied here. Rejects as `start` does. */
  waitApplied(index: number, givenUp?: GiveUpSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const mustWait = index > this.#appliedIndex;
      if (mustWait && this.#isFull) return reject(tooMany('that their index is applied'));
      const waiter = { resolve, reject };
      givenUp?.addEventListener('abort', () => this.#giveUp(waiter));
      this.#waitApplied(index, waiter);
    });
  }

  confirmed(requestId: number, index: number): void {
    const waiter = this.#confirming.get(requestId);
    if (waiter === undefined) return;
    this.#confirming.delete(requestId);
    this.#waitApplied(index, waiter);
  }

  aborted(requestId: number): void {
    const waiter = this.#confirming.get(requestId);
    this.#confirming.delete(requestId);
    waiter?.reject(new FlotillaError('NO_LEADER', 'The replica lost its leadership before a read'));
  }

  appliedTo(index: number): void {
    this.#appliedIndex = index;
    for (const [waiter, wantedIndex] of this.#applying) {
      if (wantedIndex > index) continue;
      this.#applying.delete(waiter);
      waiter.resolve();
    }
  }

  get #isFull(): boolean {
    return this.#applying.size >= LIMITS.pendingReadsMax.value;
  }

  #waitApplied(index: number, waiter: Waiter): void {
    if (index <= this.#appliedIndex) waiter.resolve();
    else this.#applying.set(waiter, index);
  }

  #giveUp(waiter: Waiter): void {
    this.#applying.delete(waiter);
    waiter.reject(new FlotillaError('CANCELLED', 'Nobody waits for the read any more'));
  }

  close(error: FlotillaError): void {
    for (const waiter of this.#confirming.values()) waiter.reject(error);
    for (const waiter of this.#applying.keys()) waiter.reject(error);
    this.#confirming.clear();
    this.#applying.clear();
  }
}

function tooMany(what: string): FlotillaError {
  const message = `Too many reads of the group wait ${what}`;
  return new FlotillaError('TOO_MANY_REQUESTS', message, { limit: 'pendingReadsMax' });
}
