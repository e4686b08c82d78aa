// Goal: replicas come and go by entries of the log, and only those who belong are believed.
// Method: hosts in virtual time; nodes that begin blank, are cut off, crash or lose their disk.
import { describe, expect, it } from 'vitest';
import { createMessage } from '../../../src/raft/message.js';
import type { ConfChangeStep } from '../../../src/raft/types.js';
import { COMPACTION_DEFAULTS } from '../../../src/replica/log-compaction.js';
import { defined } from '../../../src/shared/assert.js';
import { ELECTION_TIMEOUT_MS, ToyCluster, type ToyNode } from './toy-cluster.js';

const COMPACTION = { ...COMPACTION_DEFAULTS, thresholdEntries: 20, trailingEntries: 5 };
const DEADLINE = { timeoutMs: 30_000 };

function steps(kind: ConfChangeStep['kind'], ...ids: number[]): ConfChangeStep[] {
  return ids.map((replicaId) => ({ kind, replicaId }));
}

/** Makes a change at the leader, whoever it is. */
async function change(
  cluster: ToyCluster,
  changes: readonly ConfChangeStep[],
): Promise<readonly number[]> {
  const leader = await cluster.electedLeader();
  const members = changes.map(({ replicaId }) => cluster.member(replicaId));
  const made = leader.group().changeConfiguration({ changes, members }, DEADLINE);
  return (await cluster.environment.settle(made)).voters;
}

async function same(cluster: ToyCluster, nodes: readonly ToyNode[]): Promise<void> {
  await cluster.until('all have applied the same', () => {
    const leader = cluster.leader();
    const applied = new Set(nodes.map((node) => node.group().appliedIndex));
    return applied.size === 1 && applied.has(leader?.group().commitIndex ?? -1);
  });
  for (const node of nodes) {
    expect(node.items()).toEqual(nodes[0]?.items());
    expect(node.faults).toEqual([]);
  }
}

