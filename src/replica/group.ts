/**
 * One Raft group on this node: joins the core, the log store, the transport and a state machine.
 *
 * The driver decides nothing about consensus. It carries out each `Ready` in the order that the
 * core asks for: send, persist, send what had to wait, apply. At most one `Ready` is outstanding,
 * so that whatever arrives during an fsync goes into the next batch (natural group commit).
 */
import { type Outbox, RawNode } from '../raft/raw-node.js';
import {
  type Entry,
  type HardState,
  type LogReader,
  type Message,
  NONE,
  type RaftStatus,
  type Ready,
  type Role,
} from '../raft/types.js';
import { assert } from '../shared/assert.js';
import type { Environment } from '../shared/environment.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';
import type { Logger } from '../shared/logger.js';
import type { StateMachine } from '../shared/state-machine.js';
import type { GroupGenesis, GroupMember, LogStore } from '../storage/log-store.js';
import type { PeerIdentity } from '../transport/transport.js';
import { ApplyQueue, hasCommand } from './apply-queue.js';
import { LagMeter } from './lag-meter.js';
import { type ProposalOutcome, Proposals } from './proposals.js';
import { Reads } from './reads.js';
import type { Timing } from './timing.js';

export interface GroupOptions<Result> {
  readonly genesis: GroupGenesis;
  readonly logStore: LogStore;
  readonly stateMachine: StateMachine<Result>;
  readonly environment: Environment;
  readonly timing: Timing;
  readonly logger: Logger;
  /** Sends messages of this group to the node that holds the replica. */
  readonly send: (nodeId: number, messages: readonly Message[]) => void;
  /** Asks the host to call `advance` soon. */
  readonly schedule: () => void;
  /** The replica has stopped for good; `error` says why. */
  readonly onFault: (error: FlotillaError) => void;
  /** How long committed entries may wait for others where nobody waits for them. @default 0 */
  readonly applyLingerMs?: number;
  /** Sees each entry that is appended here, before it is persisted. */
  readonly onAppend?: (entries: readonly Entry[]) => void;
}

export interface GroupStatus extends RaftStatus {
  readonly leaderChanges: number;
  readonly fault: string | undefined;
  /** Milliseconds behind, by replica id; only while leading. */
  readonly lagMs: ReadonlyMap<number, number>;
}

export class RaftGroup<Result> {
  readonly groupId: number;
  readonly replicaId: number;
  readonly #options: GroupOptions<Result>;
  readonly #members: ReadonlyMap<number, GroupMember>;
  readonly #node: RawNode;
  readonly #proposals = new Proposals<Result>();
  readonly #reads: Reads;
  readonly #lag = new LagMeter();
  #persisting = false;
  #persistedIndex: number;
  #appliedIndex: number;
  readonly #toApply: ApplyQueue<Result>;
  /** A commit index that is not written yet: it rides on the next batch of entries (S2). */
  #unsavedHardState: HardState | undefined;
  #writing: Promise<void> | undefined;
  #role: Role = 'StateFollower';
  #lead = NONE;
  #leaderChanges = 0;
  #fault: string | undefined;
  #closed = false;
  /**
   * A group that never had a leader need not wait for an election timeout to see that it has none:
   * its first voter campaigns at each tick until someone leads. The allocation spreads the first
   * voters over the nodes, so that new shards begin with their leaders spread as well.
   */
  #isFirstCandidate: boolean;

  /** Opens the state machine, then the core at the index up to which it was applied. */
  static async open<Result>(options: GroupOptions<Result>): Promise<RaftGroup<Result>> {
    const { appliedIndex } = await options.stateMachine.open();
    return new RaftGroup(options, appliedIndex);
  }

