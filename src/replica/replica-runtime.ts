/**
 * One replica at work: the core with all that moves it and all that it moves. `RaftGroup` is how
 * others see it.
 *
 * It decides nothing about consensus, and has no timers of its own: time comes in through `tick`.
 */
import type { RawNode } from '../raft/raw-node.js';
import {
  type Entry,
  type LogReader,
  type Message,
  NONE,
  type Snapshot,
  type SoftState,
} from '../raft/types.js';
import { type FlotillaError, toFlotillaError } from '../shared/errors.js';
import type { StateMachine } from '../shared/state-machine.js';
import type { GroupConfiguration, GroupSnapshot } from '../storage/log-store.js';
import type { PeerIdentity } from '../transport/transport.js';
import { ApplyLag } from './apply-lag.js';
import { ApplyQueue, isConfChange } from './apply-queue.js';
import { LeaderlessTime } from './clock-check.js';
import { ConfigurationChanges } from './configuration-changes.js';
import { appliedIndexIn, GroupMail } from './group-mail.js';
import { GroupSnapshots, type SnapshotParts } from './group-snapshots.js';
import { LagMeter } from './lag-meter.js';
import { Leadership } from './leadership.js';
import { COMPACTION_DEFAULTS, type CompactionPolicy, LogCompactor } from './log-compaction.js';
import { decodeMembers } from './member-codec.js';
import { Members } from './members.js';
import { UNAPPLIED_BYTES_MAX } from './proposal-admission.js';
import { ReadyDriver } from './ready-driver.js';
import { makeCore, type ReplicaParts } from './replica-core.js';
import { Waiters } from './waiters.js';

export interface RuntimeOptions<Result> extends ReplicaParts {
  readonly stateMachine: StateMachine<Result>;
  /** Sends messages of this group to the node that holds the replica. */
  readonly send: (nodeId: number, messages: readonly Message[]) => void;
  /** Asks the host to call `advance` soon. */
  readonly schedule: () => void;
  /** The replica has stopped for good; `error` says why. */
  readonly onFault: (error: FlotillaError) => void;
  /** The group has another leader than before, or one again, on that node. @default nobody asks */
  readonly onLeader?: (nodeId: number) => void;
  /** @default none: the log is never cut, and whoever it does not reach stays behind */
  readonly snapshots?: SnapshotParts | undefined;
  /** @default COMPACTION_DEFAULTS */
  readonly compaction?: CompactionPolicy | undefined;
  /**
   * Whether the state machine keeps what it applied over a restart. The log of one that does not is
   * only cut behind a snapshot. @default true
   */
  readonly isDurable?: boolean;
  /** How long committed entries may wait for others where nobody waits for them. @default 0 */
  readonly applyLingerMs?: number;
  /** Sees each entry that is appended here, before it is persisted. */
  readonly onAppend?: (entries: readonly Entry[]) => void;
  /** Whether this replica must not seek the leadership now. @default never */
  readonly mustNotLead?: () => boolean;
  /** Whether it had better not: it does only where nobody else has for long. @default never */
  readonly shouldNotLead?: () => boolean;
}

export class ReplicaRuntime<Result> {
  readonly groupId: number;
  readonly replicaId: number;
  readonly options: RuntimeOptions<Result>;
  readonly node: RawNode;
  readonly members: Members;
  readonly waiters: Waiters<Result>;
  readonly leadership: Leadership;
  readonly changes: ConfigurationChanges;
  readonly snapshots: GroupSnapshots | undefined;
  readonly lag = new LagMeter();
  readonly applyLag: ApplyLag;
  readonly #driver: ReadyDriver;
  readonly #queue: ApplyQueue<Result>;
  readonly #compactor: LogCompactor | undefined;
  readonly #leaderless: LeaderlessTime;
  #appliedIndex: number;
  /** What was known to be committed when the replica was opened; its state may not be there yet. */
  readonly #openedCommitIndex: number;
  /** Where the last entries were applied that may have changed the state: no-ops do not. */
  #changedIndex: number;
  /** Up to here the state machine has synced that: it is one call behind (A3). */
  #durableIndex: number;
  #fault: string | undefined;
  #closed = false;
  /**
   * A group that never had a leader need not wait for an election timeout to see that it has none:
   * its first voter campaigns at each tick until someone leads. The allocation spreads the first
   * voters over the nodes, so that new shards begin with their leaders spread as well.
   */
  #isFirstCandidate: boolean;

