/**
 * The composition root: builds the rooms of one node, starts them in order, stops them in reverse.
 *
 * A node listens before it belongs to a cluster, so that it can be bootstrapped and probed. It
 * serves when it is ready.
 */
import type { Engine, ShardGenesis } from '../engine/engine.js';
import type { RaftGroup } from '../replica/group.js';
import { ReplicaHost } from '../replica/host.js';
import type { ReplicaStatus } from '../replica/replica.js';
import { serveReplicaCall } from '../replica/rpc-server.js';
import { groupStatusOf } from '../replica/status.js';
import { StatusOnlyReplica } from '../replica/status-only-replica.js';
import { Router } from '../router/router.js';
import type { GrpcServer } from '../server/grpc-server.js';
import type { ServerMetrics } from '../server/metrics.js';
import { defined } from '../shared/assert.js';
import type { ClusterStatus } from '../shared/codec/admin-messages.js';
import { SERVICE } from '../shared/codec/services.js';
import type { Environment } from '../shared/environment.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { LogStore } from '../storage/log-store.js';
import { openLogStore } from '../storage/open-log-store.js';
import { CollectionDriver } from '../topology/collection-driver.js';
import type { TopologyDocument } from '../topology/document.js';
import { TopologyGroup } from '../topology/topology-group.js';
import { TopologyMachine } from '../topology/topology-machine.js';
import type { TopologyResult } from '../topology/transitions.js';
import { TopologyHolder } from '../topology/view.js';
import { createTransport } from '../transport/peer-transport.js';
import type { Transport } from '../transport/transport.js';
import { NodeAdmin } from './cluster-admin.js';
import { clusterStatus } from './cluster-status.js';
import type { NodeAddresses, NodeConfig } from './config.js';
import { serveControl } from './control.js';
import { nodeMetrics, routerHooks, startEndpoints } from './endpoints.js';
import { Lifecycle } from './lifecycle.js';
import { Membership } from './membership.js';
import { NodeMetrics } from './node-metrics.js';
import { Readiness } from './readiness.js';
import { RouterBackend } from './records-backend.js';
import { ReplicaDirectory } from './replica-directory.js';
import { groupGenesis, openShards, TOPOLOGY_GROUP_ID } from './shards.js';

/** `onLost` is called if the engine ends without having been closed. */
export type EngineFactory = (
  genesis: ShardGenesis,
  directory: string,
  onLost: (error: FlotillaError) => void,
) => Engine;

export interface NodeOptions {
  readonly config: NodeConfig;
  readonly logger: Logger;
  readonly environment: Environment;
  /** Makes the engine of a shard replica whose data live in `directory`; see `EngineFactory`. */
  readonly createEngine: EngineFactory;
}

/** The time that a call between topology groups gets at the one that answers. */
const TOPOLOGY_CALL_TIMEOUT_MS = 5_000;

