/**
 * Linearizable reads of a group: a quorum round gives an index (R1), then the read waits until the
 * state machine has applied it.
 */
import { FlotillaError } from '../shared/errors.js';
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
  readonly #applying: { readonly index: number; readonly waiter: Waiter }[] = [];

  constructor(appliedIndex: number) {
    this.#appliedIndex = appliedIndex;
  }

  get size(): number {
    return this.#confirming.size + this.#applying.length;
  }

  /**
   * `ask` hands the request id to the core and tells whether it was taken. Rejects with
   * TOO_MANY_REQUESTS where it was not, or too many reads wait here: while a state machine is held
   * up, those whose callers have given up wait as well.
   */
  start(ask: (requestId: number) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#isFull) return reject(tooMany('that their index is applied'));
      const requestId = ++this.#lastRequestId;
      this.#confirming.set(requestId, { resolve, reject });
      if (ask(requestId)) return;
      this.#confirming.delete(requestId);
      reject(tooMany('for a quorum round'));
    });
  }

  /** Resolves when `index` is applied here. Rejects with TOO_MANY_REQUESTS as `start` does. */
  waitApplied(index: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const mustWait = index > this.#appliedIndex;
      if (mustWait && this.#isFull) return reject(tooMany('that their index is applied'));
      this.#waitApplied(index, { resolve, reject });
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
    const stillWaiting = this.#applying.filter((read) => {
      if (read.index > index) return true;
      read.waiter.resolve();
      return false;
    });
    this.#applying.splice(0, this.#applying.length, ...stillWaiting);
  }

  get #isFull(): boolean {
    return this.#applying.length >= LIMITS.pendingReadsMax.value;
  }

  #waitApplied(index: number, waiter: Waiter): void {
    if (index <= this.#appliedIndex) waiter.resolve();
    else this.#applying.push({ index, waiter });
  }

  close(error: FlotillaError): void {
    for (const waiter of this.#confirming.values()) waiter.reject(error);
    for (const { waiter } of this.#applying) waiter.reject(error);
    this.#confirming.clear();
    this.#applying.length = 0;
  }
}

function tooMany(what: string): FlotillaError {
  const message = `Too many reads of the group wait ${what}`;
  return new FlotillaError('TOO_MANY_REQUESTS', message, { limit: 'pendingReadsMax' });
}
