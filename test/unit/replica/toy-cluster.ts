// Goal: replica hosts of several nodes in one process, with every fault that a test may want.
// Method: virtual time, disks in memory, messages carried by hand with cuts, losses and delays.
import type { Message } from '../../../src/raft/types.js';
import type { RaftGroup } from '../../../src/replica/group.js';
import { ReplicaHost } from '../../../src/replica/host.js';
import type { CompactionPolicy } from '../../../src/replica/log-compaction.js';
import type { ProposalOutcome } from '../../../src/replica/proposals.js';
import type { SnapshotSenderSettings } from '../../../src/replica/snapshot-sender.js';
import { deriveTiming } from '../../../src/replica/timing.js';
import { defined } from '../../../src/shared/assert.js';
import { withDeadline } from '../../../src/shared/deadline.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import type { GroupGenesis, GroupMember, LogStore } from '../../../src/storage/log-store.js';
import { openLogStore } from '../../../src/storage/open-log-store.js';
import { SnapshotFiles } from '../../../src/storage/snapshot-files.js';
import type {
  GroupMessage,
  PeerDownEvidence,
  PeerIdentity,
  PeerStatus,
} from '../../../src/transport/transport.js';
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
  /** The first so many nodes begin as voters, the others blank. @default all */
  readonly voters?: number;
  readonly compaction?: CompactionPolicy;
  readonly snapshotSender?: Partial<SnapshotSenderSettings>;
  /** @default false */
  readonly leases?: boolean;
  /** Whether the machines keep what they applied over a restart. @default true */
  readonly isDurable?: boolean;
  /** A node whose wall clock is a minute ahead of the others'. @default none */
  readonly clockAheadNodeId?: number;
  /** @default 1,000 */
  readonly electionTimeoutMs?: number;
}

/** What becomes of a request on its way; see `ToyCluster.onRequest`. */
export type RequestFate = Uint8Array | 'lost' | 'answer-lost';

export interface ToyFault {
  readonly groupId: number;
  readonly error: FlotillaError;
}

/** One node: its disk and machines outlive its processes. */
export class ToyNode {
  readonly nodeId: number;
  readonly faults: ToyFault[] = [];
  /** Nodes that its replicas were told lead, oldest first. */
  readonly leadersTold: number[] = [];
  readonly contents = new Map<number, ToyContent>();
  disk = new MemoryDisk();
  /** How long each write of the log takes. */
  diskDelayMs = 0;
  /** Called before each operation on the disk, of whatever kind; may throw. */
  onDiskOperation: () => void = () => undefined;
  /** What the log store says of its disk. */
  space: LogStore['space'] = 'ok';
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
  readonly files: SnapshotFiles;
  readonly host: ReplicaHost;
  readonly groups: Map<number, RaftGroup<string>>;
  readonly machines: Map<number, ToyMachine>;
}

export class ToyCluster {
  readonly environment: VirtualEnvironment;
  readonly nodes: readonly ToyNode[];
  readonly #options: ToyClusterOptions;
  readonly #groupIds: readonly number[];
  readonly #cuts = new Set<string>();
  #storeIds: readonly string[] = [];
  /** Shares of messages lost and delayed; each delay is up to an election timeout. */
  lossShare = 0;
  delayShare = 0;
  messagesSent = 0;
  /** Sees each batch of messages that a host hands to its transport. */
  onSend: ((from: number, to: number, messages: readonly GroupMessage[]) => void) | undefined;
  /** Decides what becomes of each request between nodes. */
  onRequest: ((from: number, to: number, payload: Uint8Array) => RequestFate) | undefined;

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

