// Goal: the vote of a node that is lost goes to another one, and the topology keeps a majority.
// Method: each command in each state; each step of the change against groups as leaders see them.
import { describe, expect, it } from 'vitest';
import { changeStatus } from '../../../src/node/change-status.js';
import { defined } from '../../../src/shared/assert.js';
import { decodeTopology, encodeTopology } from '../../../src/topology/codec.js';
import {
  type ReplicaChange,
  TOPOLOGY_GROUP_ID,
  type TopologyCommand,
  type TopologyDocument,
} from '../../../src/topology/document.js';
import type { GroupState } from '../../../src/topology/group-control.js';
import { initialTopology } from '../../../src/topology/initial-topology.js';
import { type ReplicaGroup, replicaGroup } from '../../../src/topology/replica-group.js';
import { nextReplicaStep } from '../../../src/topology/replica-steps.js';
import { applyTopologyCommand } from '../../../src/topology/transitions.js';
import { seed } from './topology-fixtures.js';

/** Seven nodes, of which five vote. */
const start = (): TopologyDocument => initialTopology(seed(7, 2));
const groupId = TOPOLOGY_GROUP_ID;
const demote = (replicaId: number): TopologyCommand => {
  return { kind: 'demoteReplica', groupId, replicaId };
};
const promote = (replicaId: number): TopologyCommand => {
  return { kind: 'promoteReplica', groupId, replicaId };
};

const group = (document: TopologyDocument): ReplicaGroup =>
  defined(replicaGroup(document, groupId), 'the topology');
const votersOf = (document: TopologyDocument): number[] =>
  group(document).replicas.flatMap(({ replicaId, learner }) => (learner ? [] : [replicaId]));

function applied(document: TopologyDocument, ...commands: TopologyCommand[]): TopologyDocument {
  return commands.reduce((now, command) => {
    const { document: next, result } = applyTopologyCommand(now, command);
    expect(result).toEqual({ kind: 'done' });
    return next;
  }, document);
}

function advanced(document: TopologyDocument): TopologyDocument {
  const change = defined(group(document).change, 'a change');
  return applied(document, { kind: 'advanceReplicaChange', groupId, change });
}

function refusal(document: TopologyDocument, command: TopologyCommand): unknown {
  const { document: next, result } = applyTopologyCommand(document, command);
  expect(next).toBe(document);
  return result.kind === 'refused' ? result.error : result.kind;
}

/** As the leader, replica 1, sees it. */
function stateOf(document: TopologyDocument, more: Partial<GroupState> = {}): GroupState {
  const ids = group(document).replicas.map(({ replicaId }) => replicaId);
  const voters = votersOf(document);
  return {
    configurationIndex: 1,
    leaderReplicaId: 1,
    voters,
    outgoingVoters: [],
    learners: ids.filter((id) => !voters.includes(id)),
    lastIndex: 10,
    followers: ids
      .filter((id) => id !== 1)
      .map((replicaId) => ({ replicaId, matchIndex: 10, isActive: true, isReplicating: true })),
    ...more,
  };
}

const nextStep = (document: TopologyDocument, state: GroupState) =>
  nextReplicaStep(group(document), defined(group(document).change, 'a change'), state);

