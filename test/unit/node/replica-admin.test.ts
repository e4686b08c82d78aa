// Goal: what operators ask for is checked before it begins, and costs no more time than they gave.
// Method: the admin over plain objects in virtual time, each step of which takes as long as told.
import { describe, expect, it } from 'vitest';
import { GroupCalls } from '../../../src/node/group-calls.js';
import { ReplicaAdmin } from '../../../src/node/replica-admin.js';
import type { ShardReplica } from '../../../src/replica/replica.js';
import { absentReplica } from '../../../src/replica/status-only-replica.js';
import type { ReplicaResponse } from '../../../src/shared/codec/replica-messages.js';
import type { Deadline } from '../../../src/shared/deadline.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import type { TopologyCommand } from '../../../src/topology/document.js';
import type { GroupState } from '../../../src/topology/group-control.js';
import { initialTopology } from '../../../src/topology/initial-topology.js';
import { replicaGroup } from '../../../src/topology/replica-group.js';
import type { TopologyGroup } from '../../../src/topology/topology-group.js';
import { applyTopologyCommand } from '../../../src/topology/transitions.js';
import { TopologyHolder } from '../../../src/topology/view.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';
import { genesis, seed } from '../topology/topology-fixtures.js';

const SHARD = { kind: 'shard', shardId: 0 } as const;
const GROUP_ID = 1;
const NODE_ID = 3;
/** Of the first change: its new replica is the fourth one. */
const CHANGE_ID = 4;

class World {
  readonly environment = new VirtualEnvironment();
  readonly view = new TopologyHolder();
  readonly admin: ReplicaAdmin;
  readonly timeouts: number[] = [];
  stepMs = 0;
  /** Voters as each replica has them synced. */
  synced = new Map([1, 2, 3].map((replicaId) => [replicaId, [1, 2, 3]]));
  /** What the node says that it holds; undefined while it does not answer. */
  held: number | undefined = NODE_ID;
  /** The group as its leader sees it. */
  state: GroupState = STATE;

  constructor(document = genesis()) {
    this.view.publish(document);
    const { environment, view } = this;
    const topology = {
      refresh: (deadline: Deadline) => this.#step(deadline),
      propose: (command: TopologyCommand, deadline: Deadline) => this.#propose(command, deadline),
    } as unknown as TopologyGroup;
    const groups = new GroupCalls({
      nodeId: 1,
      view,
      environment,
      transport: { request: () => Promise.reject(new Error('nobody is asked')) },
      groupOf: () => undefined,
    });
    groups.state = async (_groupId, deadline): Promise<GroupState> => {
      await this.#step(deadline);
      return this.state;
    };
    groups.durableVoters = async (_groupId, deadline) => {
      await this.#step(deadline);
      return [...this.synced].map(([replicaId, voters]) => {
        return { replicaId, index: 0, voters, outgoingVoters: [] };
      });
    };
    const directory = { replicaOf: () => this.#replica() };
    this.admin = new ReplicaAdmin({
      view,
      topology: () => topology,
      groups,
      directory,
      environment,
    });
  }

  change(action: 'add' | 'remove' | 'reset' | 'cancel', timeoutMs = 10_000): Promise<unknown> {
    const { signal } = new AbortController();
    const options = { timeoutMs, signal };
    const made =
      action === 'cancel'
        ? this.admin.cancelReplicaChange(SHARD, CHANGE_ID, options)
        : this.admin.changeReplicas(action, SHARD, NODE_ID, options);
    return this.environment.settle(made, 60_000);
  }

  changeVote(action: 'add' | 'remove', nodeId: number): Promise<ReplicaResponse> {
    const options = { timeoutMs: 10_000, signal: new AbortController().signal };
    const made = this.admin.changeReplicas(action, { kind: 'topology' }, nodeId, options);
    return this.environment.settle(made, 60_000);
  }

  /** The stage of the change is done. */
  advance(): void {
    const document = this.view.current() ?? genesis();
    const change = replicaGroup(document, GROUP_ID)?.change;
    if (change === undefined) throw new Error('no change');
    const advance = { kind: 'advanceReplicaChange', groupId: GROUP_ID, change } as const;
    this.view.publish(applyTopologyCommand(document, advance).document);
  }

  get stage(): string | undefined {
    const document = this.view.current();
    return document && replicaGroup(document, GROUP_ID)?.change?.stage;
  }

  async #propose(command: TopologyCommand, deadline: Deadline): Promise<unknown> {
    await this.#step(deadline);
    const document = this.view.current() ?? genesis();
    const { document: after, result } = applyTopologyCommand(document, command);
    this.view.publish(after);
    return result;
  }