  private constructor(options: ToyClusterOptions) {
    const { seed = 1, nodes = 3, groups = 1 } = options;
    this.#options = options;
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
    const disk = tapped(node.disk, () => node.onDiskOperation());
    const environment = { clock, random, scheduler, disk, network: noNetwork };
    const { compaction, snapshotSender, leases = false, isDurable = true } = this.#options;
    const files = await SnapshotFiles.open(disk, `${DIRECTORY}/snapshots`);
    const host = new ReplicaHost({
      environment,
      logStore,
      timing: deriveTiming(this.#options.electionTimeoutMs ?? ELECTION_TIMEOUT_MS),
      logger: silentLogger,
      snapshotFiles: files,
      peers: () => this.#peersOf(nodeId),
      ...(compaction !== undefined && { compaction }),
      ...(snapshotSender !== undefined && { snapshotSender }),
      send: (to, messages) => this.#send(process, node, to, messages),
      request: (to, payload, options) => this.#request(process, node, to, payload, options),
      onFault: (groupId, error) => {
        if (node.process === process) node.faults.push({ groupId, error });
      },
      onLeader: (_groupId, leaderNodeId) => node.leadersTold.push(leaderNodeId),
    });
    const process: ToyProcess = {
      scheduler,
      logStore,
      files,
      host,
      groups: new Map(),
      machines: new Map(),
    };
    for (const groupId of this.#groupIds) {
      const genesis = this.genesis(groupId, nodeId);
      await logStore.createGroup(genesis);
      const content = node.contents.get(groupId) ?? { batches: [] };
      node.contents.set(groupId, content);
      if (!isDurable) content.batches = [];
      const durableIndex = (): number => logStore.reader(groupId).lastIndex();
      const machine = new ToyMachine(content, durableIndex, disk);
      process.machines.set(groupId, machine);
      const group = await host.addGroup(genesis, machine, { leases, isDurable });
      process.groups.set(groupId, group);
    }
    node.process = process;
    host.start();
  }

  genesis(groupId: number, replicaId: number): GroupGenesis {
    const ids = this.nodes.map(({ nodeId }) => nodeId);
    const voters = ids.slice(0, this.#options.voters ?? ids.length);
    const none = { votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
    return {
      groupId,
      replicaId,
      confState: { voters: voters.includes(replicaId) ? voters : [], ...none },
      members: [...new Set([...voters, replicaId])].map((id) => this.member(id)),
    };
  }

  member(id: number): GroupMember {
    return {
      replicaId: id,
      nodeId: id,
      storeId: defined(this.#storeIds[id - 1], `store of node ${id}`),
    };
  }

  /**
   * The machine loses power: of what was not synced only the first `keepBatches` writes of the log
   * survive, and all but the newest `loseApplied` applied batches, or those at the end that no
   * entry made worth a sync.
   */
  async crash(
    nodeId: number,
    {
      keepBatches = 0,
      loseApplied = 0,
    }: { readonly keepBatches?: number; readonly loseApplied?: number | 'unsynced' } = {},
  ): Promise<void> {
    const node = this.node(nodeId);
    const { host, machines } = node.running;
    node.process = undefined;
    for (const machine of machines.values()) machine.isDead = true;
    node.disk.crash(keepBatches);
    for (const content of node.contents.values()) {
      const synced = content.batches.findLastIndex(({ items }) => items.length > 0) + 1;
      const kept = loseApplied === 'unsynced' ? synced : content.batches.length - loseApplied;
      content.batches = content.batches.slice(0, Math.max(0, kept));
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
    for (;;) {
      const leader = await this.electedLeader(groupId);
      try {
        const outcome = leader.group(groupId).propose(Buffer.from(text));
        return await this.environment.settle(outcome, 60_000);
      } catch (error) {
        // It hands the leadership over, or has just lost it.
        if (!(error instanceof FlotillaError) || error.reason !== 'NO_LEADER') throw error;
        await this.environment.advance(10);
      }
    }
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
    const disk = tapped(node.disk, () => node.onDiskOperation());
    const environment = { disk, scheduler, random };
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
      replaceGroup: (genesis) => store.replaceGroup(genesis),
      removeGroup: (groupId) => store.removeGroup(groupId),
      reader: (groupId) => store.reader(groupId),
      configuration: (groupId) => store.configuration(groupId),
      logSizeBytes: (groupId) => store.logSizeBytes(groupId),
      write: async (write) => {
        if (node.diskDelayMs > 0) await delay();
        return store.write(write);
      },
      putBlob: (name, bytes) => store.putBlob(name, bytes),
      getBlob: (name) => store.getBlob(name),
      get space() {
        return node.space;
      },
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

  #peersOf(nodeId: number): PeerStatus[] {
    const aheadMs = (id: number): number => (id === this.#options.clockAheadNodeId ? 60_000 : 0);
    return this.nodes
      .filter((node) => node.nodeId !== nodeId)
      .map((node) => ({
        nodeId: node.nodeId,
        connected: true,
        queuedBytes: 0,
        clockAheadMs: aheadMs(node.nodeId) - aheadMs(nodeId),
      }));
  }

  async #request(
    process: ToyProcess,
    node: ToyNode,
    to: number,
    payload: Uint8Array,
    { timeoutMs }: { timeoutMs: number },
  ): Promise<Uint8Array> {
    const { scheduler } = this.environment;
    const fate = this.onRequest?.(node.nodeId, to, payload) ?? payload;
    const target = this.node(to);
    const isReachable = (): boolean =>
      node.process === process &&
      target.process !== undefined &&
      !this.#cuts.has(`${node.nodeId}>${to}`) &&
      !this.#cuts.has(`${to}>${node.nodeId}`);
    await new Promise<void>((resolve) => scheduler.after(1, resolve));
    if (!isReachable() || fate === 'lost') throw noAnswer('SHARD_UNAVAILABLE');
    const receiving = target.running;
    const { storeId, incarnation } = process.logStore.identity;
    const from = { clusterId: 'toy', nodeId: node.nodeId, storeId, incarnation };
    const request = fate === 'answer-lost' ? payload : fate;
    const served = receiving.host.serve(from, request);
    const answer = await withDeadline(scheduler, served, { timeoutMs }, 'a request');
    await new Promise<void>((resolve) => scheduler.after(1, resolve));
    const isLost = !isReachable() || target.process !== receiving || fate === 'answer-lost';
    if (isLost) throw noAnswer('OUTCOME_UNKNOWN');
    return answer;
  }

  /** All other nodes see evidence that the node's process is gone. */
  tellDown(nodeId: number, evidence: PeerDownEvidence): void {
    for (const node of this.alive) {
      if (node.nodeId !== nodeId) node.running.host.peerDown(nodeId, evidence);
    }
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

/** The disk with a probe before each operation on it, and on the files and databases it opens. */
function tapped<T extends object>(target: T, probe: () => void): T {
  return new Proxy(target, {
    get(object, name) {
      const member: unknown = Reflect.get(object, name, object);
      if (typeof member !== 'function') return member;
      return (...args: unknown[]) => {
        const isSync = name === 'getSync' || name === 'scan' || name === 'snapshot';
        try {
          if (name !== 'close') probe();
        } catch (error) {
          if (isSync) throw error;
          return Promise.reject(error);
        }
        const result: unknown = Reflect.apply(member, object, args);
        const opens = name === 'openKv' || name === 'openFile';
        return opens && result instanceof Promise
          ? result.then((opened: object) => tapped(opened, probe))
          : result;
      };
    },
  });
}

function noAnswer(reason: 'SHARD_UNAVAILABLE' | 'OUTCOME_UNKNOWN'): FlotillaError {
  return new FlotillaError(reason, 'the toy network lost it');
}

const noNetwork = {
  listen: () => Promise.reject(new Error('no network')),
  dial: () => Promise.reject(new Error('no network')),
};
