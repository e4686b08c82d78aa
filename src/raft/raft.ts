import type { CheckedConfig } from './config.js';
import {
  campaignOnOrder,
  campaignOnTimeout,
  handleVoteRequest,
  learnCommit,
  stepCandidate,
} from './election.js';
import { stepFollower } from './follower.js';
import { ForwardedReads } from './forwarded-reads.js';
import { invariant } from './invariant.js';
import { stepLeader, tickLeader } from './leader.js';
import { Leases } from './lease.js';
import { createMessage, type MessageBody, waitsForPersist } from './message.js';
import { RaftLog } from './raft-log.js';
import { ReadIndexQueue } from './read-index.js';
import { Tracker } from './tracker.js';
import { Transfer } from './transfer.js';
import {
  type ConfState,
  type HardState,
  type Message,
  type MessageType,
  NONE,
  type ReadState,
  type ReplicaId,
  type Role,
} from './types.js';

/**
 * One replica of a group: its state, the rules about terms that hold in every role, and the changes
 * of role. What each role does is in `follower.ts`, `election.ts` and `leader.ts`, and by subject
 * in `replication.ts`, `reads.ts`, `membership.ts` and `transfer.ts`, which all work on the fields
 * of this class; outside of this folder only `RawNode` is used.
 */
export class Raft {
  readonly config: CheckedConfig;
  readonly id: ReplicaId;
  readonly log: RaftLog;
  /** As a leader: reads that wait for a quorum round. */
  readonly reads: ReadIndexQueue;
  /** As a follower: reads that wait for the leader's answer. */
  readonly forwardedReads: ForwardedReads;
  readonly leases: Leases;
  readonly transfer = new Transfer();
  tracker: Tracker;

  term = 0;
  vote: ReplicaId = NONE;
  lead: ReplicaId = NONE;
  role: Role = 'StateFollower';

  /** To send at once. */
  messages: Message[] = [];
  /** To send, or to step if they are to this replica, when what came before is durable (E1). */
  messagesAfterPersist: Message[] = [];
  readStates: ReadState[] = [];
  readsAborted: number[] = [];

  /** Ticks since the leader was heard from or a vote was granted; at a leader: since E6's check. */
  electionElapsed = 0;
  /** Ticks since the last round of heartbeats. */
  heartbeatElapsed = 0;
  /** Drawn from [electionTicks, 2 * electionTicks) at every change of role (E10). */
  randomizedElectionTicks = 0;
  /** Bytes that this leader appended in its term and that were not handed out as committed (A4). */
  uncommittedBytes = 0;
  /** Index of the no-op that began this leader's term. */
  termStartIndex = 0;
  /** While a snapshot is being installed: the configuration of the state that it replaces (P4). */
  replacedConfState: ConfState;
  /** While leading: up to there the log may hold configuration changes not yet applied (M2). */
  pendingConfIndex = 0;
  /** The host has evidence that the leader's process is gone: elections need not wait (E5). */
  leaderSuspected = false;

  constructor(config: CheckedConfig) {
    this.config = config;
    this.id = config.id;
    const { hardState, confState } = config.storage.initialState();
    this.log = new RaftLog(config.storage, {
      applied: config.applied,
      maxApplyingBytes: config.maxCommittedSizeBytes,
      appliesUnstable: !config.asyncStorageWrites,
    });
    this.log.commitTo(hardState.commit);
    this.term = hardState.term;
    this.vote = hardState.vote;
    this.reads = new ReadIndexQueue(config.maxPendingReads);
    this.forwardedReads = new ForwardedReads(config.maxPendingReads, config.random);
    this.leases = new Leases(config.leases, config.nowMs, config.restarted);
    this.tracker = new Tracker(confState, config);
    this.replacedConfState = confState;
    this.becomeFollower(this.term, NONE);
  }

  get hardState(): HardState {
    return { term: this.term, vote: this.vote, commit: this.log.committed };
  }

  /** Whether this replica may campaign: a voter, and not amid the install of a snapshot (E8). */
  get isPromotable(): boolean {
    return this.tracker.isVoter(this.id) && !this.log.hasUnstableSnapshot;
  }

  /** Whether this leader has committed an entry of its own term. */
  get hasCommittedInTerm(): boolean {
    return this.log.committed >= this.termStartIndex;
  }

  /** One unit of time. Costs a few comparisons, unless a timeout is due. */
  tick(): void {
    if (this.role === 'StateLeader') {
      tickLeader(this);
      return;
    }
    this.electionElapsed += 1;
    for (const requestId of this.forwardedReads.tick()) this.readsAborted.push(requestId);
    if (this.electionElapsed < this.randomizedElectionTicks || !this.isPromotable) return;
    this.electionElapsed = 0;
    campaignOnTimeout(this);
    // Who may not campaign now (E8) must not keep others from it for the sake of this leader (E5).
    if (this.role === 'StateFollower') this.loseLeader();
  }

