import { entriesSizeBytes } from './entry.js';
import type { Progress } from './progress.js';
import type { Raft } from './raft.js';
import { admitEarlyReads } from './reads.js';
import type { Entry, EntryType, Message, ReplicaId } from './types.js';

/** Leaders: the log, its way to the others, and what is committed (paper 5.3, 5.4.2). */

/** An entry that has no place in the log yet. */
export interface Proposal {
  readonly type: EntryType;
  readonly data: Uint8Array;
}

/**
 * Appends to the own log. False when too much is uncommitted already: then it is not (A4). Empty
 * entries always pass, and so does anything while nothing is uncommitted.
 */
export function appendEntry(raft: Raft, proposal: Proposal): boolean {
  const index = raft.log.lastIndex() + 1;
  const sizeBytes = proposal.data.length;
  const total = raft.uncommittedBytes + sizeBytes;
  if (raft.uncommittedBytes > 0 && sizeBytes > 0 && total > raft.config.maxUncommittedBytes) {
    return false;
  }
  raft.uncommittedBytes = total;
  raft.log.append([{ ...proposal, term: raft.term, index }]);
  // The own acknowledgement, like a follower's, counts when the entries are durable (L12, A2).
  raft.send('MsgAppResp', raft.id, { index });
  return true;
}

/** What was handed out to be applied does not count against the limit any more. */
export function reduceUncommitted(raft: Raft, committed: readonly Entry[]): void {
  raft.uncommittedBytes = Math.max(0, raft.uncommittedBytes - entriesSizeBytes(committed));
}

export function broadcastAppend(raft: Raft): void {
  for (const id of raft.tracker.ids) if (id !== raft.id) sendAppend(raft, id);
}

/** Sends entries to all who lack some and may be sent to; empty messages to nobody. */
export function broadcastMissing(raft: Raft): void {
  for (const id of raft.tracker.ids) if (id !== raft.id) maybeSendAppend(raft, id, false);
}

/** Sends what the replica lacks, or an empty MsgApp to find out what it has. */
export function sendAppend(raft: Raft, to: ReplicaId): void {
  maybeSendAppend(raft, to, true);
}

/** False when nothing was sent: the flow is paused, or there is nothing and empty is not wanted. */
function maybeSendAppend(raft: Raft, to: ReplicaId, sendIfEmpty: boolean): boolean {
  const progress = raft.tracker.get(to);
  if (progress === undefined || progress.isPaused) return false;
  const index = progress.next - 1;
  const logTerm = raft.log.term(index);
  if (typeof logTerm !== 'number' || progress.needsSnapshot) {
    return maybeSendSnapshot(raft, to, progress);
  }
  const entries = progress.acceptsEntries
    ? raft.log.entriesFrom(progress.next, raft.config.maxSizePerMessageBytes)
    : [];
  if (entries.length === 0 && !sendIfEmpty) return false;
  const commit = raft.log.committed;
  raft.send('MsgApp', to, { index, logTerm, entries, commit });
  progress.sentEntries(entries.length, entriesSizeBytes(entries));
  progress.sentCommit(commit);
  return true;
}

/** The log does not reach back to `next`, so a snapshot has to. Only to who is there (P1). */
function maybeSendSnapshot(raft: Raft, to: ReplicaId, progress: Progress): boolean {
  if (!progress.recentActive) return false;
  const snapshot = raft.log.snapshot();
  if (snapshot === undefined) return false;
  progress.becomeSnapshot(snapshot.meta.index);
  raft.send('MsgSnap', to, { snapshot });
  return true;
}

export function handleAppendResponse(raft: Raft, progress: Progress, message: Message): void {
  progress.recentActive = true;
  if (message.reject) {
    handleAppendRejected(raft, progress, message);
  } else {
    handleAppendAccepted(raft, progress, message);
  }
}

/**
 * Moves back to where the logs may meet, at most one probe for each term between (L4). All logs
 * meet at 0; who refuses even that has no configuration yet and needs a snapshot.
 */
function handleAppendRejected(raft: Raft, progress: Progress, message: Message): void {
  const { from, index, rejectHint, logTerm } = message;
  if (index === 0) {
    if (progress.becomeBlank()) sendAppend(raft, from);
    return;
  }
  const match = logTerm > 0 ? raft.log.findConflictByTerm(rejectHint, logTerm).index : rejectHint;
  if (!progress.maybeDecreaseTo(index, match)) return;
  if (progress.state === 'StateReplicate') progress.becomeProbe();
  sendAppend(raft, from);
}

function handleAppendAccepted(raft: Raft, progress: Progress, message: Message): void {
  const { from, index } = message;
  const { log } = raft;
  // Nothing beyond the log was ever sent; such an answer must not count towards a commit (L13).
  if (index > log.lastIndex()) return;
  const answersProbe = progress.state === 'StateProbe' && progress.match === index;
  if (!progress.maybeUpdate(index) && !answersProbe) return;
  resumeReplication(raft, progress, index);
  if (maybeCommit(raft)) {
    broadcastAppend(raft);
  } else if (from !== raft.id && progress.canBumpCommit(log.committed)) {
    sendAppend(raft, from);
  }
  if (from === raft.id) return;
  while (maybeSendAppend(raft, from, false)) {
    // One answer may have made room for several messages.
  }
}

/** The logs are known to meet at `index`: sending ahead may begin, or go on. */
function resumeReplication(raft: Raft, progress: Progress, index: number): void {
  switch (progress.state) {
    case 'StateProbe':
      progress.becomeReplicate();
      return;
    case 'StateSnapshot':
      // Whichever snapshot was installed: what counts is that the log reaches back to it (P2).
      if (progress.match + 1 < raft.log.firstIndex()) return;
      progress.becomeProbe();
      progress.becomeReplicate();
      return;
    case 'StateReplicate':
      progress.acknowledged(index);
      return;
  }
}

/**
 * Commits what a quorum holds durably, if it is of this term (E11) and no promise to an earlier
 * leader stands against it (R7). Returns whether the commit index moved.
 */
export function maybeCommit(raft: Raft): boolean {
  if (!raft.leases.mayCommit()) return false;
  if (!raft.log.maybeCommit({ term: raft.term, index: raft.tracker.committed() })) return false;
  admitEarlyReads(raft);
  return true;
}

/** The host could not reach the replica: what was in flight is probably lost (L6). */
export function handleUnreachable(raft: Raft, id: ReplicaId): void {
  if (raft.role !== 'StateLeader') return;
  const progress = raft.tracker.get(id);
  if (progress?.state === 'StateReplicate') progress.becomeProbe();
}

export function handleSnapshotReport(raft: Raft, id: ReplicaId, ok: boolean): void {
  if (raft.role !== 'StateLeader') return;
  raft.tracker.get(id)?.snapshotReported(ok);
}
