import type { BasicStatus } from '../../../../src/raft/raw-node.js';
import { InvariantViolation, type Observer } from '../observer.js';
import type { SimReplica } from '../sim-replica.js';

interface Seen {
  term: number;
  vote: number;
  commit: number;
  applied: number;
}

interface Durable {
  term: number;
  commit: number;
  applied: number;
}

/**
 * Term, commit and applied index never fall while a process runs, and a vote is not changed within
 * a term (E3). Over a restart the same holds for what was on the disk.
 */
export class MonotonicState implements Observer {
  readonly #seen = new Map<number, Seen>();
  readonly #durable = new Map<number, Durable>();

  onStart(replica: SimReplica): void {
    const { id, store } = replica;
    this.#seen.delete(id);
    const before = this.#durable.get(id) ?? { term: 0, commit: 0, applied: 0 };
    const now = {
      term: store.disk.hardState.term,
      commit: store.disk.hardState.commit,
      applied: store.stateImage.machine.applied,
    };
    this.#compare(id, 'the disk', before, now);
    this.#durable.set(id, now);
  }

  afterStep({ id }: SimReplica, { hardState, applied }: BasicStatus): void {
    const { term, vote, commit } = hardState;
    const seen = this.#seen.get(id);
    if (seen === undefined) {
      this.#seen.set(id, { term, vote, commit, applied });
      return;
    }
    this.#compare(id, 'memory', seen, { term, commit, applied });
    if (term === seen.term && seen.vote !== 0 && vote !== seen.vote) {
      throw violation(`replica ${id} changes its vote in term ${term}: ${seen.vote} to ${vote}`);
    }
    seen.term = term;
    seen.vote = vote;
    seen.commit = commit;
    seen.applied = applied;
  }

  #compare(id: number, where: string, before: Durable, now: Durable): void {
    if (now.term >= before.term && now.commit >= before.commit && now.applied >= before.applied) {
      return;
    }
    throw violation(
      `replica ${id} goes back in ${where}: term ${before.term} to ${now.term}, ` +
        `commit ${before.commit} to ${now.commit}, applied ${before.applied} to ${now.applied}`,
    );
  }
}

function violation(message: string): InvariantViolation {
  return new InvariantViolation('MonotonicState', message);
}
