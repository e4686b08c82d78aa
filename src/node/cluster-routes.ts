/** Where clients should go, as this node knows it from its topology and its replicas. */
import type { CollectionRoutes, Routes, RoutesRequest } from '../shared/codec/routes-messages.js';
import type { CollectionEntry, TopologyDocument } from '../topology/document.js';
import { routeOf } from '../topology/routes.js';

export interface ClusterRoutesOptions {
  readonly document: TopologyDocument;
  readonly nodeId: number;
  readonly leaderOf: (shardId: number) => number | undefined;
}

export function clusterRoutes(
  { document, nodeId, leaderOf }: ClusterRoutesOptions,
  request: RoutesRequest,
): Routes {
  const entry = document.collections.find(({ config }) => config.name === request.collection);
  return {
    clusterId: document.clusterId,
    epoch: document.epoch,
    answeredBy: nodeId,
    nodes: document.nodes.map(({ nodeId: id, clientAddress, zone }) => ({
      nodeId: id,
      clientAddress,
      ...(zone !== undefined && { zone }),
    })),
    shards: document.shards.map(({ shardId, replicas }) => ({
      shardId,
      leaderNodeId: leaderOf(shardId) ?? 0,
      // One that is being replaced on its node is there twice.
      replicaNodeIds: [...new Set(replicas.map((one) => one.nodeId))],
    })),
    ...(entry !== undefined && { collection: routesOf(document, entry, request.tenant) }),
  };
}

function routesOf(
  document: TopologyDocument,
  { placementId, config }: CollectionEntry,
  tenant: string,
): CollectionRoutes {
  const { routing: routedBy = 'id' } = config;
  if (routedBy === 'tenant') {
    const route = routeOf(document, placementId);
    const tenantShardId = route?.shardOf({ slot: route.unitOf(tenant), tenant });
    return { routedBy, slotTable: [], tenantShardId };
  }
  if (placementId === undefined) return { routedBy, slotTable: document.slotTable };
  const { entries = [] } = document.placements ?? {};
  const state = entries.find((one) => one.placementId === placementId)?.state;
  return { routedBy, slotTable: state?.kind === 'slots' ? state.table : [] };
}
