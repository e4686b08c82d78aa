/**
 * The composition root: builds the rooms of one node, starts them in order, stops them in reverse.
 *
 * A node listens before it belongs to a cluster, so that it can be bootstrapped and probed. It
 * serves when it is ready.
 */
import type { Engine, IndexLibraryStats, ShardGenesis } from '../engine/engine.js';
import { ReplicaHost } from '../replica/host.js';
import { serveReplicaCall } from '../replica/rpc-server.js';
import { Router } from '../router/router.js';
import type { ServerMetrics } from '../server/metrics.js';
import { defined } from '../shared/assert.js';
import type { ClusterStatus } from '../shared/codec/admin-messages.js';
import { SERVICE } from '../shared/codec/services.js';
import type { Environment } from '../shared/environment.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import type { GiveUpSignal } from '../shared/give-up.js';
import type { Logger } from '../shared/logger.js';
import type { LogStore } from '../storage/log-store.js';
import { openLogStore } from '../storage/open-log-store.js';
import { SnapshotFiles } from '../storage/snapshot-files.js';
import type { TopologyDocument } from '../topology/document.js';
import type { TopologyGroup } from '../topology/topology-group.js';
import { TopologyHolder } from '../topology/view.js';
import { createTransport } from '../transport/peer-transport.js';
import type { PeerIdentity, Transport } from '../transport/transport.js';
import { NodeAdmin } from './cluster-admin.js';
import { clusterStatus } from './cluster-status.js';
import type { NodeAddresses, NodeConfig } from './config.js';
import { ContentVerifier } from './content-verifier.js';
import { serveControl } from './control.js';
import {
  type Endpoints,
  type EndpointsFactory,
  nodeMetrics,
  routerHooks,
  startEndpoints,
} from './endpoints.js';
import { GroupCalls } from './group-calls.js';
import { Lifecycle } from './lifecycle.js';
import { type KnownCluster, Membership, ownEntry } from './membership.js';
import { askForNewerTopology } from './newer-topology.js';
import { NodeMetrics } from './node-metrics.js';
import { Readiness } from './readiness.js';
import { RouterBackend } from './records-backend.js';
import { ReplicaAdmin } from './replica-admin.js';
import { ReplicaDirectory } from './replica-directory.js';
import { ShardReplicas } from './shard-replicas.js';
import { startTopologyDrivers } from './topology-drivers.js';
import { TopologyReplica } from './topology-replica.js';
import type { NodeTuning } from './tuning.js';

/** `onLost` is called if the engine ends without having been closed. */
export type EngineFactory = (
  genesis: ShardGenesis,
  directory: string,
  onLost: (error: FlotillaError) => void,
) => Engine;

export interface NodeOptions extends NodeTuning {
  readonly config: NodeConfig;
  readonly logger: Logger;
  readonly environment: Environment;
  /** Makes the engine of a shard replica whose data live in `directory`; see `EngineFactory`. */
  readonly createEngine: EngineFactory;
  /** @default gRPC and HTTP servers on sockets */
  readonly openEndpoints?: EndpointsFactory;
  /** The index library, as status and metrics tell it. @default nothing is said */
  readonly library?: IndexLibraryStats;
}

/** The time that a call between topology groups gets at the one that answers. */
const TOPOLOGY_CALL_TIMEOUT_MS = 5_000;
/** The time that a node gets to have a replica of its own replaced. */
const REPLACE_TIMEOUT_MS = 10_000;

export class Node {
  readonly nodeId: number;
  readonly #options: NodeOptions;
  readonly #logger: Logger;
  readonly #lifecycle: Lifecycle;
  readonly #stopping = new AbortController();
  readonly #view = new TopologyHolder();
  readonly #readiness: Readiness;
  #topology: TopologyReplica | undefined;
  #shards: ShardReplicas | undefined;
  #joining: Promise<void> | undefined;
  #parts: Parts | undefined;
  #settleClosed: (error?: FlotillaError) => void = () => undefined;
  #noteObstacle: (error: FlotillaError) => void = () => undefined;
  readonly #obstructed: Promise<never>;
  #failure: FlotillaError | undefined;
  /** Resolves after an orderly stop; rejects with what made the node stop by itself. */
  readonly closed: Promise<void>;

