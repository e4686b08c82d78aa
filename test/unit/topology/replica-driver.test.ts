// Goal: a change of replicas comes to its end, whoever leads, whatever is lost on the way (F-14).
// Method: three topology groups in virtual time; a Raft group in a few lines, that fails at random.
import { describe, expect, it } from 'vitest';
import { defined } from '../../../src/shared/assert.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { TOPOLOGY_GROUP_ID, type TopologyCommand } from '../../../src/topology/document.js';
import type {
  DurableVoters,
  GroupControl,
  GroupState,
  Reconfiguration,
} from '../../../src/topology/group-control.js';
import { ReplicaDriver } from '../../../src/topology/replica-driver.js';
import { type ReplicaGroup, replicaGroup } from '../../../src/topology/replica-group.js';
import { TopologyCluster } from './topology-cluster.js';

const SOON = { timeoutMs: 5_000 };
const GROUP_ID = 1;

/** One Raft group, as far as its configuration goes; all others have no leader. */
class FakeGroup implements GroupControl {
  readonly #cluster: TopologyCluster;
  readonly #groupId: number;
  voters = [1, 2, 3];
  learners: number[] = [];
  leader = 1;
  index = 0;
  readonly silent = new Set<number>();
  readonly behind = new Set<number>();
  readonly history: string[] = [];
  /** Those that have synced nothing since the beginning. */
  readonly forgetful = new Set<number>();
  /** Called before and after each change takes effect; throws to fail there. */
  hazard: (when: 'before' | 'after') => void | Promise<void> = () => undefined;
  transferFails = false;

  constructor(cluster: TopologyCluster, groupId: number) {
    this.#cluster = cluster;
    this.#groupId = groupId;
  }

  async state(groupId: number): Promise<GroupState> {
    await this.#pause();
    if (groupId !== this.#groupId) throw new FlotillaError('NO_LEADER', 'another group');
    const ids = [...this.voters, ...this.learners].filter((one) => one !== this.leader);
    return {
      configurationIndex: this.index,
      leaderReplicaId: this.leader,
      voters: this.voters,
      outgoingVoters: [],
      learners: this.learners,
      lastIndex: 1_000,
      followers: ids.map((replicaId) => ({
        replicaId,
        matchIndex: this.behind.has(replicaId) ? 0 : 1_000,
        isActive: !this.silent.has(replicaId),
        isReplicating: !this.behind.has(replicaId),
      })),
    };
  }

  async durableVoters(): Promise<readonly DurableVoters[]> {
    await this.#pause();
    return [...this.voters, ...this.learners]
      .filter((replicaId) => !this.silent.has(replicaId))
      .map((replicaId) => ({
        replicaId,
        index: this.forgetful.has(replicaId) ? 0 : this.index,
        voters: this.forgetful.has(replicaId) ? [1, 2, 3] : this.voters,
        outgoingVoters: [],
      }));
  }

  async reconfigure(_groupId: number, change: Reconfiguration): Promise<void> {
    await this.#pause();
    await this.hazard('before');
    if (change.expectedIndex !== this.index) {
      throw new FlotillaError('CHANGE_IN_PROGRESS', 'another configuration');
    }
    for (const { kind, replicaId } of change.steps) {
      this.voters = this.voters.filter((one) => one !== replicaId);
      this.learners = this.learners.filter((one) => one !== replicaId);
      if (kind === 'add-voter') this.voters.push(replicaId);
      if (kind === 'add-learner') this.learners.push(replicaId);
    }
    const answering = this.voters.filter((one) => !this.silent.has(one));
    expect(answering.length).toBeGreaterThan(this.voters.length / 2);
    this.index += 1;
    this.history.push(change.steps.map((one) => `${one.kind} ${one.replicaId}`).join(', '));
    if (!this.voters.includes(this.leader)) this.leader = defined(answering[0], 'a leader');
    await this.hazard('after');
  }

  async transfer(): Promise<void> {
    await this.#pause();
    if (this.transferFails) throw new FlotillaError('DEADLINE_EXCEEDED', 'nobody took over');
    this.leader = defined(
      this.voters.find((one) => one !== this.leader),
      'another voter',
    );
    this.history.push(`transfer to ${this.leader}`);
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#cluster.environment.scheduler.after(2, resolve));
  }
}

class World {
  readonly cluster: TopologyCluster;
  readonly group: FakeGroup;
  readonly drivers: ReplicaDriver[];
  readonly said: string[] = [];

