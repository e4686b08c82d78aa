import { describeConfState } from '../../../../src/raft/describe.js';
import type { ConfState, Ready } from '../../../../src/raft/types.js';
import { InvariantViolation, type Observer } from '../observer.js';
import type { SimReplica } from '../sim-replica.js';

const NAME = 'ConfigSafety';

/**
 * Everyone derives the same configuration from the same entry; consecutive ones share a replica in
 * each pair of quorums, because one voter changes or because one of the two is joint (M1). A leader
 * appends no change before it has applied the one before (M2, M4).
 */
export class ConfigSafety implements Observer {
  readonly #configurations = new Map<number, ConfState>();
  #latest: { readonly index: number; readonly confState: ConfState };

  constructor(genesis: ConfState) {
    this.#latest = { index: 0, confState: genesis };
  }

  /** The newest configuration that anyone has applied. */
  get latest(): { readonly index: number; readonly confState: ConfState } {
    return this.#latest;
  }

  get count(): number {
    return this.#configurations.size;
  }

  onConfiguration({ id }: SimReplica, index: number, confState: ConfState): void {
    const known = this.#configurations.get(index);
    if (known !== undefined) {
      if (describeConfState(known) === describeConfState(confState)) return;
      throw violation(
        `replica ${id} has ${describeConfState(confState)} from entry ${index}, others have ` +
          describeConfState(known),
      );
    }
    this.#configurations.set(index, confState);
    if (index < this.#latest.index) {
      throw violation(`replica ${id} derives a configuration from ${index} that nobody else does`);
    }
    const before = this.#latest.confState;
    if (!isAllowedStep(before, confState)) {
      throw violation(
        `entry ${index} turns ${describeConfState(before)} into ${describeConfState(confState)}`,
      );
    }
    this.#latest = { index, confState };
  }

  /** The core takes the configuration over along with the state (P4). */
  onInstall({ id, node, configuration }: SimReplica, index: number): void {
    const status = node?.basicStatus();
    // A newer snapshot may be on its way already.
    if (configuration === undefined || status?.hardState.commit !== index) return;
    const [installed, inForce] = [configuration.confState, status.confState].map(describeConfState);
    if (installed === inForce) return;
    throw violation(`replica ${id} installs ${installed} at ${index} and goes on with ${inForce}`);
  }

  onReady(replica: SimReplica, { entries }: Ready): void {
    const changes = entries.filter((entry) => entry.type !== 'EntryNormal');
    const status = changes.length > 0 ? replica.node?.basicStatus() : undefined;
    if (status?.softState.role !== 'StateLeader') return;
    const first = entries[0]?.index ?? 0;
    const pending = changes.map((entry) => entry.index);
    for (let index = status.applied + 1; index < first; index += 1) {
      const entry = replica.store.disk.entryAt(index);
      if (entry !== undefined && entry.type !== 'EntryNormal') pending.push(index);
    }
    if (pending.length < 2) return;
    throw violation(`${replica.id} appends changes at [${pending}], applied: ${status.applied}`);
  }
}

function isAllowedStep(before: ConfState, after: ConfState): boolean {
  const isJoint = (state: ConfState): boolean => state.votersOutgoing.length > 0;
  if (isJoint(before)) return !isJoint(after) && equal(before.voters, after.voters);
  if (isJoint(after)) return equal(before.voters, after.votersOutgoing);
  const changed =
    after.voters.filter((id) => !before.voters.includes(id)).length +
    before.voters.filter((id) => !after.voters.includes(id)).length;
  return changed <= 1;
}

function equal(one: readonly number[], other: readonly number[]): boolean {
  return one.length === other.length && one.every((id, at) => id === other[at]);
}

function violation(message: string): InvariantViolation {
  return new InvariantViolation(NAME, message);
}