export class Node {
  readonly nodeId: number;
  readonly #options: NodeOptions;
  readonly #logger: Logger;
  readonly #lifecycle: Lifecycle;
  readonly #stopping = new AbortController();
  readonly #view = new TopologyHolder();
  readonly #readiness: Readiness;
  #topology: TopologyGroup | undefined;
  #topologyRaft: RaftGroup<TopologyResult> | undefined;
  #joining: Promise<void> | undefined;
  #parts: Parts | undefined;
  #settleClosed: (error?: FlotillaError) => void = () => undefined;
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
    // Whoever does not ask how the node ended must not be ended by the answer.
    this.closed.catch(() => undefined);
  }

  /** Addresses as really bound. */
  get addresses(): NodeAddresses {
    return this.#running.addresses;
  }

  /**
   * Resolves the first time that every shard of the cluster serves. Rejects when the node stops
   * before that: as `closed` does, or with NODE_NOT_READY after an orderly stop.
   */
  get ready(): Promise<void> {
    const stopped = this.closed.then(() => {
      throw new FlotillaError('NODE_NOT_READY', 'The node was stopped before it was ready');
    });
    return Promise.race([this.#readiness.firstReady, stopped]);
  }

  /** Drains requests, then stops everything, the last started first. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#joining?.catch(() => undefined);
    await this.#lifecycle.stop();
    this.#settleClosed(this.#failure);
  }

  get #running(): Parts {
    return defined(this.#parts, 'a started node');
  }

  async #open(): Promise<Parts> {
    const { config, environment } = this.#options;
    const lifecycle = this.#lifecycle;
    const logger = this.#logger;
    const logStore = await openLogStore({
      environment,
      directory: `${config.directory}/raft`,
      logger,
      cacheSizeBytes: config.logCacheSizeBytes,
    });
    lifecycle.add('log store', () => logStore.close());
    const transport = await this.#openTransport();
    lifecycle.add('transport', () => transport.close());
    const host = new ReplicaHost({
      environment,
      logStore,
      timing: config.timing,
      logger,
      send: (nodeId, messages) => transport.send(nodeId, messages),
      onFault: (_groupId, error) => this.#noteFault(error),
    });
    lifecycle.add('replicas', () => host.close());
    const directory = new ReplicaDirectory(config.nodeId, transport);
    const metrics = nodeMetrics(config.nodeId);
    const router = new Router({
      view: this.#view,
      replicas: (shard, replica) => directory.replicaOf(shard, replica.nodeId),
      environment,
      logger,
      hooks: routerHooks(metrics),
      localNodeId: config.nodeId,
    });
    const { grpc, http } = await this.#openEndpoints({ transport, directory, router, metrics });
    const addresses = { client: grpc.address, peer: transport.address, http: http.address };
    const membership = await Membership.open({
      config,
      node: {
        nodeId: config.nodeId,
        storeId: logStore.identity.storeId,
        peerAddress: withPort(config.advertise.peer, addresses.peer),
        clientAddress: withPort(config.advertise.client, addresses.client),
        httpAddress: withPort(config.advertise.http, addresses.http),
      },
      logStore,
      environment,
      logger,
    });
    return { logStore, transport, host, directory, router, grpc, addresses, membership };
  }

  #openEndpoints(parts: EndpointParts): ReturnType<typeof startEndpoints> {
    const { config, environment } = this.#options;
    const { router, metrics, directory } = parts;
    const view = this.#view;
    const topology = (): TopologyGroup | undefined => this.#topology;
    const status = (timeoutMs: number): Promise<ClusterStatus> => this.#status(parts, timeoutMs);
    return startEndpoints(
      {
        config,
        environment,
        logger: this.#logger,
        metrics,
        records: new RouterBackend({ router, view, topology }),
        admin: new NodeAdmin({ router, view, topology, environment, status }),
        raftMetrics: new NodeMetrics({
          view,
          environment,
          topologyStatus: () => this.#topologyStatus(),
          replicas: directory.local,
          serving: () => this.#readiness.ready,
        }),
        readiness: () => ({ ready: this.#readiness.ready, missing: this.#readiness.missing }),
      },
      this.#lifecycle,
    );
  }

  #openTransport(): Promise<Transport> {
    const { config, environment } = this.#options;
    const logger = this.#logger;
    const linked = new Set<number>();
    return createTransport({
      environment,
      listenAddress: config.listen.peer,
      logger,
      handlers: {
        onMessages: (from, messages) => this.#parts?.host.receive(from, messages),
        onRequest: (_from, payload, signal) => this.#serve(payload, signal),
        onPeerUp: ({ nodeId }) => {
          linked.add(nodeId);
          logger.info({ peer: nodeId }, 'linked to a node');
        },
        onPeerDown: (nodeId) => {
          // Also told of each dial that fails; only the change is worth a line.
          if (linked.delete(nodeId)) logger.info({ peer: nodeId }, 'the link to a node is down');
          this.#parts?.host.peerDown(nodeId);
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
    const { config } = this.#options;
    const { membership, transport, host, logStore, directory } = this.#running;
    const genesis = await membership.wait(this.#stopping.signal);
    const { storeId, incarnation } = logStore.identity;
    const { clusterId } = genesis;
    await this.#openTopology(genesis);
    host.start();
    transport.configure(
      { clusterId, nodeId: config.nodeId, storeId, incarnation },
      genesis.nodes.map(({ nodeId, peerAddress, storeId: peerStoreId }) => ({
        nodeId,
        address: peerAddress,
        storeId: peerStoreId,
      })),
    );
    this.#readiness.start();
    this.#lifecycle.add('readiness', () => this.#readiness.close());
    await openShards(
      {
        document: genesis,
        nodeId: config.nodeId,
        host,
        logStore,
        environment: this.#options.environment,
        logger: this.#logger,
        createEngine: (shard, onLost) =>
          this.#options.createEngine(shard, `${config.directory}/shards/${shard.shardId}`, onLost),
      },
      (groupId, replica) => directory.local.set(groupId, replica),
    );
  }

  async #openTopology(genesis: TopologyDocument): Promise<void> {
    const { environment } = this.#options;
    const { logStore, host, transport, router, directory } = this.#running;
    const own = groupGenesis(genesis, this.nodeId, TOPOLOGY_GROUP_ID, genesis.topologyReplicas);
    const damage = logStore.damaged().find(({ groupId }) => groupId === TOPOLOGY_GROUP_ID);
    if (damage !== undefined) {
      throw new FlotillaError('LOG_DAMAGED', `The topology log is damaged: ${damage.message}`);
    }
    await logStore.createGroup(defined(own, `node ${this.nodeId} in the topology group`));
    const machine = new TopologyMachine(genesis, (document) => this.#view.publish(document));
    const group = await host.addGroup(defined(own, 'the topology replica'), machine);
    const { nodeId } = this;
    this.#topologyRaft = group;
    this.#topology = new TopologyGroup({ group, nodeId, transport, environment });
    directory.local.set(
      TOPOLOGY_GROUP_ID,
      new StatusOnlyReplica({
        shardId: 0,
        nodeId,
        why: 'The topology group is no shard',
        status: () => groupStatusOf(group, { shardId: 0, nodeId }),
      }),
    );
    const driver = new CollectionDriver({
      view: this.#view,
      topology: this.#topology,
      environment,
      logger: this.#logger,
      proposeToShard: (shardId, command, timeoutMs) =>
        router.command(shardId, command, { timeoutMs }),
    });
    this.#lifecycle.add('collection driver', () => driver.close());
  }

  /** Answers a request of another node. */
  async #serve(payload: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const { directory } = this.#running;
    if (payload[0] === SERVICE.replica) {
      return serveReplicaCall(payload, (groupId) => directory.local.get(groupId), signal);
    }
    if (payload[0] === SERVICE.topology && this.#topology !== undefined) {
      return this.#topology.serve(payload, { timeoutMs: TOPOLOGY_CALL_TIMEOUT_MS, signal });
    }
    throw new FlotillaError('NODE_NOT_READY', `This node does not serve calls of ${payload[0]}`);
  }

  async #status(parts: EndpointParts, timeoutMs: number): Promise<ClusterStatus> {
    const { transport, directory } = parts;
    const document = this.#view.current();
    if (document === undefined) {
      throw new FlotillaError('NODE_NOT_READY', 'This node has not joined a cluster yet');
    }
    const connected = transport.peers().filter((peer) => peer.connected);
    return clusterStatus({
      document,
      nodeId: this.nodeId,
      connected: new Set(connected.map((peer) => peer.nodeId)),
      replicaOf: (group, nodeId) => directory.replicaOf(group, nodeId),
      timeoutMs,
    });
  }

  #topologyStatus(): ReplicaStatus | undefined {
    const group = this.#topologyRaft;
    return group && groupStatusOf(group, { shardId: 0, nodeId: this.nodeId });
  }

  #noteReady(ready: boolean): void {
    this.#parts?.grpc.setServing(ready);
    if (this.#stopping.signal.aborted) return;
    if (ready) this.#logger.info({ nodeId: this.nodeId }, 'ready: every shard serves');
    else this.#logger.warn({ missing: this.#readiness.missing }, 'not ready any more');
  }

  /** One replica less is for the others to bear; a log store that fails ends the node (S6). */
  #noteFault(error: FlotillaError): void {
    if (this.#parts?.logStore.poisoned !== undefined) this.#fail(error);
  }

  #fail(error: FlotillaError): void {
    if (this.#stopping.signal.aborted) return;
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
  readonly metrics: ServerMetrics;
}

interface Parts extends Omit<EndpointParts, 'metrics'> {
  readonly logStore: LogStore;
  readonly host: ReplicaHost;
  readonly grpc: GrpcServer;
  readonly addresses: NodeAddresses;
  readonly membership: Membership;
}

/** The advertised address, with the port that was really bound where it says 0. */
function withPort(advertised: string, bound: string): string {
  const [port] = bound.split(':').slice(-1);
  return advertised.endsWith(':0') ? `${advertised.slice(0, -1)}${port}` : advertised;
}