  /** Takes a message from another replica, or one of its own that has become durable. */
  step(message: Message): void {
    const asksForVote = message.type === 'MsgVote' || message.type === 'MsgPreVote';
    if (asksForVote && this.leases.withholdsVotes) return;
    if (message.term > this.term && !this.#adoptHigherTerm(message)) return;
    if (message.term < this.term) {
      this.#answerLowerTerm(message);
      return;
    }
    if (asksForVote) {
      handleVoteRequest(this, message);
      return;
    }
    switch (this.role) {
      case 'StateFollower':
        if (message.type === 'MsgTimeoutNow') {
          campaignOnOrder(this, message);
        } else {
          stepFollower(this, message);
        }
        return;
      case 'StateCandidate':
      case 'StatePreCandidate':
        stepCandidate(this, message);
        return;
      case 'StateLeader':
        stepLeader(this, message);
        return;
    }
  }

  /** Queues a message. Only requests for votes and their answers carry another term than ours. */
  send(type: MessageType, to: ReplicaId, body?: MessageBody, term: number = this.term): void {
    const message = createMessage(type, this.id, to, term, body);
    if (waitsForPersist(type)) {
      this.messagesAfterPersist.push(message);
      return;
    }
    invariant(to !== this.id, () => `${type} to itself`);
    this.messages.push(message);
  }

  becomeFollower(term: number, lead: ReplicaId): void {
    this.#reset(term);
    this.lead = lead;
    this.role = 'StateFollower';
    this.config.trace?.(`${this.id} became follower at term ${this.term}`);
  }

  becomeCandidate(campaignTransfer: boolean): void {
    invariant(this.role !== 'StateLeader', () => `leader of term ${this.term} became candidate`);
    this.#reset(this.term + 1);
    this.vote = this.id;
    this.leases.beginCandidacy(campaignTransfer);
    this.role = 'StateCandidate';
    this.config.trace?.(`${this.id} became candidate at term ${this.term}`);
  }

  /** Asks whether an election could be won: neither term nor vote change (E4). */
  becomePreCandidate(): void {
    invariant(this.role !== 'StateLeader', () => `leader of term ${this.term} became candidate`);
    this.tracker.resetVotes();
    this.loseLeader();
    this.role = 'StatePreCandidate';
    this.#drawElectionTimeout();
    this.config.trace?.(`${this.id} became pre-candidate at term ${this.term}`);
  }

  /** Takes the lead of the current term. The caller appends the no-op that begins it (E11). */
  becomeLeader(): void {
    invariant(this.role === 'StateCandidate', () => `${this.role} became leader`);
    this.#reset(this.term);
    this.lead = this.id;
    this.role = 'StateLeader';
    this.termStartIndex = this.log.lastIndex() + 1;
    // Any of the earlier entries may be a change that is not applied yet.
    this.pendingConfIndex = this.log.lastIndex();
    this.leases.beginTerm();
    this.config.trace?.(`${this.id} became leader at term ${this.term}`);
  }

  /** Knows of no leader any more. What it was asked for will not be answered (R10). */
  loseLeader(): void {
    this.lead = NONE;
    this.leaderSuspected = false;
    this.readsAborted = this.readsAborted.concat(this.forwardedReads.abort());
  }

  /** Replaces the configuration by the one of a snapshot. */
  restoreConfiguration(confState: ConfState): void {
    this.tracker = new Tracker(confState, this.config);
    this.tracker.resetProgress(this.log.lastIndex());
  }

  /**
   * A message from a later term (paper 5.1). Returns false where it is to be ignored: a leader was
   * heard from lately, so an election has to wait (E5).
   */
  #adoptHigherTerm(message: Message): boolean {
    const { type, term, from } = message;
    if (type === 'MsgVote' || type === 'MsgPreVote') {
      const inLease =
        this.config.checkQuorum &&
        this.lead !== NONE &&
        !this.leaderSuspected &&
        this.electionElapsed < this.config.electionTicks;
      if (inLease && !message.campaignTransfer) return false;
    }
    // Both speak of a term that nobody has begun; a refusal instead tells the voter's real one.
    if (type === 'MsgPreVote' || (type === 'MsgPreVoteResp' && !message.reject)) return true;
    const fromLeader = type === 'MsgApp' || type === 'MsgHeartbeat' || type === 'MsgSnap';
    this.becomeFollower(term, fromLeader ? from : NONE);
    return true;
  }

  /**
   * A message from an earlier term: its sender may have to learn of that. Nothing of it is acted on
   * but what a request for votes tells to be committed, which no later term undoes (E13).
   */
  #answerLowerTerm(message: Message): void {
    const { type, from } = message;
    const { checkQuorum, preVote } = this.config;
    // Who counts voters that are gone may stay ahead of who could tell it so.
    if (type === 'MsgVote' || type === 'MsgPreVote') learnCommit(this, message);
    if ((type === 'MsgHeartbeat' || type === 'MsgApp') && (checkQuorum || preVote)) {
      // This replica may be stuck above its group's term: its vote requests are ignored because
      // the leader is well (E5), and the leader's messages because they are old. The answer makes
      // the leader step down, and the next election is won above this term (E6).
      this.send('MsgAppResp', from);
    } else if (type === 'MsgPreVote') {
      // Silence would leave terms apart for ever (E4): the candidate with the better log, but the
      // lower term, has to learn of the higher one.
      this.send('MsgPreVoteResp', from, { reject: true });
    }
  }

  /** What every change of role or term begins with. The vote is cleared with the term only (E3). */
  #reset(term: number): void {
    if (this.term !== term) {
      this.term = term;
      this.vote = NONE;
    }
    this.loseLeader();
    this.electionElapsed = 0;
    this.heartbeatElapsed = 0;
    this.#drawElectionTimeout();
    this.tracker.resetVotes();
    this.tracker.resetProgress(this.log.lastIndex());
    this.uncommittedBytes = 0;
    this.termStartIndex = 0;
    this.pendingConfIndex = 0;
    this.transfer.end();
    for (const asker of this.reads.abort()) {
      if (asker.from === this.id) this.readsAborted.push(asker.requestId);
    }
  }

  #drawElectionTimeout(): void {
    const { electionTicks, random } = this.config;
    this.randomizedElectionTicks = electionTicks + Math.floor(random() * electionTicks);
  }
}
