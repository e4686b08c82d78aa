// Goal: replicas come and go by the rules: one change a group, no id twice, no vote of a lost disk.
// Method: each command in each state, and random runs checked for what always holds.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defined } from '../../../src/shared/assert.js';
import {
  documentFault,
  type TopologyCommand,
  type TopologyDocument,
} from '../../../src/topology/document.js';
import { initialTopology } from '../../../src/topology/initial-topology.js';
import {
  hasLeft,
  type ReplicaGroup,
  replicaGroup,
  replicaGroups,
  replicaOn,
} from '../../../src/topology/replica-group.js';
import { applyTopologyCommand } from '../../../src/topology/transitions.js';
import { seed } from './topology-fixtures.js';

/** Five nodes, shards of three replicas: shard 0 is group 1. */
const start = (): TopologyDocument => initialTopology(seed(5, 2, 3));

const group = (document: TopologyDocument, groupId = 1): ReplicaGroup =>
  defined(replicaGroup(document, groupId), `group ${groupId}`);

function applied(document: TopologyDocument, ...commands: TopologyCommand[]): TopologyDocument {
  return commands.reduce((now, command) => {
    const { document: next, result } = applyTopologyCommand(now, command);
    expect(result).toEqual({ kind: 'done' });
    return next;
  }, document);
}

const refusal = (document: TopologyDocument, command: TopologyCommand): string => {
  const { document: next, result } = applyTopologyCommand(document, command);
  expect(next).toBe(document);
  return result.kind === 'refused' ? result.error.reason : result.kind;
};

/** Advances the group's change once. */
function advanced(document: TopologyDocument, groupId = 1): TopologyDocument {
  const change = defined(group(document, groupId).change, 'a change');
  return applied(document, { kind: 'advanceReplicaChange', groupId, change });
}

const freeNode = (document: TopologyDocument): number => {
  const held = group(document).replicas.map(({ nodeId }) => nodeId);
  return defined(
    [1, 2, 3, 4, 5].find((nodeId) => !held.includes(nodeId)),
    'a free node',
  );
};

const stages = (document: TopologyDocument): (string | undefined)[] => {
  const seen: (string | undefined)[] = [];
  for (let now = document; group(now).change !== undefined; now = advanced(now)) {
    seen.push(group(now).change?.stage);
  }
  return seen;
};

describe('adding a replica', () => {
  it('goes adding, catching-up, switching, and then the document lists it', () => {
    const before = start();
    const nodeId = freeNode(before);
    const begun = applied(before, { kind: 'addReplica', groupId: 1, nodeId });
    expect(begun.epoch).toBe(before.epoch + 1);
    expect(group(begun)).toMatchObject({
      nextReplicaId: 5,
      change: { add: { replicaId: 4, nodeId }, stage: 'adding' },
    });
    expect(group(begun).replicas).toHaveLength(3);
    expect(stages(begun)).toEqual(['adding', 'catching-up', 'switching']);
    const over = advanced(advanced(advanced(begun)));
    expect(group(over).change).toBeUndefined();
    expect(group(over).replicas.at(-1)).toEqual({ replicaId: 4, nodeId, learner: false });
  });

  it('may be repeated, during it and after it', () => {
    const command: TopologyCommand = { kind: 'addReplica', groupId: 1, nodeId: freeNode(start()) };
    let document = applied(start(), command);
    for (; group(document).change !== undefined; document = advanced(document)) {
      expect(refusal(document, command)).toBe('done');
    }
    expect(refusal(document, command)).toBe('done');
  });

  it('is refused where there is no such group or node, and while another change goes on', () => {
    const document = applied(start(), { kind: 'removeReplica', groupId: 1, replicaId: 2 });
    const nodeId = freeNode(document);
    expect(refusal(document, { kind: 'addReplica', groupId: 1, nodeId })).toBe(
      'CHANGE_IN_PROGRESS',
    );
    expect(refusal(document, { kind: 'addReplica', groupId: 9, nodeId })).toBe('SHARD_NOT_FOUND');
    expect(refusal(start(), { kind: 'addReplica', groupId: 1, nodeId: 9 })).toBe('NODE_NOT_FOUND');
  });

  it('stops at the limit of replicas', () => {
    const commands = [4, 5, 6, 7].map(
      (nodeId): TopologyCommand => ({
        kind: 'addReplica',
        groupId: 1,
        nodeId,
      }),
    );
    let document = initialTopology(seed(8, 1, 3));
    const held = group(document).replicas.map(({ nodeId }) => nodeId);
    const free = [1, 2, 3, 4, 5, 6, 7, 8].filter((nodeId) => !held.includes(nodeId));
    for (const at of commands.keys()) {
      const nodeId = defined(free[at], 'a free node');
      document = applied(document, { kind: 'addReplica', groupId: 1, nodeId });
      while (group(document).change !== undefined) document = advanced(document);
    }
    expect(group(document).replicas).toHaveLength(7);
    const last: TopologyCommand = { kind: 'addReplica', groupId: 1, nodeId: free[4] ?? 0 };
    expect(refusal(document, last)).toBe('LIMIT_EXCEEDED');
  });
});

