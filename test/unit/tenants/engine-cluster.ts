/**
 * Goal: tenants and placements as they really are, without a network.
 * Method: real engines, transitions, drivers and routers; each shard's log is an array.
 */
import type { Engine } from '../../../src/engine/engine.js';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import { ShardEngine } from '../../../src/engine/shard-engine.js';
import { NO_NETWORK, realEnvironment } from '../../../src/node/real-environment.js';
import { shardGenesis } from '../../../src/node/shards.js';
import type { ProposalAnswer, ReadAnswer, ShardReplica } from '../../../src/replica/replica.js';
import { Router } from '../../../src/router/router.js';
import { defined } from '../../../src/shared/assert.js';
import {
  encodeCommand,
  type OwnershipCommand,
  stampCommand,
} from '../../../src/shared/codec/command.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import type { CommittedEntry } from '../../../src/shared/state-machine.js';
import type { CollectionConfig } from '../../../src/shared/types.js';
import {
  decodeTopology,
  decodeTopologyCommand,
  encodeTopology,
  encodeTopologyCommand,
} from '../../../src/topology/codec.js';
import { CollectionDriver } from '../../../src/topology/collection-driver.js';
import type { TopologyCommand, TopologyDocument } from '../../../src/topology/document.js';
import { initialTopology } from '../../../src/topology/initial-topology.js';
import type { TenantAction } from '../../../src/topology/placements.js';
import { TenantDriver } from '../../../src/topology/tenant-driver.js';
import type { TopologyGroup } from '../../../src/topology/topology-group.js';
import { applyTopologyCommand, type TopologyResult } from '../../../src/topology/transitions.js';
import { TopologyHolder } from '../../../src/topology/view.js';
import { waitUntil } from '../../support/wait-until.js';
import { engineEnvironment } from '../engine/harness.js';
import { config, seed } from '../topology/topology-fixtures.js';

export const environment = realEnvironment(NO_NETWORK);

/** One shard: its log, and an engine that applies it. */
export class LoggedShard {
  readonly shardId: number;
  readonly #genesis: ReturnType<typeof shardGenesis>;
  readonly log: CommittedEntry[] = [];
  /** Names of the calls that reached the shard. */
  readonly calls: string[] = [];
  /** Set by tests: what every call waits for, as if nobody led the shard. */
  gate: Promise<void> = Promise.resolve();
  engine: Engine;
  #disk = new MemoryDisk();
  #last: Promise<unknown> = Promise.resolve();

  constructor(genesis: TopologyDocument, shardId: number) {
    this.shardId = shardId;
    this.#genesis = shardGenesis(genesis, defined(genesis.shards[shardId], 'the shard'));
    this.engine = this.#newEngine();
  }

  #newEngine(): Engine {
    return new ShardEngine({
      environment: engineEnvironment(this.#disk),
      path: 'points',
      genesis: this.#genesis,
      createIndex: (options) => new FlatIndex(options),
    });
  }

  /** Loses what was not synced, and starts again over what was. */
  async restart(): Promise<void> {
    await this.engine.close();
    this.engine = this.#newEngine();
    const { appliedIndex } = await this.engine.open();
    const entries = this.log.slice(appliedIndex);
    if (entries.length > 0) await this.engine.apply(entries, this.log.length);
  }

  /** Becomes what the log alone says. */
  async replay(): Promise<void> {
    await this.engine.close();
    this.#disk = new MemoryDisk();
    await this.restart();
  }

  async propose(commands: readonly Uint8Array[]): Promise<ProposalAnswer[]> {
    this.calls.push('propose');
    await this.gate;
    const applied = this.#last.then(async () => {
      const answers: ProposalAnswer[] = [];
      for (const data of commands) {
        const index = this.log.length + 1;
        stampCommand(data, (BigInt(index) + 1_000_000n) << 16n);
        this.log.push({ index, term: 1, data });
        const [result] = await this.engine.apply([{ index, term: 1, data }], index);
        answers.push({ kind: 'applied', index, result: defined(result, 'a result') });
      }
      return answers;
    });
    this.#last = applied.catch(() => undefined);
    return applied;
  }

  /** The engine as a replica that leads. */
  replica(nodeId: number): ShardReplica {
    const read = async <T>(name: string, work: () => Promise<T>): Promise<ReadAnswer<T>> => {
      this.calls.push(name);
      await this.gate;
      return { value: await work() };
    };
    return {
      shardId: this.shardId,
      nodeId,
      propose: (commands) => this.propose(commands),
      search: (scope, queries) => read('search', () => this.engine.search(scope, queries)),
      fetch: (scope, keys, include) => read('fetch', () => this.engine.fetch(scope, keys, include)),
      count: (scope, selection) => read('count', () => this.engine.count(scope, selection)),
      scroll: (scope, query) => read('scroll', () => this.engine.scroll(scope, query)),
      explain: (scope, query) => read('explain', () => this.engine.explain(scope, query)),
      tenants: (scope, query) => read('tenants', () => this.engine.tenants(scope, query)),
      contents: (query) => this.engine.contents(query),
      barrier: () => this.gate,
      status: () => Promise.reject(new FlotillaError('NODE_NOT_READY', 'not in this test')),
    };
  }
}

