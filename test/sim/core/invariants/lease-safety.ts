import { InvariantViolation, type Observer } from '../observer.js';
import type { SimReplica } from '../sim-replica.js';
import type { CommittedLog } from './committed-log.js';

/** Nobody reads by its lease once a leader of a higher term has committed (R6-R8, P-5). */
export class LeaseSafety implements Observer {
  readonly #committed: CommittedLog;
  #reads = 0;

  constructor(committed: CommittedLog) {
    this.#committed = committed;
  }

  get reads(): number {
    return this.#reads;
  }

  onLeaseRead({ id }: SimReplica, term: number): void {
    this.#reads += 1;
    const { maxTerm } = this.#committed;
    if (maxTerm <= term) return;
    throw new InvariantViolation(
      'LeaseSafety',
      `${id} reads by its lease of term ${term}; term ${maxTerm} has committed`,
    );
  }
}
