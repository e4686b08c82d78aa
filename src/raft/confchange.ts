import {
  type ConfChange,
  type ConfChangeStep,
  type ConfState,
  NONE,
  type ReplicaId,
} from './types.js';

/**
 * What changes make of a configuration (paper 6, thesis 4.3): pure functions, the same on all
 * replicas. Costs grow with the replicas and steps.
 */

/** The change cannot be applied to the configuration; nothing of it is. */
export class ConfChangeError extends Error {
  override readonly name = 'ConfChangeError';
}

/** Whether the change leaves a joint configuration. */
export function isLeave(change: ConfChange): boolean {
  return change.changes.length === 0;
}

/** The configuration after `change`. Throws a `ConfChangeError` where it does not apply. */
export function applyChange(state: ConfState, change: ConfChange): ConfState {
  if (isLeave(change)) return leaveJoint(state);
  const { transition, changes } = change;
  if (transition === 'auto' && changes.length === 1) return simple(state, changes);
  return enterJoint(state, changes, transition !== 'joint-explicit');
}

/** Takes effect at once, so that at most one voter may come or go (M1). */
export function simple(state: ConfState, steps: readonly ConfChangeStep[]): ConfState {
  if (isJoint(state)) throw new ConfChangeError("can't apply simple config change in joint config");
  const draft = new Draft(state);
  draft.applySteps(steps);
  if (draft.voterDifference(state.voters) > 1) {
    throw new ConfChangeError('more than one voter changed without entering joint config');
  }
  return draft.confState(false);
}

/** From here on both the old and the new majority decide. `autoLeave`: the leader ends it (M5). */
export function enterJoint(
  state: ConfState,
  steps: readonly ConfChangeStep[],
  autoLeave: boolean,
): ConfState {
  if (isJoint(state)) throw new ConfChangeError('config is already joint');
  if (state.voters.length === 0) {
    throw new ConfChangeError("can't make a zero-voter config joint");
  }
  const draft = new Draft({ ...state, votersOutgoing: state.voters });
  draft.applySteps(steps);
  return draft.confState(autoLeave);
}

/** Only the new majority decides from here on; voters that were demoted become learners (M6). */
export function leaveJoint(state: ConfState): ConfState {
  if (!isJoint(state)) throw new ConfChangeError("can't leave a non-joint config");
  return {
    voters: state.voters,
    votersOutgoing: [],
    learners: ascending([...state.learners, ...state.learnersNext]),
    learnersNext: [],
    autoLeave: false,
  };
}

/**
 * The same configuration with every list ascending and free of repetition. Throws a
 * `ConfChangeError` for one that contradicts itself.
 */
export function restore(state: ConfState): ConfState {
  if (!isConsistent(state)) {
    throw new ConfChangeError(`no changes lead to the configuration ${JSON.stringify(state)}`);
  }
  return {
    voters: ascending(state.voters),
    votersOutgoing: ascending(state.votersOutgoing),
    learners: ascending(state.learners),
    learnersNext: ascending(state.learnersNext),
    autoLeave: state.autoLeave,
  };
}

/** Whether some sequence of changes leads to the configuration. */
export function isConsistent(state: ConfState): boolean {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = state;
  const isVoter = (id: ReplicaId) => voters.includes(id) || votersOutgoing.includes(id);
  const isOnItsWayOut = (id: ReplicaId) => votersOutgoing.includes(id) && !voters.includes(id);
  return (
    (voters.length > 0 || votersOutgoing.length === 0) &&
    (isJoint(state) || !autoLeave) &&
    !learners.some(isVoter) &&
    learnersNext.every((id) => isOnItsWayOut(id))
  );
}

export function isJoint(state: ConfState): boolean {
  return state.votersOutgoing.length > 0;
}

/** A configuration amid the steps of a change. */
class Draft {
  readonly #incoming: Set<ReplicaId>;
  readonly #outgoing: ReadonlySet<ReplicaId>;
  readonly #learners: Set<ReplicaId>;
  readonly #learnersNext: Set<ReplicaId>;

  constructor(state: ConfState) {
    this.#incoming = new Set(state.voters);
    this.#outgoing = new Set(state.votersOutgoing);
    this.#learners = new Set(state.learners);
    this.#learnersNext = new Set(state.learnersNext);
  }

  applySteps(steps: readonly ConfChangeStep[]): void {
    for (const { kind, replicaId } of steps) {
      if (replicaId === NONE) continue;
      switch (kind) {
        case 'add-voter':
          this.#remove(replicaId);
          this.#incoming.add(replicaId);
          break;
        case 'add-learner':
          this.#addLearner(replicaId);
          break;
        case 'remove':
          this.#remove(replicaId);
          break;
        case 'update':
          break;
      }
    }
    if (this.#incoming.size === 0) throw new ConfChangeError('removed all voters');
  }

  /** How many voters are in one of the two sets and not in the other. */
  voterDifference(voters: readonly ReplicaId[]): number {
    const kept = voters.filter((id) => this.#incoming.has(id)).length;
    return voters.length + this.#incoming.size - 2 * kept;
  }

  confState(autoLeave: boolean): ConfState {
    return {
      voters: ascending(this.#incoming),
      votersOutgoing: ascending(this.#outgoing),
      learners: ascending(this.#learners),
      learnersNext: ascending(this.#learnersNext),
      autoLeave,
    };
  }

  /** Who still votes in the outgoing half cannot be a learner before that is left (M6). */
  #addLearner(id: ReplicaId): void {
    this.#remove(id);
    if (this.#outgoing.has(id)) {
      this.#learnersNext.add(id);
    } else {
      this.#learners.add(id);
    }
  }

  #remove(id: ReplicaId): void {
    this.#incoming.delete(id);
    this.#learners.delete(id);
    this.#learnersNext.delete(id);
  }
}

function ascending(ids: Iterable<ReplicaId>): readonly ReplicaId[] {
  return [...new Set(ids)].sort((a, b) => a - b);
}
