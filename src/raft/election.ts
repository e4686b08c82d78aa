import { handleAppendEntries, handleHeartbeat, handleSnapshot } from './follower.js';
import { becomeLeaderAndReplicate } from './leader.js';
import type { Raft } from './raft.js';
import { type Message, type MessageType, NONE } from './types.js';

/** Elections (paper 5.2, 5.4.1; pre-vote: thesis 9.6). */

/** How many committed entries are looked through at a time for a configuration change. */
const SCAN_SIZE_BYTES = 1024 * 1024;

/** The leader was not heard from in time, or the host wants an election. */
export function campaignOnTimeout(raft: Raft): void {
  if (raft.role === 'StateLeader' || !raft.isPromotable) return;
  if (hasUnappliedConfChange(raft)) return;
  if (raft.config.preVote) {
    preCampaign(raft);
  } else {
    campaign(raft, false);
  }
}

/**
 * The leader hands over (T1): an election at once, without asking first. Not where the leader was
 * wrong about this replica's log (T2).
 */
export function campaignOnOrder(raft: Raft, message: Message): void {
  if (!raft.log.matches({ term: message.logTerm, index: message.index })) return;
  if (!raft.isPromotable || hasUnappliedConfChange(raft)) return;
  campaign(raft, true);
}

function preCampaign(raft: Raft): void {
  raft.becomePreCandidate();
  requestVotes(raft, 'MsgPreVote', 'MsgPreVoteResp', raft.term + 1, false);
}

function campaign(raft: Raft, campaignTransfer: boolean): void {
  raft.becomeCandidate(campaignTransfer);
  requestVotes(raft, 'MsgVote', 'MsgVoteResp', raft.term, campaignTransfer);
}

/** Asks all voters. The own vote is an answer to itself, which counts when it is durable (E1). */
function requestVotes(
  raft: Raft,
  type: MessageType,
  answer: MessageType,
  term: number,
  campaignTransfer: boolean,
): void {
  const last = raft.log.lastId();
  const { commit, commitTerm } = knownCommit(raft);
  const body = { index: last.index, logTerm: last.term, commit, commitTerm, campaignTransfer };
  for (const id of raft.tracker.voterIds) {
    if (id === raft.id) {
      raft.send(answer, id, undefined, term);
    } else {
      raft.send(type, id, body, term);
    }
  }
}

/**
 * Grants or refuses a vote or pre-vote of the current or a later term. Learners answer too: a
 * candidate may know of their promotion before they do (E9). Whatever the answer is, both sides
 * tell each other what they know to be committed (E13).
 */
export function handleVoteRequest(raft: Raft, message: Message): void {
  const { type, from, term, index, logTerm } = message;
  const answer = type === 'MsgVote' ? 'MsgVoteResp' : 'MsgPreVoteResp';
  const isFree =
    raft.vote === from ||
    (raft.vote === NONE && raft.lead === NONE) ||
    (type === 'MsgPreVote' && term > raft.term);
  const known = knownCommit(raft);
  if (!isFree || !raft.log.isUpToDate({ term: logTerm, index })) {
    raft.send(answer, from, { reject: true, ...known });
  } else if (type === 'MsgPreVote') {
    // In the term that was asked about, which is not ours.
    raft.send(answer, from, known, term);
  } else {
    // Whoever told the candidate to campaign has no lease any more (R8).
    const promiseMs = message.campaignTransfer ? 0 : raft.leases.remainingPromiseMs();
    raft.send(answer, from, { promiseMs, ...known });
    raft.electionElapsed = 0;
    raft.vote = from;
  }
  learnCommit(raft, message);
}

/** What a request for a vote and its answer tell: the commit index, and the term of its entry. */
interface KnownCommit {
  readonly commit: number;
  readonly commitTerm: number;
}

function knownCommit(raft: Raft): KnownCommit {
  const commit = raft.log.committed;
  const commitTerm = raft.log.term(commit);
  return typeof commitTerm === 'number' ? { commit, commitTerm } : { commit: 0, commitTerm: 0 };
}

/**
 * Two replicas may hold a change of the configuration of which one knows that it is committed, so
 * that neither is elected: one has the shorter log, the other counts voters that are gone, or that
 * were removed and cannot lead (M11). An entry of the same index and term is the same one, with the
 * same before it: who holds what the other knows to be committed knows it as well (E13).
 */
export function learnCommit(raft: Raft, { commit, commitTerm }: KnownCommit): void {
  // A leader counts for itself (E11), and its log holds no less.
  if (raft.role === 'StateLeader') return;
  if (!raft.log.maybeCommit({ index: commit, term: commitTerm })) return;
  if (raft.role !== 'StateFollower' && hasUnappliedConfChange(raft)) {
    // The quorum of this campaign is not one any more; the next one counts the new voters (E8).
    raft.becomeFollower(raft.term, NONE);
  }
}

/** Candidates and pre-candidates differ only in which answers count. */
export function stepCandidate(raft: Raft, message: Message): void {
  switch (message.type) {
    case 'MsgApp':
      raft.becomeFollower(message.term, message.from);
      handleAppendEntries(raft, message);
      return;
    case 'MsgHeartbeat':
      raft.becomeFollower(message.term, message.from);
      handleHeartbeat(raft, message);
      return;
    case 'MsgSnap':
      raft.becomeFollower(message.term, message.from);
      handleSnapshot(raft, message);
      return;
    case 'MsgVoteResp':
      if (raft.role === 'StateCandidate') countVote(raft, message);
      return;
    case 'MsgPreVoteResp':
      if (raft.role === 'StatePreCandidate' && answersThisPreVote(raft, message)) {
        countVote(raft, message);
      }
      return;
    default:
      return;
  }
}

/** A grant carries the term that was asked about: an older one is of an earlier campaign (E12). */
function answersThisPreVote(raft: Raft, message: Message): boolean {
  return message.reject || message.term === raft.term + 1;
}

function countVote(raft: Raft, message: Message): void {
  learnCommit(raft, message);
  // That may have ended the campaign.
  if (raft.role === 'StateFollower') return;
  raft.tracker.recordVote(message.from, !message.reject);
  raft.leases.granted(message.promiseMs);
  switch (raft.tracker.tallyVotes()) {
    case 'won':
      if (raft.role === 'StatePreCandidate') {
        campaign(raft, false);
      } else if (raft.tracker.hasVoteOf(raft.id)) {
        // Until the own vote is durable, a crash would forget the term: this replica could win it
        // once more and append other entries under the same terms and indexes (E1).
        becomeLeaderAndReplicate(raft);
      }
      return;
    case 'lost':
      raft.becomeFollower(raft.term, NONE);
      return;
    case 'pending':
      return;
  }
}

/**
 * A configuration that is committed but not applied here may need other quorums than the one in
 * force, so who has one must not campaign (E8). Cost: a pass over what is committed, not applied.
 */
function hasUnappliedConfChange(raft: Raft): boolean {
  const { log } = raft;
  // What is compacted was applied, also where the host has not said so yet.
  let low = Math.max(log.applied + 1, log.firstIndex());
  while (low <= log.committed) {
    const page = log.slice(low, log.committed + 1, SCAN_SIZE_BYTES);
    if (page.some((entry) => entry.type !== 'EntryNormal')) return true;
    low += page.length;
  }
  return false;
}
