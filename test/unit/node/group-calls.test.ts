// Goal: a group's leader is found and asked, wherever it is; orders for another configuration fail.
// Method: three nodes in virtual time whose groups are plain objects, linked by function calls.
import { describe, expect, it } from 'vitest';
import { type ControlledGroup, GroupCalls } from '../../../src/node/group-calls.js';
import { defined } from '../../../src/shared/assert.js';
import { SERVICE } from '../../../src/shared/codec/services.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { TopologyHolder } from '../../../src/topology/view.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';
import { genesis } from '../topology/topology-fixtures.js';

const SOON = { timeoutMs: 5_000 };
const NODE_IDS = [1, 2, 3];
const MEMBERS = NODE_IDS.map((id) => ({ replicaId: id, nodeId: id, storeId: `store-${id}` }));

class World {
  readonly environment = new VirtualEnvironment();
  readonly calls: string[] = [];
  readonly down = new Set<number>();
  leader = 2;
  index = 7;
  readonly #nodes = new Map<number, GroupCalls>();

  constructor() {
    const view = new TopologyHolder();
    view.publish(genesis());
    for (const nodeId of NODE_IDS) {
      const group = this.#group(nodeId);
      const calls = new GroupCalls({
        nodeId,
        view,
        environment: this.environment,
        transport: { request: (to, payload) => this.#request(to, payload) },
        groupOf: (groupId) => (groupId === 1 ? group : undefined),
      });
      this.#nodes.set(nodeId, calls);
    }
  }

  node(nodeId: number): GroupCalls {
    return defined(this.#nodes.get(nodeId), `node ${nodeId}`);
  }

  async #request(to: number, payload: Uint8Array): Promise<Uint8Array> {
    if (this.down.has(to)) throw new FlotillaError('SHARD_UNAVAILABLE', 'the node is down');
    return this.node(to).serve(payload);
  }

  #group(nodeId: number): ControlledGroup {
    const world = this;
    const note = (what: string) => async (): Promise<void> => {
      world.calls.push(`${what} on ${nodeId}`);
    };
    return {
      replicaId: nodeId,
      get isLeader() {
        return world.leader === nodeId;
      },
      get leaderNodeId() {
        return world.leader;
      },
      get configuration() {
        const lists = { votersOutgoing: [], learners: [9], learnersNext: [8] };
        const confState = { voters: NODE_IDS, ...lists, autoLeave: false };
        return { index: world.index, confState, members: MEMBERS };
      },
      get durableConfiguration() {
        const { confState, members } = this.configuration;
        return { index: world.index - nodeId, confState, members };
      },
      status: () => ({
        lastIndex: 100,
        sending: new Map([[3, { doneBytes: 1, sizeBytes: 2, bytesPerSecond: 3 }]]),
        progress: NODE_IDS.map((id) => ({
          id,
          match: 90 + id,
          next: 100,
          state: 'StateReplicate' as const,
          isLearner: false,
          recentActive: id !== 1,
          paused: false,
          pendingSnapshot: 0,
          inflightCount: 0,
          inflightFull: false,
        })),
      }),
      changeConfiguration: ({ changes }) =>
        note(changes.map((one) => `${one.kind} ${one.replicaId}`).join())(),
      transferLeadership: (to) => note(`transfer to ${to}`)(),
      forceElection: note('elect'),
      stepDown: note('step down'),
    };
  }
}

describe('calls to a group', () => {
  it('tell its state as the leader sees it, from any node', async () => {
    const world = new World();
    for (const nodeId of NODE_IDS) {
      const state = await world.environment.settle(world.node(nodeId).state(1, SOON));
      expect(state).toEqual({
        configurationIndex: 7,
        leaderReplicaId: 2,
        voters: [1, 2, 3],
        outgoingVoters: [],
        learners: [9, 8],
        lastIndex: 100,
        followers: [
          { replicaId: 1, matchIndex: 91, isActive: false, isReplicating: true },
          {
            replicaId: 3,
            matchIndex: 93,
            isActive: true,
            isReplicating: true,
            snapshot: { doneBytes: 1, sizeBytes: 2, bytesPerSecond: 3 },
          },
        ],
      });
    }
  });

  it('change its configuration and leader there, and elect where they are told', async () => {
    const world = new World();
    const from = world.node(1);
    const steps = [{ kind: 'add-learner' as const, replicaId: 9 }];
    const change = { expectedIndex: 7, steps, members: [] };
    await world.environment.settle(from.reconfigure(1, change, SOON));
    await world.environment.settle(from.transfer(1, 3, SOON));
    await world.environment.settle(from.transfer(1, undefined, SOON));
    await world.environment.settle(from.stepDown(1, SOON));
    await world.environment.settle(from.elect(1, 3, SOON));
    expect(world.calls).toEqual([
      'add-learner 9 on 2',
      'transfer to 3 on 2',
      'transfer to undefined on 2',
      'step down on 2',
      'elect on 3',
    ]);
  });

  it('ask every replica what it has synced, and leave out who does not answer (M12)', async () => {
    const world = new World();
    const of = (replicaId: number) => ({
      replicaId,
      index: 7 - replicaId,
      voters: [1, 2, 3],
      outgoingVoters: [],
    });
    const asked = () => world.environment.settle(world.node(1).durableVoters(1, SOON));
    expect(await asked()).toEqual([of(1), of(2), of(3)]);
    world.down.add(2);
    expect(await asked()).toEqual([of(1), of(3)]);
    await expect(world.node(1).durableVoters(9, SOON)).rejects.toMatchObject({
      reason: 'SHARD_NOT_FOUND',
    });
  });

  it('refuse an order that was made for another configuration (M10)', async () => {
    const world = new World();
    const steps = [{ kind: 'remove' as const, replicaId: 1 }];
    const order = world.node(1).reconfigure(1, { expectedIndex: 6, steps, members: [] }, SOON);
    await expect(world.environment.settle(order)).rejects.toMatchObject({
      reason: 'CHANGE_IN_PROGRESS',
    });
    expect(world.calls).toEqual([]);
  });

  it('go on to the new leader, past nodes that are down, until the time is up', async () => {
    const world = new World();
    world.down.add(2);
    const asked = world.node(1).stepDown(1, SOON);
    await world.environment.advance(1_000);
    world.leader = 3;
    await world.environment.settle(asked);
    expect(world.calls).toEqual(['step down on 3']);
    world.leader = 0;
    await expect(world.environment.settle(world.node(1).state(1, SOON))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    await expect(world.environment.settle(world.node(1).state(9, SOON))).rejects.toMatchObject({
      reason: 'SHARD_NOT_FOUND',
    });
  });

  it('take nothing that is no call (P-9)', async () => {
    const world = new World();
    const texts = ['', 'null', '{}', '{"groupId":1,"timeoutMs":1,"call":{"kind":"other"}}'];
    for (const text of texts) {
      const payload = Buffer.concat([Buffer.of(SERVICE.membership, 1), Buffer.from(text)]);
      await expect(world.node(2).serve(payload)).rejects.toThrow(/group call/);
    }
    await expect(world.node(2).serve(Uint8Array.of(SERVICE.membership, 2))).rejects.toThrow(
      /format 2/,
    );
    expect(world.calls).toEqual([]);
  });
});