  #replica(): ShardReplica {
    const { held: replicaId } = this;
    const where = { shardId: 0, groupId: GROUP_ID, nodeId: NODE_ID, fault: '' };
    const replica = absentReplica({ ...where, replicaId: replicaId ?? 0 });
    const gone = new FlotillaError('SHARD_UNAVAILABLE', 'no link');
    if (replicaId === undefined) replica.status = () => Promise.reject(gone);
    return replica;
  }

  async #step({ timeoutMs }: Deadline): Promise<void> {
    this.timeouts.push(timeoutMs);
    if (timeoutMs <= this.stepMs) {
      throw new FlotillaError('DEADLINE_EXCEEDED', `${this.stepMs} ms do not fit`);
    }
    const { scheduler } = this.environment;
    await new Promise<void>((resolve) => scheduler.after(this.stepMs, resolve));
  }
}

const STATE: GroupState = {
  configurationIndex: 0,
  leaderReplicaId: 1,
  voters: [1, 2, 3],
  outgoingVoters: [],
  learners: [],
  lastIndex: 9,
  followers: [2, 3].map((replicaId) => {
    return { replicaId, matchIndex: 9, isActive: true, isReplicating: true };
  }),
};

describe('a vote in the topology', () => {
  const VOTERS = [1, 2, 3, 4];
  const LEARNER = 6;
  const world = (follower: Partial<GroupState['followers'][number]> = {}): World => {
    // Six nodes, of which the fifth has lost its vote.
    const document = initialTopology(seed(6));
    const demoted = document.topologyReplicas.map((one) => {
      return one.replicaId === 5 ? { ...one, learner: true } : one;
    });
    const made = new World({ ...document, topologyReplicas: demoted });
    const followers = [2, 3, 4, 5, LEARNER].map((replicaId) => {
      const well = { replicaId, matchIndex: 9, isActive: true, isReplicating: true };
      return replicaId === LEARNER ? { ...well, ...follower } : well;
    });
    made.state = { ...STATE, voters: VOTERS, learners: [5, LEARNER], followers };
    return made;
  };

  it('goes to a node that has caught up', async () => {
    const { change } = await world().changeVote('add', LEARNER);
    expect(change).toMatchObject({ stage: 'promoting', addNodeId: LEARNER, removeNodeId: 0 });
  });

  it.each([{ isActive: false }, { isReplicating: false }, { matchIndex: -1_000 }])(
    'goes to none that has not: %o (M6)',
    async (follower) => {
      await expect(world(follower).changeVote('add', LEARNER)).rejects.toMatchObject({
        reason: 'NODE_NOT_READY',
        message: expect.stringContaining('Replica 6 of the topology'),
      });
    },
  );

  it('is taken only where the others are a majority that answers', async () => {
    const { change } = await world().changeVote('remove', 2);
    expect(change).toMatchObject({ stage: 'demoting', removeNodeId: 2, addNodeId: 0 });
    const silent = world();
    const followers = silent.state.followers.map((one) => {
      return { ...one, isActive: one.replicaId !== 3 && one.replicaId !== 4 };
    });
    silent.state = { ...silent.state, followers };
    await expect(silent.changeVote('remove', 2)).rejects.toMatchObject({
      reason: 'QUORUM_AT_RISK',
      message: expect.stringContaining('missing: replica 3, 4'),
    });
  });

  it('is there already, or gone already: nothing is done', async () => {
    expect((await world().changeVote('add', 2)).change).toBeUndefined();
    expect((await world().changeVote('remove', 5)).change).toBeUndefined();
  });
});

