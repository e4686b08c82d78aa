import type { Raft } from './raft.js';
import { handleReadIndexResponse } from './reads.js';
import type { Message } from './types.js';

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
    case 'MsgReadIndexResp':
      handleReadIndexResponse(raft, message);
      return;
    default:
      return;
  }
}

function hearFromLeader(raft: Raft, message: Message): void {
  raft.electionElapsed = 0;
  raft.lead = message.from;
  raft.leaderSuspected = false;
}

/** Appends what fits on the log, or says where the logs may still agree (L1, L2, L4). */
export function handleAppendEntries(raft: Raft, message: Message): void {
  const { log } = raft;
  const { from, index, logTerm, entries, commit } = message;
  if (raft.tracker.voterIds.length === 0) {
    // The first configuration is in no entry: a replica that begins with nothing needs a snapshot,
    // also where the log reaches back to its beginning. Nobody else refuses to begin there.
    raft.send('MsgAppResp', from, { index, reject: true });
    return;
  }
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
  const { from, context, sentAtMs, promiseMs, commit } = message;
  raft.log.commitTo(commit);
  raft.leases.promise(promiseMs);
  raft.send('MsgHeartbeatResp', from, { context, sentAtMs });
}

export function handleSnapshot(raft: Raft, message: Message): void {
  const index = restoreSnapshot(raft, message) ? raft.log.lastIndex() : raft.log.committed;
  raft.send('MsgAppResp', message.from, { index });
}

/**
 * Takes a snapshot over, unless the log already reaches as far (P4). Its configuration need not
 * hold this replica: it may have been added in an entry behind the snapshot, which comes next.
 */
function restoreSnapshot(raft: Raft, message: Message): boolean {
  const { snapshot } = message;
  const { log } = raft;
  if (snapshot === undefined || snapshot.meta.index <= log.committed) return false;
  const { index, term, confState } = snapshot.meta;
  if (log.matches({ term, index })) {
    log.commitTo(index);
    return false;
  }
  if (!log.hasUnstableSnapshot) raft.replacedConfState = raft.tracker.confState;
  log.restore(snapshot);
  raft.restoreConfiguration(confState);
  return true;
}
