// Goal: the topology's group on several nodes, and what its callers use, without a network.
// Method: virtual time, memory logs, messages and requests handed over after a millisecond.
import type { Message } from '../../../src/raft/types.js';
import type { RaftGroup } from '../../../src/replica/group.js';
import { ReplicaHost } from '../../../src/replica/host.js';
import { deriveTiming } from '../../../src/replica/timing.js';
import { defined } from '../../../src/shared/assert.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { MemoryLogStore } from '../../../src/storage/memory-log-store.js';
import { TopologyGroup } from '../../../src/topology/topology-group.js';
import { TopologyMachine } from '../../../src/topology/topology-machine.js';
import type { TopologyResult } from '../../../src/topology/transitions.js';
import { TopologyHolder } from '../../../src/topology/view.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';
import { genesis } from './topology-fixtures.js';

export interface TopologyNode {
  readonly nodeId: number;
  readonly host: ReplicaHost;
  readonly raft: RaftGroup<TopologyResult>;
  readonly topology: TopologyGroup;
  readonly view: TopologyHolder;
}

export class TopologyCluster {
  readonly environment = new VirtualEnvironment();
  readonly nodes: TopologyNode[] = [];
  readonly #isolated = new Set<number>();
  /** Set by tests: what becomes of the answer to a request. */
  onAnswer: (answer: Uint8Array) => Uint8Array = (answer) => answer;
  requests = 0;

  static async start(
    nodeIds: readonly number[] = [1, 2, 3],
    learnerIds: readonly number[] = [],
  ): Promise<TopologyCluster> {
    const cluster = new TopologyCluster();
    for (const nodeId of nodeIds) {
      cluster.nodes.push(await cluster.#boot(nodeId, nodeIds, learnerIds));
    }
    for (const { host } of cluster.nodes) host.start();
    return cluster;
  }

  node(nodeId: number): TopologyNode {
    return defined(
      this.nodes.find((node) => node.nodeId === nodeId),
      `node ${nodeId}`,
    );
  }

  isolate(nodeId: number): void {
    this.#isolated.add(nodeId);
  }

  heal(): void {
    this.#isolated.clear();
  }

  async leader(): Promise<TopologyNode> {
    const term = ({ raft }: TopologyNode): number => raft.status().hardState.term;
    for (let at = 0; at < 1_000; at++) {
      const leaders = this.nodes.filter(
        ({ raft, nodeId }) => raft.isLeader && !this.#isolated.has(nodeId),
      );
      const [newest] = leaders.sort((a, b) => term(b) - term(a));
      if (newest !== undefined) return newest;
      await this.environment.advance(50);
    }
    throw new Error('no leader');
  }

  async follower(): Promise<TopologyNode> {
    const leader = await this.leader();
    const known = (): TopologyNode | undefined =>
      this.nodes.find((node) => node !== leader && node.raft.leaderNodeId === leader.nodeId);
    while (known() === undefined) await this.environment.advance(10);
    return defined(known(), 'follower');
  }

  async close(): Promise<void> {
    await this.environment.settle(Promise.all(this.nodes.map(({ host }) => host.close())));
  }

  async #boot(
    nodeId: number,
    nodeIds: readonly number[],
    learnerIds: readonly number[],
  ): Promise<TopologyNode> {
    const { environment } = this;
    const logStore = new MemoryLogStore({ storeId: `store-${nodeId}`, incarnation: 1 });
    const host = new ReplicaHost({
      environment,
      logStore,
      timing: deriveTiming(1_000),
      logger: silentLogger,
      send: (to, messages) =>
        this.#send(
          nodeId,
          to,
          messages.map(({ message }) => message),
        ),
      onFault: (_groupId, error) => {
        throw error;
      },
    });
    const own = {
      groupId: 0,
      replicaId: nodeId,
      confState: {
        voters: nodeIds.filter((id) => !learnerIds.includes(id)),
        votersOutgoing: [],
        learners: learnerIds,
        learnersNext: [],
        autoLeave: false,
      },
      members: nodeIds.map((id) => ({ replicaId: id, nodeId: id, storeId: `store-${id}` })),
    };
    await logStore.createGroup(own);
    const view = new TopologyHolder();
    const machine = new TopologyMachine({
      genesis: genesis(),
      publish: (document) => view.publish(document),
      disk: new MemoryDisk(),
    });
    const raft = await host.addGroup(own, machine);
    const request = (
      to: number,
      payload: Uint8Array,
      options: { timeoutMs: number },
    ): Promise<Uint8Array> => this.#request(nodeId, to, payload, options);
    const topology = new TopologyGroup({
      group: raft,
      nodeId,
      transport: { request },
      environment,
    });
    return { nodeId, host, raft, topology, view };
  }

  #send(from: number, to: number, messages: readonly Message[]): void {
    this.environment.scheduler.after(1, () => {
      if (this.#isCut(from, to)) return;
      const identity = { clusterId: 'c', nodeId: from, storeId: `store-${from}`, incarnation: 1 };
      const grouped = messages.map((message) => ({ groupId: 0, message }));
      this.node(to).host.receive(identity, grouped);
    });
  }

  async #request(
    from: number,
    to: number,
    payload: Uint8Array,
    { timeoutMs }: { timeoutMs: number },
  ): Promise<Uint8Array> {
    this.requests++;
    await new Promise<void>((resolve) => this.environment.scheduler.after(1, resolve));
    if (this.#isCut(from, to)) throw new FlotillaError('SHARD_UNAVAILABLE', 'the link is cut');
    return this.onAnswer(await this.node(to).topology.serve(payload, { timeoutMs }));
  }

  #isCut(from: number, to: number): boolean {
    return this.#isolated.has(from) || this.#isolated.has(to);
  }
}
