import { entriesSizeBytes } from './entry.js';
import { invariant } from './invariant.js';
import type { Progress } from './progress.js';
import type { Raft } from './raft.js';
import {
  type Entry,
  type EntryType,
  type Message,
  NONE,
  type ProposeResult,
  type ReplicaId,
} from './types.js';

/** Leaders: replication, commit and flow control (paper 5.3, 5.4.2), reads, check-quorum. */

/** An entry that has no place in the log yet. */
interface Proposal {
  readonly type: EntryType;
  readonly data: Uint8Array;
}

const NO_OP: Proposal = { type: 'EntryNormal', data: new Uint8Array() };

export function tickLeader(raft: Raft): void {
  raft.heartbeatElapsed += 1;
  raft.electionElapsed += 1;
  if (raft.electionElapsed >= raft.config.electionTicks) {
    raft.electionElapsed = 0;
    if (raft.config.checkQuorum && !checkQuorum(raft)) return;
  }
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
  const accepted = appendEntries(raft, [NO_OP]);
  invariant(accepted, () => `the no-op of term ${raft.term} was refused`);
  broadcastAppend(raft);
}

export function propose(raft: Raft, data: Uint8Array): ProposeResult {
  if (raft.role !== 'StateLeader') return { kind: 'not-leader', lead: raft.lead };
  if (!raft.tracker.has(raft.id)) return { kind: 'dropped', why: 'not-in-configuration' };
  if (!appendEntries(raft, [{ type: 'EntryNormal', data }])) {
    return { kind: 'dropped', why: 'uncommitted-limit' };
  }
  broadcastAppend(raft);
  return { kind: 'accepted', index: raft.log.lastIndex(), term: raft.term };
}

/**
 * Appends to the own log. False when too much is uncommitted already: then nothing is (A4). Empty
 * entries always pass, and so does anything while nothing is uncommitted.
 */
function appendEntries(raft: Raft, proposals: readonly Proposal[]): boolean {
  const lastIndex = raft.log.lastIndex();
  const entries = proposals.map((proposal, position): Entry => {
    return { ...proposal, term: raft.term, index: lastIndex + 1 + position };
  });
  const sizeBytes = entriesSizeBytes(entries);
  const total = raft.uncommittedBytes + sizeBytes;
  if (raft.uncommittedBytes > 0 && sizeBytes > 0 && total > raft.config.maxUncommittedBytes) {
    return false;
  }
  raft.uncommittedBytes = total;
  raft.log.append(entries);
  // The own acknowledgement, like a follower's, counts when the entries are durable (L12, A2).
  raft.send('MsgAppResp', raft.id, { index: lastIndex + entries.length });
  return true;
}

/** What was handed out to be applied does not count against the limit any more. */
export function reduceUncommitted(raft: Raft, committed: readonly Entry[]): void {
  raft.uncommittedBytes = Math.max(0, raft.uncommittedBytes - entriesSizeBytes(committed));
}

export function stepLeader(raft: Raft, message: Message): void {
  const progress = raft.tracker.get(message.from);
  if (progress === undefined) return;
  switch (message.type) {
    case 'MsgAppResp':
      progress.recentActive = true;
      if (message.reject) {
        handleAppendRejected(raft, progress, message);
      } else {
        handleAppendAccepted(raft, progress, message);
      }
      return;
    case 'MsgHeartbeatResp':
      handleHeartbeatResponse(raft, progress, message);
      return;
    default:
      return;
  }
}

/** Moves back to where the logs may meet, at most one probe for each term between (L4). */
function handleAppendRejected(raft: Raft, progress: Progress, message: Message): void {
  const { from, index, rejectHint, logTerm } = message;
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

function handleHeartbeatResponse(raft: Raft, progress: Progress, message: Message): void {
  progress.recentActive = true;
  progress.resumeFlow();
  if (progress.match < raft.log.lastIndex() || progress.state === 'StateProbe') {
    sendAppend(raft, message.from);
  }
  if (message.context === 0) return;
  raft.reads.acknowledge(message.from, message.context);
  releaseReads(raft);
}

/** Commits what a quorum holds durably, if it is of this term (E11). */
function maybeCommit(raft: Raft): boolean {
  if (!raft.log.maybeCommit({ term: raft.term, index: raft.tracker.committed() })) return false;
  if (raft.reads.hasEarly && hasCommittedInTerm(raft)) {
    raft.reads.admitEarly(raft.log.committed);
    releaseReads(raft);
  }
  return true;
}

function hasCommittedInTerm(raft: Raft): boolean {
  return raft.log.committed >= raft.termStartIndex;
}

function broadcastAppend(raft: Raft): void {
  for (const id of raft.tracker.ids) if (id !== raft.id) sendAppend(raft, id);
}

/** Sends what the replica lacks, or an empty MsgApp to find out what it has. */
function sendAppend(raft: Raft, to: ReplicaId): void {
  maybeSendAppend(raft, to, true);
}

/** False when nothing was sent: the flow is paused, or there is nothing and empty is not wanted. */
function maybeSendAppend(raft: Raft, to: ReplicaId, sendIfEmpty: boolean): boolean {
  const progress = raft.tracker.get(to);
  if (progress === undefined || progress.isPaused) return false;
  const index = progress.next - 1;
  const logTerm = raft.log.term(index);
  if (typeof logTerm !== 'number') return maybeSendSnapshot(raft, to, progress);
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

function broadcastHeartbeat(raft: Raft): void {
  const context = raft.reads.announce();
  for (const id of raft.tracker.ids) {
    const progress = raft.tracker.get(id);
    if (progress === undefined || id === raft.id) continue;
    // The replica may not have what was committed: never past what it is known to hold (L3).
    const commit = Math.min(progress.match, raft.log.committed);
    raft.send('MsgHeartbeat', id, { commit, context });
    progress.sentCommit(commit);
  }
}

/** See `RawNode.readIndex`. */
export function readIndex(raft: Raft, requestId: number): 'queued' | 'rejected' {
  if (raft.role !== 'StateLeader' || raft.reads.isFull) return 'rejected';
  if (hasCommittedInTerm(raft)) {
    raft.reads.add(requestId, raft.log.committed);
    releaseReads(raft);
  } else {
    raft.reads.addEarly(requestId);
  }
  return 'queued';
}

/** Starts a round of heartbeats if reads wait for one: a round for all that came since the last. */
export function startReadRound(raft: Raft): void {
  if (raft.reads.needsRound) broadcastHeartbeat(raft);
}

function releaseReads(raft: Raft): void {
  for (const read of raft.reads.takeConfirmed(raft.tracker.voters, raft.id)) {
    raft.readStates.push(read);
  }
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