  /**
   * Resolves once the node listens; `ready` follows. Rejects when the data directory cannot be
   * used (LOG_DAMAGED, WRONG_STORE, SETTINGS_MISMATCH) or an address cannot be bound.
   */
  static async start(options: NodeOptions): Promise<Node> {
    const node = new Node(options);
    try {
      node.#parts = await node.#open();
    } catch (error) {
      await node.stop();
      throw error;
    }
    node.#joining = node.#join();
    node.#joining.catch((error: unknown) => node.#fail(toFlotillaError(error)));
    return node;
  }

  private constructor(options: NodeOptions) {
    this.nodeId = options.config.nodeId;
    this.#options = options;
    this.#logger = options.logger;
    this.#lifecycle = new Lifecycle(options.logger);
    this.#readiness = new Readiness({
      environment: options.environment,
      shards: () => this.#view.current()?.shards,
      probe: (shardId, timeoutMs) => this.#running.router.barrier(shardId, { timeoutMs }),
      onChange: (ready) => this.#noteReady(ready),
    });
    this.closed = new Promise((resolve, reject) => {
      this.#settleClosed = (error) => (error === undefined ? resolve() : reject(error));
    });
    this.#obstructed = new Promise((_, reject) => {
      this.#noteObstacle = reject;
    });
    // Whoever does not ask how the node ended must not be ended by the answer.
    this.closed.catch(() => undefined);
    this.#obstructed.catch(() => undefined);
  }

  /** Addresses as really bound. */
  get addresses(): NodeAddresses {
    return this.#running.addresses;
  }

  /**
   * Resolves the first time that every shard of the cluster serves. Rejects when the node stops
   * before that: as `closed` does, or with NODE_NOT_READY after an orderly stop. Rejects with
   * WRONG_STORE while the node runs and waits to be readmitted; see `obstacle`.
   */
  get ready(): Promise<void> {
    const stopped = this.closed.then(() => {
      throw new FlotillaError('NODE_NOT_READY', 'The node was stopped before it was ready');
    });
    const hasJoined = this.#view.current() !== undefined;
    const obstructed = hasJoined ? [] : [this.#obstructed];
    return Promise.race([this.#readiness.firstReady, stopped, ...obstructed]);
  }

  /** What keeps the node out of its cluster: it has lost its data directory. */
  get obstacle(): FlotillaError | undefined {
    return this.#parts?.membership.obstacle;
  }

  /**
   * Hands over what this node leads, drains requests, then stops everything, the last started
   * first. Idempotent.
   */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#joining?.catch(() => undefined);
    const { shutdownTimeoutMs } = this.#options.config;
    await this.#parts?.host.handOver({ timeoutMs: shutdownTimeoutMs / 2 });
    await this.#lifecycle.stop();
    this.#settleClosed(this.#failure);
  }

  get #running(): Parts {
    return defined(this.#parts, 'a started node');
  }

  async #open(): Promise<Parts> {
    const { config, environment, compaction, snapshotSender, library, logger } = this.#options;
    const lifecycle = this.#lifecycle;
    const logStore = await openLogStore({
      environment,
      directory: `${config.directory}/raft`,
      logger,
      cacheSizeBytes: config.logCacheSizeBytes,
      onPoisoned: (error) => this.#fail(error),
    });
    lifecycle.add('log store', () => logStore.close());
    const snapshotFiles = await SnapshotFiles.open(
      environment.disk,
      `${config.directory}/snapshots`,
    );
    lifecycle.add('snapshot files', () => snapshotFiles.close());
    const transport = await this.#openTransport();
    lifecycle.add('transport', () => transport.close());
    const host = new ReplicaHost({
      environment,
      logStore,
      timing: config.timing,
      logger,
      send: (nodeId, messages) => transport.send(nodeId, messages),
      request: (nodeId, payload, options) => transport.request(nodeId, payload, options),
      snapshotFiles,
      peers: () => transport.peers(),
      onFault: (groupId, error) => this.#noteFault(groupId, error),
      onLeader: (groupId, nodeId) => this.#parts?.router.noteLeader(groupId, nodeId),
      compaction,
      snapshotSender,
    });
    lifecycle.add('replicas', () => host.close());
    const groups = new GroupCalls({
      nodeId: config.nodeId,
      view: this.#view,
      transport,
      environment,
      groupOf: (groupId) => host.group(groupId),
    });
    const directory = new ReplicaDirectory(config.nodeId, transport, environment.clock);
    const metrics = nodeMetrics(config.nodeId, library?.instructionSet);
    const router = new Router({
      view: this.#view,
      replicas: (shard, replica) => directory.replicaOf(shard, replica.nodeId),
      environment,
      logger,
      hooks: routerHooks(metrics, config.nodeId),
      ...config.router,
      localNodeId: config.nodeId,
      refreshTopology: () =>
        askForNewerTopology({ nodeId: config.nodeId, view: this.#view, environment }),
    });
    const endpoints = await this.#openEndpoints({ transport, directory, router, metrics, groups });
    const { clientAddress, httpAddress } = endpoints;
    const addresses = { client: clientAddress, peer: transport.address, http: httpAddress };
    const membership = await Membership.open({
      config,
      node: ownEntry(config, logStore.identity.storeId, addresses),
      logStore,
      view: this.#view,
      environment,
      logger,
      onObstacle: (error) => this.#noteObstacle(error),
    });
    const parts = { logStore, transport, host, directory, router, groups, endpoints, metrics };
    return { ...parts, snapshotFiles, addresses, membership };
  }

  #openEndpoints(parts: EndpointParts): Promise<Endpoints> {
    const { config, environment, openEndpoints = startEndpoints } = this.#options;
    const { router, metrics, directory, groups } = parts;
    const view = this.#view;
    const topology = (): TopologyGroup | undefined => this.#topology?.group;
    const status = (timeoutMs: number): Promise<ClusterStatus> => this.#status(parts, timeoutMs);
    const common = { router, view, directory, environment };
    const verifier = new ContentVerifier({ ...common, logger: this.#logger });
    this.#lifecycle.add('verifier', () => verifier.close());
    return openEndpoints(
      {
        config,
        environment,
        logger: this.#logger,
        metrics,
        records: new RouterBackend({ router, view, topology }),
        admin: new NodeAdmin({
          ...common,
          nodeId: config.nodeId,
          topology,
          groups,
          status,
          verifier,
        }),
        raftMetrics: new NodeMetrics({
          view,
          environment,
          topologyStatus: () => this.#topology?.status(),
          replicas: directory.local,
          serving: () => this.#readiness.ready,
          divergence: () => verifier.divergence,
        }),
        readiness: () => ({
          ready: this.#readiness.ready,
          missing: this.#missing(),
          faults: this.#shards?.faults ?? [],
        }),
      },
      this.#lifecycle,
    );
  }

  #openTransport(): Promise<Transport> {
    const { config, environment, transport: settings } = this.#options;
    const logger = this.#logger;
    const linked = new Set<number>();
    return createTransport({
      environment,
      listenAddress: config.listen.peer,
      logger,
      settings,
      handlers: {
        onMessages: (from, messages) => this.#parts?.host.receive(from, messages),
        onRequest: (from, payload, signal) => this.#serve(from, payload, signal),
        onPeerUp: ({ nodeId }) => {
          linked.add(nodeId);
          logger.info({ peer: nodeId }, 'linked to a node');
        },
        onPeerDown: (nodeId, evidence) => {
          // Also told of each dial that fails; only the change is worth a line.
          if (linked.delete(nodeId)) logger.info({ peer: nodeId }, 'the link to a node is down');
          this.#parts?.host.peerDown(nodeId, evidence);
        },
        onPeerRefused: (nodeId, error) =>
          logger.warn({ peer: nodeId, error: error.message }, 'a node was refused'),
      },
      onControl: async (payload) => {
        if (this.#parts !== undefined) return serveControl(payload, this.#parts.membership);
        throw new FlotillaError('NODE_NOT_READY', 'The node is starting');
      },
    });
  }

  /** Waits to belong to a cluster, then opens the groups that the cluster puts on this node. */
  async #join(): Promise<void> {
    const { membership, host, logStore } = this.#running;
    if (logStore.poisoned !== undefined) throw logStore.poisoned;
    const known = await membership.wait(this.#stopping.signal);
    this.#view.publish(known.newest);
    await this.#openTopology(known.genesis);
    host.start();
    this.#followNodes(known);
    this.#readiness.start();
    this.#lifecycle.add('readiness', () => this.#readiness.close());
    await this.#openShards(known.genesis);
  }

  async #openTopology(genesis: TopologyDocument): Promise<void> {
    const { environment } = this.#options;
    const { logStore, host, transport, directory, membership } = this.#running;
    this.#topology = new TopologyReplica({
      nodeId: this.nodeId,
      genesis,
      view: this.#view,
      host,
      logStore,
      transport,
      environment,
      logger: this.#logger,
      startDrivers: (topology) => this.#startDrivers(topology),
      newestElsewhere: () => membership.newestElsewhere(),
      opened: (groupId, replica) => void directory.local.set(groupId, replica),
      library: this.#options.library,
    });
    const replica = this.#topology;
    this.#lifecycle.add('topology replica', () => replica.close());
    await replica.open();
  }

  #startDrivers(topology: TopologyGroup): () => void {
    const { router, groups } = this.#running;
    const { config, environment } = this.#options;
    const common = { view: this.#view, topology, environment, logger: this.#logger };
    return startTopologyDrivers({ ...common, router, control: groups, self: config });
  }

  async #openShards(genesis: TopologyDocument): Promise<void> {
    const { config, environment, createEngine } = this.#options;
    const { host, logStore, directory, snapshotFiles, groups, metrics } = this.#running;
    const topology = (): TopologyGroup => this.#runningTopology();
    const admin = new ReplicaAdmin({ view: this.#view, topology, groups, directory, environment });
    const patience = { timeoutMs: REPLACE_TIMEOUT_MS, signal: this.#stopping.signal };
    const shards = new ShardReplicas({
      nodeId: this.nodeId,
      genesis,
      view: this.#view,
      host,
      logStore,
      environment,
      logger: this.#logger,
      snapshotFiles,
      // Without a replica of the topology the view is what others say, which is no old story.
      refreshView: async () => this.#topology?.group?.refresh(patience),
      replaceLost: (groupId, replicaId) => admin.replaceLost(groupId, replicaId, patience),
      directory: `${config.directory}/shards`,
      createEngine,
      opened: (groupId, replica) => void directory.local.set(groupId, replica),
      onExpired: (shardId, records) => metrics.recordsExpired(shardId, records),
      removed: (groupId) => void directory.local.delete(groupId),
    });
    this.#shards = shards;
    this.#lifecycle.add('shard replicas', () => shards.close());
    await shards.open();
  }

  #runningTopology(): TopologyGroup {
    const topology = this.#topology?.group;
    if (topology !== undefined) return topology;
    throw new FlotillaError('NODE_NOT_READY', 'The replica of the topology does not run here');
  }

  /** Links to the nodes that the topology names, by the stores that it knows them by. */
  #followNodes({ genesis, newest }: KnownCluster): void {
    const { membership, transport, logStore } = this.#running;
    const { storeId, incarnation } = logStore.identity;
    const self = { clusterId: genesis.clusterId, nodeId: this.nodeId, storeId, incarnation };
    let linked = '';
    const link = ({ nodes }: TopologyDocument): void => {
      const peers = nodes.map((node) => ({
        nodeId: node.nodeId,
        address: node.peerAddress,
        storeId: node.storeId,
      }));
      if (JSON.stringify(peers) === linked) return;
      linked = JSON.stringify(peers);
      transport.configure(self, peers);
    };
    link(this.#view.current() ?? newest);
    const stopWatching = this.#view.onChange((document) => {
      link(document);
      membership.remember(document).catch((error: unknown) => this.#fail(toFlotillaError(error)));
    });
    this.#lifecycle.add('links', stopWatching);
  }

  /** Answers a request of another node. */
  async #serve(from: PeerIdentity, payload: Uint8Array, signal: GiveUpSignal): Promise<Uint8Array> {
    const { directory, groups, host } = this.#running;
    if (payload[0] === SERVICE.replica) {
      const { clock } = this.#options.environment;
      return serveReplicaCall(payload, { replicas: directory, clock, signal });
    }
    if (payload[0] === SERVICE.membership) return groups.serve(payload);
    const topology = this.#topology?.group;
    if (payload[0] === SERVICE.topology && topology !== undefined) {
      return topology.serve(payload, { timeoutMs: TOPOLOGY_CALL_TIMEOUT_MS, signal });
    }
    return host.serve(from, payload);
  }

  async #status(parts: EndpointParts, timeoutMs: number): Promise<ClusterStatus> {
    const { transport, directory, groups } = parts;
    const document = this.#view.current();
    if (document === undefined) {
      throw new FlotillaError('NODE_NOT_READY', this.#missing().join('; '));
    }
    const connected = transport.peers().filter((peer) => peer.connected);
    return clusterStatus({
      document,
      nodeId: this.nodeId,
      connected: new Set(connected.map((peer) => peer.nodeId)),
      replicaOf: (group, nodeId) => directory.replicaOf(group, nodeId),
      stateOf: (groupId) => groups.state(groupId, { timeoutMs }),
      timeoutMs,
    });
  }

  /** What this node waits for, a sentence each; a lost disk before all else. */
  #missing(): readonly string[] {
    const { obstacle } = this;
    return obstacle === undefined ? this.#readiness.missing : [obstacle.message];
  }

  #noteReady(ready: boolean): void {
    this.#parts?.endpoints.setServing(ready);
    if (this.#stopping.signal.aborted) return;
    if (ready) this.#logger.info({ nodeId: this.nodeId }, 'ready: every shard serves');
    else this.#logger.warn({ missing: this.#readiness.missing }, 'not ready any more');
  }

  /** A log store that fails ends the node (S6); a replica is helped where it can be. */
  #noteFault(groupId: number, error: FlotillaError): void {
    if (this.#parts?.logStore.poisoned !== undefined) this.#fail(error);
    else this.#shards?.noteFault(groupId, error);
  }

  #fail(error: FlotillaError): void {
    // What is still being opened cannot be stopped, and looks itself whether it may go on.
    if (this.#stopping.signal.aborted || this.#parts === undefined) return;
    this.#failure = error;
    this.#logger.error({ reason: error.reason }, `the node stops: ${error.message}`);
    void this.stop();
  }
}

/** What the endpoints stand on. */
interface EndpointParts {
  readonly transport: Transport;
  readonly directory: ReplicaDirectory;
  readonly router: Router;
  readonly groups: GroupCalls;
  readonly metrics: ServerMetrics;
}

interface Parts extends EndpointParts {
  readonly logStore: LogStore;
  readonly snapshotFiles: SnapshotFiles;
  readonly host: ReplicaHost;
  readonly endpoints: Endpoints;
  readonly addresses: NodeAddresses;
  readonly membership: Membership;
}