  readonly #groupId: number;

  static async start(groupId = GROUP_ID): Promise<World> {
    return new World(await TopologyCluster.start(), groupId);
  }

  private constructor(cluster: TopologyCluster, groupId: number) {
    this.cluster = cluster;
    this.#groupId = groupId;
    this.group = new FakeGroup(cluster, groupId);
    const warn = (fields: object): void => void this.said.push(JSON.stringify(fields));
    this.drivers = cluster.nodes.map(
      ({ view, topology }) =>
        new ReplicaDriver({
          view,
          topology,
          control: this.group,
          environment: cluster.environment,
          logger: { ...silentLogger, warn },
        }),
    );
  }

  async propose(command: TopologyCommand): Promise<void> {
    const { topology } = await this.cluster.leader();
    const result = await this.cluster.environment.settle(topology.propose(command, SOON));
    expect(result.kind).toBe('done');
  }

  /** As the node with the newest document sees the group. */
  now(): ReplicaGroup {
    const documents = this.cluster.nodes.map(({ view }) => defined(view.current(), 'a document'));
    const newest = defined(documents.sort((a, b) => b.epoch - a.epoch)[0], 'a document');
    return defined(replicaGroup(newest, this.#groupId), 'the group');
  }

  async until(condition: () => boolean): Promise<void> {
    for (let at = 0; !condition(); at++) {
      if (at > 3_000) throw new Error(`still waiting: ${JSON.stringify(this.now())}`);
      await this.cluster.environment.advance(20);
    }
  }

  async over(): Promise<void> {
    await this.until(() => this.now().change === undefined);
    const { replicas } = this.now();
    const idsOf = (isLearner: boolean): number[] =>
      replicas.flatMap(({ replicaId, learner }) => (learner === isLearner ? [replicaId] : []));
    expect([...this.group.voters].sort()).toEqual(idsOf(false).sort());
    expect([...this.group.learners].sort()).toEqual(idsOf(true).sort());
  }

  async close(): Promise<void> {
    for (const driver of this.drivers) driver.close();
    await this.cluster.close();
  }
}

const reset: TopologyCommand = { kind: 'resetReplica', groupId: GROUP_ID, replicaId: 3 };

describe('the driver', () => {
  it('takes a learner in, and lets it vote in the change that removes the old one', async () => {
    const world = await World.start();
    await world.propose(reset);
    await world.over();
    expect(world.group.history).toEqual(['add-learner 4', 'add-voter 4, remove 3']);
    await world.close();
  });

  it('waits until the new replica has caught up (M6)', async () => {
    const world = await World.start();
    world.group.behind.add(4);
    await world.propose(reset);
    await world.until(() => world.now().change?.stage === 'catching-up');
    await world.cluster.environment.advance(5_000);
    expect(world.group.history).toEqual(['add-learner 4']);
    expect(world.now().change?.stage).toBe('catching-up');
    world.group.behind.clear();
    await world.over();
    await world.close();
  });

  it('has the leader hand over before it is removed, and removes it if it cannot', async () => {
    for (const transferFails of [false, true]) {
      const world = await World.start();
      world.group.transferFails = transferFails;
      await world.propose({ kind: 'removeReplica', groupId: GROUP_ID, replicaId: 1 });
      await world.over();
      expect(world.group.history).toEqual([
        ...(transferFails ? [] : ['transfer to 2']),
        'remove 1',
      ]);
      await world.close();
    }
  });

  it('removes no voter while the others are no majority that answers, and says so', async () => {
    const world = await World.start();
    world.group.silent.add(2);
    await world.propose({ kind: 'removeReplica', groupId: GROUP_ID, replicaId: 3 });
    await world.cluster.environment.advance(5_000);
    expect(world.group.history).toEqual([]);
    expect(world.said).toHaveLength(1);
    expect(world.said[0]).toMatch(/of the voters 1, 2 only 1 would be there/);
    world.group.silent.clear();
    await world.over();
    await world.close();
  });

  it('drops a replica only when a majority has synced that it goes (M12)', async () => {
    for (const command of [
      { kind: 'removeReplica', groupId: GROUP_ID, replicaId: 3 },
      { kind: 'removeReplica', groupId: GROUP_ID, replicaId: 1 },
      reset,
    ] as const) {
      const world = await World.start();
      const removed = command.replicaId;
      const voters = [1, 2, ...(command === reset ? [4] : [3])].filter((one) => one !== removed);
      for (const replicaId of voters) world.group.forgetful.add(replicaId);
      await world.propose(command);
      await world.until(() => !world.group.voters.includes(removed));
      for (const replicaId of voters.slice(0, Math.floor(voters.length / 2) + 1)) {
        await world.cluster.environment.advance(5_000);
        expect(world.now().change?.stage).toBe('switching');
        expect(world.now().replicas.map((one) => one.replicaId)).toContain(removed);
        world.group.forgetful.delete(replicaId);
      }
      expect(world.said.at(-1)).toMatch(/would go on as such after a loss of power/);
      await world.over();
      await world.close();
    }
  });

  it('gives a change up, also one whose learner is in the group already', async () => {
    for (const groupKnows of [false, true]) {
      const world = await World.start();
      world.group.behind.add(4);
      if (!groupKnows) {
        world.group.hazard = () => {
          throw new FlotillaError('NO_LEADER', 'no leader');
        };
      }
      await world.propose(reset);
      await world.cluster.environment.advance(3_000);
      expect(world.group.learners).toEqual(groupKnows ? [4] : []);
      world.group.hazard = () => undefined;
      await world.propose({ kind: 'cancelReplicaChange', groupId: GROUP_ID });
      await world.over();
      expect(world.group.voters).toEqual([1, 2, 3]);
      await world.close();
    }
  });

  it('goes on where a leader stopped, whichever step was done or half done', async () => {
    for (let failures = 0; failures < 12; failures++) {
      const world = await World.start();
      let left = failures;
      world.group.hazard = async () => {
        if (left-- !== 0) return;
        // The step took effect or not; the one who took it is gone before it could tell.
        world.cluster.isolate((await world.cluster.leader()).nodeId);
        throw new FlotillaError('OUTCOME_UNKNOWN', 'the link broke');
      };
      await world.propose(reset);
      await world.over();
      expect(world.now().replicas.map(({ replicaId }) => replicaId)).toEqual([1, 2, 4]);
      await world.close();
    }
  });

  it('takes a vote and gives it back, whichever step was done or half done', async () => {
    const groupId = TOPOLOGY_GROUP_ID;
    for (let failures = 0; failures < 4; failures++) {
      const world = await World.start(groupId);
      let left = failures;
      world.group.hazard = async () => {
        if (left-- !== 0) return;
        world.cluster.isolate((await world.cluster.leader()).nodeId);
        throw new FlotillaError('OUTCOME_UNKNOWN', 'the link broke');
      };
      await world.propose({ kind: 'demoteReplica', groupId, replicaId: 3 });
      await world.over();
      expect(world.group.learners).toEqual([3]);
      await world.propose({ kind: 'promoteReplica', groupId, replicaId: 3 });
      await world.over();
      expect(world.group.learners).toEqual([]);
      await world.close();
    }
  });

  it('gives up a vote that cannot be taken, when a node comes back with nothing', async () => {
    const groupId = TOPOLOGY_GROUP_ID;
    const world = await World.start(groupId);
    // Of the two that would vote then the one does not answer, for its disk is lost.
    world.group.silent.add(2);
    await world.propose({ kind: 'demoteReplica', groupId, replicaId: 3 });
    await world.until(() => world.said.length > 0);
    expect(world.said[0]).toContain('missing: replica 2');
    await world.propose({ kind: 'readmitNode', nodeId: 2, storeId: 'new' });
    await world.over();
    expect(world.group.history).toEqual(['add-voter 3', 'add-learner 4', 'add-voter 4, remove 2']);
    await world.close();
  });

  it('of yesterday changes nothing any more, however late its order comes (M10)', async () => {
    const world = await World.start();
    let release: () => void = () => undefined;
    let held = false;
    world.group.hazard = (when) => {
      if (held || when === 'after') return;
      held = true;
      return new Promise((resolve) => {
        release = resolve;
      });
    };
    await world.propose(reset);
    await world.until(() => held);
    world.cluster.isolate((await world.cluster.leader()).nodeId);
    await world.propose({ kind: 'cancelReplicaChange', groupId: GROUP_ID });
    await world.over();
    world.cluster.heal();
    const before = [...world.group.history];
    release();
    await world.cluster.environment.advance(5_000);
    expect(world.group.history).toEqual(before);
    await world.over();
    await world.close();
  });
});
