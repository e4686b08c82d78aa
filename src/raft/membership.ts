import { encodeConfChange, LEAVE_JOINT } from './conf-change-codec.js';
import { applyChange, ConfChangeError, isJoint, isLeave } from './confchange.js';
import { refusal } from './proposals.js';
import type { Raft } from './raft.js';
import { releaseReads } from './reads.js';
import { appendEntry, broadcastAppend, broadcastMissing, maybeCommit } from './replication.js';
import {
  type ConfChange,
  type ConfState,
  type EntryType,
  FatalRaftError,
  NONE,
  type ProposalDropReason,
  type ProposeResult,
} from './types.js';

/**
 * Changes of the configuration (paper 6, thesis 4). They take effect when they are applied, so that
 * at most one may be in the log and not applied (M2, M4).
 */

/** See `RawNode.proposeConfChange`. */
export function proposeConfChange(raft: Raft, change: ConfChange, type: EntryType): ProposeResult {
  const data = encodeConfChange(change);
  const refused = refusal(raft, { type, data });
  if (refused !== undefined) return refused;
  const why = ruleAgainst(raft, change);
  if (why !== undefined && raft.config.confChangeValidation === 'refuse') {
    return { kind: 'dropped', why };
  }
  const isReplaced = why !== undefined && raft.config.confChangeValidation === 'empty-entry';
  const proposal = isReplaced
    ? ({ type: 'EntryNormal', data: new Uint8Array() } as const)
    : { type, data };
  if (!appendEntry(raft, proposal)) return { kind: 'dropped', why: 'uncommitted-limit' };
  const index = raft.log.lastIndex();
  if (!isReplaced) raft.pendingConfIndex = index;
  broadcastAppend(raft);
  return { kind: 'accepted', index, term: raft.term };
}

/** Which rule forbids the change now, if any does. */
function ruleAgainst(raft: Raft, change: ConfChange): ProposalDropReason | undefined {
  const { confState } = raft.tracker;
  if (raft.pendingConfIndex > raft.log.applied) return 'conf-change-pending';
  if (isJoint(confState) && !isLeave(change)) return 'conf-change-pending';
  if (raft.config.confChangeValidation !== 'refuse') {
    return isLeave(change) && !isJoint(confState) ? 'conf-change-invalid' : undefined;
  }
  if (!raft.hasCommittedInTerm) return 'term-not-committed';
  try {
    applyChange(confState, change);
    return undefined;
  } catch (error) {
    if (error instanceof ConfChangeError) return 'conf-change-invalid';
    throw error;
  }
}

/** See `RawNode.applyConfChange`. */
export function applyConfChange(raft: Raft, change: ConfChange): ConfState {
  if (raft.log.hasUnstableSnapshot) {
    // The host was still applying what the snapshot covers; the change is part of that already.
    raft.replacedConfState = nextConfState(raft.replacedConfState, change);
    return raft.replacedConfState;
  }
  const confState = nextConfState(raft.tracker.confState, change);
  raft.tracker = raft.tracker.reconfigured(confState, raft.log.lastIndex());
  const { tracker } = raft;
  raft.config.trace?.(`${raft.id} switched to configuration ${tracker.voterIds.join(' ')}`);
  if (raft.role !== 'StateLeader') return tracker.confState;
  if (!tracker.isVoter(raft.id)) {
    // Nobody waits for this replica any more, so it could not commit what it proposes (M7).
    if (raft.config.stepDownOnRemoval) raft.becomeFollower(raft.term, NONE);
    return tracker.confState;
  }
  if (raft.transfer.isUnderWay && !tracker.isVoter(raft.transfer.target)) raft.transfer.end();
  if (maybeCommit(raft)) {
    broadcastAppend(raft);
  } else {
    broadcastMissing(raft);
  }
  // What has been answered may be a quorum of the new voters, and no more answers may come.
  releaseReads(raft);
  return tracker.confState;
}

/** The rules of proposing keep such changes out of the log: one that got in is damage. */
function nextConfState(confState: ConfState, change: ConfChange): ConfState {
  try {
    return applyChange(confState, change);
  } catch (error) {
    if (!(error instanceof ConfChangeError)) throw error;
    throw new FatalRaftError(`a committed configuration change: ${error.message}`);
  }
}

/** The state machine has applied up to `index`. */
export function appliedTo(raft: Raft, index: number): void {
  raft.log.appliedTo(index);
  leaveJointIfDue(raft);
}

/**
 * Proposes to leave a joint configuration that is to be left by itself, unless that was done: by
 * whichever leader sees that it is applied, not only by the one that entered it (M5).
 */
export function leaveJointIfDue(raft: Raft): void {
  if (!raft.tracker.confState.autoLeave || raft.role !== 'StateLeader') return;
  if (raft.log.applied < raft.pendingConfIndex || !raft.hasCommittedInTerm) return;
  if (raft.transfer.isUnderWay || !raft.tracker.has(raft.id)) return;
  const data = encodeConfChange(LEAVE_JOINT);
  if (!appendEntry(raft, { type: 'EntryConfChangeV2', data })) return;
  raft.pendingConfIndex = raft.log.lastIndex();
  broadcastAppend(raft);
}
