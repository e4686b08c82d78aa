import type { BasicStatus } from '../../../../src/raft/raw-node.js';
import { InvariantViolation, type Observer } from '../observer.js';
import type { SimReplica } from '../sim-replica.js';

/** At most one leader per term (paper 5.2, P-5). */
export class ElectionSafety implements Observer {
  readonly #leaders = new Map<number, number>();

  /** Terms that somebody led. */
  get ledTerms(): number {
    return this.#leaders.size;
  }

  afterStep({ id }: SimReplica, { softState, hardState: { term } }: BasicStatus): void {
    if (softState.role !== 'StateLeader') return;
    const known = this.#leaders.get(term);
    if (known === id) return;
    if (known !== undefined) {
      throw new InvariantViolation('ElectionSafety', `${known} and ${id} both lead term ${term}`);
    }
    this.#leaders.set(term, id);
  }
}