  private constructor(options: GroupOptions<Result>, appliedIndex: number) {
    const { genesis, timing } = options;
    const reader = options.logStore.reader(genesis.groupId);
    assert(
      appliedIndex <= reader.lastIndex(),
      () => `group ${genesis.groupId} applied ${appliedIndex} of ${reader.lastIndex()} entries`,
    );
    this.#options = options;
    this.groupId = genesis.groupId;
    this.replicaId = genesis.replicaId;
    this.#members = new Map(genesis.members.map((member) => [member.replicaId, member]));
    this.#persistedIndex = reader.lastIndex();
    this.#appliedIndex = appliedIndex;
    this.#reads = new Reads(appliedIndex);
    this.#node = new RawNode({
      id: genesis.replicaId,
      storage: withAppliedCommitted(reader, appliedIndex),
      applied: appliedIndex,
      electionTicks: timing.electionTicks,
      heartbeatTicks: timing.heartbeatTicks,
      random: () => options.environment.random.next(),
      maxUncommittedBytes: LIMITS.uncommittedBytesMax.value,
      maxPendingReads: LIMITS.pendingReadsMax.value,
      trace: (line) => options.logger.debug({ groupId: genesis.groupId }, line),
    });
    this.#toApply = new ApplyQueue({
      stateMachine: options.stateMachine,
      scheduler: options.environment.scheduler,
      lingerMs: options.applyLingerMs ?? 0,
      onApplied: (entries, results) => this.#noteApplied(entries, results),
      onError: (error) => this.#fail(error),
    });
    this.#isFirstCandidate = genesis.confState.voters[0] === genesis.replicaId;
  }

  get isLeader(): boolean {
    return this.#role === 'StateLeader' && this.#fault === undefined;
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  /** Node of the leader as far as known; 0 for none. */
  get leaderNodeId(): number {
    return this.#members.get(this.#lead)?.nodeId ?? 0;
  }

  memberNodeId(replicaId: number): number {
    return this.#members.get(replicaId)?.nodeId ?? 0;
  }

  /** One logical tick. Cheap while nothing is due. */
  tick(): void {
    if (!this.#running) return;
    this.#guard(() => {
      this.#node.tick();
      if (this.#isFirstCandidate) this.#campaignIfNew();
      if (this.#role === 'StateLeader') {
        const { commit } = this.#node.basicStatus().hardState;
        this.#lag.sample(this.#options.environment.clock.monotonicMs(), commit);
      }
    });
    this.#scheduleIfReady();
  }

  /**
   * A message from another replica. One that does not come from the very store that the group's
   * configuration names is ignored: a wiped node must neither vote nor acknowledge (M8).
   */
  step(from: PeerIdentity, message: Message): void {
    if (!this.#running) return;
    const member = this.#members.get(message.from);
    const known = member?.nodeId === from.nodeId && member.storeId === from.storeId;
    if (!known || message.to !== this.replicaId) {
      this.#options.logger.debug(
        { groupId: this.groupId, from, type: message.type },
        'message of a foreign replica ignored',
      );
      return;
    }
    this.#guard(() => this.#node.step(message));
    this.#scheduleIfReady();
  }

  /** The link to a node broke: its replica is probed until it answers (L6). */
  reportUnreachable(nodeId: number): void {
    if (!this.#running || !this.isLeader) return;
    for (const member of this.#members.values()) {
      if (member.nodeId === nodeId && member.replicaId !== this.replicaId) {
        this.#guard(() => this.#node.reportUnreachable(member.replicaId));
      }
    }
    this.#scheduleIfReady();
  }

  /**
   * Appends an entry and tells what became of it. Throws NOT_LEADER, PROPOSAL_DROPPED or
   * NODE_NOT_READY when it was not even appended.
   */
  propose(data: Uint8Array): Promise<ProposalOutcome<Result>> {
    this.#assertLeads();
    if (this.#proposals.pendingBytes + data.length > LIMITS.uncommittedBytesMax.value) {
      throw new FlotillaError(
        'PROPOSAL_DROPPED',
        'The shard applies writes slower than they come',
        {
          limit: 'uncommittedBytesMax',
        },
      );
    }
    const result = this.#node.propose(data);
    switch (result.kind) {
      case 'accepted': {
        const outcome = this.#proposals.wait(result.index, result.term, data.length);
        this.#options.schedule();
        return outcome;
      }
      case 'not-leader':
        throw this.#notLeader();
      case 'dropped':
        throw new FlotillaError('PROPOSAL_DROPPED', `The shard refused the write: ${result.why}`, {
          limit: 'uncommittedBytesMax',
        });
    }
  }

  /** Resolves once a read of the state machine is linearizable (R1). Throws NOT_LEADER. */
  readBarrier(): Promise<void> {
    this.#assertLeads();
    // The role that was last noted may be out of date.
    if (this.#node.basicStatus().softState.role !== 'StateLeader') throw this.#notLeader();
    const barrier = this.#reads.start((id) => this.#node.readIndex(id) === 'queued');
    this.#options.schedule();
    return barrier;
  }

  /** Resolves once `index` is applied on this replica, whoever leads. */
  waitApplied(index: number): Promise<void> {
    if (!this.#running) throw new FlotillaError('NODE_NOT_READY', 'The replica has stopped');
    const applied = this.#reads.waitApplied(index);
    this.#toApply.hurry();
    return applied;
  }

  /**
   * Stops this replica for good: its state machine is lost. If it leads, the others elect another
   * leader, because nobody hears from it any more.
   */
  fail(error: FlotillaError): void {
    if (!this.#closed) this.#fail(error);
  }

  /**
   * Carries out what the core has ready. While a `Ready` is being persisted only that leaves which
   * need not wait for the disk: heartbeats, appends, reads (G2).
   */
  advance(): void {
    if (!this.#running) return;
    this.#guard(() => {
      if (this.#persisting) this.#handleOutbox(this.#node.takeOutbox());
      else if (this.#node.hasReady()) this.#handle(this.#node.ready());
    });
  }

  status(): GroupStatus {
    const status = this.#node.status();
    const nowMs = this.#options.environment.clock.monotonicMs();
    return {
      ...status,
      leaderChanges: this.#leaderChanges,
      fault: this.#fault,
      lagMs: new Map(status.progress.map(({ id, match }) => [id, this.#lag.lagMs(nowMs, match)])),
    };
  }

  /** Waits for the write and the apply under way; everyone else is told `unknown`. Idempotent. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#settleAll('The node is stopping');
    }
    await this.#writing;
    await this.#saveCommit();
    await this.#toApply.stop();
    await this.#options.stateMachine.close();
  }

  /** So that a restart after an orderly stop knows what is committed. */
  async #saveCommit(): Promise<void> {
    if (this.#unsavedHardState === undefined || this.#fault !== undefined) return;
    await this.#write([], false).catch((error: unknown) => this.#fail(error));
  }

  get #running(): boolean {
    return !this.#closed && this.#fault === undefined;
  }

  #campaignIfNew(): void {
    const { hardState, softState } = this.#node.basicStatus();
    this.#isFirstCandidate = hardState.term === 0 && softState.lead === NONE;
    if (this.#isFirstCandidate) this.#node.campaign();
  }

  #handle(ready: Ready): void {
    if (ready.softState !== undefined) this.#noteSoftState(ready.softState);
    this.#options.onAppend?.(ready.entries);
    this.#handleOutbox(ready);
    if (ready.hardState !== undefined) this.#unsavedHardState = ready.hardState;
    // What is durable here already need not wait for this batch, which may replace a suffix.
    const firstNew = ready.entries[0]?.index ?? Number.MAX_SAFE_INTEGER;
    const durableIndex = Math.min(this.#persistedIndex, firstNew - 1);
    const durable = ready.committed.filter((entry) => entry.index <= durableIndex);
    const waiting = ready.committed.slice(durable.length);
    this.#toApply.push(durable, this.#appliesUrgently);
    this.#persisting = true;
    if (!ready.mustSync) {
      this.#afterPersist(ready, waiting);
      return;
    }
    this.#writing = this.#write(ready.entries, true).then(
      () => this.#guard(() => this.#afterPersist(ready, waiting)),
      (error: unknown) => this.#fail(error),
    );
  }

  #write(entries: readonly Entry[], mustSync: boolean): Promise<void> {
    const hardState = this.#unsavedHardState;
    this.#unsavedHardState = undefined;
    return this.#options.logStore.write({
      groupId: this.groupId,
      ...(hardState !== undefined && { hardState }),
      entries,
      mustSync,
    });
  }

  #handleOutbox(outbox: Outbox): void {
    for (const requestId of outbox.readsAborted) this.#reads.aborted(requestId);
    for (const read of outbox.readStates) this.#reads.confirmed(read.requestId, read.index);
    this.#send(outbox.messages);
  }

  #afterPersist(ready: Ready, waiting: readonly Entry[]): void {
    this.#persisting = false;
    const last = ready.entries.at(-1);
    if (last !== undefined) this.#persistedIndex = last.index;
    if (!this.#running) return;
    this.#send(ready.messagesAfterPersist);
    this.#node.persisted(ready);
    this.#toApply.push(waiting, this.#appliesUrgently);
    this.#scheduleIfReady();
  }

  #send(messages: readonly Message[]): void {
    if (messages.length === 0) return;
    const byNode = new Map<number, Message[]>();
    for (const message of messages) {
      const nodeId = this.memberNodeId(message.to);
      const list = byNode.get(nodeId);
      if (list === undefined) byNode.set(nodeId, [message]);
      else list.push(message);
    }
    for (const [nodeId, list] of byNode) this.#options.send(nodeId, list);
  }

  /** Whether the result of applying is waited for, here or by a proposer at this leader. */
  get #appliesUrgently(): boolean {
    return this.#role === 'StateLeader' || this.#reads.size > 0;
  }

  #noteApplied(entries: readonly Entry[], results: readonly Result[]): void {
    const lastIndex = (entries.at(-1) as Entry).index;
    this.#appliedIndex = lastIndex;
    let next = 0;
    for (const entry of entries) {
      if (!hasCommand(entry)) this.#proposals.passed(entry.index);
      else this.#proposals.applied(entry.index, entry.term, results[next++] as Result);
    }
    this.#reads.appliedTo(lastIndex);
    if (!this.#running) return;
    this.#node.applied(lastIndex);
    this.#scheduleIfReady();
  }

  #noteSoftState(softState: { readonly lead: number; readonly role: Role }): void {
    const { role, lead } = softState;
    if (lead !== NONE && lead !== this.#lead) {
      this.#leaderChanges++;
      this.#options.logger.info(
        { groupId: this.groupId, leaderNodeId: this.memberNodeId(lead) },
        'the group has a leader',
      );
    }
    if (this.#role === 'StateLeader' && role !== 'StateLeader') {
      this.#proposals.abandon('The leader stepped down before the write was applied');
    }
    if (role !== this.#role) this.#lag.reset();
    this.#role = role;
    this.#lead = lead;
    if (this.#appliesUrgently) this.#toApply.hurry();
  }

  #assertLeads(): void {
    if (this.#closed) throw new FlotillaError('NODE_NOT_READY', 'The node is stopping');
    if (!this.isLeader) throw this.#notLeader();
  }

  #notLeader(): FlotillaError {
    const nodeId = this.leaderNodeId;
    return nodeId === 0 || this.isLeader
      ? new FlotillaError('NO_LEADER', `Group ${this.groupId} has no leader that is known here`)
      : new FlotillaError('NOT_LEADER', `Node ${nodeId} leads group ${this.groupId}`, {
          details: { leaderNodeId: String(nodeId) },
        });
  }

  #scheduleIfReady(): void {
    if (this.#running && (this.#persisting || this.#node.hasReady())) this.#options.schedule();
  }

  /** A broken invariant or a disk that fails stops this replica, and nothing else (S6). */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#fault !== undefined) return;
    const cause = toFlotillaError(error);
    this.#fault = cause.message;
    this.#options.logger.error(
      { groupId: this.groupId, reason: cause.reason, stack: cause.stack },
      `the replica stops: ${cause.message}`,
    );
    this.#settleAll(`The replica stopped: ${cause.message}`);
    this.#options.onFault(cause);
  }

  #settleAll(why: string): void {
    this.#proposals.abandon(why);
    this.#reads.close(new FlotillaError('NODE_NOT_READY', why));
  }
}

/**
 * A commit index is written without an fsync (S2) and may come back older than what was applied
 * from it. Applied entries are committed, so the higher of the two is the truth.
 */
function withAppliedCommitted(reader: LogReader, appliedIndex: number): LogReader {
  return {
    initialState: () => {
      const { hardState, confState } = reader.initialState();
      const commit = Math.max(hardState.commit, appliedIndex);
      return { hardState: { ...hardState, commit }, confState };
    },
    entries: (low, high, maxSizeBytes) => reader.entries(low, high, maxSizeBytes),
    term: (index) => reader.term(index),
    firstIndex: () => reader.firstIndex(),
    lastIndex: () => reader.lastIndex(),
    snapshot: () => reader.snapshot(),
  };
}
