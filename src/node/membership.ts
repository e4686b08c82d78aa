/**
 * Which cluster this node belongs to. Decided once, by a bootstrap, and stored beside the Raft
 * logs; from then on the data directory belongs to that cluster for good.
 */
import { type Environment, sleep } from '../shared/environment.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { LogStore } from '../storage/log-store.js';
import { decodeTopology, encodeTopology } from '../topology/codec.js';
import type { NodeEntry, TopologyDocument } from '../topology/document.js';
import { assertKnownStores, assertSameSettings, bootstrapCluster, identify } from './bootstrap.js';
import type { NodeConfig } from './config.js';
import type { ControlHandler, NodeCard } from './control.js';

export interface MembershipOptions {
  readonly config: NodeConfig;
  readonly node: NodeEntry;
  readonly logStore: LogStore;
  readonly environment: Environment;
  readonly logger: Logger;
}

const BLOB = 'genesis';
const POLL_DELAY_MS = 500;
const BOOTSTRAP_ROUND_MS = 10_000;

export class Membership implements ControlHandler {
  readonly #options: MembershipOptions;
  /** What this node has durably. */
  #genesis: TopologyDocument | undefined;
  #storing: Promise<void> | undefined;
  readonly #joined: Promise<void>;
  #noteJoined: () => void = () => undefined;

  /** Throws LOG_DAMAGED where logs are left of a cluster that the store no longer names. */
  static async open(options: MembershipOptions): Promise<Membership> {
    const { logStore, config } = options;
    const blob = await logStore.getBlob(BLOB);
    if (blob === undefined) {
      const damage = logStore.damaged()[0];
      if (damage !== undefined) {
        throw new FlotillaError(
          'LOG_DAMAGED',
          `The log store of node ${config.nodeId} is damaged: ${damage.message}. ` +
            'The node must be replaced by one with a new id',
        );
      }
      return new Membership(options, undefined);
    }
    const genesis = decodeTopology(blob);
    assertSameSettings(genesis.settings, config.settings);
    assertKnownStores(genesis, [{ node: options.node, genesis }]);
    return new Membership(options, genesis);
  }

  private constructor(options: MembershipOptions, genesis: TopologyDocument | undefined) {
    this.#options = options;
    this.#genesis = genesis;
    this.#joined = new Promise((resolve) => {
      this.#noteJoined = resolve;
    });
    if (genesis !== undefined) this.#noteJoined();
  }

  identify(): NodeCard {
    return { node: this.#options.node, genesis: this.#genesis };
  }

  /**
   * Takes the first document that fits this node; a second one changes nothing. Rejects when the
   * document cannot be stored: the node has joined nothing then.
   */
  async join(genesis: TopologyDocument): Promise<NodeCard> {
    if (this.#genesis === undefined) {
      this.#storing ??= this.#store(genesis).finally(() => {
        this.#storing = undefined;
      });
      await this.#storing;
    }
    return this.identify();
  }

  /**
   * Waits until the node belongs to a cluster. Meanwhile it asks the configured nodes whether they
   * have one, and creates it where the configuration says so. Rejects with WRONG_STORE when the
   * cluster knows the node by another data directory: a wiped node does not come back as itself.
   */
  async wait(signal: AbortSignal): Promise<TopologyDocument> {
    const { config, environment, logger } = this.#options;
    if (this.#genesis === undefined && !config.bootstrap) {
      logger.info({ nodeId: config.nodeId }, 'waiting to be made part of a cluster');
    }
    while (this.#genesis === undefined && !signal.aborted) {
      if (config.bootstrap) await this.#tryBootstrap(signal);
      else await this.#askOthers();
      if (this.#genesis === undefined) {
        await Promise.race([this.#joined, sleep(environment.scheduler, POLL_DELAY_MS, signal)]);
      }
    }
    if (this.#genesis !== undefined && !signal.aborted) return this.#genesis;
    throw new FlotillaError('NODE_NOT_READY', 'The node is stopping');
  }

  async #store(genesis: TopologyDocument): Promise<void> {
    assertSameSettings(genesis.settings, this.#options.config.settings);
    assertKnownStores(genesis, [this.identify()]);
    await this.#options.logStore.putBlob(BLOB, encodeTopology(genesis));
    this.#genesis = genesis;
    this.#noteJoined();
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
      if (!error.retryable) throw error;
      logger.info({ nodeId: config.nodeId }, `the cluster cannot be made yet: ${error.message}`);
    }
  }

  /** A node that was down during the bootstrap finds its cluster by itself. */
  async #askOthers(): Promise<void> {
    const { config, environment } = this.#options;
    for (const node of config.nodes) {
      if (node.nodeId === config.nodeId) continue;
      const card = await identify(environment, node).catch(() => undefined);
      if (card?.genesis !== undefined) {
        await this.join(card.genesis);
        return;
      }
    }
  }
}
