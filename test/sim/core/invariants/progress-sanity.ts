import type { BasicStatus } from '../../../../src/raft/raw-node.js';
import type { ProgressStatus } from '../../../../src/raft/types.js';
import { InvariantViolation, type Observer } from '../observer.js';
import type { SimReplica } from '../sim-replica.js';

/**
 * What a leader believes of a follower's log: match < next, match is durable there, no more in
 * flight than the limit (L7, L10). A follower that has moved on to a later term is not asked.
 */
export class ProgressSanity implements Observer {
  readonly #inflightMax: number;
  readonly #replicaOf: (id: number) => SimReplica | undefined;

  constructor(inflightMax: number, replicaOf: (id: number) => SimReplica | undefined) {
    this.#inflightMax = inflightMax;
    this.#replicaOf = replicaOf;
  }

  afterStep({ id, node }: SimReplica, { softState, hardState, lastIndex }: BasicStatus): void {
    if (softState.role !== 'StateLeader' || node === undefined) return;
    for (const progress of node.status().progress) {
      const problem = this.#problemOf(progress, lastIndex, hardState.term);
      if (problem === undefined) continue;
      throw new InvariantViolation(
        'ProgressSanity',
        `${id}, which leads term ${hardState.term}, has of replica ${progress.id}: ${problem}`,
      );
    }
  }

  #problemOf(
    { id, match, next, inflightCount }: ProgressStatus,
    lastIndex: number,
    term: number,
  ): string | undefined {
    if (match >= next) return `match ${match}, next ${next}`;
    if (next > lastIndex + 1) return `next ${next}, the log ends at ${lastIndex}`;
    if (inflightCount > this.#inflightMax) return `${inflightCount} messages in flight`;
    const replica = this.#replicaOf(id);
    if (replica === undefined || replica.isDestroyed) return undefined;
    const { disk } = replica.store;
    if (disk.hardState.term > term || disk.lastIndex >= match) return undefined;
    return `match ${match}, and its disk ends at ${disk.lastIndex}`;
  }
}
