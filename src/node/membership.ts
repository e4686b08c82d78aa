/**
 * Which cluster this node belongs to. Decided once, by a bootstrap, and stored beside the Raft
 * logs; from then on the data directory belongs to that cluster for good.
 *
 * A directory that is new under the id of a known node (a lost disk, a wrong path) belongs to no
 * cluster. It must not vote or acknowledge as the one that it replaces, for it has forgotten what
 * that one promised (M8): the node waits, and says so, until an operator has the cluster readmit
 * it, under its new store and with new replicas.
 */
import { type Environment, sleep } from '../shared/environment.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { LogStore } from '../storage/log-store.js';
import { decodeTopology, encodeTopology } from '../topology/codec.js';
import type { NodeEntry, TopologyDocument } from '../topology/document.js';
import type { TopologyView } from '../topology/view.js';
import { withPort } from './address.js';
import {
  assertConfiguredAlike,
  assertKnownStores,
  assertSameSettings,
  bootstrapCluster,
  identify,
} from './bootstrap.js';
import type { NodeAddresses, NodeConfig } from './config.js';
import type { ControlHandler, NodeCard } from './control.js';
import { isKnownStore } from './shards.js';

export interface MembershipOptions {
  readonly config: NodeConfig;
  readonly node: NodeEntry;
  readonly logStore: LogStore;
  /** Documents that are newer than the one that is stored here. */
  readonly view: Pick<TopologyView, 'current'>;
  readonly environment: Environment;
  readonly logger: Logger;
  /** Told once what keeps this node out of its cluster; see `Membership.obstacle`. */
  readonly onObstacle: (error: FlotillaError) => void;
}

/** What the cluster was made with. */
const GENESIS_BLOB = 'genesis';
/** The newest document with other nodes or stores than the one before it. */
const NODES_BLOB = 'nodes';
const POLL_DELAY_MS = 500;
const BOOTSTRAP_ROUND_MS = 10_000;

/** What a node knows of its cluster before it has heard from it. */
export interface KnownCluster {
  readonly genesis: TopologyDocument;
  /** The genesis, or a later document: who the nodes are, by which stores. */
  readonly newest: TopologyDocument;
}

/** A node as it names itself to its cluster. @param bound its listeners, with their real ports */
export function ownEntry(
  { nodeId, advertise, zone }: NodeConfig,
  storeId: string,
  bound: NodeAddresses,
): NodeEntry {
  return {
    nodeId,
    storeId,
    peerAddress: withPort(advertise.peer, bound.peer),
    clientAddress: withPort(advertise.client, bound.client),
    httpAddress: withPort(advertise.http, bound.http),
    ...(zone !== undefined && { zone }),
  };
}

export class Membership implements ControlHandler {
  readonly #options: MembershipOptions;
  /** What this node has durably. */
  #known: KnownCluster | undefined;
  #storing: Promise<void> | undefined;
  #obstacle: FlotillaError | undefined;
  readonly #joined: Promise<void>;
  #noteJoined: () => void = () => undefined;

  /** Throws LOG_DAMAGED where logs are left of a cluster that the store no longer names. */
  static async open(options: MembershipOptions): Promise<Membership> {
    const { logStore, config } = options;
    const blob = await logStore.getBlob(GENESIS_BLOB);
    if (blob === undefined) {
      const damage = logStore.damaged()[0];
      if (damage !== undefined) {
        throw new FlotillaError(
          'LOG_DAMAGED',
          `The log store of node ${config.nodeId} is damaged: ${damage.message}. Start the node ` +
            `on an empty directory, then run: flotilla node readmit --node ${config.nodeId}`,
        );
      }
      return new Membership(options, undefined);
    }
    const genesis = decodeTopology(blob);
    const nodes = await logStore.getBlob(NODES_BLOB);
    const newest = nodes === undefined ? genesis : decodeTopology(nodes);
    assertSameSettings(genesis.settings, config.settings);
    assertKnownStores(newest, [{ node: options.node, genesis }]);
    return new Membership(options, { genesis, newest });
  }

