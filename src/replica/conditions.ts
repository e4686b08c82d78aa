/** Those who wait until something is true of a group: a leader is known, a change is through. */
import type { FlotillaError } from '../shared/errors.js';

interface Waiter {
  readonly isMet: () => boolean;
  readonly resolve: () => void;
  readonly reject: (error: FlotillaError) => void;
}

export class Conditions {
  readonly #waiters = new Set<Waiter>();

  /** Resolves when `isMet` answers true, now or at a later `check`. */
  wait(isMet: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      if (isMet()) resolve();
      else this.#waiters.add({ isMet, resolve, reject });
    });
  }

  /** Asks again. To be called after everything that a condition may depend on. */
  check(): void {
    for (const waiter of this.#waiters) {
      if (!waiter.isMet()) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }

  close(error: FlotillaError): void {
    for (const { reject } of this.#waiters) reject(error);
    this.#waiters.clear();
  }
}
