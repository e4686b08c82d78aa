/**
 * Making a cluster of nodes that have none: collect the store ids of all, lay out one first
 * document, hand it to each.
 *
 * Safe to repeat and to run from several places at once: the node with the lowest id takes the
 * document first and decides, everyone else gets what that node has. A node that already belongs
 * to a cluster keeps it, and a data directory that the cluster does not know is refused.
 */
import { type Environment, sleep } from '../shared/environment.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { ClusterSettings, TopologyDocument } from '../topology/document.js';
import { initialTopology } from '../topology/initial-topology.js';
import { controlRequest } from '../transport/control.js';
import {
  type ControlRequest,
  decodeControlAnswer,
  encodeControlRequest,
  type NodeCard,
} from './control.js';
import { type NodeAddress, SETTINGS } from './settings.js';

export interface BootstrapOptions {
  readonly environment: Environment;
  readonly logger: Logger;
  /** All nodes of the cluster to be. */
  readonly nodes: readonly NodeAddress[];
  readonly settings: ClusterSettings;
  /** How long to wait for nodes that do not answer yet. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

const REQUEST_TIMEOUT_MS = 2_000;
const RETRY_DELAY_MS = 250;

/**
 * Resolves with the cluster's first document once every node has it durably. Rejects with
 * NODE_NOT_READY when a node does not answer in time, WRONG_CLUSTER, WRONG_STORE or
 * SETTINGS_MISMATCH when the nodes do not fit together.
 */
export async function bootstrapCluster(options: BootstrapOptions): Promise<TopologyDocument> {
  const { environment, settings } = options;
  const nodes = [...options.nodes].sort((a, b) => a.nodeId - b.nodeId);
  const endMs = environment.clock.monotonicMs() + options.timeoutMs;
  const cards: NodeCard[] = [];
  for (const node of nodes) cards.push(await ask(options, node, { kind: 'identify' }, endMs));

  for (const card of cards) assertConfiguredAlike(card, options);
  const known = commonGenesis(cards);
  let genesis =
    known ??
    initialTopology({
      clusterId: environment.random.uuid(),
      settings,
      nodes: cards.map((card) => card.node),
    });
  assertSameSettings(genesis.settings, settings);
  assertKnownStores(genesis, cards);
  for (const [at, node] of nodes.entries()) {
    const card = await ask(options, node, { kind: 'join', genesis }, endMs);
    // The first node may have been given another document a moment ago: that one counts.
    if (at === 0 && card.genesis !== undefined) genesis = card.genesis;
    commonGenesis([card, { node: card.node, genesis }]);
  }
  return genesis;
}

/** Asks one node, once, who it is. */
export function identify(environment: Environment, node: NodeAddress): Promise<NodeCard> {
  return once(environment, node, { kind: 'identify' });
}

/** Throws SETTINGS_MISMATCH, naming the setting and both values. */
export function assertSameSettings(cluster: ClusterSettings, configured: ClusterSettings): void {
  for (const name of settingNames(cluster)) {
    if (cluster[name] === configured[name]) continue;
    throw new FlotillaError(
      'SETTINGS_MISMATCH',
      `The cluster was made with cluster.${name} = ${cluster[name]}, ` +
        `this node is configured with ${configured[name]}`,
      { field: `cluster.${name}` },
    );
  }
}

/**
 * Throws SETTINGS_MISMATCH, naming the setting and both values, where a node that has no cluster
 * yet is configured otherwise than this one: one of them is wrong, and both should say so (M-41).
 * A node that has a cluster goes by that.
 */
export function assertConfiguredAlike(
  { node, genesis, settings, nodes }: NodeCard,
  configured: Pick<BootstrapOptions, 'settings' | 'nodes'>,
): void {
  if (genesis !== undefined || settings === undefined) return;
  const refuse = (name: string, there: unknown, here: unknown): never => {
    throw new FlotillaError(
      'SETTINGS_MISMATCH',
      `Node ${node.nodeId} at ${node.peerAddress} is configured with cluster.${name} = ` +
        `${there}, this node with ${here}: it has to be the same on all nodes`,
      { field: `cluster.${name}` },
    );
  };
  for (const name of settingNames(configured.settings)) {
    const [there, here] = [settings[name], configured.settings[name]];
    if (there !== undefined && there !== here) refuse(name, there, here);
  }
  // Who they are; where they are reached may look different from place to place.
  if (nodes === undefined || idsOf(nodes) === idsOf(configured.nodes)) return;
  const { format } = SETTINGS['cluster.nodes'].kind;
  refuse('nodes', format(nodes), format(configured.nodes));
}

function idsOf(nodes: readonly NodeAddress[]): string {
  const ids = nodes.map(({ nodeId }) => nodeId);
  return ids.sort((a, b) => a - b).join();
}

function settingNames(settings: ClusterSettings): (keyof ClusterSettings)[] {
  return Object.keys(settings) as (keyof ClusterSettings)[];
}

/** Throws WRONG_STORE when the cluster knows a node by another data directory. */
export function assertKnownStores(genesis: TopologyDocument, cards: readonly NodeCard[]): void {
  for (const { node } of cards) {
    const entry = genesis.nodes.find(({ nodeId }) => nodeId === node.nodeId);
    if (entry?.storeId === node.storeId) continue;
    throw new FlotillaError(
      'WRONG_STORE',
      entry === undefined
        ? `Node ${node.nodeId} is not part of cluster ${genesis.clusterId}`
        : `The data directory of node ${node.nodeId} is new (store ${node.storeId}), but cluster ` +
            `${genesis.clusterId} knows the node by store ${entry.storeId}. Bring the old ` +
            `directory back; if it is lost, run: flotilla node readmit --node ${node.nodeId}`,
    );
  }
}

/** The cluster that some of the nodes belong to already; all of them must agree on it. */
export function commonGenesis(cards: readonly NodeCard[]): TopologyDocument | undefined {
  let found: TopologyDocument | undefined;
  for (const { node, genesis } of cards) {
    if (genesis === undefined) continue;
    if (found !== undefined && found.clusterId !== genesis.clusterId) {
      throw new FlotillaError(
        'WRONG_CLUSTER',
        `Node ${node.nodeId} belongs to cluster ${genesis.clusterId}, others to ${found.clusterId}`,
      );
    }
    found = genesis;
  }
  return found;
}

async function ask(
  options: BootstrapOptions,
  node: NodeAddress,
  request: ControlRequest,
  endMs: number,
): Promise<NodeCard> {
  const { environment, logger, signal } = options;
  for (;;) {
    try {
      const card = await once(environment, node, request);
      if (card.node.nodeId === node.nodeId) return card;
      throw new FlotillaError(
        'INVALID_REQUEST',
        `${node.peerAddress} is node ${card.node.nodeId}, not node ${node.nodeId}`,
        { field: 'cluster.nodes' },
      );
    } catch (thrown) {
      const error = toFlotillaError(thrown);
      if (!error.retryable) throw error;
      if (environment.clock.monotonicMs() >= endMs || signal?.aborted === true) {
        throw new FlotillaError(
          'NODE_NOT_READY',
          `Node ${node.nodeId} at ${node.peerAddress} does not answer: ${error.message}`,
          { cause: error },
        );
      }
      logger.debug({ nodeId: node.nodeId, error: error.message }, 'waiting for a node');
      await sleep(environment.scheduler, RETRY_DELAY_MS, signal);
    }
  }
}

async function once(
  environment: Environment,
  node: NodeAddress,
  request: ControlRequest,
): Promise<NodeCard> {
  const payload = encodeControlRequest(request);
  return decodeControlAnswer(
    await controlRequest(environment, node.peerAddress, payload, REQUEST_TIMEOUT_MS),
  );
}
