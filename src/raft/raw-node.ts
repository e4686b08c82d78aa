import { decodeConfChange } from './conf-change-codec.js';
import { isConsistent } from './confchange.js';
import { checkConfig } from './config.js';
import { campaignOnTimeout } from './election.js';
import { invariant } from './invariant.js';
import { appliedTo, applyConfChange, proposeConfChange } from './membership.js';
import {
  createMessage,
  entriesAreConsecutive,
  isLocal,
  isResponse,
  isStorageThread,
} from './message.js';
import { propose } from './proposals.js';
import { Raft } from './raft.js';
import { leaseIndex, readIndex, startReadRound } from './reads.js';
import { handleSnapshotReport, handleUnreachable, reduceUncommitted } from './replication.js';
import { transferLeader } from './transfer.js';
import {
  type ConfChange,
  type ConfState,
  type EntryType,
  type HardState,
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  type Message,
  NONE,
  type ProposeResult,
  type RaftConfig,
  type RaftStatus,
  type Ready,
  type ReplicaId,
  type SoftState,
  type TransferResult,
} from './types.js';

/**
 * What became of a message: `dropped` is not for this replica, not well formed, or of a kind that
 * only its own host may send; `peer-not-found` answers nothing that a known replica was asked.
 */
export type StepResult = 'ok' | 'peer-not-found' | 'dropped';

/** What may leave a replica without waiting for its disk. */
export type Outbox = Pick<Ready, 'messages' | 'readStates' | 'readsAborted'>;

export type BasicStatus = Omit<RaftStatus, 'progress'>;

/**
 * One replica of a Raft group, as its host drives it. Everything is synchronous; the host obeys:
 *
 * ```
 * step / tick / propose / readIndex ...   as things happen, also while a Ready is out
 * if (hasReady()) {
 *   const ready = ready();
 *   send ready.messages; write ready.snapshot, .entries, .hardState as one batch;
 *   apply ready.committed, then applied(index);
 *   when the batch is durable: send ready.messagesAfterPersist, then persisted(ready)
 * }
 * ```
 *
 * Methods throw only a `FatalRaftError`, after which the replica must not be used any more.
 */
export class RawNode {
  readonly #raft: Raft;
  readonly #isAsync: boolean;
  #sequence = 0;
  #outstanding: Ready | undefined;
  /** What this replica tells itself when the outstanding Ready is durable. */
  #onPersisted: readonly Message[] = [];
  #previousHardState: HardState;
  #previousSoftState: SoftState;

  /**
   * Throws a `RangeError` for settings that cannot work, and a `ConfChangeError` for a stored
   * configuration that contradicts itself.
   */
  constructor(config: RaftConfig) {
    const checked = checkConfig(config);
    this.#raft = new Raft(checked);
    this.#isAsync = checked.asyncStorageWrites;
    this.#previousHardState = this.#raft.hardState;
    this.#previousSoftState = this.#softState();
  }