describe('removing a replica', () => {
  it('begins with switching and leaves its id behind for ever (M8)', () => {
    const begun = applied(start(), { kind: 'removeReplica', groupId: 1, replicaId: 2 });
    expect(stages(begun)).toEqual(['switching']);
    const over = advanced(begun);
    expect(group(over).replicas.map(({ replicaId }) => replicaId)).toEqual([1, 3]);
    expect(hasLeft(group(over), 2)).toBe(true);
    expect(hasLeft(group(over), 4)).toBe(false);
    expect(refusal(over, { kind: 'removeReplica', groupId: 1, replicaId: 2 })).toBe('done');
    const nodeId = freeNode(over);
    const again = applied(over, { kind: 'addReplica', groupId: 1, nodeId });
    expect(group(again).change?.add?.replicaId).toBe(4);
  });

  it('spares the last one, those of the topology, and tells who was never there', () => {
    const one = initialTopology(seed(1, 1, 1));
    const last: TopologyCommand = { kind: 'removeReplica', groupId: 1, replicaId: 1 };
    expect(refusal(one, last)).toBe('QUORUM_AT_RISK');
    const topology: TopologyCommand = { kind: 'removeReplica', groupId: 0, replicaId: 1 };
    expect(refusal(start(), topology)).toBe('INVALID_REQUEST');
    const never: TopologyCommand = { kind: 'removeReplica', groupId: 1, replicaId: 9 };
    expect(refusal(start(), never)).toBe('REPLICA_NOT_FOUND');
  });
});

describe('resetting a replica', () => {
  it('puts a new id in the place of the old one, on the same node', () => {
    const before = start();
    const [, second] = group(before).replicas;
    const begun = applied(before, { kind: 'resetReplica', groupId: 1, replicaId: 2 });
    const { nodeId } = defined(second, 'a replica');
    expect(group(begun).change).toEqual({
      add: { replicaId: 4, nodeId },
      remove: 2,
      stage: 'adding',
    });
    expect(replicaOn(group(begun), nodeId)?.replicaId).toBe(4);
    const over = advanced(advanced(advanced(begun)));
    expect(group(over).replicas.map(({ replicaId }) => replicaId)).toEqual([1, 4, 3]);
    expect(refusal(over, { kind: 'resetReplica', groupId: 1, replicaId: 2 })).toBe('done');
  });

  it('keeps a learner of the topology a learner', () => {
    const big = initialTopology(seed(7, 1, 3));
    const begun = applied(big, { kind: 'resetReplica', groupId: 0, replicaId: 6 });
    let document = begun;
    while (group(document, 0).change !== undefined) document = advanced(document, 0);
    expect(document.topologyReplicas[5]).toEqual({ replicaId: 8, nodeId: 6, learner: true });
    expect(documentFault(document)).toBeUndefined();
  });

  it('is refused where the others are no majority without it', () => {
    const two = initialTopology(seed(2, 1, 2));
    const reset: TopologyCommand = { kind: 'resetReplica', groupId: 1, replicaId: 2 };
    expect(refusal(two, reset)).toBe('QUORUM_AT_RISK');
  });
});

