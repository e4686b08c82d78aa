import type { Entry } from '../../../../src/raft/types.js';
import { InvariantViolation, type Observer } from '../observer.js';
import type { SimReplica } from '../sim-replica.js';
import type { CommittedLog } from './committed-log.js';

const NAME = 'StateMachineSafety';

/** Everyone applies the same entry at an index, and leaves none out (paper 5.4.3). */
export class StateMachineSafety implements Observer {
  readonly #committed: CommittedLog;

  constructor(committed: CommittedLog) {
    this.#committed = committed;
  }

  onApply({ id, registers }: SimReplica, { index, term }: Entry, hash: number): void {
    const expected = (registers?.applied ?? 0) + 1;
    if (index !== expected) {
      throw new InvariantViolation(NAME, `replica ${id} applies ${index} instead of ${expected}`);
    }
    this.#committed.record({ index, term, hash }, NAME, id);
  }

  onInstall({ id }: SimReplica, index: number, hash: number): void {
    const known = this.#committed.hashAt(index);
    if (known === hash) return;
    throw new InvariantViolation(NAME, `replica ${id} installs another state at ${index}`);
  }
}
