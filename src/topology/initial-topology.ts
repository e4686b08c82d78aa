/** The document that a cluster starts from. */
import { allocateReplicas } from '../placement/allocator.js';
import { RingStrategy } from '../placement/ring-strategy.js';
import { checkZoneName, type ZoneOfNode, zonesOf } from '../placement/zones.js';
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
 * allocation. Replicas are spread over the zones of the nodes, and so are the voters of the
 * topology group: of a zone those with the lowest ids.
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
  const request = { shardIds, replicationFactor, nodeIds, zones: zoneNames(nodes) };
  return allocateReplicas(request).map((allocation) => ({
    shardId: allocation.shardId,
    groupId: allocation.shardId + 1,
    ownershipVersion: 1,
    replicas: allocation.nodeIds.map((nodeId, at) => ({ replicaId: at + 1, nodeId })),
    nextReplicaId: allocation.nodeIds.length + 1,
    resets: [],
  }));
}

function topologyReplicasOn(nodes: readonly NodeEntry[]): TopologyReplicaEntry[] {
  const voters = topologyVotersAmong(nodes);
  return nodes.map(({ nodeId }, at) => ({
    replicaId: at + 1,
    nodeId,
    learner: !voters.includes(nodeId),
  }));
}

/**
 * As many as may vote, or fewer where only then a majority outlives the loss of any zone: of two
 * nodes in one zone and two in zones of their own three.
 */
function topologyVotersAmong(nodes: readonly NodeEntry[]): readonly number[] {
  const nodeIds = nodes.map(({ nodeId }) => nodeId);
  const zones = zoneNames(nodes);
  const most = Math.min(LIMITS.topologyVotersMax.value, nodes.length);
  const choices = Array.from({ length: most }, (_, fewer) => {
    const request = { shardIds: [0], replicationFactor: most - fewer, nodeIds, zones };
    return allocateReplicas(request).flatMap((allocation) => allocation.nodeIds);
  });
  const layout = zonesOf(nodeIds, zones);
  const outlivesAnyZone = (voters: readonly number[]): boolean =>
    layout.every((zone) => {
      const left = voters.filter((nodeId) => !zone.includes(nodeId));
      return left.length > voters.length / 2;
    });
  return choices.find(outlivesAnyZone) ?? choices[0] ?? [];
}

function zoneNames(nodes: readonly NodeEntry[]): ZoneOfNode {
  return new Map(nodes.flatMap(({ nodeId, zone }) => (zone === undefined ? [] : [[nodeId, zone]])));
}

function checkSeed({ clusterId, settings, nodes }: TopologySeed): void {
  if (clusterId === '') refuse('clusterId', 'The cluster id is empty');
  checkCount('nodes', nodes.length, 'nodesMax');
  checkCount('settings.shards', settings.shards, 'shardsMax');
  checkCount('settings.replicationFactor', settings.replicationFactor, 'replicationFactorMax');
  checkPositive('settings.virtualNodes', settings.virtualNodes);
  checkPositive('settings.electionTimeoutMs', settings.electionTimeoutMs);
  for (const { nodeId, zone } of nodes) {
    checkPositive('nodes', nodeId);
    if (zone !== undefined) checkZoneName(zone, `zone of node ${nodeId}`);
  }
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
