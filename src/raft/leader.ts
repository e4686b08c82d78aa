import { broadcastHeartbeat } from './heartbeat.js';
import { invariant } from './invariant.js';
import { leaveJointIfDue } from './membership.js';
import type { Progress } from './progress.js';
import type { Raft } from './raft.js';
import { confirmReads, handleReadIndex } from './reads.js';
import {
  appendEntry,
  broadcastAppend,
  handleAppendResponse,
  maybeCommit,
  sendAppend,
} from './replication.js';
import { handleTransferRequest, maybeSendTimeoutNow } from './transfer.js';
import { type Message, NONE } from './types.js';

/** Leaders: their time, the beginning of their term, and what is sent to them. */

export function tickLeader(raft: Raft): void {
  raft.heartbeatElapsed += 1;
  raft.electionElapsed += 1;
  if (raft.electionElapsed >= raft.config.electionTicks) {
    raft.electionElapsed = 0;
    if (raft.config.checkQuorum && !checkQuorum(raft)) return;
  }
  if (raft.transfer.tick(raft.config.electionTicks)) leaveJointIfDue(raft);
  if (raft.leases.isBarred && maybeCommit(raft)) broadcastAppend(raft);
  if (raft.heartbeatElapsed >= raft.config.heartbeatTicks) {
    raft.heartbeatElapsed = 0;
    broadcastHeartbeat(raft);
  }
}

/** Steps down where no quorum was heard from for an election timeout (E6). */
function checkQuorum(raft: Raft): boolean {
  if (!raft.tracker.isQuorumActive()) {
    raft.config.trace?.(`${raft.id} stepped down at term ${raft.term}: the quorum is not active`);
    raft.becomeFollower(raft.term, NONE);
    return false;
  }
  for (const id of raft.tracker.ids) {
    const progress = raft.tracker.get(id);
    if (progress !== undefined && id !== raft.id) progress.recentActive = false;
  }
  return true;
}

/** The election is won: takes the lead and begins the term with a no-op (E11). */
export function becomeLeaderAndReplicate(raft: Raft): void {
  const lastIndex = raft.log.lastIndex();
  raft.becomeLeader();
  const own = raft.tracker.get(raft.id);
  invariant(own !== undefined, () => `${raft.id} leads a group that it is not in`);
  own.maybeUpdate(lastIndex);
  own.becomeReplicate();
  own.recentActive = true;
  const accepted = appendEntry(raft, { type: 'EntryNormal', data: new Uint8Array() });
  invariant(accepted, () => `the no-op of term ${raft.term} was refused`);
  broadcastAppend(raft);
}

export function stepLeader(raft: Raft, message: Message): void {
  const progress = raft.tracker.get(message.from);
  if (progress === undefined) return;
  switch (message.type) {
    case 'MsgAppResp':
      handleAppendResponse(raft, progress, message);
      maybeSendTimeoutNow(raft);
      return;
    case 'MsgHeartbeatResp':
      handleHeartbeatResponse(raft, progress, message);
      return;
    case 'MsgReadIndex':
      handleReadIndex(raft, message);
      return;
    case 'MsgTransferLeader':
      handleTransferRequest(raft, message);
      return;
    default:
      return;
  }
}

function handleHeartbeatResponse(raft: Raft, progress: Progress, message: Message): void {
  progress.recentActive = true;
  progress.resumeFlow();
  if (progress.match < raft.log.lastIndex() || progress.state === 'StateProbe') {
    sendAppend(raft, message.from);
  }
  raft.leases.answered(message.from, message.sentAtMs);
  confirmReads(raft, message.from, message.context);
}
