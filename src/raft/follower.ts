import type { Raft } from './raft.js';
import type { ConfState, Message, ReplicaId } from './types.js';

/** Followers: they hear from a leader and answer (paper 5.3, 7). */

export function stepFollower(raft: Raft, message: Message): void {
  switch (message.type) {
    case 'MsgApp':
      hearFromLeader(raft, message);
      handleAppendEntries(raft, message);
      return;
    case 'MsgHeartbeat':
      hearFromLeader(raft, message);
      handleHeartbeat(raft, message);
      return;
    case 'MsgSnap':
      hearFromLeader(raft, message);
      handleSnapshot(raft, message);
      return;
    default:
      return;
  }
}

function hearFromLeader(raft: Raft, message: Message): void {
  raft.electionElapsed = 0;
  raft.lead = message.from;
}

/** Appends what fits on the log, or says where the logs may still agree (L1, L2, L4). */
export function handleAppendEntries(raft: Raft, message: Message): void {
  const { log } = raft;
  const { from, index, logTerm, entries, commit } = message;
  if (index < log.committed) {
    raft.send('MsgAppResp', from, { index: log.committed });
    return;
  }
  const matched = log.maybeAppend({ previous: { term: logTerm, index }, entries }, commit);
  if (matched !== undefined) {
    raft.send('MsgAppResp', from, { index: matched });
    return;
  }
  const hint = log.findConflictByTerm(Math.min(index, log.lastIndex()), logTerm);
  raft.send('MsgAppResp', from, {
    index,
    reject: true,
    rejectHint: hint.index,
    logTerm: hint.term,
  });
}

export function handleHeartbeat(raft: Raft, message: Message): void {
  raft.log.commitTo(message.commit);
  raft.send('MsgHeartbeatResp', message.from, { context: message.context });
}

export function handleSnapshot(raft: Raft, message: Message): void {
  const index = restoreSnapshot(raft, message) ? raft.log.lastIndex() : raft.log.committed;
  raft.send('MsgAppResp', message.from, { index });
}

/** Takes a snapshot over, unless the log already reaches as far (P4). */
function restoreSnapshot(raft: Raft, message: Message): boolean {
  const { snapshot } = message;
  const { log } = raft;
  if (snapshot === undefined || snapshot.meta.index <= log.committed) return false;
  const { index, term, confState } = snapshot.meta;
  if (!isMember(confState, raft.id)) return false;
  if (log.matches({ term, index })) {
    log.commitTo(index);
    return false;
  }
  log.restore(snapshot);
  raft.restoreConfiguration(confState);
  return true;
}

function isMember(confState: ConfState, id: ReplicaId): boolean {
  return (
    confState.voters.includes(id) ||
    confState.votersOutgoing.includes(id) ||
    confState.learners.includes(id)
  );
}
