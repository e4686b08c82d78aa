/**
 * How the replicas of groups change: the part of transitions.ts that is about who holds what.
 *
 * A change goes `adding -> catching-up -> switching -> over`; whoever leads the topology carries
 * out a stage and then proposes `advanceReplicaChange` with the very change it has worked on, so
 * that a leader of yesterday cannot push the change of today. A group has one change at a time; a
 * node that comes back with nothing may find one under way, its replica then waits in `resets`.
 *
 * What is refused here is wrong whatever the replicas do. Whether enough of them are alive for a
 * change is not to be seen in a document: the driver asks the group.
 */
import { assert, unreachable } from '../shared/assert.js';
import { FlotillaError, limitExceeded } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';
import {
  type ReplicaChange,
  type ReplicaCommand,
  TOPOLOGY_GROUP_ID,
  type TopologyDocument,
  type TopologyReplicaEntry,
} from './document.js';
import {
  addsLearner,
  changeIdOf,
  groupName,
  type ReplicaGroup,
  replicaGroup,
  replicaGroups,
  withGroup,
} from './replica-group.js';

/** The document after a command, the very same one when nothing changed, or why it is refused. */
export type ReplicaTransition = TopologyDocument | FlotillaError;

/** Applies one command; the epoch is the caller's. Linear in the replicas of the cluster. */
export function applyReplicaCommand(
  document: TopologyDocument,
  command: ReplicaCommand,
): ReplicaTransition {
  if (command.kind === 'readmitNode') return readmit(document, command.nodeId, command.storeId);
  const group = replicaGroup(document, command.groupId);
  if (group === undefined) {
    return new FlotillaError('SHARD_NOT_FOUND', `There is no group ${command.groupId}`);
  }
  const changed = changeGroup(document, group, command);
  if (changed instanceof FlotillaError) return changed;
  return changed === group ? document : withGroup(document, changed);
}

function changeGroup(
  document: TopologyDocument,
  group: ReplicaGroup,
  command: Exclude<ReplicaCommand, { kind: 'readmitNode' }>,
): ReplicaGroup | FlotillaError {
  switch (command.kind) {
    case 'addReplica':
      return addReplica(document, group, command.nodeId);
    case 'removeReplica':
      return removeReplica(group, command.replicaId);
    case 'resetReplica':
      return resetReplica(group, command.replicaId);
    case 'promoteReplica':
      return promoteReplica(group, command.replicaId);
    case 'demoteReplica':
      return demoteReplica(group, command.replicaId);
    case 'cancelReplicaChange':
      return cancel(group, command.changeId);
    case 'advanceReplicaChange':
      return isSameChange(group.change, command.change) ? advance(group) : group;
    default:
      return unreachable(command, 'replica command');
  }
}

/** Whether two descriptions are of the same change at the same stage. */
export function isSameChange(a: ReplicaChange | undefined, b: ReplicaChange): boolean {
  return (
    a?.stage === b.stage &&
    a.remove === b.remove &&
    a.promote === b.promote &&
    a.demote === b.demote &&
    a.add?.replicaId === b.add?.replicaId &&
    a.add?.nodeId === b.add?.nodeId
  );
}

function addReplica(
  document: TopologyDocument,
  group: ReplicaGroup,
  nodeId: number,
): ReplicaGroup | FlotillaError {
  const { change, replicas } = group;
  if (!document.nodes.some((node) => node.nodeId === nodeId)) return noNode(nodeId);
  if (change?.add?.nodeId === nodeId && change.stage !== 'cancelling') return group;
  if (replicas.some((one) => one.nodeId === nodeId && one.replicaId !== change?.remove)) {
    return group;
  }
  if (change !== undefined) return inProgress(group);
  if (replicas.length >= LIMITS.replicationFactorMax.value) {
    return limitExceeded('replicationFactorMax', 'replicas', replicas.length + 1);
  }
  return begin(group, { nodeId });
}

function removeReplica(group: ReplicaGroup, replicaId: number): ReplicaGroup | FlotillaError {
  const { change, replicas, groupId } = group;
  if (groupId === TOPOLOGY_GROUP_ID) {
    return new FlotillaError('INVALID_REQUEST', 'The topology has a replica on every node');
  }
  const isThere = replicas.some((replica) => replica.replicaId === replicaId);
  if (!isThere) return goneOrUnknown(group, replicaId);
  if (change?.remove === replicaId && change.add === undefined) return group;
  if (change !== undefined) return inProgress(group);
  if (replicas.length === 1) {
    const message = `Replica ${replicaId} is the last one of ${groupName(group)}`;
    return new FlotillaError('QUORUM_AT_RISK', message);
  }
  return { ...group, change: { remove: replicaId, stage: 'switching' } };
}

