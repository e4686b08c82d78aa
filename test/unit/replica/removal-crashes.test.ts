// Goal: a group goes on without the replicas that a change took away, though the power goes the
// moment after they are dropped (M12, P-1, F-14). Method: a disk keeps what was synced, no more.
import { describe, expect, it } from 'vitest';
import type { ConfChangeStep } from '../../../src/raft/types.js';
import {
  type DurableVoters,
  type GroupState,
  survivalRisk,
} from '../../../src/topology/group-control.js';
import { ToyCluster, type ToyNode } from './toy-cluster.js';

const DEADLINE = { timeoutMs: 30_000 };
const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8];

interface Case {
  readonly name: string;
  readonly nodes: number;
  readonly voters: number;
  /** By the node that leads; replica and node ids are equal here. */
  readonly changes: (leaderId: number) => readonly ConfChangeStep[];
}

const other = (leaderId: number): number => (leaderId === 1 ? 2 : 1);

const CASES: readonly Case[] = [
  {
    name: '2 -> 1',
    nodes: 2,
    voters: 2,
    changes: (leaderId) => [{ kind: 'remove', replicaId: other(leaderId) }],
  },
  {
    name: '2 -> 1, the leader goes',
    nodes: 2,
    voters: 2,
    changes: (leaderId) => [{ kind: 'remove', replicaId: leaderId }],
  },
  {
    name: '3 -> 2',
    nodes: 3,
    voters: 3,
    changes: (leaderId) => [{ kind: 'remove', replicaId: other(leaderId) }],
  },
  {
    name: '3 -> 2, the leader goes',
    nodes: 3,
    voters: 3,
    changes: (leaderId) => [{ kind: 'remove', replicaId: leaderId }],
  },
  {
    name: 'one takes the place of another, through a joint configuration',
    nodes: 4,
    voters: 3,
    changes: (leaderId) => [
      { kind: 'add-voter', replicaId: 4 },
      { kind: 'remove', replicaId: other(leaderId) },
    ],
  },
  {
    name: 'one takes the place of the leader',
    nodes: 4,
    voters: 3,
    changes: (leaderId) => [
      { kind: 'add-voter', replicaId: 4 },
      { kind: 'remove', replicaId: leaderId },
    ],
  },
];

describe.each(CASES)('$name', ({ nodes, voters, changes }) => {
  it.each(SEEDS)('is survived by those who are left (seed %i)', async (seed) => {
    const cluster = await ToyCluster.start({ seed, nodes, voters });
    const { random } = cluster.environment;
    await cluster.write('before');
    const leader = await cluster.electedLeader();
    for (const node of cluster.nodes) node.diskDelayMs = random.next() < 0.5 ? 0 : 30;
    cluster.delayShare = seed % 2 === 0 ? 0.2 : 0;
    const steps = changes(leader.nodeId);
    const removed = steps.find(({ kind }) => kind === 'remove')?.replicaId ?? 0;
    const left = cluster.nodes.filter(({ nodeId }) => nodeId !== removed);
    const members = steps.map(({ replicaId }) => cluster.member(replicaId));
    const made = leader.group().changeConfiguration({ changes: steps, members }, DEADLINE);
    // Who is removed as the leader may not hear the end of it (M7).
    made.catch(() => undefined);
    await cluster.until('the old one may go', () => mayGo(left, removed));
    await powerCut(cluster);
    for (const node of left) {
      node.diskDelayMs = 0;
      await cluster.boot(node.nodeId);
    }
    cluster.delayShare = 0;
    expect((await cluster.write('after')).kind).toBe('applied');
    const wanted = left.map(({ nodeId }) => nodeId);
    for (const node of left) {
      await cluster.until('all know who is left', () => {
        const { confState } = node.group().configuration;
        return String(confState.voters) === String(wanted);
      });
      await cluster.until('all have everything', () => node.items().length === 2);
      expect(node.items().map(({ text }) => text)).toEqual(['before', 'after']);
    }
    await cluster.close();
  });
});

/** As the driver of changes asks it: of the leader, and of each that is left. */
function mayGo(left: readonly ToyNode[], removed: number): boolean {
  const leader = left.find((node) => node.group().isLeader);
  if (leader === undefined) return false;
  const { index, confState } = leader.group().configuration;
  if (confState.votersOutgoing.length > 0 || confState.voters.includes(removed)) return false;
  const state: GroupState = {
    configurationIndex: index,
    leaderReplicaId: leader.nodeId,
    voters: confState.voters,
    outgoingVoters: confState.votersOutgoing,
    learners: confState.learners,
    lastIndex: leader.group().status().lastIndex,
    followers: [],
  };
  return survivalRisk(state, left.map(durableVotersOf)) === undefined;
}

function durableVotersOf(node: ToyNode): DurableVoters {
  const { index, confState } = node.group().durableConfiguration;
  return {
    replicaId: node.nodeId,
    index,
    voters: confState.voters,
    outgoingVoters: confState.votersOutgoing,
  };
}

async function powerCut(cluster: ToyCluster): Promise<void> {
  for (const { nodeId } of cluster.alive) {
    await cluster.crash(nodeId, { keepBatches: 0, loseApplied: 'unsynced' });
  }
}