  /** Takes a message from another replica (or, in asynchronous mode, from the storage). */
  step(message: Message): StepResult {
    const raft = this.#raft;
    if (message.to !== raft.id) return 'dropped';
    if (this.#isAsync && isStorageThread(message.from)) {
      this.#stepStorage(message);
      return 'ok';
    }
    // The own acknowledgements count as durable: only the own storage may deliver them (E1).
    if (message.from === raft.id && !this.#isAsync) return 'dropped';
    if (message.type === 'MsgProp') return this.#stepProposals(message);
    if (isLocal(message.type) || message.term < 1) return 'dropped';
    if (isResponse(message.type) && !raft.tracker.has(message.from)) return 'peer-not-found';
    if (message.type === 'MsgApp' && !entriesAreConsecutive(message)) return 'dropped';
    const { snapshot } = message;
    if (snapshot !== undefined && !isConsistent(snapshot.meta.confState)) return 'dropped';
    raft.step(message);
    return 'ok';
  }

  /** One unit of time: the only way in which time comes in. */
  tick(): void {
    this.#raft.tick();
  }

  /**
   * Appends an entry, if this replica leads. Accepted means only that it has a place in the log:
   * whether it stays there is known when an entry is applied at its index (A8).
   */
  propose(data: Uint8Array): ProposeResult {
    return propose(this.#raft, data);
  }

  /**
   * Appends a change of the configuration, if this replica leads and the rules allow it now (M1-M4,
   * M9); otherwise it says which one does not. A joint configuration that is not `joint-explicit`
   * is left by a further entry that the leader proposes by itself (M5). Only replays of etcd's
   * files give another type.
   */
  proposeConfChange(change: ConfChange, type: EntryType = 'EntryConfChangeV2'): ProposeResult {
    return proposeConfChange(this.#raft, change, type);
  }

  /**
   * The host applies an entry of type EntryConfChange or EntryConfChangeV2: from here on its change
   * is in force. To be called for every such entry, in log order, before `applied` covers it, but
   * not for those that the configuration of `LogReader.initialState` covers already. Returns the
   * configuration behind the entry. While a snapshot is being installed, whose configuration is in
   * force already, that is one which is on its way out.
   */
  applyConfChange(change: ConfChange): ConfState {
    return applyConfChange(this.#raft, change);
  }

  /** Whether a snapshot is on its way into the log and the state, see `Ready.snapshot`. */
  get isRestoring(): boolean {
    return this.#raft.log.hasUnstableSnapshot;
  }

  /** The configuration in force. */
  get confState(): ConfState {
    return this.#raft.tracker.confState;
  }

  /**
   * Hands the leadership to a voter: when that holds the whole log, it is told to campaign at once.
   * Proposals and new reads are refused until it leads or, at the latest, an election timeout has
   * passed (T1). A follower asks its leader.
   */
  transferLeader(to: ReplicaId): TransferResult {
    return transferLeader(this.#raft, to);
  }

  /** The replica that is to lead in place of this one, or `NONE` while no transfer is under way. */
  get transferTarget(): ReplicaId {
    return this.#raft.transfer.target;
  }

  /** Gives up the leadership without a successor: the group has none until the next election. */
  stepDown(): void {
    if (this.#raft.role === 'StateLeader') this.#raft.becomeFollower(this.#raft.term, NONE);
  }

  /** Begins an election now, unless this replica leads or may not campaign (E8). */
  campaign(): void {
    campaignOnTimeout(this.#raft);
  }

  /**
   * Asks for an index that is safe to read at (ReadIndex, R1); a follower asks its leader (R10).
   * The answer comes in `Ready.readStates` or `readsAborted`, once, with `requestId`. Rejected when
   * no leader is known, too many reads wait, or this leader hands over.
   */
  readIndex(requestId: number): 'queued' | 'rejected' {
    return readIndex(this.#raft, requestId);
  }

  /**
   * The commit index, if this leader may serve a read at it without asking anyone, at this very
   * moment: it holds a lease (R6). To be asked again, in the same term, when the read is done.
   */
  leaseIndex(): number | undefined {
    return leaseIndex(this.#raft);
  }

  /** The last message to the replica was probably lost. */
  reportUnreachable(id: ReplicaId): void {
    handleUnreachable(this.#raft, id);
  }

  /** Sending a snapshot to the replica has ended. Must be called for each MsgSnap (P2). */
  reportSnapshot(id: ReplicaId, ok: boolean): void {
    handleSnapshotReport(this.#raft, id, ok);
  }

  /** Stops believing in the leader, without leaving its term: (pre-)votes are granted again. */
  forgetLeader(): void {
    if (this.#raft.role === 'StateFollower') this.#raft.loseLeader();
  }

  /**
   * The host has evidence that the leader's process is gone. Until the leader is heard from again,
   * others' requests for votes are answered although an election timeout has not passed (E5); the
   * host may `campaign` itself, after a jitter. Where the evidence was wrong nothing is lost but
   * the leadership: promises to the leader are kept.
   */
  suspectLeader(): void {
    if (this.#raft.role === 'StateFollower') this.#raft.leaderSuspected = true;
  }

  /** Sets the election timeout in force, until it is drawn again. For replays of known runs. */
  setRandomizedElectionTicks(ticks: number): void {
    this.#raft.randomizedElectionTicks = ticks;
  }

  /**
   * Whether `ready()` has something to hand out. False while one is outstanding. Costs O(1), and
   * nothing is allocated.
   */
  hasReady(): boolean {
    const raft = this.#raft;
    return (
      this.#outstanding === undefined &&
      (raft.messages.length > 0 ||
        raft.messagesAfterPersist.length > 0 ||
        raft.readStates.length > 0 ||
        raft.readsAborted.length > 0 ||
        raft.reads.needsRound ||
        raft.log.hasNextUnstable ||
        raft.log.hasNextCommitted ||
        this.#hardStateChanged() ||
        this.#softStateChanged())
    );
  }

  /**
   * Hands out what is to be done. One at a time: the next only after `persisted` (in asynchronous
   * mode at any time, because storage answers by messages).
   */
  ready(): Ready {
    invariant(
      this.#outstanding === undefined,
      () => `Ready ${this.#sequence} is still outstanding`,
    );
    const raft = this.#raft;
    startReadRound(raft);
    const ready = this.#assemble();
    raft.messages = [];
    raft.messagesAfterPersist = [];
    raft.readStates = [];
    raft.readsAborted = [];
    if (ready.hardState !== undefined) this.#previousHardState = ready.hardState;
    if (ready.softState !== undefined) this.#previousSoftState = ready.softState;
    raft.log.acceptUnstable();
    raft.log.acceptApplying(ready.committed);
    reduceUncommitted(raft, ready.committed);
    if (!this.#isAsync) this.#outstanding = ready;
    return ready;
  }

  /**
   * What was queued to be sent at once since the last Ready, and reads that were decided. May be
   * called while a Ready is outstanding, so that heartbeats and reads do not wait for a slow disk
   * (G2); what it returns is in no Ready. A MsgSnap in it is to be reported on like any (P2).
   */
  takeOutbox(): Outbox {
    const raft = this.#raft;
    startReadRound(raft);
    const { messages, readStates, readsAborted } = raft;
    raft.messages = [];
    raft.readStates = [];
    raft.readsAborted = [];
    return { messages, readStates, readsAborted };
  }

  /** Everything that the Ready asked to write is durable. Counts the own votes and entries (E1). */
  persisted(ready: Ready): void {
    invariant(
      ready.sequence === this.#outstanding?.sequence,
      () => `Ready ${ready.sequence} is not the outstanding ${this.#outstanding?.sequence}`,
    );
    const messages = this.#onPersisted;
    this.#outstanding = undefined;
    this.#onPersisted = [];
    for (const message of messages) {
      if (isStorageThread(message.from)) {
        this.#stepStorage(message);
      } else {
        this.#raft.step(message);
      }
    }
  }

  /** The state machine has applied up to `index`, which was handed out. May skip batches. */
  applied(index: number): void {
    appliedTo(this.#raft, index);
  }

  /** `persisted` and `applied` at once, for hosts that do both before they go on. */
  advance(ready: Ready): void {
    this.persisted(ready);
    const last = ready.committed.at(-1);
    if (last !== undefined) this.applied(last.index);
  }

  basicStatus(): BasicStatus {
    const raft = this.#raft;
    return {
      id: raft.id,
      hardState: raft.hardState,
      softState: this.#softState(),
      applied: raft.log.applied,
      lastIndex: raft.log.lastIndex(),
      confState: raft.tracker.confState,
    };
  }

  /** Cost: grows with the replicas of the group. */
  status(): RaftStatus {
    const leads = this.#raft.role === 'StateLeader';
    return { ...this.basicStatus(), progress: leads ? this.#raft.tracker.progressStatus() : [] };
  }

  #assemble(): Ready {
    const raft = this.#raft;
    this.#sequence += 1;
    const entries = raft.log.nextUnstableEntries();
    const snapshot = raft.log.nextUnstableSnapshot();
    const hardState = this.#hardStateChanged() ? raft.hardState : undefined;
    const previous = this.#previousHardState;
    const base: Ready = {
      sequence: this.#sequence,
      ...(this.#softStateChanged() && { softState: this.#softState() }),
      ...(hardState !== undefined && { hardState }),
      entries,
      ...(snapshot !== undefined && { snapshot }),
      mustSync: entries.length > 0 || raft.term !== previous.term || raft.vote !== previous.vote,
      messages: raft.messages,
      messagesAfterPersist: [],
      committed: raft.log.nextCommitted(),
      readStates: raft.readStates,
      readsAborted: raft.readsAborted,
    };
    return this.#isAsync ? this.#withStorageMessages(base) : this.#withOwnAnswersApart(base);
  }

  /** Synchronous mode: what is to this replica itself waits for `persisted`. */
  #withOwnAnswersApart(ready: Ready): Ready {
    const raft = this.#raft;
    const toOthers = raft.messagesAfterPersist.filter((message) => message.to !== raft.id);
    const toSelf = raft.messagesAfterPersist.filter((message) => message.to === raft.id);
    this.#onPersisted = this.#needsAppendResponse(ready)
      ? [...toSelf, this.#storageAppendResponse(ready)]
      : toSelf;
    return { ...ready, messagesAfterPersist: toOthers };
  }

  /** Asynchronous mode: the storage gets messages too, and what depends on them goes along. */
  #withStorageMessages(ready: Ready): Ready {
    const raft = this.#raft;
    const { hardState, entries, snapshot, committed } = ready;
    // etcd lets requests for votes go ahead of what they speak of.
    const requests = raft.messagesAfterPersist.filter(({ type }) => type === 'MsgVote');
    const waiting = raft.messagesAfterPersist.filter(({ type }) => type !== 'MsgVote');
    const messages = [...ready.messages, ...requests];
    const hasToWrite = hardState !== undefined || entries.length > 0 || snapshot !== undefined;
    if (hasToWrite || waiting.length > 0) {
      const responses = this.#needsAppendResponse(ready)
        ? [...waiting, this.#storageAppendResponse(ready)]
        : waiting;
      const body = {
        entries,
        responses,
        ...(snapshot !== undefined && { snapshot }),
        ...(hardState !== undefined && { vote: hardState.vote, commit: hardState.commit }),
      };
      const term = hardState?.term ?? 0;
      messages.push(createMessage('MsgStorageAppend', raft.id, LOCAL_APPEND_THREAD, term, body));
    }
    if (committed.length > 0) {
      const from = LOCAL_APPLY_THREAD;
      const response = createMessage('MsgStorageApplyResp', from, raft.id, 0, {
        entries: committed,
      });
      const body = { entries: committed, responses: [response] };
      messages.push(createMessage('MsgStorageApply', raft.id, LOCAL_APPLY_THREAD, 0, body));
    }
    return { ...ready, messages };
  }

  #needsAppendResponse(ready: Ready): boolean {
    return this.#raft.log.hasUnstableEntries || ready.snapshot !== undefined;
  }

  /**
   * Says that the log is durable up to its end as it is now. It carries the term so that it means
   * nothing in a later one, when the same indexes may have been written again (S8).
   */
  #storageAppendResponse(ready: Ready): Message {
    const raft = this.#raft;
    const { snapshot } = ready;
    const last = raft.log.hasUnstableEntries ? raft.log.lastId() : { term: 0, index: 0 };
    return createMessage('MsgStorageAppendResp', LOCAL_APPEND_THREAD, raft.id, raft.term, {
      index: last.index,
      logTerm: last.term,
      ...(snapshot !== undefined && { snapshot }),
    });
  }

  /** What followers proposed, where the leader is to take such (A9). */
  #stepProposals(message: Message): StepResult {
    if (!this.#raft.config.forwardProposals) return 'dropped';
    const results = message.entries.map(({ type, data }) => {
      return type === 'EntryNormal'
        ? this.propose(data)
        : this.proposeConfChange(decodeConfChange(data), type);
    });
    return results.some((result) => result.kind === 'dropped') ? 'dropped' : 'ok';
  }

  #stepStorage(message: Message): void {
    const { log } = this.#raft;
    if (message.type === 'MsgStorageApplyResp') {
      const last = message.entries.at(-1);
      if (last !== undefined) appliedTo(this.#raft, last.index);
      return;
    }
    if (message.type !== 'MsgStorageAppendResp') return;
    if (message.term === this.#raft.term && message.index > 0) {
      log.stableTo({ term: message.logTerm, index: message.index });
    }
    // A snapshot is committed state: it stays what it is in every term.
    if (message.snapshot !== undefined) log.installedSnapshot(message.snapshot.meta.index);
  }

  #softState(): SoftState {
    return { lead: this.#raft.lead, role: this.#raft.role };
  }

  #softStateChanged(): boolean {
    const { lead, role } = this.#previousSoftState;
    return this.#raft.lead !== lead || this.#raft.role !== role;
  }

  #hardStateChanged(): boolean {
    const { term, vote, commit } = this.#previousHardState;
    const raft = this.#raft;
    return raft.term !== term || raft.vote !== vote || raft.log.committed !== commit;
  }
}
