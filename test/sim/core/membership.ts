import type { ConfChange, ConfChangeStep, ConfState } from '../../../src/raft/types.js';
import type { SimRandom } from '../kit/sim-random.js';
import type { CoreCluster } from './cluster.js';
import type { ConfigSafety } from './invariants/config-safety.js';
import { isQuorum, membersOf } from './invariants/quorums.js';
import type { SimReplica } from './sim-replica.js';

const VOTERS_MAX = 7;
const CONTEXT = new Uint8Array();

/**
 * The operator who keeps changing the group: new replicas as learners or voters, promotions,
 * demotions, removals, several at once. Replicas whose data is lost are replaced, never revived
 * (M8); removed ones keep running for a while before their data goes.
 */
export class Membership {
  readonly #cluster: CoreCluster;
  readonly #configurations: ConfigSafety;
  readonly #random: SimRandom;
  /** Who was in a configuration that somebody applied. */
  readonly #everMembers = new Set<number>();
  /** Its data is gone, and the group does not do without it yet. */
  #lost: number | undefined;

  constructor(cluster: CoreCluster, configurations: ConfigSafety) {
    this.#cluster = cluster;
    this.#configurations = configurations;
    this.#random = cluster.world.fork('membership');
  }

  /** Index of the newest entry that has changed the members. */
  get latestIndex(): number {
    return this.#configurations.latest.index;
  }

  /** Whether a replica is gone for good that the group still counts. */
  get isDegraded(): boolean {
    return this.#lost !== undefined;
  }

  /** Proposes something to the leader. Often refused, which is fine. */
  change(): void {
    this.#noteMembers();
    const leader = this.#cluster.leader();
    const confState = leader?.node?.confState;
    if (leader === undefined || confState === undefined) return;
    this.#propose(leader, this.#draw(confState));
  }

  /** Changes the configuration, again and again, and no member of it. */
  enterOrLeaveJoint(): void {
    const leader = this.#cluster.leader();
    const confState = leader?.node?.confState;
    if (leader === undefined || confState === undefined) return;
    const isJoint = confState.votersOutgoing.length > 0;
    const same = { kind: 'update', replicaId: leader.id } as const;
    this.#propose(leader, isJoint ? change('auto', []) : change('joint-explicit', [same]));
  }

  /** One voter less, where there are more than three. */
  shrink(): void {
    const leader = this.#cluster.leader();
    const { voters = [], votersOutgoing = [] } = leader?.node?.confState ?? {};
    if (leader === undefined || voters.length < 4 || votersOutgoing.length > 0) return;
    const replicaId = this.#random.pick(voters);
    this.#propose(leader, change('auto', [{ kind: 'remove', replicaId }]));
  }

  /** Only what the group needs to get well: replaces what is lost, leaves a joint configuration. */
  repair(): void {
    this.#noteMembers();
    const leader = this.#cluster.leader();
    const confState = leader?.node?.confState;
    if (leader === undefined || confState === undefined) return;
    if (confState.votersOutgoing.length > 0) {
      if (!confState.autoLeave) this.#propose(leader, change('auto', []));
    } else if (this.#lost !== undefined) {
      this.#propose(leader, change('auto', [{ kind: 'remove', replicaId: this.#lost }]));
    }
  }