describe('a vote in the topology', () => {
  it('goes from a node that is lost to one that learns', () => {
    const without = advanced(applied(start(), demote(2)));
    expect(votersOf(without)).toEqual([1, 3, 4, 5]);
    const moved = advanced(applied(without, promote(6)));
    expect(votersOf(moved)).toEqual([1, 3, 4, 5, 6]);
    expect(group(moved).nextReplicaId).toBe(group(start()).nextReplicaId);
    expect(decodeTopology(encodeTopology(moved))).toEqual(moved);
  });

  it('may be asked for again, during the change and after it', () => {
    const begun = applied(start(), demote(2));
    expect(applied(begun, demote(2))).toBe(begun);
    const over = advanced(begun);
    expect(applied(over, demote(2), promote(3))).toBe(over);
  });

  it('is one of five at most, and is never the last one (P-9)', () => {
    expect(refusal(start(), promote(6))).toMatchObject({
      reason: 'LIMIT_EXCEEDED',
      limit: { name: 'topologyVotersMax', value: 5 },
    });
    const lone = [2, 3, 4, 5].reduce((now, id) => advanced(applied(now, demote(id))), start());
    expect(refusal(lone, demote(1))).toMatchObject({ reason: 'QUORUM_AT_RISK' });
  });

  it('waits for no other change, and no other change waits for it', () => {
    const begun = applied(start(), demote(2));
    const reset: TopologyCommand = { kind: 'resetReplica', groupId, replicaId: 3 };
    for (const command of [demote(3), reset, { kind: 'cancelReplicaChange', groupId } as const]) {
      expect(refusal(begun, command)).toMatchObject({ reason: 'CHANGE_IN_PROGRESS' });
    }
    expect(refusal(applied(start(), reset), demote(2))).toMatchObject({
      reason: 'CHANGE_IN_PROGRESS',
      message: expect.stringContaining('replica 3 goes'),
    });
  });

  it('is taken back by asking for the opposite, where the change cannot go on', () => {
    const begun = applied(start(), demote(3));
    const back = applied(begun, promote(3));
    expect(group(back).change).toEqual({ demote: 3, stage: 'cancelling' });
    expect(applied(back, promote(3))).toBe(back);
    expect(nextStep(back, stateOf(back))).toMatchObject({
      kind: 'reconfigure',
      steps: [{ kind: 'add-voter', replicaId: 3 }],
    });
    const over = advanced(back);
    expect(votersOf(over)).toEqual(votersOf(start()));
    expect(group(applied(over, demote(2))).change).toMatchObject({ demote: 2 });
    const free = advanced(applied(start(), demote(2)));
    const given = applied(free, promote(6));
    const taken = applied(given, demote(6));
    expect(group(taken).change).toEqual({ promote: 6, stage: 'cancelling' });
    // Who asks for it once more is not told that it is done: the opposite is.
    expect(refusal(back, demote(3))).toMatchObject({ reason: 'CHANGE_IN_PROGRESS' });
    expect(refusal(taken, promote(6))).toMatchObject({ reason: 'CHANGE_IN_PROGRESS' });
  });

  it('is a thing of the topology: replicas of shards all vote', () => {
    const shard = { groupId: 1, replicaId: 2 };
    expect(refusal(start(), { kind: 'demoteReplica', ...shard })).toMatchObject({
      reason: 'INVALID_REQUEST',
    });
    expect(applied(start(), { kind: 'promoteReplica', ...shard })).toEqual(start());
  });

  it('stays with the node when it comes back with an empty disk meanwhile (S-44)', () => {
    const readmit: TopologyCommand = { kind: 'readmitNode', nodeId: 2, storeId: 'new' };
    let document = applied(start(), demote(2), readmit);
    while (group(document).change !== undefined) document = advanced(document);
    const entry = group(document).replicas.find(({ nodeId }) => nodeId === 2);
    expect(entry).toEqual({ replicaId: 8, nodeId: 2, learner: true });
  });

  it('is left as it was where another node comes back with an empty disk (S-44)', () => {
    const readmit: TopologyCommand = { kind: 'readmitNode', nodeId: 3, storeId: 'new' };
    for (const command of [demote(2), promote(6)]) {
      const first =
        command.kind === 'promoteReplica' ? [advanced(applied(start(), demote(5)))] : [];
      const [before = start()] = first;
      let document = applied(before, command, readmit);
      expect(group(document).change?.stage).toBe('cancelling');
      expect(decodeTopology(encodeTopology(document))).toEqual(document);
      while (group(document).change !== undefined) document = advanced(document);
      expect(votersOf(document)).toEqual(
        votersOf(before).map((replicaId) => (replicaId === 3 ? 8 : replicaId)),
      );
    }
  });

  it('is the vote of somebody, and the change is about nothing else (P-8)', () => {
    const broken: [RegExp, ReplicaChange][] = [
      [/vote of nobody/, { promote: 1, stage: 'switching' }],
      [/vote of nobody/, { demote: 6, stage: 'switching' }],
      [/vote of nobody/, { promote: 99, stage: 'switching' }],
      [/something else/, { promote: 6, demote: 1, stage: 'switching' }],
      [/something else/, { promote: 6, remove: 1, stage: 'switching' }],
      [/something else/, { demote: 1, stage: 'adding' }],
    ];
    for (const [message, change] of broken) {
      const document = start();
      const topologyGroup = { ...document.topologyGroup, change };
      expect(() => decodeTopology(encodeTopology({ ...document, topologyGroup }))).toThrow(message);
    }
  });
});

