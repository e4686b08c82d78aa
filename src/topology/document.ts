/**
 * The cluster's one versioned document, and the pure transitions between its versions.
 *
 * It is the state of the topology's own Raft group. Every change adds one to `epoch`.
 */
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
  readonly replicas: readonly ReplicaEntry[];
}

/** A collection is usable while `active`; the other states are driven to their end by the leader. */
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

export interface TopologyDocument {
  readonly epoch: number;
  readonly clusterId: string;
  readonly settings: ClusterSettings;
  readonly nodes: readonly NodeEntry[];
  readonly shards: readonly ShardEntry[];
  /** Replicas of the topology group: voters on up to five nodes, learners on all others. */
  readonly topologyReplicas: readonly (ReplicaEntry & { readonly learner: boolean })[];
  /** Shard of each slot; its length is the number of slots. */
  readonly slotTable: readonly number[];
  readonly collections: readonly CollectionEntry[];
  readonly nextCollectionId: number;
}

export type TopologyCommand =
  | { readonly kind: 'beginCreateCollection'; readonly config: CollectionConfig }
  | { readonly kind: 'finishCreateCollection'; readonly collectionId: number }
  | { readonly kind: 'beginDropCollection'; readonly name: string }
  | { readonly kind: 'finishDropCollection'; readonly collectionId: number };
