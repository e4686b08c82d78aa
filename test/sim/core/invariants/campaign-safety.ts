import type { BasicStatus } from '../../../../src/raft/raw-node.js';
import type { Role } from '../../../../src/raft/types.js';
import { InvariantViolation, type Observer } from '../observer.js';
import type { SimReplica } from '../sim-replica.js';

/**
 * Only voters campaign, and nobody while a committed change of the configuration is not applied
 * here: the quorum that it counts on may not be one any more (E8, E9).
 */
export class CampaignSafety implements Observer {
  readonly #roles = new Map<number, Role>();

  onStart({ id }: SimReplica): void {
    this.#roles.delete(id);
  }

  afterStep({ id, store }: SimReplica, status: BasicStatus): void {
    const { role } = status.softState;
    const before = this.#roles.get(id);
    if (role === before) return;
    this.#roles.set(id, role);
    const campaigns = role === 'StatePreCandidate' || role === 'StateCandidate';
    if (!campaigns || before === 'StatePreCandidate' || before === 'StateCandidate') return;
    const { voters, votersOutgoing } = status.confState;
    if (!voters.includes(id) && !votersOutgoing.includes(id)) {
      throw violation(`replica ${id} campaigns and is no voter of [${voters}]`);
    }
    for (let index = status.applied + 1; index <= status.hardState.commit; index += 1) {
      const entry = store.disk.entryAt(index);
      if (entry === undefined || entry.type === 'EntryNormal') continue;
      throw violation(`replica ${id} campaigns before it has applied the change at ${index}`);
    }
  }
}

function violation(message: string): InvariantViolation {
  return new InvariantViolation('CampaignSafety', message);
}