describe('the steps of a change of votes', () => {
  it('are one change of the configuration, and the end once it is in force (M1)', () => {
    const begun = applied(start(), demote(2));
    expect(nextStep(begun, stateOf(begun))).toEqual({
      kind: 'reconfigure',
      steps: [{ kind: 'add-learner', replicaId: 2 }],
      handOverFirst: false,
      thenAdvance: false,
    });
    const done = { voters: [1, 3, 4, 5], learners: [2, 6, 7] };
    // The log of who votes no more may be wiped then: the others have to have it synced (M12).
    expect(nextStep(begun, stateOf(begun, done))).toEqual({ kind: 'advance', onceDurable: true });

    const next = applied(advanced(begun), promote(6));
    expect(nextStep(next, stateOf(next))).toMatchObject({
      steps: [{ kind: 'add-voter', replicaId: 6 }],
    });
    const over = { voters: [1, 3, 4, 5, 6], learners: [2, 7] };
    expect(nextStep(next, stateOf(next, over))).toEqual({ kind: 'advance', onceDurable: false });
  });

  it('are taken back by a change of its own, so that a late order does not count (M10)', () => {
    const readmit: TopologyCommand = { kind: 'readmitNode', nodeId: 3, storeId: 'new' };
    const begun = applied(start(), demote(2), readmit);
    expect(nextStep(begun, stateOf(begun))).toEqual({
      kind: 'reconfigure',
      steps: [{ kind: 'add-voter', replicaId: 2 }],
      handOverFirst: false,
      thenAdvance: true,
    });
    const without = advanced(applied(start(), demote(5)));
    const other = applied(without, promote(6), readmit);
    expect(nextStep(other, stateOf(other, { leaderReplicaId: 6 }))).toEqual({
      kind: 'reconfigure',
      steps: [{ kind: 'add-learner', replicaId: 6 }],
      handOverFirst: true,
      thenAdvance: true,
    });
  });

  it('let the leader hand over before it votes no more', () => {
    const begun = applied(start(), demote(1));
    expect(nextStep(begun, stateOf(begun))).toMatchObject({
      kind: 'reconfigure',
      handOverFirst: true,
    });
  });

  it('wait where those who would vote then are no majority that answers', () => {
    const begun = applied(start(), demote(2));
    const silent = (ids: readonly number[]): GroupState => {
      const state = stateOf(begun);
      const followers = state.followers.map((one) => {
        return { ...one, isActive: !ids.includes(one.replicaId) };
      });
      return { ...state, followers };
    };
    expect(nextStep(begun, silent([2, 3]))).toMatchObject({ kind: 'reconfigure' });
    const waiting = silent([3, 4]);
    expect(nextStep(begun, waiting)).toMatchObject({
      kind: 'wait',
      problem: expect.stringContaining('missing: replica 3, 4'),
    });
    const change = defined(group(begun).change, 'a change');
    expect(changeStatus(group(begun), change, waiting)).toMatchObject({
      stage: 'demoting',
      removeReplicaId: 2,
      removeNodeId: 2,
      addNodeId: 0,
      id: 0,
      problem: expect.stringContaining('missing: replica 3, 4'),
    });
  });

  it('are told to operators by node, taken back as the opposite', () => {
    const back = applied(start(), demote(3), promote(3));
    const given = defined(group(back).change, 'a change');
    expect(changeStatus(group(back), given, stateOf(back))).toMatchObject({
      stage: 'promoting',
      addReplicaId: 3,
      removeReplicaId: 0,
    });
    const without = advanced(applied(start(), demote(2)));
    const next = applied(without, promote(7));
    const change = defined(group(next).change, 'a change');
    expect(changeStatus(group(next), change, stateOf(next))).toMatchObject({
      stage: 'promoting',
      addReplicaId: 7,
      addNodeId: 7,
      removeReplicaId: 0,
      problem: '',
    });
  });
});
