import type { Ready } from '../../../../src/raft/types.js';
import { InvariantViolation, type Observer } from '../observer.js';
import type { SimReplica } from '../sim-replica.js';
import type { CommittedLog } from './committed-log.js';

const NAME = 'CommittedImmutable';

/** What is committed stays: nobody takes another entry for it, and nobody overwrites it (L1). */
export class CommittedImmutable implements Observer {
  readonly #committed: CommittedLog;
  /** By replica: its commit index in the last Ready of this process. */
  readonly #commits = new Map<number, number>();

  constructor(committed: CommittedLog) {
    this.#committed = committed;
  }

  onStart({ id }: SimReplica): void {
    this.#commits.delete(id);
  }

  onReady(replica: SimReplica, ready: Ready, hashes: readonly number[]): void {
    const { id } = replica;
    const first = ready.entries[0];
    const before = this.#commits.get(id) ?? 0;
    if (first !== undefined && first.index <= before) {
      throw new InvariantViolation(NAME, `replica ${id} overwrites ${first.index} of ${before}`);
    }
    const commit = ready.hardState?.commit;
    if (commit === undefined || commit <= before) return;
    this.#commits.set(id, commit);
    const offset = first === undefined ? -1 : commit - first.index;
    const entry = offset >= 0 ? ready.entries[offset] : undefined;
    const term = entry?.term ?? replica.store.disk.termAt(commit);
    const hash = entry === undefined ? replica.store.disk.hashAt(commit) : hashes[offset];
    // Where a snapshot is being installed the commit index is its own, checked at the install.
    if (ready.snapshot !== undefined || term === undefined || hash === undefined) return;
    this.#committed.record({ index: commit, term, hash }, NAME, id);
  }
}