describe('a change of the configuration', () => {
  it('brings a blank replica in as a learner, by a snapshot, then as a voter (M6)', async () => {
    const cluster = await ToyCluster.start({ nodes: 4, voters: 3 });
    for (let at = 0; at < 5; at++) await cluster.write(`before ${at}`);
    const blank = cluster.node(4);
    await cluster.environment.advance(5 * ELECTION_TIMEOUT_MS);
    expect(blank.group().status().hardState.term).toBe(0);

    await change(cluster, steps('add-learner', 4));
    await same(cluster, cluster.nodes);
    // The configuration that the group began with is not in the log: it came with a snapshot.
    expect(blank.running.logStore.reader(1).firstIndex()).toBeGreaterThan(1);
    expect(blank.group().configuration.confState.voters).toEqual([1, 2, 3]);

    expect(await change(cluster, steps('add-voter', 4))).toEqual([1, 2, 3, 4]);
    await same(cluster, cluster.nodes);
    for (const node of cluster.nodes) {
      expect(node.group().configuration.members.map(({ nodeId }) => nodeId)).toEqual([1, 2, 3, 4]);
    }
    await cluster.close();
  });

  it('of several voters goes through a joint one, which is left again (M1)', async () => {
    const cluster = await ToyCluster.start({ nodes: 5, voters: 3, compaction: COMPACTION });
    for (let at = 0; at < 50; at++) await cluster.write(`before ${at}`);
    await change(cluster, steps('add-learner', 4, 5));
    await same(cluster, cluster.nodes);
    const leader = await cluster.electedLeader();
    const leaves = [1, 2, 3].filter((id) => id !== leader.nodeId);
    const voters = await change(cluster, [
      ...steps('add-voter', 4, 5),
      ...steps('remove', ...leaves),
    ]);
    expect(voters).toEqual([leader.nodeId, 4, 5].sort());
    expect(leader.group().configuration.confState.votersOutgoing).toEqual([]);
    await cluster.write('after');
    await same(cluster, [leader, cluster.node(4), cluster.node(5)]);
    for (const id of leaves) expect(leader.group().memberNodeId(id)).toBe(0);
    await cluster.close();
  });

  it('that removes the leader makes it step down once it is through (M7)', async () => {
    const cluster = await ToyCluster.start();
    await cluster.write('a');
    const old = await cluster.electedLeader();
    await change(cluster, steps('remove', old.nodeId));
    const others = cluster.nodes.filter((node) => node !== old);
    await cluster.until('another leads', () => others.some((node) => node.group().isLeader));
    expect(old.group().isLeader).toBe(false);
    const term = () => defined(cluster.leader(), 'leader').group().term;
    await cluster.write('b');
    await same(cluster, others);
    // The removed one does not disturb those who go on (S-06).
    const before = term();
    await cluster.environment.advance(20 * ELECTION_TIMEOUT_MS);
    expect(term()).toBe(before);
    await cluster.close();
  });

  it('is refused while another one is under way, or for strangers (M2, M8)', async () => {
    const cluster = await ToyCluster.start({ nodes: 5, voters: 3 });
    await cluster.write('a');
    const leader = await cluster.electedLeader();
    const members = cluster.nodes.map(({ nodeId }) => cluster.member(nodeId));
    const make = (changes: ConfChangeStep[], at = leader) =>
      cluster.environment.settle(at.group().changeConfiguration({ changes, members }, DEADLINE));
    const first = make(steps('add-learner', 4));
    await expect(make(steps('add-learner', 5))).rejects.toMatchObject({
      reason: 'CHANGE_IN_PROGRESS',
    });
    await first;
    const stranger = { changes: steps('add-learner', 9), members: [] };
    const made = leader.group().changeConfiguration(stranger, DEADLINE);
    await expect(made).rejects.toMatchObject({ reason: 'INVALID_REQUEST' });
    await expect(make(steps('remove', 1, 2, 3))).rejects.toMatchObject({
      reason: 'INVALID_REQUEST',
    });
    const follower = defined(
      cluster.nodes.find((node) => node !== leader),
      'follower',
    );
    await expect(make(steps('add-voter', 4), follower)).rejects.toMatchObject({
      reason: 'NOT_LEADER',
    });
    await cluster.close();
  });

  it('ends unknown for the one who waits when the leader is cut off, once (A8, S-45)', async () => {
    const cluster = await ToyCluster.start({ nodes: 4, voters: 3 });
    await cluster.write('a');
    const leader = await cluster.electedLeader();
    cluster.isolate(leader.nodeId);
    const members = cluster.nodes.map(({ nodeId }) => cluster.member(nodeId));
    const changes = steps('add-learner', 4);
    const made = leader.group().changeConfiguration({ changes, members }, DEADLINE);
    await expect(cluster.environment.settle(made)).rejects.toMatchObject({
      reason: 'OUTCOME_UNKNOWN',
    });
    cluster.heal();
    await same(cluster, cluster.nodes.slice(0, 3));
    expect(leader.group().configuration.confState.learners).toEqual([]);
    await cluster.close();
  });
});

describe('a learner that was removed unheard', () => {
  it('keeps its leader, and can tell that it is in touch with none', async () => {
    const cluster = await ToyCluster.start({ nodes: 4, voters: 3 });
    await change(cluster, steps('add-learner', 4));
    await same(cluster, cluster.nodes);
    const learner = cluster.node(4);
    expect(learner.group().isInTouch).toBe(true);
    cluster.isolate(4);
    await change(cluster, steps('remove', 4));
    cluster.heal();
    await cluster.environment.advance(5 * ELECTION_TIMEOUT_MS);
    expect(learner.group().leaderNodeId).not.toBe(0);
    expect(learner.group().isInTouch).toBe(false);
    for (const node of cluster.nodes.slice(0, 3)) expect(node.group().isInTouch).toBe(true);
    await cluster.close();
  });
});

