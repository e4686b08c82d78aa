/**
 * The cluster's one versioned document.
 *
 * It is the state of the topology's own Raft group. Every change adds one to `epoch`; the pure
 * transitions between its versions are in transitions.ts, its bytes in codec.ts.
 */
import { LIMITS } from '../shared/limits.js';
import type { CollectionConfig } from '../shared/types.js';

export interface NodeEntry {
  readonly nodeId: number;
  readonly storeId: string;
  /** host:port, as other nodes reach them. */
  readonly peerAddress: string;
  readonly clientAddress: string;
  readonly httpAddress: string;
}

export interface ReplicaEntry {
  readonly replicaId: number;
  readonly nodeId: number;
}

export interface ShardEntry {
  readonly shardId: number;
  /** The shard's Raft group. The topology's own group is 0. */
  readonly groupId: number;
  /** Grows whenever the set of slots that the shard owns changes. */
  readonly ownershipVersion: number;
  /** The first one is where the shard's leader is preferred. */
  readonly replicas: readonly ReplicaEntry[];
}

/** Usable while `active`; the other states are driven to their end by the topology's leader. */
export interface CollectionEntry {
  /** Never reused. */
  readonly collectionId: number;
  readonly config: CollectionConfig;
  readonly state: 'creating' | 'active' | 'dropping';
}

/** Chosen at bootstrap; a node that is configured otherwise refuses to start. */
export interface ClusterSettings {
  readonly shards: number;
  readonly replicationFactor: number;
  readonly virtualNodes: number;
  /** Minimum election timeout; all other times derive from it. */
  readonly electionTimeoutMs: number;
}

/** A replica of the topology group. */
export interface TopologyReplicaEntry extends ReplicaEntry {
  readonly learner: boolean;
}

export interface TopologyDocument {
  readonly epoch: number;
  readonly clusterId: string;
  readonly settings: ClusterSettings;
  readonly nodes: readonly NodeEntry[];
  readonly shards: readonly ShardEntry[];
  /** Replicas of the topology group: voters on up to five nodes, learners on all others. */
  readonly topologyReplicas: readonly TopologyReplicaEntry[];
  /** Shard of each slot; its length is the number of slots. */
  readonly slotTable: readonly number[];
  readonly collections: readonly CollectionEntry[];
  readonly nextCollectionId: number;
}

export type TopologyCommand =
  | { readonly kind: 'beginCreateCollection'; readonly config: CollectionConfig }
  | { readonly kind: 'finishCreateCollection'; readonly collectionId: number }
  | { readonly kind: 'beginDropCollection'; readonly collectionId: number }
  | { readonly kind: 'finishDropCollection'; readonly collectionId: number };

/**
 * What is wrong with a document, as one sentence; undefined for a sound one. Field types are the
 * codec's business; this looks at how the parts fit together. Linear in the document.
 */
export function documentFault(document: TopologyDocument): string | undefined {
  return nodesFault(document) ?? shardsFault(document) ?? collectionsFault(document);
}

function nodesFault({ nodes, topologyReplicas }: TopologyDocument): string | undefined {
  if (nodes.length === 0) return 'there is no node';
  if (hasDuplicates(nodes.map((node) => node.nodeId))) return 'two nodes have one id';
  if (hasDuplicates(nodes.map((node) => node.storeId))) return 'two nodes have one store';
  if (topologyReplicas.length !== nodes.length || !topologyReplicas.some((one) => !one.learner)) {
    return 'the topology group is not on every node, or has no voter';
  }
  return replicasFault('the topology', topologyReplicas, nodes);
}

function shardsFault({ shards, nodes, slotTable }: TopologyDocument): string | undefined {
  if (hasDuplicates(shards.map((shard) => shard.shardId))) return 'two shards have one id';
  if (hasDuplicates([0, ...shards.map((shard) => shard.groupId)])) return 'two groups have one id';
  for (const shard of shards) {
    const fault = replicasFault(`shard ${shard.shardId}`, shard.replicas, nodes);
    if (fault !== undefined) return fault;
  }
  if (slotTable.length !== LIMITS.slots.value) return `the table has ${slotTable.length} slots`;
  const known = new Set(shards.map((shard) => shard.shardId));
  const lost = slotTable.findIndex((shardId) => !known.has(shardId));
  return lost === -1 ? undefined : `slot ${lost} belongs to a shard that does not exist`;
}

function collectionsFault({ collections, nextCollectionId }: TopologyDocument): string | undefined {
  const ids = collections.map((collection) => collection.collectionId);
  if (hasDuplicates(ids)) return 'two collections have one id';
  if (ids.some((id) => id >= nextCollectionId)) return 'a collection id would be given out again';
  if (hasDuplicates(collections.map((collection) => collection.config.name))) {
    return 'two collections have one name';
  }
  return undefined;
}

function replicasFault(
  group: string,
  replicas: readonly ReplicaEntry[],
  nodes: readonly NodeEntry[],
): string | undefined {
  if (replicas.length === 0) return `${group} has no replica`;
  if (hasDuplicates(replicas.map((replica) => replica.replicaId))) {
    return `two replicas of ${group} have one id`;
  }
  if (hasDuplicates(replicas.map((replica) => replica.nodeId))) {
    return `two replicas of ${group} are on one node`;
  }
  const known = new Set(nodes.map((node) => node.nodeId));
  return replicas.every((replica) => known.has(replica.nodeId))
    ? undefined
    : `a replica of ${group} is on a node that does not exist`;
}

function hasDuplicates(values: readonly (number | string)[]): boolean {
  return new Set(values).size !== values.length;
}
