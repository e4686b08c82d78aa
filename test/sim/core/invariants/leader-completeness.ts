import type { BasicStatus } from '../../../../src/raft/raw-node.js';
import { InvariantViolation, type Observer } from '../observer.js';
import type { SimReplica } from '../sim-replica.js';
import type { CommittedLog } from './committed-log.js';

/**
 * A leader's log holds everything that was committed before its term (paper 5.4). Checked when it
 * takes the lead, by the last committed entry: LogMatching stands for those before.
 */
export class LeaderCompleteness implements Observer {
  readonly #committed: CommittedLog;
  /** By replica: the last term that it was checked in. */
  readonly #checked = new Map<number, number>();

  constructor(committed: CommittedLog) {
    this.#committed = committed;
  }

  afterStep({ id, store }: SimReplica, { softState, hardState: { term } }: BasicStatus): void {
    if (softState.role !== 'StateLeader' || this.#checked.get(id) === term) return;
    this.#checked.set(id, term);
    const { lastIndex } = this.#committed;
    const committedTerm = this.#committed.termAt(lastIndex) ?? 0;
    if (lastIndex === 0 || committedTerm > term || store.disk.holds(lastIndex, committedTerm)) {
      return;
    }
    throw new InvariantViolation(
      'LeaderCompleteness',
      `${id} leads term ${term} without the committed entry ${committedTerm}/${lastIndex}`,
    );
  }
}
