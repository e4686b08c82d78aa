/**
 * All Raft groups of a node: one ticker drives them, one turn carries out what they have ready,
 * and the messages of one turn to one peer leave together.
 *
 * Cost of an idle tick: a few comparisons per group. Messages between two idle nodes: one frame a
 * heartbeat, however many groups they share (G1).
 */
import type { Message } from '../raft/types.js';
import { SERVICE } from '../shared/codec/services.js';
import { type Deadline, withDeadline } from '../shared/deadline.js';
import type { Environment, Timer } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { StateMachine } from '../shared/state-machine.js';
import type { GroupGenesis, LogStore } from '../storage/log-store.js';
import type { SnapshotFiles } from '../storage/snapshot-files.js';
import type {
  GroupMessage,
  PeerDownEvidence,
  PeerIdentity,
  PeerStatus,
  Transport,
} from '../transport/transport.js';
import { isClockAhead } from './clock-check.js';
import { type GroupOptions, RaftGroup } from './group.js';
import type { SnapshotParts } from './group-snapshots.js';
import type { CompactionPolicy } from './log-compaction.js';
import { SnapshotReceiver } from './snapshot-receiver.js';
import { SnapshotSender, type SnapshotSenderSettings } from './snapshot-sender.js';
import { SpaceRelief } from './space-relief.js';
import { Suspicions } from './suspicions.js';
import { checkTiming, type Timing } from './timing.js';

export interface HostOptions {
  readonly environment: Environment;
  readonly logStore: LogStore;
  readonly timing: Timing;
  readonly logger: Logger;
  readonly send: (nodeId: number, messages: readonly GroupMessage[]) => void;
  /** A group has stopped for good; the others go on. */
  readonly onFault: (groupId: number, error: FlotillaError) => void;
  /** A group has another leader than before, or one again, on that node. @default nobody asks */
  readonly onLeader?: (groupId: number, nodeId: number) => void;
  /** @default none: nothing that takes a request and its answer is done */
  readonly request?: Transport['request'];
  /** With `request`, groups send, receive and keep snapshots. @default none: logs are never cut */
  readonly snapshotFiles?: SnapshotFiles;
  /** @default SNAPSHOT_SENDER_DEFAULTS */
  readonly snapshotSender?: Partial<SnapshotSenderSettings> | undefined;
  /** @default COMPACTION_DEFAULTS */
  readonly compaction?: CompactionPolicy | undefined;
  /** For their clocks. @default none */
  readonly peers?: () => readonly PeerStatus[];
}

/** What differs between the groups of a node. */
export type AddGroupOptions<Result> = Pick<
  GroupOptions<Result>,
  'onAppend' | 'applyLingerMs' | 'isDurable' | 'leases'
>;

/** A timer that comes this many ticks late tells of a stall; see `#onTimer`. */
const STALL_TICKS = 3;

export class ReplicaHost {
  readonly #options: HostOptions;
  readonly #groups = new Map<number, RaftGroup<unknown>>();
  /** Groups that were ever open in this process. */
  readonly #known = new Set<number>();
  readonly #dirty = new Set<RaftGroup<unknown>>();
  readonly #outbox = new Map<number, GroupMessage[]>();
  readonly #suspicions: Suspicions;
  readonly #receiver: SnapshotReceiver | undefined;
  readonly #snapshots: SnapshotParts | undefined;
  readonly #relief: SpaceRelief | undefined;
  #turnScheduled = false;
  #ticker: Timer | undefined;
  #ticks = 0;
  #lastTimerMs = 0;
  #isHandingOver = false;
  #isClockAhead = false;
  #closed = false;

