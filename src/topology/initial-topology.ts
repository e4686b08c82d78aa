/** The document that a cluster starts from. */
import { allocateReplicas } from '../placement/allocator.js';
import { RingStrategy } from '../placement/ring-strategy.js';
import { assert } from '../shared/assert.js';
import { FlotillaError, limitExceeded } from '../shared/errors.js';
import { LIMITS, type LimitName } from '../shared/limits.js';
import {
  type ClusterSettings,
  documentFault,
  type NodeEntry,
  type ShardEntry,
  type TopologyDocument,
  type TopologyReplicaEntry,
} from './document.js';

/** Voters of the topology group: five survive two failures, more would only slow its writes. */
export const TOPOLOGY_VOTERS_MAX = 5;

/** What a bootstrap has collected. */
export interface TopologySeed {
  readonly clusterId: string;
  readonly settings: ClusterSettings;
  /** All nodes of the cluster; their order does not matter. */
  readonly nodes: readonly NodeEntry[];
}

/**
 * Document 1. Equal seeds give equal documents, so that every node that bootstraps, or does so
 * again, writes the same bytes.
 *
 * Shards are numbered from 0, their groups from 1; replicas of a group from 1, in the order of the
 * allocation. The topology group votes on the nodes with the lowest ids.
 *
 * Throws LIMIT_EXCEEDED or INVALID_REQUEST, naming the field, for a seed that makes no cluster.
 */
export function initialTopology(seed: TopologySeed): TopologyDocument {
  checkSeed(seed);
  const { clusterId, settings } = seed;
  const nodes = [...seed.nodes].sort((a, b) => a.nodeId - b.nodeId);
  const shardIds = Array.from({ length: settings.shards }, (_, shardId) => shardId);
  const ring = new RingStrategy({ virtualNodes: settings.virtualNodes });
  const document: TopologyDocument = {
    epoch: 1,
    clusterId,
    settings,
    nodes,
    shards: shardsOn(nodes, shardIds, settings.replicationFactor),
    topologyReplicas: topologyReplicasOn(nodes),
    topologyGroup: { nextReplicaId: nodes.length + 1, resets: [] },
    slotTable: ring.place(shardIds).shardIds,
    collections: [],
    nextCollectionId: 1,
  };
  const fault = documentFault(document);
  assert(fault === undefined, () => `the first topology is not sound: ${fault}`);
  return document;
}

function shardsOn(
  nodes: readonly NodeEntry[],
  shardIds: readonly number[],
  replicationFactor: number,
): ShardEntry[] {
  const nodeIds = nodes.map((node) => node.nodeId);
  return allocateReplicas({ shardIds, replicationFactor, nodeIds }).map((allocation) => ({
    shardId: allocation.shardId,
    groupId: allocation.shardId + 1,
    ownershipVersion: 1,
    replicas: allocation.nodeIds.map((nodeId, at) => ({ replicaId: at + 1, nodeId })),
    nextReplicaId: allocation.nodeIds.length + 1,
    resets: [],
  }));
}

function topologyReplicasOn(nodes: readonly NodeEntry[]): TopologyReplicaEntry[] {
  return nodes.map(({ nodeId }, at) => ({
    replicaId: at + 1,
    nodeId,
    learner: at >= TOPOLOGY_VOTERS_MAX,
  }));
}

function checkSeed({ clusterId, settings, nodes }: TopologySeed): void {
  if (clusterId === '') refuse('clusterId', 'The cluster id is empty');
  checkCount('nodes', nodes.length, 'nodesMax');
  checkCount('settings.shards', settings.shards, 'shardsMax');
  checkCount('settings.replicationFactor', settings.replicationFactor, 'replicationFactorMax');
  checkPositive('settings.virtualNodes', settings.virtualNodes);
  checkPositive('settings.electionTimeoutMs', settings.electionTimeoutMs);
  for (const { nodeId } of nodes) checkPositive('nodes', nodeId);
  if (new Set(nodes.map((node) => node.nodeId)).size !== nodes.length) {
    refuse('nodes', 'Two nodes have the same id');
  }
  if (new Set(nodes.map((node) => node.storeId)).size !== nodes.length) {
    refuse('nodes', 'Two nodes have the same data directory');
  }
}

function checkCount(field: string, value: number, limit: LimitName): void {
  checkPositive(field, value);
  if (value > LIMITS[limit].value) throw limitExceeded(limit, field, value);
}

function checkPositive(field: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 1) return;
  refuse(field, `${field} is ${value}, it must be a whole number of at least 1`);
}

function refuse(field: string, message: string): never {
  throw new FlotillaError('INVALID_REQUEST', message, { field });
}
