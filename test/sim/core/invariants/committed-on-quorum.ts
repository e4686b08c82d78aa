import type { BasicStatus } from '../../../../src/raft/raw-node.js';
import { InvariantViolation, type Observer } from '../observer.js';
import type { SimReplica } from '../sim-replica.js';
import type { CommittedLog } from './committed-log.js';
import type { LogMatching } from './log-matching.js';
import { isQuorum } from './quorums.js';

const NAME = 'CommittedOnQuorum';

/**
 * When a leader moves its commit index, the entry there is of its own term and on the disks of a
 * quorum of the configuration in force, synced (A2, E11, M1).
 */
export class CommittedOnQuorum implements Observer {
  readonly #committed: CommittedLog;
  readonly #matching: LogMatching;
  readonly #replicaOf: (id: number) => SimReplica | undefined;
  /** By replica: the term that it leads, and its commit index when it was seen last. */
  readonly #commits = new Map<number, { term: number; commit: number }>();

  constructor(
    committed: CommittedLog,
    matching: LogMatching,
    replicaOf: (id: number) => SimReplica | undefined,
  ) {
    this.#committed = committed;
    this.#matching = matching;
    this.#replicaOf = replicaOf;
  }

  onStart({ id }: SimReplica): void {
    this.#commits.delete(id);
  }

  afterStep({ id }: SimReplica, { softState, hardState, confState }: BasicStatus): void {
    if (softState.role !== 'StateLeader') return;
    const { term, commit } = hardState;
    const seen = this.#commits.get(id);
    if (seen === undefined || seen.term !== term) {
      this.#commits.set(id, { term, commit });
      return;
    }
    if (commit === seen.commit) return;
    seen.commit = commit;
    const isDurable = (voter: number): boolean =>
      this.#replicaOf(voter)?.store.disk.holds(commit, term) === true;
    if (!isQuorum(confState, isDurable)) {
      const { voters, votersOutgoing } = confState;
      const holders = [...new Set([...voters, ...votersOutgoing])].filter(isDurable);
      throw new InvariantViolation(
        NAME,
        `${id} commits ${commit} in term ${term}; as an entry of that term it is durable on ` +
          `[${holders}] of [${voters}]${votersOutgoing.length > 0 ? `, [${votersOutgoing}]` : ''}`,
      );
    }
    const hash = this.#matching.historyOf(commit, term);
    if (hash !== undefined) this.#committed.record({ index: commit, term, hash }, NAME, id);
  }
}