  private constructor(options: MembershipOptions, known: KnownCluster | undefined) {
    this.#options = options;
    this.#known = known;
    this.#joined = new Promise((resolve) => {
      this.#noteJoined = resolve;
    });
    if (known !== undefined) this.#noteJoined();
  }

  /** Why the node is in no cluster although there is one, until it is: it was not readmitted. */
  get obstacle(): FlotillaError | undefined {
    return this.#known === undefined ? this.#obstacle : undefined;
  }

  identify(): NodeCard {
    const { node, view, config } = this.#options;
    const document = view.current() ?? this.#known?.newest;
    const { settings } = config;
    // A node that names nobody else leaves it to `flotilla cluster init` who they are.
    const nodes = config.nodes.length === 1 ? undefined : config.nodes;
    return { node, genesis: this.#known?.genesis, document, settings, nodes };
  }

  /**
   * Takes the first document that fits this node; a second one changes nothing. Rejects when the
   * document cannot be stored: the node has joined nothing then.
   */
  async join(genesis: TopologyDocument): Promise<NodeCard> {
    await this.#join({ genesis, newest: genesis });
    return this.identify();
  }

  /**
   * Waits until the node belongs to a cluster. Meanwhile it asks the configured nodes whether they
   * have one, and creates it where the configuration says so. A node that the cluster knows by
   * another data directory waits on, see `obstacle`. Rejects with SETTINGS_MISMATCH where another
   * node, or the cluster, has other settings than this one is configured with (M-41).
   */
  async wait(signal: AbortSignal): Promise<KnownCluster> {
    const { config, environment, logger } = this.#options;
    if (this.#known === undefined && !config.bootstrap) {
      logger.info({ nodeId: config.nodeId }, 'waiting to be made part of a cluster');
    }
    while (this.#known === undefined && !signal.aborted) {
      const card = await this.#askOthers();
      if (card !== undefined) await this.#joinAsKnown(card);
      else if (config.bootstrap) await this.#tryBootstrap(signal);
      if (this.#known === undefined) {
        await Promise.race([this.#joined, sleep(environment.scheduler, POLL_DELAY_MS, signal)]);
      }
    }
    if (this.#known !== undefined && !signal.aborted) return this.#known;
    throw new FlotillaError('NODE_NOT_READY', 'The node is stopping');
  }

  /** Keeps who the nodes are, for the next start, where the document has other ones. */
  async remember(document: TopologyDocument): Promise<void> {
    const known = this.#known;
    if (known === undefined || document.epoch <= known.newest.epoch) return;
    if (JSON.stringify(document.nodes) === JSON.stringify(known.newest.nodes)) return;
    this.#known = { ...known, newest: document };
    await this.#options.logStore.putBlob(NODES_BLOB, encodeTopology(document));
  }

  /** The newest document that another node knows, for one that has no topology log of its own. */
  async newestElsewhere(): Promise<TopologyDocument | undefined> {
    return (await this.#askOthers())?.document;
  }

  async #join(known: KnownCluster): Promise<void> {
    if (this.#known !== undefined) return;
    this.#storing ??= this.#store(known).finally(() => {
      this.#storing = undefined;
    });
    await this.#storing;
  }

  async #store(known: KnownCluster): Promise<void> {
    const { genesis, newest } = known;
    const { config, node, logStore } = this.#options;
    assertSameSettings(genesis.settings, config.settings);
    assertKnownStores(newest, [{ node, genesis }]);
    // The genesis last: with it alone, a readmitted node would find itself by its old store.
    if (newest !== genesis) await logStore.putBlob(NODES_BLOB, encodeTopology(newest));
    await logStore.putBlob(GENESIS_BLOB, encodeTopology(genesis));
    this.#known = known;
    this.#noteJoined();
  }

  /** A node that was down during the bootstrap finds its cluster by itself. */
  async #joinAsKnown(card: NodeCard & { readonly genesis: TopologyDocument }): Promise<void> {
    const { genesis } = card;
    const newest = card.document ?? genesis;
    try {
      await this.#join({ genesis, newest });
    } catch (thrown) {
      const error = toFlotillaError(thrown);
      const { node } = this.#options;
      const isMember = newest.nodes.some(({ nodeId }) => nodeId === node.nodeId);
      if (error.reason !== 'WRONG_STORE' || !isMember || isKnownStore(newest, node)) throw error;
      this.#say(error);
    }
  }

  #say(error: FlotillaError): void {
    if (this.#obstacle?.message === error.message) return;
    this.#obstacle = error;
    const { logger, node, onObstacle } = this.#options;
    onObstacle(error);
    logger.error(
      { nodeId: node.nodeId, storeId: node.storeId, reason: error.reason },
      `this node takes no part, it neither votes nor acknowledges: ${error.message}`,
    );
  }

  async #tryBootstrap(signal: AbortSignal): Promise<void> {
    const { config, environment, logger } = this.#options;
    try {
      await bootstrapCluster({
        environment,
        logger,
        nodes: config.nodes,
        settings: config.settings,
        timeoutMs: BOOTSTRAP_ROUND_MS,
        signal,
      });
    } catch (thrown) {
      const error = toFlotillaError(thrown);
      // Somebody has a cluster after all: the next round asks what it makes of this node.
      if (!error.retryable && error.reason !== 'WRONG_STORE') throw error;
      logger.info({ nodeId: config.nodeId }, `the cluster cannot be made yet: ${error.message}`);
    }
  }

  /** The card of another node that has a cluster; of several the one with the newest document. */
  async #askOthers(): Promise<(NodeCard & { readonly genesis: TopologyDocument }) | undefined> {
    const { config, environment } = this.#options;
    const others = config.nodes.filter(({ nodeId }) => nodeId !== config.nodeId);
    const answers = await Promise.all(
      others.map((node) => identify(environment, node).catch(() => undefined)),
    );
    const cards = answers.filter((card) => card !== undefined);
    if (this.#known === undefined) {
      for (const card of cards) assertConfiguredAlike(card, config);
    }
    return cards
      .flatMap((card) => (card.genesis === undefined ? [] : [{ ...card, genesis: card.genesis }]))
      .sort((a, b) => (b.document?.epoch ?? 0) - (a.document?.epoch ?? 0))[0];
  }
}
