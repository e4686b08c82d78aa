import type { BasicStatus } from '../../../../src/raft/raw-node.js';
import { InvariantViolation, type Observer } from '../observer.js';
import type { SimReplica } from '../sim-replica.js';

/**
 * purged <= snapshot <= applied <= commit <= last. Only after a restart may the state be ahead of
 * a commit index, or even of entries, that had not reached the disk.
 */
export class IndexOrder implements Observer {
  /** By replica: what was applied when it started. */
  readonly #appliedAtStart = new Map<number, number>();

  onStart({ id, store }: SimReplica): void {
    this.#appliedAtStart.set(id, store.stateImage.machine.applied);
  }

  afterStep({ id, store }: SimReplica, status: BasicStatus): void {
    const { applied, lastIndex } = status;
    const { commit } = status.hardState;
    const purged = store.disk.firstIndex - 1;
    const stored = store.stateImage.machine.applied;
    const ahead = this.#appliedAtStart.get(id) ?? 0;
    const inOrder =
      purged <= Math.max(stored, store.disk.snapshot?.machine.applied ?? 0) &&
      applied <= Math.max(commit, ahead) &&
      commit <= lastIndex;
    if (inOrder) return;
    throw new InvariantViolation(
      'IndexOrder',
      `replica ${id}: purged ${purged}, stored ${stored}, applied ${applied}, commit ${commit}, ` +
        `last ${lastIndex}`,
    );
  }
}