  /**
   * A machine loses all its data, where the group can bear it. `early`: only one that has synced
   * the newest configuration, while others have not. Returns whether one did.
   */
  wipe(when: 'early' | 'any' = 'any'): boolean {
    this.#noteMembers();
    const { index, confState } = this.#configurations.latest;
    const { voters, votersOutgoing } = confState;
    const isSettled = votersOutgoing.length === 0 && !this.#isChangePending(index);
    if (this.#lost !== undefined || !isSettled || voters.length < 3) return false;
    const knowing = voters.filter((id) => this.#knows(id, index));
    if (when === 'early' && knowing.length === voters.length) return false;
    const candidates = when === 'early' ? knowing : voters;
    const victim = this.#cluster.replica(candidates.length > 0 ? this.#random.pick(candidates) : 0);
    if (victim === undefined || victim.isDestroyed) return false;
    // Who still goes by an older configuration learns of this one from a voter that stays (E13).
    if (!knowing.some((id) => id !== victim.id)) return false;
    this.#lost = victim.id;
    this.#cluster.destroy(victim);
    return true;
  }

  /** Clears away replicas that the group has removed for certain. */
  reap(): void {
    this.#noteMembers();
    const { index, confState } = this.#configurations.latest;
    if (!isQuorum(confState, (id) => this.#knows(id, index))) return;
    const members = membersOf(confState);
    for (const replica of this.#cluster.replicas) {
      if (members.has(replica.id) || !this.#everMembers.has(replica.id)) continue;
      this.#cluster.destroy(replica);
    }
  }

  #propose(leader: SimReplica, confChange: ConfChange | undefined): void {
    if (confChange === undefined) return;
    leader.act((node) => void node.proposeConfChange(confChange));
  }

  #noteMembers(): void {
    const members = membersOf(this.#configurations.latest.confState);
    for (const id of members) this.#everMembers.add(id);
    if (this.#lost !== undefined && !members.has(this.#lost)) this.#lost = undefined;
  }

  /** Whether the replica has the configuration of this index, or a later one, on its disk. */
  #knows(id: number, index: number): boolean {
    return (this.#cluster.replica(id)?.store.disk.configuration.index ?? 0) >= index;
  }

  /** Whether anybody has an entry that would change the configuration once more. */
  #isChangePending(after: number): boolean {
    return this.#cluster.replicas.some(({ store, outstanding }) => {
      const { disk } = store;
      for (let index = after + 1; index <= disk.lastIndex; index += 1) {
        const entry = disk.entryAt(index);
        if (entry !== undefined && entry.type !== 'EntryNormal') return true;
      }
      return outstanding?.entries.some((entry) => entry.type !== 'EntryNormal') ?? false;
    });
  }

  #draw(confState: ConfState): ConfChange | undefined {
    if (confState.votersOutgoing.length > 0) {
      return confState.autoLeave && this.#random.chance(0.8) ? undefined : change('auto', []);
    }
    if (this.#lost !== undefined) {
      return change('auto', [{ kind: 'remove', replicaId: this.#lost }]);
    }
    if (this.#random.chance(0.4)) return this.#drawJoint(confState);
    const step = this.#drawStep(confState);
    return step && change('auto', [step]);
  }

  #drawJoint(confState: ConfState): ConfChange | undefined {
    const steps = new Map<number, ConfChangeStep>();
    const count = this.#random.integer(1, 4);
    for (let drawn = 0; drawn < count; drawn += 1) {
      const step = this.#drawStep(confState);
      if (step !== undefined) steps.set(step.replicaId, step);
    }
    const transition = this.#random.pick(['auto', 'joint-implicit', 'joint-explicit'] as const);
    return steps.size === 0 ? undefined : change(transition, [...steps.values()]);
  }

  #drawStep({ voters, learners }: ConfState): ConfChangeStep | undefined {
    const random = this.#random;
    const kind = random.pick(['add', 'add', 'promote', 'promote', 'remove', 'demote', 'update']);
    switch (kind) {
      case 'add': {
        if (voters.length + learners.length >= VOTERS_MAX) return undefined;
        const replica = this.#blankReplica();
        const asVoter = random.chance(0.3);
        return replica && { kind: asVoter ? 'add-voter' : 'add-learner', replicaId: replica.id };
      }
      case 'promote':
        if (learners.length === 0) return undefined;
        return { kind: 'add-voter', replicaId: random.pick(learners) };
      case 'remove': {
        const candidates = voters.length > 1 ? [...voters, ...learners] : learners;
        if (candidates.length === 0) return undefined;
        return { kind: 'remove', replicaId: random.pick(candidates) };
      }
      case 'demote':
        if (voters.length < 3) return undefined;
        return { kind: 'add-learner', replicaId: random.pick(voters) };
      default:
        return { kind: 'update', replicaId: random.pick(voters) };
    }
  }

  /** A running replica that was never part of the group: an old one of those, or a new one. */
  #blankReplica(): SimReplica | undefined {
    const blank = this.#cluster.replicas.find(
      ({ id, isRunning }) => isRunning && !this.#everMembers.has(id),
    );
    if (blank !== undefined) return blank;
    const { freeMachines } = this.#cluster;
    if (freeMachines.length === 0) return undefined;
    const replica = this.#cluster.addReplica(this.#random.pick(freeMachines));
    replica.start();
    return replica;
  }
}

function change(
  transition: ConfChange['transition'],
  changes: readonly ConfChangeStep[],
): ConfChange {
  return { transition, changes, context: CONTEXT };
}