describe('a restart', () => {
  it('applies configurations again that were not stored yet, once each', async () => {
    for (const [keepBatches, loseApplied] of [
      [0, 0],
      [0, 4],
      [1, 4],
      [100, 0],
      [100, 4],
    ] as const) {
      const cluster = await ToyCluster.start({ nodes: 4, voters: 3 });
      await cluster.write('a');
      await change(cluster, steps('add-learner', 4));
      await change(cluster, steps('add-voter', 4));
      // Through a joint configuration: leaving that twice would be an error.
      const leaderId = (await cluster.electedLeader()).nodeId;
      const [one = 0, other = 0] = [1, 2, 3].filter((id) => id !== leaderId);
      await change(cluster, steps('add-learner', one, other));
      await change(cluster, steps('add-voter', one, other));
      await same(cluster, cluster.nodes);
      for (const { nodeId } of cluster.alive) {
        await cluster.crash(nodeId, { keepBatches, loseApplied });
      }
      for (const { nodeId } of cluster.nodes) await cluster.boot(nodeId);
      await cluster.write('b');
      await same(cluster, cluster.nodes);
      for (const node of cluster.nodes) {
        expect(node.group().configuration.confState.voters).toEqual([1, 2, 3, 4]);
      }
      await cluster.close();
    }
  });

  it('finds the configuration although the log was cut behind it', async () => {
    const cluster = await ToyCluster.start({ nodes: 4, voters: 3, compaction: COMPACTION });
    await change(cluster, steps('add-voter', 4));
    for (let at = 0; at < 60; at++) await cluster.write(`w ${at}`);
    await same(cluster, cluster.nodes);
    for (const { nodeId } of cluster.alive) await cluster.crash(nodeId, { keepBatches: 100 });
    for (const { nodeId } of cluster.nodes) await cluster.boot(nodeId);
    await cluster.write('b');
    await same(cluster, cluster.nodes);
    expect(cluster.node(1).running.logStore.reader(1).firstIndex()).toBeGreaterThan(20);
    for (const node of cluster.nodes) {
      expect(node.group().configuration.confState.voters).toEqual([1, 2, 3, 4]);
    }
    await cluster.close();
  });
});

describe('a message', () => {
  it('of a leader that a replica does not know yet is taken (thesis 4.2.2)', async () => {
    const cluster = await ToyCluster.start({ nodes: 4, voters: 3 });
    await cluster.write('a');
    await same(cluster, cluster.nodes.slice(0, 3));
    const lagging = defined(
      cluster.nodes.find((node) => node.nodeId < 4 && !node.group().isLeader),
      'lagging',
    );
    cluster.isolate(lagging.nodeId);
    await change(cluster, steps('add-voter', 4));
    const leader = await cluster.electedLeader();
    const handed = leader.group().transferLeadership(4, DEADLINE);
    await cluster.environment.settle(handed);
    expect(lagging.group().memberNodeId(4)).toBe(0);
    // Only the new leader reaches the one that does not know it.
    cluster.heal();
    for (const { nodeId } of cluster.nodes) {
      if (nodeId < 4 && nodeId !== lagging.nodeId) cluster.cut(nodeId, lagging.nodeId);
    }
    await cluster.until('it follows', () => lagging.group().leaderNodeId === 4);
    await same(cluster, cluster.nodes);
    await cluster.close();
  });

  it('from another store under the id of a member is ignored (M8, S-44)', async () => {
    const cluster = await ToyCluster.start();
    await cluster.write('a');
    const leader = await cluster.electedLeader();
    const follower = defined(
      cluster.nodes.find((node) => node !== leader),
      'follower',
    );
    const term = follower.group().term;
    const message = createMessage('MsgHeartbeat', leader.nodeId, follower.nodeId, term + 5);
    const { storeId, incarnation } = leader.running.logStore.identity;
    const from = { clusterId: 'toy', nodeId: leader.nodeId, storeId, incarnation };
    follower.group().step({ ...from, storeId: 'a new disk' }, message);
    expect(follower.group().term).toBe(term);
    // Nor may a stranger answer questions that only members are asked.
    const answer = createMessage('MsgVoteResp', 9, follower.nodeId, term + 5);
    follower.group().step({ ...from, nodeId: 9 }, answer);
    expect(follower.group().term).toBe(term);
    follower.group().step(from, message);
    expect(follower.group().term).toBe(term + 5);
    await cluster.close();
  });
});
