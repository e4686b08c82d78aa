/** Goal: documents and configurations for the topology's tests. Method: the smallest valid ones. */
import type { CollectionConfig } from '../../../src/shared/types.js';
import type { NodeEntry, TopologyDocument } from '../../../src/topology/document.js';
import { initialTopology, type TopologySeed } from '../../../src/topology/initial-topology.js';

export function node(nodeId: number): NodeEntry {
  return {
    nodeId,
    storeId: `store-${nodeId}`,
    peerAddress: `127.0.0.1:${7701 + 10 * (nodeId - 1)}`,
    clientAddress: `127.0.0.1:${7700 + 10 * (nodeId - 1)}`,
    httpAddress: `127.0.0.1:${7702 + 10 * (nodeId - 1)}`,
  };
}

export function seed(nodes = 3, shards = 4, replicationFactor = Math.min(3, nodes)): TopologySeed {
  return {
    clusterId: 'cluster-1',
    settings: {
      shards,
      replicationFactor,
      virtualNodes: 100,
      electionTimeoutMs: 1_000,
      leases: false,
    },
    nodes: Array.from({ length: nodes }, (_, at) => node(at + 1)),
  };
}

export const genesis = (): TopologyDocument => initialTopology(seed());

export function config(name: string, more: Partial<CollectionConfig> = {}): CollectionConfig {
  return {
    name,
    dimension: 8,
    metric: 'cosine',
    m: 16,
    efConstruction: 200,
    indexedFields: [],
    ...more,
  };
}
