/**
 * A whole cluster in one process: the same nodes as in production, each with its own directory and
 * worker threads, linked in memory. For tests and small installs.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Flotilla, type FlotillaOptions } from '../client/index.js';
import type { IndexLibrary } from '../engine/index/index-library.js';
import type { NodeConfig } from '../node/config.js';
import { Node } from '../node/node.js';
import { NO_NETWORK, realEnvironment } from '../node/real-environment.js';
import { libraryStatsOf, openLibraries, threadEngine } from '../node/start-node.js';
import { deriveTiming } from '../replica/timing.js';
import { FlotillaError } from '../shared/errors.js';
import { type Logger, silentLogger } from '../shared/logger.js';
import { RETRY_BUDGET } from '../shared/retry-budget.js';
import { MemoryNetwork } from '../transport/memory-network.js';
import { type EngineOptions, engineConfigOf } from './engine-options.js';

export interface ClusterOptions extends EngineOptions {
  /** @default 3 */
  readonly nodes?: number;
  /** @default 4 */
  readonly shards?: number;
  /** @default 3, or the number of nodes where that is less */
  readonly replicationFactor?: number;
  /** Where the data live. Started again on it, the cluster goes on. @default gone with `stop` */
  readonly dir?: string;
  /** @default 1000 */
  readonly electionTimeoutMs?: number;
  /** Whether reads that say `leased` need no round to a quorum. @default false */
  readonly leases?: boolean;
  /** Whether slow reads that any replica may serve ask a second one. @default true */
  readonly hedgedReads?: boolean;
  /** Memory of each node for answers of bounded and eventual searches. @default 0, for none */
  readonly searchCacheBytes?: number;
  /**
   * Serve clients and HTTP on fixed ports instead of free ones: node 1 serves clients on `port` and
   * HTTP two above, each further node 10 above the one before. @default false
   */
  readonly listen?: boolean;
  /** With `listen`; with the same `dir` always the same. @default 7700 */
  readonly port?: number;
  /** Zones of the nodes, by ascending id: replicas are spread over them. @default none */
  readonly zones?: readonly string[];
  /** @default nothing is logged */
  readonly logger?: Logger;
}

export interface ClusterNode {
  readonly nodeId: number;
  /** host:port for clients. */
  readonly client: string;
  /** host:port of metrics and health. */
  readonly http: string;
}

/** What is there before the first node starts. */
interface Founding {
  readonly directory: string;
  /** Whether it goes with the cluster. */
  readonly isTemporary: boolean;
  readonly library: IndexLibrary;
}

const CLIENT_PORT = 7700;
/** From the port for clients to that for HTTP. */
const HTTP_OFFSET = 2;
const PORTS_PER_NODE = 10;
const VIRTUAL_NODES = 100;
const SHUTDOWN_TIMEOUT_MS = 5_000;
const LOG_CACHE_SIZE_BYTES = 16 * 1024 * 1024;
const DEFAULT_ELECTION_TIMEOUT_MS = 1_000;

/**
 * @example
 *     await using cluster = await Cluster.start({ nodes: 3 });
 *     const flotilla = cluster.client();
 *     await flotilla.createCollection({ name: 'notes', dimension: 3 });
 */
export class Cluster {
  readonly #options: ClusterOptions;
  readonly #directory: string;
  readonly #isTemporary: boolean;
  readonly #library: IndexLibrary;
  readonly #network: MemoryNetwork;
  readonly #nodes = new Map<number, Node>();
  readonly #starting = new Set<Promise<Node>>();
  readonly #clients: Flotilla[] = [];
  #stopped: Promise<void> | undefined;