function resetReplica(group: ReplicaGroup, replicaId: number): ReplicaGroup | FlotillaError {
  const { change, replicas } = group;
  const replica = replicas.find((one) => one.replicaId === replicaId);
  if (replica === undefined) return goneOrUnknown(group, replicaId);
  const isUnderWay = change?.remove === replicaId && change.add?.nodeId === replica.nodeId;
  if (isUnderWay && change.stage !== 'cancelling') return group;
  if (change !== undefined) return inProgress(group);
  const voters = votersOf(group);
  // The old replica goes before the new one can vote: the others have to decide without it.
  if (!replica.learner && voters.length - 1 < majorityOf(voters.length)) {
    return new FlotillaError(
      'QUORUM_AT_RISK',
      `The other replicas of ${groupName(group)} are no majority without replica ${replicaId}: ` +
        'add one on another node first',
    );
  }
  return begin(group, replica);
}

function promoteReplica(group: ReplicaGroup, replicaId: number): ReplicaGroup | FlotillaError {
  const { change, replicas } = group;
  const replica = replicas.find((one) => one.replicaId === replicaId);
  if (replica === undefined) return goneOrUnknown(group, replicaId);
  if (change?.demote === replicaId) return takenBack(group, change);
  const isUnderWay = change?.promote === replicaId && change.stage !== 'cancelling';
  if (!replica.learner || isUnderWay) return group;
  if (change !== undefined) return inProgress(group);
  const voters = votersOf(group).length;
  if (voters >= LIMITS.topologyVotersMax.value) {
    return limitExceeded('topologyVotersMax', 'voters', voters + 1);
  }
  return { ...group, change: { promote: replicaId, stage: 'switching' } };
}

function demoteReplica(group: ReplicaGroup, replicaId: number): ReplicaGroup | FlotillaError {
  const { change, replicas, groupId } = group;
  if (groupId !== TOPOLOGY_GROUP_ID) {
    return new FlotillaError('INVALID_REQUEST', 'All replicas of a shard vote');
  }
  const replica = replicas.find((one) => one.replicaId === replicaId);
  if (replica === undefined) return goneOrUnknown(group, replicaId);
  if (change?.promote === replicaId) return takenBack(group, change);
  const isUnderWay = change?.demote === replicaId && change.stage !== 'cancelling';
  if (replica.learner || isUnderWay) return group;
  if (change !== undefined) return inProgress(group);
  if (votersOf(group).length === 1) {
    const message = `Replica ${replicaId} is the last voter of ${groupName(group)}`;
    return new FlotillaError('QUORUM_AT_RISK', message);
  }
  return { ...group, change: { demote: replicaId, stage: 'switching' } };
}

/** A change of a vote has no id to give it up by: to ask for the opposite is the way. */
function takenBack(group: ReplicaGroup, change: ReplicaChange): ReplicaGroup {
  return change.stage === 'cancelling'
    ? group
    : { ...group, change: { ...change, stage: 'cancelling' } };
}

function votersOf({ replicas }: ReplicaGroup): TopologyReplicaEntry[] {
  return replicas.filter(({ learner }) => !learner);
}

function cancel(group: ReplicaGroup, changeId?: number): ReplicaGroup | FlotillaError {
  const { change } = group;
  if (changeId !== undefined && changeId !== changeIdOf(change)) return over(group, changeId);
  switch (change?.stage) {
    case undefined:
    case 'cancelling':
      return group;
    case 'adding':
    case 'catching-up':
      return { ...group, change: { ...change, stage: 'cancelling' } };
    case 'switching':
      return inProgress(group);
  }
}

/** Giving up a change that is not under way: no error where it was given up before. */
function over(group: ReplicaGroup, changeId: number): ReplicaGroup | FlotillaError {
  const name = groupName(group);
  if (changeId >= group.nextReplicaId) {
    return new FlotillaError('CHANGE_NOT_FOUND', `${name} never had a change ${changeId}`);
  }
  if (!group.replicas.some(({ replicaId }) => replicaId === changeId)) return group;
  const message = `Change ${changeId} of ${name} is through: replica ${changeId} belongs to it`;
  return new FlotillaError('CHANGE_NOT_FOUND', message);
}

function advance(group: ReplicaGroup): ReplicaGroup {
  const { change } = group;
  assert(change !== undefined, () => `group ${group.groupId} has a change to advance`);
  switch (change.stage) {
    case 'adding':
      return { ...group, change: { ...change, stage: 'catching-up' } };
    case 'catching-up':
      return { ...group, change: { ...change, stage: 'switching' } };
    case 'switching':
      return beginNextReset({ ...withoutChange(group), replicas: replicasAfter(group) });
    case 'cancelling':
      return beginNextReset(withoutChange(group));
  }
}

/** The new replica stands where the old one did: the first is where the leader is preferred. */
function replicasAfter(group: ReplicaGroup): TopologyReplicaEntry[] {
  const { replicas, change } = group;
  const vote = change?.promote ?? change?.demote;
  if (vote !== undefined) {
    const learner = change?.demote !== undefined;
    return replicas.map((one) => (one.replicaId === vote ? { ...one, learner } : one));
  }
  const added = change?.add && { ...change.add, learner: addsLearner(group) };
  if (change?.remove === undefined) return added === undefined ? [] : [...replicas, added];
  return replicas.flatMap((replica) => {
    if (replica.replicaId !== change.remove) return [replica];
    return added === undefined ? [] : [added];
  });
}