describe('a reset', () => {
  it('is taken back while the node still holds the old replica', async () => {
    const world = new World();
    await world.change('reset');
    expect(world.stage).toBe('adding');
    await world.change('cancel');
    expect(world.stage).toBe('cancelling');
  });

  it('is not taken back once the old log is gone, and the error says what to do', async () => {
    for (const held of [4, 0]) {
      const world = new World();
      await world.change('reset');
      world.held = held;
      await expect(world.change('cancel')).rejects.toMatchObject({
        reason: 'CHANGE_IN_PROGRESS',
        message: expect.stringMatching(/whose log is gone.*Wait until the new one has caught up/),
      });
      expect(world.stage).toBe('adding');
    }
  });

  it('is given up where the node does not answer, lest it hold the group up for ever', async () => {
    const world = new World();
    await world.change('reset');
    world.held = undefined;
    await world.change('cancel');
    expect(world.stage).toBe('cancelling');
  });

  it('waits for the others to have synced that they vote (M12)', async () => {
    const world = new World();
    world.synced.set(2, [0, 1, 2, 3]);
    await expect(world.change('reset')).rejects.toMatchObject({
      reason: 'QUORUM_AT_RISK',
      message: expect.stringMatching(/after a loss of power.*missing: replica 2, 3/),
    });
    expect(world.stage).toBeUndefined();
    const waiting = world.change('reset');
    world.synced.set(2, [1, 2, 3]);
    await waiting;
    expect(world.stage).toBe('adding');
  });
});

describe('an addition', () => {
  it('is taken back whatever the node holds', async () => {
    const world = new World();
    await world.change('remove');
    world.advance();
    await world.change('add');
    world.held = 4;
    await world.change('cancel');
    expect(world.stage).toBe('cancelling');
  });
});

describe('giving up a change', () => {
  it('twice is giving it up once, whatever began in between', async () => {
    const world = new World();
    await world.change('reset');
    expect(await world.change('cancel')).toMatchObject({ change: { id: CHANGE_ID } });
    // The node has come back, and holds neither replica: too late for the one who asks again.
    world.held = 0;
    expect(await world.change('cancel')).toMatchObject({
      change: { id: CHANGE_ID, stage: 'cancelling' },
    });
    world.advance();
    expect(await world.change('cancel')).toEqual({ epoch: expect.any(Number) });
    world.held = NODE_ID;
    await world.change('reset');
    expect(await world.change('cancel')).toMatchObject({
      change: { id: CHANGE_ID + 1, stage: 'adding' },
    });
    expect(world.stage).toBe('adding');
  });

  it('that is through, or never was, is refused, and says which', async () => {
    const world = new World();
    await expect(world.change('cancel')).rejects.toMatchObject({
      reason: 'CHANGE_NOT_FOUND',
      message: 'shard 0 never had a change 4',
    });
    await world.change('reset');
    for (let stage = 0; stage < 3; stage++) world.advance();
    expect(world.stage).toBeUndefined();
    await expect(world.change('cancel')).rejects.toMatchObject({
      reason: 'CHANGE_NOT_FOUND',
      message: expect.stringMatching(/Change 4 of shard 0 is through/),
    });
  });
});

describe('a call of an administrator', () => {
  it.each(['add', 'remove', 'reset', 'cancel'] as const)(
    'to %s gives each step what is left of its time',
    async (action) => {
      const world = new World();
      if (action === 'cancel') await world.change('reset');
      world.timeouts.length = 0;
      world.stepMs = 1_000;
      await world.change(action);
      expect(world.timeouts.length).toBeGreaterThan(2);
      const expected = world.timeouts.map((_, step) => 10_000 - 1_000 * step);
      expect(world.timeouts).toEqual(expected);
    },
  );

  it('ends with its time, whatever its steps would take', async () => {
    const world = new World();
    world.stepMs = 400;
    const startMs = world.environment.nowMs;
    await expect(world.change('reset', 1_000)).rejects.toMatchObject({
      reason: 'DEADLINE_EXCEEDED',
    });
    expect(world.environment.nowMs - startMs).toBeLessThanOrEqual(1_000);
  });
});