  /**
   * Resolves when every shard has a leader that serves. Rejects as `Node.start` does, and with
   * NATIVE_LIBRARY_MISSING where only what clients need is installed.
   */
  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const count = options.nodes ?? 3;
    const { clock } = realEnvironment(NO_NETWORK);
    const library = await openLibraries(clock, options.logger ?? silentLogger);
    const isTemporary = options.dir === undefined;
    const directory = options.dir ?? (await mkdtemp(join(tmpdir(), 'flotilla-')));
    const cluster = new Cluster(options, { directory, isTemporary, library });
    try {
      const ids = Array.from({ length: count }, (_, at) => at + 1);
      await Promise.all(ids.map((nodeId) => cluster.startNode(nodeId)));
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  private constructor(options: ClusterOptions, { directory, isTemporary, library }: Founding) {
    this.#options = options;
    this.#directory = directory;
    this.#isTemporary = isTemporary;
    this.#library = library;
    const { scheduler } = realEnvironment(NO_NETWORK);
    this.#network = new MemoryNetwork({ scheduler });
  }

  /** The nodes that run, by id. */
  get addresses(): readonly ClusterNode[] {
    return [...this.#nodes.values()]
      .map(({ nodeId, addresses }) => ({
        nodeId,
        client: addresses.client,
        http: addresses.http,
      }))
      .sort((a, b) => a.nodeId - b.nodeId);
  }

  /** A client of the nodes that run now. Closed with the cluster. */
  client(options?: FlotillaOptions): Flotilla {
    const client = new Flotilla(
      this.addresses.map((node) => node.client),
      options,
    );
    this.#clients.push(client);
    return client;
  }

  /** Links between nodes, to be cut and healed. Hosts are named `node-1`, `node-2`, ... */
  get network(): MemoryNetwork {
    return this.#network;
  }

  /** Stops one node in order; its data stay. */
  async stopNode(nodeId: number): Promise<void> {
    const node = this.#nodes.get(nodeId);
    if (node === undefined) return;
    this.#nodes.delete(nodeId);
    await node.stop();
  }

  /**
   * Starts a stopped node on its data. Resolves when it is ready, also where it runs already.
   * Rejects as `Node.start` does, and with WRONG_STORE when its directory is not the one that the
   * cluster knows: it runs on then, and waits for `readmitNode` of a client.
   */
  async startNode(nodeId: number): Promise<void> {
    const node = this.#nodes.get(nodeId) ?? (await this.#start(nodeId));
    try {
      await node.ready;
    } catch (error) {
      const isWaiting = node.obstacle !== undefined;
      if (!isWaiting && this.#nodes.get(nodeId) === node) await this.stopNode(nodeId);
      throw error;
    }
  }

  /** Stops all nodes and clients; removes the data if `dir` was not given. Idempotent. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stopAll();
    return this.#stopped;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stopAll(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
    // A node that is still opening its directory can only be stopped afterwards.
    await Promise.allSettled(this.#starting);
    await Promise.all([...this.#nodes.keys()].map((nodeId) => this.stopNode(nodeId)));
    if (this.#isTemporary) await rm(this.#directory, { recursive: true, force: true });
  }

  async #start(nodeId: number): Promise<Node> {
    if (this.#stopped !== undefined) {
      throw new FlotillaError('NODE_NOT_READY', 'The cluster has been stopped');
    }
    const config = this.#configOf(nodeId);
    const logger = (this.#options.logger ?? silentLogger).child({ nodeId });
    const starting = Node.start({
      config,
      logger,
      environment: realEnvironment(this.#network.host(peerAddress(nodeId))),
      createEngine: threadEngine(this.#library, config.engine, logger),
      library: libraryStatsOf(this.#library),
    });
    this.#starting.add(starting);
    try {
      const node = await starting;
      this.#nodes.set(nodeId, node);
      return node;
    } finally {
      this.#starting.delete(starting);
    }
  }

  #configOf(nodeId: number): NodeConfig {
    const {
      nodes = 3,
      shards = 4,
      electionTimeoutMs = DEFAULT_ELECTION_TIMEOUT_MS,
      port: firstPort = CLIENT_PORT,
    } = this.#options;
    const zone = this.#options.zones?.[nodeId - 1];
    const clientPort = firstPort + PORTS_PER_NODE * (nodeId - 1);
    const port = (wanted: number): string => String(this.#options.listen ? wanted : 0);
    const peer = peerAddress(nodeId);
    const listen = {
      client: `127.0.0.1:${port(clientPort)}`,
      peer,
      http: `127.0.0.1:${port(clientPort + HTTP_OFFSET)}`,
    };
    return {
      nodeId,
      directory: join(this.#directory, peer),
      ...(zone !== undefined && { zone }),
      listen,
      // Free ports are others at the next start, so that none may be written down.
      advertise: this.#options.listen ? listen : { client: peer, peer, http: peer },
      nodes: Array.from({ length: nodes }, (_, at) => ({
        nodeId: at + 1,
        peerAddress: peerAddress(at + 1),
      })),
      bootstrap: nodeId === 1,
      settings: {
        shards,
        replicationFactor: this.#options.replicationFactor ?? Math.min(3, nodes),
        virtualNodes: VIRTUAL_NODES,
        electionTimeoutMs,
        leases: this.#options.leases ?? false,
      },
      timing: deriveTiming(electionTimeoutMs),
      logLevel: 'info',
      logPretty: false,
      logCacheSizeBytes: LOG_CACHE_SIZE_BYTES,
      engine: engineConfigOf(this.#options),
      router: {
        hedgedReads: this.#options.hedgedReads ?? true,
        retryBudget: RETRY_BUDGET,
        searchCacheBytes: this.#options.searchCacheBytes ?? 0,
      },
      shutdownTimeoutMs: SHUTDOWN_TIMEOUT_MS,
    };
  }
}

function peerAddress(nodeId: number): string {
  return `node-${nodeId}`;
}