describe('giving a change up', () => {
  it('leaves the replicas as they were, and the id used', () => {
    const begun = applied(start(), { kind: 'resetReplica', groupId: 1, replicaId: 2 });
    const given = applied(begun, { kind: 'cancelReplicaChange', groupId: 1 });
    expect(group(given).change?.stage).toBe('cancelling');
    expect(refusal(given, { kind: 'cancelReplicaChange', groupId: 1 })).toBe('done');
    const over = advanced(given);
    expect(group(over)).toMatchObject({ replicas: group(start()).replicas, nextReplicaId: 5 });
    expect(group(over).change).toBeUndefined();
    expect(refusal(over, { kind: 'cancelReplicaChange', groupId: 1 })).toBe('done');
  });

  it('hits the change that it names, and none of before or after', () => {
    const cancel = (changeId: number): TopologyCommand => {
      return { kind: 'cancelReplicaChange', groupId: 1, changeId };
    };
    expect(refusal(start(), cancel(4))).toBe('CHANGE_NOT_FOUND');
    const first = applied(start(), { kind: 'resetReplica', groupId: 1, replicaId: 2 });
    expect(refusal(first, cancel(5))).toBe('CHANGE_NOT_FOUND');
    expect(refusal(first, cancel(3))).toBe('CHANGE_NOT_FOUND');
    const given = applied(first, cancel(4));
    expect(group(given).change?.stage).toBe('cancelling');
    const over = advanced(given);
    expect(refusal(over, cancel(4))).toBe('done');
    const second = applied(over, { kind: 'resetReplica', groupId: 1, replicaId: 2 });
    expect(refusal(second, cancel(4))).toBe('done');
    expect(group(applied(second, cancel(5))).change?.stage).toBe('cancelling');
    const through = advanced(advanced(advanced(second)));
    expect(refusal(through, cancel(5))).toBe('CHANGE_NOT_FOUND');
    // A removal brings no replica: it has no name that would give it up.
    const leaving = applied(through, { kind: 'removeReplica', groupId: 1, replicaId: 5 });
    expect(refusal(leaving, cancel(5))).toBe('CHANGE_NOT_FOUND');
    expect(refusal(leaving, cancel(4))).toBe('done');
  });

  it('comes too late once the new replica begins to vote', () => {
    const begun = applied(start(), { kind: 'resetReplica', groupId: 1, replicaId: 2 });
    const switching = advanced(advanced(begun));
    expect(refusal(switching, { kind: 'cancelReplicaChange', groupId: 1 })).toBe(
      'CHANGE_IN_PROGRESS',
    );
  });
});

describe('advancing', () => {
  it('has no effect on another change, or on the same one at another stage', () => {
    const begun = applied(start(), { kind: 'resetReplica', groupId: 1, replicaId: 2 });
    const change = defined(group(begun).change, 'a change');
    const later = advanced(begun);
    const stale: TopologyCommand = { kind: 'advanceReplicaChange', groupId: 1, change };
    expect(refusal(later, stale)).toBe('done');
    expect(refusal(start(), stale)).toBe('done');
  });
});

describe('a node with a new store (S-44)', () => {
  const readmit = (nodeId: number, storeId = `new-${nodeId}`): TopologyCommand => ({
    kind: 'readmitNode',
    nodeId,
    storeId,
  });

  it('gets a new replica for each that it had, in every group, in one step', () => {
    const before = start();
    const [first] = group(before).replicas;
    const { nodeId } = defined(first, 'a replica');
    const begun = applied(before, readmit(nodeId));
    expect(begun.nodes.find((node) => node.nodeId === nodeId)?.storeId).toBe(`new-${nodeId}`);
    for (const one of replicaGroups(before)) {
      const lost = one.replicas.find((replica) => replica.nodeId === nodeId);
      const { change } = group(begun, one.groupId);
      expect(change?.remove).toBe(lost?.replicaId);
      if (lost !== undefined) expect(change?.add?.nodeId).toBe(nodeId);
    }
    expect(refusal(begun, readmit(nodeId))).toBe('done');
    expect(documentFault(begun)).toBeUndefined();
  });

  it('waits its turn where a change is under way, and is then reset', () => {
    const [first, second] = group(start()).replicas;
    const removing = applied(start(), {
      kind: 'removeReplica',
      groupId: 1,
      replicaId: first?.replicaId ?? 0,
    });
    const begun = applied(removing, readmit(second?.nodeId ?? 0));
    expect(group(begun)).toMatchObject({ resets: [second?.replicaId] });
    const next = advanced(begun);
    expect(group(next)).toMatchObject({
      resets: [],
      change: { remove: second?.replicaId, add: { nodeId: second?.nodeId }, stage: 'adding' },
    });
  });

  it('that is wiped while it comes back starts over under yet another id', () => {
    const [first] = group(start()).replicas;
    const { nodeId, replicaId } = defined(first, 'a replica');
    const once = applied(start(), readmit(nodeId, 'a'));
    const twice = applied(once, readmit(nodeId, 'b'));
    expect(group(twice)).toMatchObject({ change: { stage: 'cancelling' }, resets: [replicaId] });
    const again = advanced(twice);
    expect(group(again)).toMatchObject({
      change: { add: { replicaId: 5, nodeId }, remove: replicaId, stage: 'adding' },
      nextReplicaId: 6,
    });
    const late = applied(advanced(advanced(once)), readmit(nodeId, 'c'));
    expect(group(late)).toMatchObject({ change: { stage: 'switching' }, resets: [4] });
    expect(group(advanced(late)).change).toMatchObject({ remove: 4, add: { replicaId: 5 } });
  });

  it('is refused for a node that is not there, and for the store of another', () => {
    expect(refusal(start(), readmit(9))).toBe('NODE_NOT_FOUND');
    expect(refusal(start(), readmit(1, 'store-2'))).toBe('WRONG_STORE');
  });
});

