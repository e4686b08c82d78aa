/** How a change of replicas stands, for operators. */
import type { ReplicaChangeStatus } from '../shared/codec/replica-messages.js';
import type { ReplicaChange } from '../topology/document.js';
import type { GroupState } from '../topology/group-control.js';
import { changeIdOf, type ReplicaGroup } from '../topology/replica-group.js';
import { nextReplicaStep } from '../topology/replica-steps.js';

/**
 * `state` is the group as its leader sees it: absent where nobody has asked, an error where nobody
 * answered.
 */
export function changeStatus(
  group: ReplicaGroup,
  change: ReplicaChange,
  state?: GroupState | Error,
): ReplicaChangeStatus {
  const { add } = change;
  const vote = voteOf(change);
  const promoted = group.replicas.find(({ replicaId }) => replicaId === vote.given);
  const lost = change.remove ?? vote.taken;
  const removed = group.replicas.find(({ replicaId }) => replicaId === lost);
  const known = state instanceof Error ? undefined : state;
  const follower = known?.followers.find(({ replicaId }) => replicaId === add?.replicaId);
  const { doneBytes = 0, sizeBytes = 0, bytesPerSecond = 0 } = follower?.snapshot ?? {};
  const leftMs = ((sizeBytes - doneBytes) / bytesPerSecond) * 1_000;
  return {
    stage: stageOf(change),
    addReplicaId: add?.replicaId ?? vote.given ?? 0,
    addNodeId: add?.nodeId ?? promoted?.nodeId ?? 0,
    removeReplicaId: lost ?? 0,
    removeNodeId: removed?.nodeId ?? 0,
    lagEntries:
      known === undefined || follower === undefined
        ? 0
        : Math.max(0, known.lastIndex - follower.matchIndex),
    doneBytes,
    sizeBytes,
    bytesPerSecond: Math.round(bytesPerSecond),
    ...(bytesPerSecond > 0 && { leftMs: Math.round(leftMs) }),
    problem: problemOf(group, change, state),
    id: changeIdOf(change),
  };
}

/** To take a change of a vote back is the opposite change. */
function voteOf({ promote, demote, stage }: ReplicaChange): { given?: number; taken?: number } {
  const [given, taken] = stage === 'cancelling' ? [demote, promote] : [promote, demote];
  return { ...(given !== undefined && { given }), ...(taken !== undefined && { taken }) };
}

/** Votes change in one stage, which says what it is about. */
function stageOf(change: ReplicaChange): string {
  const { given, taken } = voteOf(change);
  if (given !== undefined) return 'promoting';
  return taken === undefined ? change.stage : 'demoting';
}

function problemOf(
  group: ReplicaGroup,
  change: ReplicaChange,
  state: GroupState | Error | undefined,
): string {
  if (state === undefined) return '';
  if (state instanceof Error) return state.message;
  const step = nextReplicaStep(group, change, state);
  return step.kind === 'wait' ? (step.problem ?? '') : '';
}