/** A replica that was removed meanwhile needs no reset. */
function beginNextReset(group: ReplicaGroup): ReplicaGroup {
  const waiting = group.resets.flatMap((replicaId) =>
    group.replicas.filter((replica) => replica.replicaId === replicaId),
  );
  const [next, ...later] = waiting;
  const rest = { ...group, resets: later.map(({ replicaId }) => replicaId) };
  return next === undefined ? rest : begin(rest, next);
}

/** Gives out a replica id. With a replica given, its place is taken. */
function begin(
  group: ReplicaGroup,
  where: { readonly nodeId: number; readonly replicaId?: number },
): ReplicaGroup {
  const { nodeId, replicaId } = where;
  return {
    ...group,
    nextReplicaId: group.nextReplicaId + 1,
    change: {
      add: { replicaId: group.nextReplicaId, nodeId },
      ...(replicaId !== undefined && { remove: replicaId }),
      stage: 'adding',
    },
  };
}

function withoutChange(group: ReplicaGroup): ReplicaGroup {
  const { change: _over, ...rest } = group;
  return rest;
}

function readmit(
  document: TopologyDocument,
  nodeId: number,
  storeId: string,
): TopologyDocument | FlotillaError {
  const node = document.nodes.find((one) => one.nodeId === nodeId);
  if (node === undefined) return noNode(nodeId);
  if (node.storeId === storeId) return document;
  const owner = document.nodes.find((one) => one.storeId === storeId);
  if (owner !== undefined) {
    const message = `Store ${storeId} belongs to node ${owner.nodeId}`;
    return new FlotillaError('WRONG_STORE', message);
  }
  const nodes = document.nodes.map((one) => (one === node ? { ...one, storeId } : one));
  return replicaGroups(document)
    .map((group) => resetOnNode(group, nodeId))
    .reduce(withGroup, { ...document, nodes });
}

/** Replaces what the group has, or is about to have, on a node that has lost it. */
function resetOnNode(group: ReplicaGroup, nodeId: number): ReplicaGroup {
  const { change, replicas, resets } = group;
  const lost = replicas.find((replica) => replica.nodeId === nodeId);
  if (change === undefined) return lost === undefined ? group : begin(group, lost);
  if (change.promote !== undefined || change.demote !== undefined) {
    return lost === undefined ? group : resetAfterVote(group, change, lost.replicaId);
  }
  const added = change.add?.nodeId === nodeId ? change.add : undefined;
  const mayCancel = change.stage === 'adding' || change.stage === 'catching-up';
  const next = added !== undefined && mayCancel ? 'cancelling' : change.stage;
  // What the change itself takes away needs no reset, unless the change is given up.
  const isLeaving = lost?.replicaId === change.remove && next !== 'cancelling';
  const waiting = [
    ...(lost === undefined || isLeaving ? [] : [lost.replicaId]),
    ...(added === undefined || next === 'cancelling' ? [] : [added.replicaId]),
  ];
  return {
    ...group,
    change: { ...change, stage: next },
    resets: [...new Set([...resets, ...waiting])],
  };
}

/**
 * A change of votes may wait for a majority that is there only after the reset, so that it is given
 * up. That the lost replica itself shall vote no more needs the others only.
 */
function resetAfterVote(
  group: ReplicaGroup,
  change: ReplicaChange,
  lostReplicaId: number,
): ReplicaGroup {
  const stage = change.demote === lostReplicaId ? change.stage : 'cancelling';
  const resets = [...new Set([...group.resets, lostReplicaId])];
  return { ...group, change: { ...change, stage }, resets };
}

function majorityOf(voters: number): number {
  return Math.floor(voters / 2) + 1;
}

function goneOrUnknown(group: ReplicaGroup, replicaId: number): ReplicaGroup | FlotillaError {
  if (replicaId < group.nextReplicaId) return group;
  const message = `${groupName(group)} never had a replica ${replicaId}`;
  return new FlotillaError('REPLICA_NOT_FOUND', message);
}

function noNode(nodeId: number): FlotillaError {
  return new FlotillaError('NODE_NOT_FOUND', `There is no node ${nodeId} in the cluster`);
}

function inProgress(group: ReplicaGroup): FlotillaError {
  const { add, remove, promote, demote, stage } = group.change ?? {};
  const parts = [
    ...(promote === undefined ? [] : [`replica ${promote} is to vote`]),
    ...(demote === undefined ? [] : [`replica ${demote} is to vote no more`]),
    ...(add === undefined ? [] : [`replica ${add.replicaId} comes to node ${add.nodeId}`]),
    ...(remove === undefined ? [] : [`replica ${remove} goes`]),
  ];
  const message = `The replicas of ${groupName(group)} are being changed: ${parts.join(', ')}`;
  return new FlotillaError('CHANGE_IN_PROGRESS', `${message} (${stage})`);
}