/** A node that routes: it sees the topology when it is told to. */
export class RoutingNode {
  readonly view = new TopologyHolder();
  readonly router: Router;

  constructor(cluster: EngineCluster) {
    this.view.publish(cluster.document);
    this.router = new Router({
      view: this.view,
      replicas: (shard, { nodeId }) => cluster.shard(shard.shardId).replica(nodeId),
      environment,
    });
  }
}

export class EngineCluster {
  readonly shards: LoggedShard[];
  /** The topology as its group has it. */
  document: TopologyDocument;
  /** Sees every change at once, and drives them. */
  readonly leader: RoutingNode;
  readonly #nodes: RoutingNode[] = [];
  #drivers: { close(): void }[] = [];

  static async start(shards = 4): Promise<EngineCluster> {
    const cluster = new EngineCluster(shards);
    await Promise.all(cluster.shards.map(({ engine }) => engine.open()));
    cluster.drive();
    return cluster;
  }

  private constructor(shards: number) {
    this.document = initialTopology(seed(3, shards, 1));
    this.shards = this.document.shards.map(
      ({ shardId }) => new LoggedShard(this.document, shardId),
    );
    this.leader = new RoutingNode(this);
  }

  get router(): Router {
    return this.leader.router;
  }

  shard(shardId: number): LoggedShard {
    return defined(this.shards[shardId], `shard ${shardId}`);
  }

  /** A node that knows what is known now, and learns no more before `tellAll`. */
  addNode(): RoutingNode {
    const node = new RoutingNode(this);
    this.#nodes.push(node);
    return node;
  }

  tellAll(): void {
    for (const node of this.#nodes) node.view.publish(this.document);
  }

  /** Applies a command as the topology's group does: from its bytes. */
  propose(command: TopologyCommand): TopologyResult {
    const read = decodeTopologyCommand(encodeTopologyCommand(command));
    const { document, result } = applyTopologyCommand(this.document, read);
    // Every document that there is has to survive its own encoding.
    if (document !== this.document) this.document = decodeTopology(encodeTopology(document));
    this.leader.view.publish(this.document);
    return result;
  }

  /** Starts drivers, as a node does that leads the topology from now on. */
  drive(): void {
    this.stopDriving();
    const topology = {
      isLeader: true,
      propose: async (command: TopologyCommand) => this.propose(command),
    } as unknown as TopologyGroup;
    const common = { view: this.leader.view, topology, environment, logger: silentLogger };
    this.#drivers = [
      new CollectionDriver({
        ...common,
        proposeToShard: (shardId, command, timeoutMs) =>
          this.router.command(shardId, command, { timeoutMs }),
      }),
      new TenantDriver({
        ...common,
        proposeToShard: (shardId, command, timeoutMs) =>
          this.router.changeOwnership(shardId, command, { timeoutMs }),
      }),
    ];
  }

  stopDriving(): void {
    for (const driver of this.#drivers) driver.close();
    this.#drivers = [];
  }

  async createCollection(name: string, more: Partial<CollectionConfig> = {}): Promise<void> {
    const result = this.propose({
      kind: 'beginCreateCollection',
      config: config(name, { dimension: 2, metric: 'l2', ...more }),
    });
    if (result.kind === 'refused') throw FlotillaError.fromBody(result.error);
    await waitUntil(`${name} is there`, async () =>
      this.document.collections.some((one) => one.config.name === name && one.state === 'active'),
    );
    this.tellAll();
  }

  begin(action: TenantAction): TopologyResult {
    return this.propose({ kind: 'beginTenantChange', action, by: 'the test', atMs: 1 });
  }

  /** Makes a change of the tenant directory, and waits for its end. */
  async change(action: TenantAction): Promise<void> {
    const result = this.begin(action);
    if (result.kind === 'refused') throw FlotillaError.fromBody(result.error);
    await this.settled();
    const changeId = result.kind === 'tenants' ? result.changeId : 0;
    const entry = this.document.placements?.audit.find((one) => one.changeId === changeId);
    if (entry?.refused !== undefined) throw FlotillaError.fromBody(entry.refused);
  }

  settled(): Promise<void> {
    return waitUntil('no change is under way', async () => {
      return this.document.placements?.change === undefined;
    });
  }

  /** Puts a command into a shard's log, past drivers and routers. */
  async tell(shardId: number, command: OwnershipCommand): Promise<ProposalAnswer> {
    const [answer] = await this.shard(shardId).propose([encodeCommand(command)]);
    return defined(answer, 'an answer');
  }

  async close(): Promise<void> {
    this.stopDriving();
    await Promise.all(this.shards.map(({ engine }) => engine.close()));
  }
}