/** A command as it is, or the one that advances the group's change, where there is one. */
function commandOf(
  document: TopologyDocument,
  move: TopologyCommand | { readonly kind: 'advance'; readonly groupId: number },
): TopologyCommand | undefined {
  if (move.kind !== 'advance') return move;
  const { groupId } = move;
  const { change } = group(document, groupId);
  return change && { kind: 'advanceReplicaChange', groupId, change };
}

/** `gone` has the names of those that had left before. */
function expectGoneForEver(now: ReplicaGroup, gone: Set<string>): void {
  for (let id = 1; id < now.nextReplicaId; id++) {
    const name = `${now.groupId}/${id}`;
    if (hasLeft(now, id)) gone.add(name);
    else expect(gone.has(name)).toBe(false);
  }
}

describe('whatever comes in whatever order', () => {
  const groupId = fc.integer({ min: 0, max: 2 });
  const nodeId = fc.integer({ min: 1, max: 5 });
  const replicaId = fc.integer({ min: 1, max: 12 });
  const move = fc.oneof(
    { weight: 6, arbitrary: groupId.map((id) => ({ kind: 'advance' as const, groupId: id })) },
    fc.record({ kind: fc.constant('addReplica' as const), groupId, nodeId }),
    fc.record({ kind: fc.constant('removeReplica' as const), groupId, replicaId }),
    fc.record({ kind: fc.constant('resetReplica' as const), groupId, replicaId }),
    fc.record({ kind: fc.constantFrom('promoteReplica', 'demoteReplica'), groupId, replicaId }),
    fc.record({ kind: fc.constant('cancelReplicaChange' as const), groupId }),
    fc.record({ kind: fc.constant('cancelReplicaChange' as const), groupId, changeId: replicaId }),
    fc.record({
      kind: fc.constant('readmitNode' as const),
      nodeId,
      storeId: fc.integer({ min: 1, max: 40 }).map((number) => `store-${number}`),
    }),
  );

  it('the document stays sound, ids only grow, and what has left stays away (M8)', () => {
    fc.assert(
      fc.property(fc.array(move, { maxLength: 60 }), (moves) => {
        let document = start();
        const gone = new Set<string>();
        for (const one of moves) {
          const command = commandOf(document, one);
          if (command === undefined) continue;
          const { document: next } = applyTopologyCommand(document, command);
          expect(documentFault(next)).toBeUndefined();
          expect(next.epoch - document.epoch).toBe(next === document ? 0 : 1);
          for (const before of replicaGroups(document)) {
            const now = group(next, before.groupId);
            expect(now.nextReplicaId).toBeGreaterThanOrEqual(before.nextReplicaId);
            expect(now.replicas.some(({ learner }) => !learner)).toBe(true);
            expectGoneForEver(now, gone);
          }
          document = next;
        }
      }),
      { numRuns: 300 },
    );
  });

  it('every change comes to its end by advancing alone', () => {
    fc.assert(
      fc.property(fc.array(move, { maxLength: 40 }), (moves) => {
        let document = start();
        for (const one of moves) {
          if (one.kind !== 'advance') document = applyTopologyCommand(document, one).document;
        }
        for (const { groupId: id } of replicaGroups(document)) {
          for (let steps = 0; group(document, id).change !== undefined; steps++) {
            expect(steps).toBeLessThan(40);
            document = advanced(document, id);
          }
          expect(group(document, id).resets).toEqual([]);
        }
      }),
    );
  });
});
