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
  const { stage, add, remove } = change;
  const removed = group.replicas.find(({ replicaId }) => replicaId === remove);
  const known = state instanceof Error ? undefined : state;
  const follower = known?.followers.find(({ replicaId }) => replicaId === add?.replicaId);
  const { doneBytes = 0, sizeBytes = 0, bytesPerSecond = 0 } = follower?.snapshot ?? {};
  const leftMs = ((sizeBytes - doneBytes) / bytesPerSecond) * 1_000;
  return {
    stage,
    addReplicaId: add?.replicaId ?? 0,
    addNodeId: add?.nodeId ?? 0,
    removeReplicaId: remove ?? 0,
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
