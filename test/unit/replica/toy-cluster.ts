// Goal: replica hosts of several nodes in one process, with every fault that a test may want.
// Method: virtual time, disks in memory, messages carried by hand with cuts, losses and delays.
import type { Message } from '../../../src/raft/types.js';
import type { RaftGroup } from '../../../src/replica/group.js';
import { ReplicaHost } from '../../../src/replica/host.js';
import type { ProposalOutcome } from '../../../src/replica/proposals.js';
import { deriveTiming } from '../../../src/replica/timing.js';
import { defined } from '../../../src/shared/assert.js';
import type { FlotillaError } from '../../../src/shared/errors.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import type { GroupGenesis, LogStore } from '../../../src/storage/log-store.js';
import { openLogStore } from '../../../src/storage/open-log-store.js';
import type { GroupMessage, PeerIdentity } from '../../../src/transport/transport.js';
import { drainPromises, VirtualEnvironment } from '../../support/virtual-environment.js';
import { PausableScheduler } from './pausable-scheduler.js';
import { itemsOf, type ToyContent, type ToyItem, ToyMachine } from './toy-machine.js';

export const ELECTION_TIMEOUT_MS = 1_000;
const DIRECTORY = 'node';

export interface ToyClusterOptions {
  readonly seed?: number;
  /** @default 3 */
  readonly nodes?: number;
  /** All have a replica on every node. @default 1 */
  readonly groups?: number;
}

export interface ToyFault {
  readonly groupId: number;
  readonly error: FlotillaError;
}

/** One node: its disk and machines outlive its processes. */
export class ToyNode {
  readonly nodeId: number;
  readonly faults: ToyFault[] = [];
  readonly contents = new Map<number, ToyContent>();
  disk = new MemoryDisk();
  /** How long each write of the log takes. */
  diskDelayMs = 0;
  process: ToyProcess | undefined;

  constructor(nodeId: number) {
    this.nodeId = nodeId;
  }

  get running(): ToyProcess {
    return defined(this.process, `running node ${this.nodeId}`);
  }

  group(groupId = 1): RaftGroup<string> {
    return defined(this.running.groups.get(groupId), `group ${groupId} on node ${this.nodeId}`);
  }

  machine(groupId = 1): ToyMachine {
    return defined(this.running.machines.get(groupId), `machine ${groupId} on ${this.nodeId}`);
  }

  items(groupId = 1): ToyItem[] {
    return itemsOf(this.contents.get(groupId) ?? { batches: [] });
  }

  /** The node's next write of its log fails. */
  failNextLogWrite(error: Error): void {
    this.disk.kv(`${DIRECTORY}/log`).failNextBatch(error);
  }
}

export interface ToyProcess {
  readonly scheduler: PausableScheduler;
  readonly logStore: LogStore;
  readonly host: ReplicaHost;
  readonly groups: Map<number, RaftGroup<string>>;
  readonly machines: Map<number, ToyMachine>;
}

export class ToyCluster {
  readonly environment: VirtualEnvironment;
  readonly nodes: readonly ToyNode[];
  readonly #groupIds: readonly number[];
  readonly #cuts = new Set<string>();
  #storeIds: readonly string[] = [];
  /** Shares of messages lost and delayed; each delay is up to an election timeout. */
  lossShare = 0;
  delayShare = 0;
  messagesSent = 0;
  /** Sees each batch of messages that a host hands to its transport. */
  onSend: ((from: number, to: number, messages: readonly GroupMessage[]) => void) | undefined;

  static async start(options: ToyClusterOptions = {}): Promise<ToyCluster> {
    const cluster = new ToyCluster(options);
    const identities = cluster.nodes.map(async (node) => {
      const logStore = await cluster.#openStore(node, cluster.environment.scheduler);
      await logStore.close();
      return logStore.identity.storeId;
    });
    cluster.#storeIds = await Promise.all(identities);
    for (const { nodeId } of cluster.nodes) await cluster.boot(nodeId);
    return cluster;
  }

