/**
 * All Raft groups of a node: one ticker drives them, one turn carries out what they have ready,
 * and the messages of one turn to one peer leave together.
 *
 * Cost of an idle tick: a few comparisons per group. Messages between two idle nodes: one frame a
 * heartbeat, however many groups they share (G1).
 */
import type { Message } from '../raft/types.js';
import type { Environment, Timer } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { StateMachine } from '../shared/state-machine.js';
import type { GroupGenesis, LogStore } from '../storage/log-store.js';
import type { GroupMessage, PeerIdentity } from '../transport/transport.js';
import { type GroupOptions, RaftGroup } from './group.js';
import type { Timing } from './timing.js';

export interface HostOptions {
  readonly environment: Environment;
  readonly logStore: LogStore;
  readonly timing: Timing;
  readonly logger: Logger;
  readonly send: (nodeId: number, messages: readonly GroupMessage[]) => void;
  /** A group has stopped for good; the others go on. */
  readonly onFault: (groupId: number, error: FlotillaError) => void;
}

/** A timer that comes this many ticks late tells of a stall; see `#onTimer`. */
const STALL_TICKS = 3;

export class ReplicaHost {
  readonly #options: HostOptions;
  readonly #groups = new Map<number, RaftGroup<unknown>>();
  readonly #dirty = new Set<RaftGroup<unknown>>();
  readonly #outbox = new Map<number, GroupMessage[]>();
  #turnScheduled = false;
  #ticker: Timer | undefined;
  #lastTimerMs = 0;
  #closed = false;

  constructor(options: HostOptions) {
    this.#options = options;
  }

  /** Opens a group over its state machine. It takes part from `start` on. */
  async addGroup<Result>(
    genesis: GroupGenesis,
    stateMachine: StateMachine<Result>,
    options: Pick<GroupOptions<Result>, 'onAppend' | 'applyLingerMs'> = {},
  ): Promise<RaftGroup<Result>> {
    const { environment, logStore, timing, logger } = this.#options;
    const group = await RaftGroup.open<Result>({
      genesis,
      logStore,
      stateMachine,
      environment,
      timing,
      logger: logger.child({ groupId: genesis.groupId }),
      send: (nodeId, messages) => this.#enqueue(nodeId, genesis.groupId, messages),
      onFault: (error) => this.#options.onFault(genesis.groupId, error),
      schedule: () => this.#schedule(group as RaftGroup<unknown>),
      ...options,
    });
    if (this.#closed) {
      await group.close();
      throw new FlotillaError('NODE_NOT_READY', 'The node is stopping');
    }
    this.#groups.set(genesis.groupId, group as RaftGroup<unknown>);
    return group;
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

  peerDown(nodeId: number): void {
    for (const group of this.#groups.values()) group.reportUnreachable(nodeId);
  }

  /** Stops the clock, then closes every group with its state machine. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#ticker?.cancel();
    await Promise.all([...this.#groups.values()].map((group) => group.close()));
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
    for (const group of this.#groups.values()) group.tick();
  }

  #schedule(group: RaftGroup<unknown>): void {
    this.#dirty.add(group);
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
    if (!this.#turnScheduled) {
      this.#turnScheduled = true;
      this.#options.environment.scheduler.soon(() => this.#turn());
    }
  }

  #flush(): void {
    for (const [nodeId, messages] of this.#outbox) this.#options.send(nodeId, messages);
    this.#outbox.clear();
  }
}
