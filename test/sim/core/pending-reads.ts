import type { RegisterValue } from './register-machine.js';

export type ReadOutcome =
  | { readonly kind: 'ok'; readonly value: RegisterValue; readonly appliedIndex: number }
  | { readonly kind: 'refused' };

export interface PendingRead {
  readonly key: number;
  /** What has to be applied first; undefined until a quorum has said so. */
  readonly index: number | undefined;
  /** Set where a lease stands in for the quorum. */
  readonly leaseTerm: number | undefined;
  readonly settle: (outcome: ReadOutcome) => void;
}

/** Reads of one process. Each is settled once. */
export class PendingReads {
  readonly #asked = new Map<number, PendingRead>();
  #confirmed: PendingRead[] = [];
  #lastId = 0;

  get size(): number {
    return this.#asked.size + this.#confirmed.length;
  }

  /** Returns the id under which the core is asked. */
  add(read: PendingRead): number {
    this.#lastId += 1;
    this.#asked.set(this.#lastId, read);
    return this.#lastId;
  }

  addConfirmed(read: PendingRead): void {
    this.#confirmed.push(read);
  }

  confirm(requestId: number, index: number): void {
    const read = this.#asked.get(requestId);
    if (read === undefined) throw new Error(`read ${requestId} was answered twice`);
    this.#asked.delete(requestId);
    this.#confirmed.push({ ...read, index });
  }

  abort(requestId: number): void {
    const read = this.#asked.get(requestId);
    if (read === undefined) throw new Error(`read ${requestId} was answered twice`);
    this.#asked.delete(requestId);
    read.settle({ kind: 'refused' });
  }

  /** Takes out what may be read now. */
  takeServable(appliedIndex: number): readonly PendingRead[] {
    if (this.#confirmed.length === 0) return [];
    const servable = this.#confirmed.filter((read) => (read.index ?? 0) <= appliedIndex);
    if (servable.length > 0) {
      this.#confirmed = this.#confirmed.filter((read) => (read.index ?? 0) > appliedIndex);
    }
    return servable;
  }
}
