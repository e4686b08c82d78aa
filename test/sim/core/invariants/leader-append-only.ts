import type { Ready } from '../../../../src/raft/types.js';
import { InvariantViolation, type Observer } from '../observer.js';
import type { SimReplica } from '../sim-replica.js';

/** A leader only ever appends to its log, entries of its own term and without a gap (paper 5.3). */
export class LeaderAppendOnly implements Observer {
  /** By replica: the term that it leads, and the end of its log then. */
  readonly #ends = new Map<number, { readonly term: number; readonly index: number }>();

  onStart({ id }: SimReplica): void {
    this.#ends.delete(id);
  }

  onReady(replica: SimReplica, { entries }: Ready): void {
    const status = replica.node?.basicStatus();
    if (status?.softState.role !== 'StateLeader') return;
    const first = entries[0];
    const last = entries.at(-1);
    if (first === undefined || last === undefined) return;
    const { term } = status.hardState;
    const end = this.#ends.get(replica.id);
    this.#ends.set(replica.id, { term, index: last.index });
    if (end?.term !== term) return;
    if (first.index === end.index + 1 && first.term === term) return;
    throw new InvariantViolation(
      'LeaderAppendOnly',
      `${replica.id}, which leads term ${term}, writes ${first.term}/${first.index} after ` +
        `${end.index}`,
    );
  }
}