  /** `appliedIndex` is where the open state machine stands. */
  constructor(options: RuntimeOptions<Result>, appliedIndex: number) {
    const { genesis, environment, timing, logStore, schedule } = options;
    const { clock, scheduler } = environment;
    const reader = logStore.reader(genesis.groupId);
    this.options = options;
    this.groupId = genesis.groupId;
    this.replicaId = genesis.replicaId;
    this.#appliedIndex = appliedIndex;
    this.#changedIndex = appliedIndex;
    this.#durableIndex = appliedIndex;
    this.#openedCommitIndex = reader.initialState().hardState.commit;
    this.#leaderless = new LeaderlessTime(timing.electionTicks);
    this.members = new Members(logStore.configuration(genesis.groupId));
    this.waiters = new Waiters(appliedIndex);
    this.applyLag = new ApplyLag({
      replicaId: this.replicaId,
      appliedIndex: () => this.#appliedIndex,
      confState: () => this.members.configuration.confState,
      boundBytes: UNAPPLIED_BYTES_MAX,
    });
    this.#queue = new ApplyQueue({
      stateMachine: options.stateMachine,
      scheduler,
      lingerMs: options.applyLingerMs ?? 0,
      onApplied: (entries, results) => this.#noteApplied(entries, results),
      onError: (error) => this.fail(error),
    });
    this.snapshots = options.snapshots && this.#makeSnapshots(options.snapshots);
    this.node = makeCore(options, {
      appliedIndex: () => this.#appliedIndex,
      snapshot: () => this.snapshots?.current(),
    });
    this.#driver = this.#makeDriver(reader);
    this.#compactor = this.snapshots && this.#makeCompactor(this.snapshots);
    const { node, members, replicaId } = this;
    const { conditions } = this.waiters;
    this.leadership = new Leadership({ replicaId, node, timing, clock, conditions, schedule });
    this.changes = new ConfigurationChanges({
      node,
      members,
      waiters: this.waiters,
      leads: () => this.isLeader,
      schedule,
      onChanged: (configuration) => this.#driver.saveConfiguration(configuration),
    });
    this.changes.repeat(reader, appliedIndex);
    this.#isFirstCandidate = genesis.confState.voters[0] === genesis.replicaId;
  }

  get isLeader(): boolean {
    return this.leadership.isHeld && this.isRunning;
  }

  get isRunning(): boolean {
    return !this.#closed && this.#fault === undefined;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  get fault(): string | undefined {
    return this.#fault;
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  /** What a restart begins with, after a loss of power as well (M12). */
  get durableConfiguration(): GroupConfiguration {
    return this.options.logStore.configuration(this.groupId);
  }

  get commitIndex(): number {
    return this.node.basicStatus().hardState.commit;
  }

  /**
   * Whether the state holds what this replica once had: it does not while a lost one is made again
   * from the log, nor while what a crash took back is applied again.
   */
  get hasCaughtUpWithItself(): boolean {
    return this.#appliedIndex >= this.#openedCommitIndex;
  }

  tick(): void {
    if (!this.isRunning) return;
    this.#leaderless.tick(this.leadership.lead !== NONE);
    this.act(() => {
      this.node.tick();
      if (this.#isFirstCandidate) this.#campaignIfNew();
      if (this.leadership.isHeld) {
        this.lag.sample(this.options.environment.clock.monotonicMs(), this.commitIndex);
      }
      if (this.snapshots?.isInUse) this.snapshots.review(this.node.status().progress);
      this.waiters.conditions.check();
    });
  }

  /** Why a message is not to be believed, or is not for here; undefined where it is taken. */
  refusal(from: PeerIdentity, message: Message): string | undefined {
    if (!this.isRunning) return `replica ${this.replicaId} of group ${this.groupId} has stopped`;
    if (message.to !== this.replicaId) return `replica ${message.to} is not here`;
    if (!this.members.admits(from, message)) return `replica ${message.from} lives elsewhere`;
    return undefined;
  }

  step(from: PeerIdentity, message: Message): void {
    const refusal = this.refusal(from, message);
    if (refusal !== undefined) {
      const { type } = message;
      this.options.logger.debug({ groupId: this.groupId, from, type, refusal }, 'not for us');
      return;
    }
    // Who may not lead must not be talked into it: a candidacy would only end the leader's term.
    if (message.type === 'MsgTimeoutNow' && this.#mustNotLead) return;
    if (message.from === this.leadership.lead) this.leadership.trust();
    if (message.type === 'MsgHeartbeatResp') this.#noteFollowerApplied(message);
    this.act(() => this.node.step(message));
  }

  /** Carries out what the core has ready. */
  advance(): void {
    if (this.isRunning) this.#guard(() => this.#driver.advance());
  }

  /** Does something with the core, and asks for a turn where that has given it something to do. */
  act(work: () => void): void {
    if (!this.isRunning) return;
    this.#guard(work);
    this.#driver.scheduleIfReady();
  }

  /** Somebody waits for what is committed and lingers. */
  hurry(): void {
    this.#queue.hurry();
  }

  /** A broken invariant, or a disk or engine that fails, stops this replica alone (S6). */
  fail(error: unknown): void {
    if (this.#fault !== undefined || this.#closed) return;
    const cause = toFlotillaError(error);
    this.#fault = cause.message;
    this.options.logger.error(
      { groupId: this.groupId, reason: cause.reason, stack: cause.stack },
      `the replica stops: ${cause.message}`,
    );
    this.waiters.close(`The replica stopped: ${cause.message}`);
    void this.#driver.stop();
    this.options.onFault(cause);
  }

  /** Waits for the write and the apply under way; everyone else is told `unknown`. Idempotent. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.waiters.close('The node is stopping');
    }
    await this.#driver.stop();
    if (this.#fault === undefined) await this.#saveRest();
    await this.#queue.stop();
    await this.snapshots?.close();
    await this.options.stateMachine.close();
  }

  async #saveRest(): Promise<void> {
    await this.#driver.saveRest().catch((thrown: unknown) => {
      const { message } = toFlotillaError(thrown);
      this.options.logger.warn({ groupId: this.groupId, error: message }, 'not all was saved');
    });
  }

  #makeDriver(reader: LogReader): ReadyDriver {
    const { logStore, schedule, onAppend, send } = this.options;
    const mail = new GroupMail({
      members: this.members,
      send,
      sendSnapshot: (nodeId, message) => this.snapshots?.send(nodeId, message),
      onUndeliverable: (replicaId) => this.#reportSnapshot(replicaId, false),
      mustNotLead: () => this.#mustNotLead,
      appliedIndex: () => this.#appliedIndex,
    });
    return new ReadyDriver({
      groupId: this.groupId,
      node: this.node,
      logStore,
      queue: this.#queue,
      reads: this.waiters.reads,
      persistedIndex: reader.lastIndex(),
      hardState: reader.initialState().hardState,
      send: (messages) => mail.send(messages),
      onSoftState: (softState) => this.#noteSoftState(softState),
      onAppend: (entries) => onAppend?.(entries),
      isUrgent: () => this.#isUrgent,
      recordOf,
      install: (record) => this.#install(record),
      schedule,
      onError: (error) => this.fail(error),
    });
  }

  #makeSnapshots(parts: SnapshotParts): GroupSnapshots {
    const { environment, timing, logger, stateMachine, logStore } = this.options;
    return new GroupSnapshots({
      groupId: this.groupId,
      replicaId: this.replicaId,
      parts,
      members: this.members,
      stateMachine,
      whenQuiet: (task) => this.#queue.whenQuiet(task),
      appliedIndex: () => this.#appliedIndex,
      reader: logStore.reader(this.groupId),
      onSent: (replicaId, ok) => this.#reportSnapshot(replicaId, ok),
      clock: environment.clock,
      logger,
      retryPauseMs: timing.electionTimeoutMs,
      silenceMaxMs: 2 * timing.electionTimeoutMs,
    });
  }

  #makeCompactor(snapshots: GroupSnapshots): LogCompactor {
    const { logStore, logger, compaction = COMPACTION_DEFAULTS, isDurable = true } = this.options;
    const reader = logStore.reader(this.groupId);
    return new LogCompactor({
      policy: compaction,
      driver: this.#driver,
      snapshots,
      isDurable,
      firstIndex: () => reader.firstIndex(),
      sizeBytes: () => logStore.logSizeBytes(this.groupId),
      logger,
    });
  }

  get #mustNotLead(): boolean {
    const { mustNotLead, shouldNotLead } = this.options;
    if (mustNotLead?.() ?? false) return true;
    return !this.#leaderless.isOver && (shouldNotLead?.() ?? false);
  }

  #campaignIfNew(): void {
    const { hardState, softState } = this.node.basicStatus();
    this.#isFirstCandidate = hardState.term === 0 && softState.lead === NONE;
    if (this.#isFirstCandidate) this.node.campaign();
  }

  #reportSnapshot(replicaId: number, ok: boolean): void {
    this.act(() => this.node.reportSnapshot(replicaId, ok));
  }

  /** Whether the result of applying is waited for, here or by a proposer at this leader. */
  get #isUrgent(): boolean {
    return this.leadership.isHeld || this.waiters.reads.size > 0;
  }

  #noteFollowerApplied(message: Message): void {
    const appliedIndex = appliedIndexIn(message);
    if (appliedIndex === undefined || !this.leadership.isHeld) return;
    this.applyLag.told(message.from, appliedIndex);
    this.waiters.conditions.check();
  }

  #noteApplied(entries: readonly Entry[], results: readonly Result[]): void {
    const last = entries.at(-1) as Entry;
    const confState = isConfChange(last) ? this.changes.apply(last) : undefined;
    this.waiters.applied(entries, results, confState);
    this.#appliedIndex = last.index;
    this.#durableIndex = this.#changedIndex;
    if (results.length > 0) this.#changedIndex = last.index;
    if (this.isRunning) {
      this.node.applied(last.index);
      this.#compactor?.consider(this.#durableIndex);
    }
    this.waiters.appliedTo(last.index);
    this.#driver.scheduleIfReady();
  }

  async #install({ index, term, configuration }: GroupSnapshot): Promise<void> {
    await this.snapshots?.install(index, term);
    this.members.replace(configuration);
    this.#appliedIndex = index;
    this.#changedIndex = index;
    this.#durableIndex = index;
    this.waiters.covered(index);
    this.waiters.appliedTo(index);
  }

  #noteSoftState(softState: SoftState): void {
    const wasHeld = this.leadership.isHeld;
    const hasNewLeader = this.leadership.note(softState);
    if (hasNewLeader) {
      const leaderNodeId = this.members.nodeIdOf(softState.lead);
      this.options.logger.info({ groupId: this.groupId, leaderNodeId }, 'the group has a leader');
      if (leaderNodeId !== 0) this.options.onLeader?.(leaderNodeId);
    }
    if (wasHeld !== this.leadership.isHeld) {
      this.lag.reset();
      this.applyLag.reset();
    }
    if (wasHeld && !this.leadership.isHeld) {
      this.waiters.leadershipLost();
      this.snapshots?.review([]);
    }
    if (this.#isUrgent) this.#queue.hurry();
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.fail(error);
    }
  }
}

/** The members travel as the snapshot's data. */
function recordOf({ meta, data }: Snapshot): GroupSnapshot {
  const { index, term, confState } = meta;
  const configuration: GroupConfiguration = { index, confState, members: decodeMembers(data) };
  return { index, term, configuration };
}