  private constructor({ seed = 1, nodes = 3, groups = 1 }: ToyClusterOptions) {
    this.environment = new VirtualEnvironment({ seed });
    this.nodes = Array.from({ length: nodes }, (_, at) => new ToyNode(at + 1));
    this.#groupIds = Array.from({ length: groups }, (_, at) => at + 1);
  }

  node(nodeId: number): ToyNode {
    return defined(this.nodes[nodeId - 1], `node ${nodeId}`);
  }

  get alive(): ToyNode[] {
    return this.nodes.filter((node) => node.process !== undefined);
  }

  /** Starts a node's process on what its disk holds. */
  async boot(nodeId: number): Promise<void> {
    const node = this.node(nodeId);
    const scheduler = new PausableScheduler(this.environment.scheduler);
    const logStore = this.#slowed(node, await this.#openStore(node, scheduler));
    const { clock, random } = this.environment;
    const environment = { clock, random, scheduler, disk: node.disk, network: noNetwork };
    const host = new ReplicaHost({
      environment,
      logStore,
      timing: deriveTiming(ELECTION_TIMEOUT_MS),
      logger: silentLogger,
      send: (to, messages) => this.#send(process, node, to, messages),
      onFault: (groupId, error) => {
        if (node.process === process) node.faults.push({ groupId, error });
      },
    });
    const process: ToyProcess = {
      scheduler,
      logStore,
      host,
      groups: new Map(),
      machines: new Map(),
    };
    for (const groupId of this.#groupIds) {
      const genesis = this.genesis(groupId, nodeId);
      await logStore.createGroup(genesis);
      const content = node.contents.get(groupId) ?? { batches: [] };
      node.contents.set(groupId, content);
      const machine = new ToyMachine(content, () => logStore.reader(groupId).lastIndex());
      process.machines.set(groupId, machine);
      process.groups.set(groupId, await host.addGroup(genesis, machine));
    }
    node.process = process;
    host.start();
  }

