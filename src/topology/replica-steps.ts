/**
 * What is to be done next for a change of replicas: a pure function of the change and of the group
 * as its leader sees it. Asked again after each step, by whoever leads the topology then, it brings
 * a change to its end from wherever it was left.
 */
import { unreachable } from '../shared/assert.js';
import type { ReplicaChange, ReplicaEntry } from './document.js';
import {
  type FollowerState,
  type GroupState,
  isInConfiguration,
  quorumRisk,
  type ReconfigurationStep,
} from './group-control.js';
import { addsLearner, type ReplicaGroup } from './replica-group.js';

export type ReplicaStep =
  /** The stage is done. */
  | {
      readonly kind: 'advance';
      /** A replica is dropped with it: only when the others need it no more (M12). */
      readonly onceDurable: boolean;
    }
  | {
      readonly kind: 'reconfigure';
      readonly steps: readonly ReconfigurationStep[];
      /** The replica that goes leads: another one should, before, if it can. */
      readonly handOverFirst: boolean;
      /** Whether the stage is done with it, so that nobody needs to look again. */
      readonly thenAdvance: boolean;
    }
  /** Nothing now. `problem` says what an operator has to see to, where it is not just time. */
  | { readonly kind: 'wait'; readonly problem?: string };

/** A learner that is this near to the end of the log has caught up (M6). */
export const CAUGHT_UP_ENTRIES_MAX = 256;

const ADVANCE: ReplicaStep = { kind: 'advance', onceDurable: false };
const WAIT: ReplicaStep = { kind: 'wait' };

/** The next step of the group's change. Costs one look at each replica of the group. */
export function nextReplicaStep(
  group: ReplicaGroup,
  change: ReplicaChange,
  state: GroupState,
): ReplicaStep {
  // A joint configuration is left by the group's own leader (M5); until then no other can follow.
  if (state.outgoingVoters.length > 0) return WAIT;
  switch (change.stage) {
    case 'adding':
      return change.add === undefined ? ADVANCE : addStep(change.add, state);
    case 'catching-up':
      return change.add === undefined ? ADVANCE : catchUpStep(change.add, state);
    case 'switching':
      return switchStep(group, change, state);
    case 'cancelling':
      return cancelStep(change, state);
    default:
      return unreachable(change.stage, 'stage');
  }
}

/** The new replica needs not be there yet: a learner that is silent holds nobody up. */
function addStep({ replicaId }: ReplicaEntry, state: GroupState): ReplicaStep {
  if (isInConfiguration(state, replicaId)) return ADVANCE;
  return reconfigure([{ kind: 'add-learner', replicaId }]);
}

function catchUpStep({ replicaId, nodeId }: ReplicaEntry, state: GroupState): ReplicaStep {
  const follower = state.followers.find((one) => one.replicaId === replicaId);
  if (follower === undefined) {
    return state.leaderReplicaId === replicaId ? ADVANCE : addStep({ replicaId, nodeId }, state);
  }
  if (!follower.isActive) {
    return { kind: 'wait', problem: `replica ${replicaId} on node ${nodeId} does not answer` };
  }
  return hasCaughtUp(follower, state) ? ADVANCE : WAIT;
}

/** Whether it answers, entries flow to it, and it has nearly all of them (M6). */
export function hasCaughtUp(follower: FollowerState, { lastIndex }: GroupState): boolean {
  const isNear = lastIndex - follower.matchIndex <= CAUGHT_UP_ENTRIES_MAX;
  return follower.isActive && isNear && follower.isReplicating;
}

function switchStep(group: ReplicaGroup, change: ReplicaChange, state: GroupState): ReplicaStep {
  const { add, remove, promote, demote } = change;
  if (promote !== undefined) return voteStep(promote, true, state);
  if (demote !== undefined) return voteStep(demote, false, state);
  const isPromoted =
    add === undefined ||
    (addsLearner(group) ? state.learners : state.voters).includes(add.replicaId);
  const isRemoved = remove === undefined || !isInConfiguration(state, remove);
  if (isPromoted && isRemoved) return { kind: 'advance', onceDurable: remove !== undefined };
  const steps: ReconfigurationStep[] = [];
  if (add !== undefined && !isPromoted) {
    steps.push({ kind: 'add-voter', replicaId: add.replicaId });
  }
  if (remove !== undefined && !isRemoved) steps.push({ kind: 'remove', replicaId: remove });
  const votersAfter = [
    ...state.voters.filter((replicaId) => replicaId !== remove),
    ...steps.flatMap(({ kind, replicaId }) => (kind === 'add-voter' ? [replicaId] : [])),
  ];
  const risk = quorumRisk(state, votersAfter);
  if (risk !== undefined) return { kind: 'wait', problem: risk };
  return reconfigure(steps, { handOverFirst: remove === state.leaderReplicaId });
}

function voteStep(replicaId: number, votes: boolean, state: GroupState): ReplicaStep {
  const isDone = (votes ? state.voters : state.learners).includes(replicaId);
  if (isDone) return { kind: 'advance', onceDurable: !votes };
  return changeVote(replicaId, votes, state, { thenAdvance: false });
}

/** Of a replica that stays, and follows as well before as after. */
function changeVote(
  replicaId: number,
  votes: boolean,
  state: GroupState,
  manner: { readonly thenAdvance: boolean },
): ReplicaStep {
  const others = state.voters.filter((voter) => voter !== replicaId);
  const risk = quorumRisk(state, votes ? [...others, replicaId] : others);
  if (risk !== undefined) return { kind: 'wait', problem: risk };
  const step = { kind: votes ? 'add-voter' : 'add-learner', replicaId } as const;
  const handOverFirst = !votes && replicaId === state.leaderReplicaId;
  return reconfigure([step], { ...manner, handOverFirst });
}

/**
 * Taken back even where the configuration does not have it: an order to add it, or to change a
 * vote, may still be on its way, made for the configuration of before, and this makes it late.
 * Nobody needs the vote of a replica that never had one, so it may be dropped at once (M12).
 */
function cancelStep({ add, promote, demote }: ReplicaChange, state: GroupState): ReplicaStep {
  if (promote !== undefined) return changeVote(promote, false, state, { thenAdvance: true });
  if (demote !== undefined) return changeVote(demote, true, state, { thenAdvance: true });
  if (add === undefined) return ADVANCE;
  return reconfigure([{ kind: 'remove', replicaId: add.replicaId }], { thenAdvance: true });
}

function reconfigure(
  steps: readonly ReconfigurationStep[],
  manner: { readonly handOverFirst?: boolean; readonly thenAdvance?: boolean } = {},
): ReplicaStep {
  const { handOverFirst = false, thenAdvance = false } = manner;
  return { kind: 'reconfigure', steps, handOverFirst, thenAdvance };
}