  /** Throws INVALID_REQUEST for a timing that leases or leaders could not live with. */
  constructor(options: HostOptions) {
    const { environment, logStore, timing, logger, request, snapshotFiles: files } = options;
    checkTiming(timing);
    this.#options = options;
    this.#suspicions = new Suspicions({ ...environment, timing });
    if (request === undefined) return;
    const timeoutMs = timing.transferTimeoutMs;
    this.#relief = new SpaceRelief({ logStore, request, logger, timeoutMs });
    if (files === undefined) return;
    const settings = options.snapshotSender ?? {};
    const sender = new SnapshotSender({ environment, request, logger, settings });
    const receiver = new SnapshotReceiver({
      files,
      clock: environment.clock,
      logger,
      recipientOf: (groupId) => this.#groups.get(groupId),
    });
    this.#receiver = receiver;
    this.#snapshots = {
      files,
      send: (nodeId, message, file) => sender.send(nodeId, message, file),
      receiving: (groupId) => receiver.progress(groupId),
    };
  }

  /** Opens a group over its state machine. It takes part from `start` on. */
  async addGroup<Result>(
    genesis: GroupGenesis,
    stateMachine: StateMachine<Result>,
    options: AddGroupOptions<Result> = {},
  ): Promise<RaftGroup<Result>> {
    const { environment, logStore, timing, logger, compaction } = this.#options;
    const group = await RaftGroup.open<Result>({
      genesis,
      logStore,
      stateMachine,
      environment,
      timing,
      logger: logger.child({ groupId: genesis.groupId }),
      snapshots: this.#snapshots,
      compaction,
      send: (nodeId, messages) => this.#enqueue(nodeId, genesis.groupId, messages),
      onFault: (error) => this.#options.onFault(genesis.groupId, error),
      onLeader: (nodeId) => this.#options.onLeader?.(genesis.groupId, nodeId),
      schedule: () => this.#schedule(group as RaftGroup<unknown>),
      mustNotLead: () => this.#isHandingOver,
      shouldNotLead: () => this.#isClockAhead,
      isReopened: this.#known.has(genesis.groupId),
      ...options,
    });
    this.#known.add(genesis.groupId);
    if (this.#closed) {
      await group.close();
      throw new FlotillaError('NODE_NOT_READY', 'The node is stopping');
    }
    this.#groups.set(genesis.groupId, group as RaftGroup<unknown>);
    return group;
  }

  /** The group's replica on this node, once it is open. */
  group(groupId: number): RaftGroup<unknown> | undefined {
    return this.#groups.get(groupId);
  }

  /**
   * Closes a group with its state machine; it may be added again. Nothing happens where there is no
   * such group.
   */
  async closeGroup(groupId: number): Promise<void> {
    const group = this.#groups.get(groupId);
    this.#groups.delete(groupId);
    if (group !== undefined) {
      this.#dirty.delete(group);
      this.#suspicions.forget(group);
      await group.close();
    }
  }

  /** Closes a group and forgets its snapshots; its log is the log store's. */
  async removeGroup(groupId: number): Promise<void> {
    await this.closeGroup(groupId);
    await this.#receiver?.abandon(groupId);
    await this.#snapshots?.files.removeGroup(groupId);
  }

  /** Starts the clock of all groups. */
  start(): void {
    const { scheduler, clock } = this.#options.environment;
    this.#lastTimerMs = clock.monotonicMs();
    this.#ticker = scheduler.every(this.#options.timing.tickMs, () => this.#onTimer());
  }

  /** Raft messages from a peer whose greeting was accepted. */
  receive(from: PeerIdentity, messages: readonly GroupMessage[]): void {
    for (const { groupId, message } of messages) this.#groups.get(groupId)?.step(from, message);
  }

  /** A request of a peer to the services `snapshot` and `leadership`. */
  async serve(from: PeerIdentity, payload: Uint8Array): Promise<Uint8Array> {
    const [service] = payload;
    if (service === SERVICE.snapshot && this.#receiver) return this.#receiver.serve(from, payload);
    if (service === SERVICE.leadership && this.#relief) return this.#relief.answer();
    throw new FlotillaError('NODE_NOT_READY', `This node does not serve calls of ${service}`);
  }

  /** The link to a node broke. Any evidence but `other` says that its process is likely gone. */
  peerDown(nodeId: number, evidence: PeerDownEvidence): void {
    for (const group of this.#groups.values()) group.reportUnreachable(nodeId);
    if (evidence !== 'other' && !this.#closed) {
      this.#suspicions.suspect(nodeId, this.#groups.values());
    }
  }

  /**
   * The node is going to stop: it seeks no leadership any more, and hands over those that it has.
   * Resolves when all are handed over, or an election timeout or the deadline has passed.
   */
  async handOver(deadline: Deadline): Promise<void> {
    this.#isHandingOver = true;
    const { environment, timing } = this.#options;
    const timeoutMs = Math.min(deadline.timeoutMs, timing.electionTimeoutMs);
    const led = [...this.#groups.values()].filter((group) => group.isLeader);
    const transfers = led.map((group) =>
      group.transferLeadership(undefined, { ...deadline, timeoutMs }).catch(() => undefined),
    );
    const all = Promise.all(transfers);
    await withDeadline(
      environment.scheduler,
      all,
      { ...deadline, timeoutMs },
      'handing over',
    ).catch(() => undefined);
  }

  /** Stops the clock, then closes every group with its state machine. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#ticker?.cancel();
    this.#suspicions.close();
    await this.#receiver?.close();
    const closed = await Promise.allSettled([...this.#groups.values()].map((one) => one.close()));
    // Thrown only now: the log store must not be closed before all have let go of it.
    const failed = closed.find((one) => one.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  /**
   * Timers run before the sockets are read. After a stall the leader's heartbeats may sit there,
   * so the tick is put behind them: no election for what was our own pause. Missed ticks are
   * dropped, never made up for.
   */
  #onTimer(): void {
    const { clock, scheduler } = this.#options.environment;
    const nowMs = clock.monotonicMs();
    const stalled = nowMs - this.#lastTimerMs > STALL_TICKS * this.#options.timing.tickMs;
    this.#lastTimerMs = nowMs;
    if (stalled) scheduler.soon(() => scheduler.soon(() => this.#tick()));
    else this.#tick();
  }

  #tick(): void {
    if (this.#closed) return;
    if (this.#ticks % this.#options.timing.electionTicks === 0) this.#reviewNode();
    this.#ticks += 1;
    for (const group of this.#groups.values()) group.tick();
  }

  /** What is to be looked at now and then: whether this node is fit to lead, what lies about. */
  #reviewNode(): void {
    const { peers, logger } = this.#options;
    const wasAhead = this.#isClockAhead;
    this.#isClockAhead = peers !== undefined && isClockAhead(peers());
    if (this.#isClockAhead && !wasAhead) {
      logger.warn({}, 'the clock is far ahead of most nodes: this node does not seek to lead');
    }
    this.#relief?.consider(this.#groups.values());
    this.#receiver?.review();
  }

  #schedule(group: RaftGroup<unknown>): void {
    this.#dirty.add(group);
    this.#scheduleTurn();
  }

  #scheduleTurn(): void {
    if (this.#turnScheduled) return;
    this.#turnScheduled = true;
    this.#options.environment.scheduler.soon(() => this.#turn());
  }

  #turn(): void {
    this.#turnScheduled = false;
    const groups = [...this.#dirty];
    this.#dirty.clear();
    for (const group of groups) group.advance();
    this.#flush();
  }

  #enqueue(nodeId: number, groupId: number, messages: readonly Message[]): void {
    const queue = this.#outbox.get(nodeId) ?? [];
    this.#outbox.set(nodeId, queue);
    for (const message of messages) queue.push({ groupId, message });
    // What leaves after an fsync does not belong to a turn; it goes out with the next one.
    this.#scheduleTurn();
  }

  #flush(): void {
    for (const [nodeId, messages] of this.#outbox) this.#options.send(nodeId, messages);
    this.#outbox.clear();
  }
}