  genesis(groupId: number, replicaId: number): GroupGenesis {
    const ids = this.nodes.map(({ nodeId }) => nodeId);
    const none = { votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
    return {
      groupId,
      replicaId,
      confState: { voters: ids, ...none },
      members: ids.map((id) => ({
        replicaId: id,
        nodeId: id,
        storeId: defined(this.#storeIds[id - 1], `store of node ${id}`),
      })),
    };
  }

  /**
   * The machine loses power: of what was not synced only the first `keepBatches` writes of the log
   * survive, and all but the newest `loseApplied` applied batches.
   */
  async crash(nodeId: number, { keepBatches = 0, loseApplied = 0 } = {}): Promise<void> {
    const node = this.node(nodeId);
    const { host, machines } = node.running;
    node.process = undefined;
    for (const machine of machines.values()) machine.isDead = true;
    node.disk.crash(keepBatches);
    for (const content of node.contents.values()) {
      content.batches = content.batches.slice(0, content.batches.length - loseApplied);
    }
    // The process is gone; closing only stops its clock. Nobody waits for its dead machines.
    void host.close();
    await drainPromises();
  }

  /** An orderly stop. */
  async stop(nodeId: number): Promise<void> {
    const node = this.node(nodeId);
    const { host, logStore } = node.running;
    await this.environment.settle(host.close());
    await this.environment.settle(logStore.close());
    node.process = undefined;
  }

  /** The node's data directory is gone; a new one is made when it boots. */
  wipe(nodeId: number): void {
    const node = this.node(nodeId);
    node.disk = new MemoryDisk();
    node.contents.clear();
  }

  cut(from: number, to: number, { oneWay = false } = {}): void {
    this.#cuts.add(`${from}>${to}`);
    if (!oneWay) this.#cuts.add(`${to}>${from}`);
  }

  isolate(nodeId: number): void {
    for (const other of this.nodes) if (other.nodeId !== nodeId) this.cut(nodeId, other.nodeId);
  }

  heal(): void {
    this.#cuts.clear();
  }

  /** The node that leads in the newest term, as far as any replica says so. */
  leader(groupId = 1): ToyNode | undefined {
    const term = (node: ToyNode): number => node.group(groupId).status().hardState.term;
    return this.alive
      .filter((node) => node.group(groupId).isLeader)
      .sort((a, b) => term(b) - term(a))[0];
  }

  /** Lets time pass until `condition` holds. */
  async until(what: string, condition: () => boolean, limitMs = 60_000): Promise<void> {
    const endMs = this.environment.nowMs + limitMs;
    while (!condition()) {
      if (this.environment.nowMs >= endMs) throw new Error(`still waiting: ${what}`);
      await this.environment.advance(10);
    }
  }

  async electedLeader(groupId = 1): Promise<ToyNode> {
    await this.until('a leader', () => this.leader(groupId) !== undefined);
    return defined(this.leader(groupId), 'leader');
  }

  /** Proposes at the leader, whoever it is, until the entry is applied. */
  async write(text: string, groupId = 1): Promise<ProposalOutcome<string>> {
    const leader = await this.electedLeader(groupId);
    const outcome = leader.group(groupId).propose(Buffer.from(text));
    return this.environment.settle(outcome, 60_000);
  }

  async converged(groupId = 1): Promise<void> {
    await this.until('all replicas have applied the same', () => {
      const applied = new Set(this.alive.map((node) => node.group(groupId).appliedIndex));
      const { commit = 0 } = this.leader(groupId)?.group(groupId).status().hardState ?? {};
      return commit > 0 && applied.size === 1 && applied.has(commit);
    });
  }

  async close(): Promise<void> {
    for (const { nodeId } of this.alive) await this.stop(nodeId);
  }

  #openStore(node: ToyNode, scheduler: VirtualEnvironment['scheduler']): Promise<LogStore> {
    const { random } = this.environment;
    const environment = { disk: node.disk, scheduler, random };
    return openLogStore({ environment, directory: DIRECTORY, logger: silentLogger });
  }

  #slowed(node: ToyNode, store: LogStore): LogStore {
    const { scheduler } = this.environment;
    const delay = (): Promise<void> =>
      new Promise((resolve) => scheduler.after(node.diskDelayMs, resolve));
    return {
      identity: store.identity,
      groups: () => store.groups(),
      damaged: () => store.damaged(),
      createGroup: (genesis) => store.createGroup(genesis),
      reader: (groupId) => store.reader(groupId),
      write: async (write) => {
        if (node.diskDelayMs > 0) await delay();
        return store.write(write);
      },
      putBlob: (name, bytes) => store.putBlob(name, bytes),
      getBlob: (name) => store.getBlob(name),
      get poisoned() {
        return store.poisoned;
      },
      close: () => store.close(),
    };
  }

  #send(process: ToyProcess, node: ToyNode, to: number, messages: readonly GroupMessage[]): void {
    if (node.process !== process) return;
    this.messagesSent += messages.length;
    this.onSend?.(node.nodeId, to, messages);
    const { storeId, incarnation } = process.logStore.identity;
    const from = { clusterId: 'toy', nodeId: node.nodeId, storeId, incarnation };
    const { random, scheduler } = this.environment;
    if (random.next() < this.lossShare) return;
    const isDelayed = random.next() < this.delayShare;
    const delayMs = isDelayed ? random.next() * ELECTION_TIMEOUT_MS : 1;
    scheduler.after(delayMs, () => this.deliver(from, to, messages));
  }

  deliver(from: PeerIdentity, to: number, messages: readonly GroupMessage[]): void {
    const { process } = this.node(to);
    if (process === undefined || this.#cuts.has(`${from.nodeId}>${to}`)) return;
    process.scheduler.receive(() => process.host.receive(from, messages));
  }
}

export function typesOf(messages: readonly GroupMessage[]): Message['type'][] {
  return messages.map(({ message }) => message.type);
}

const noNetwork = {
  listen: () => Promise.reject(new Error('no network')),
  dial: () => Promise.reject(new Error('no network')),
};
