/**
 * The cluster's one versioned document.
 *
 * It is the state of the topology's own Raft group. Every change adds one to `epoch`; the pure
 * transitions between its versions are in transitions.ts, its bytes in codec.ts.
 */
import { collectionSettingsFault } from '../shared/collection-settings.js';
import { LIMITS } from '../shared/limits.js';
import { DEFAULT_PLACEMENT_ID } from '../shared/ownership.js';
import type { CollectionConfig, ErrorBody } from '../shared/types.js';
import {
  NO_PLACEMENTS,
  type Placements,
  placementsFault,
  type TenantAction,
} from './placements.js';

export interface NodeEntry {
  readonly nodeId: number;
  readonly storeId: string;
  /** host:port, as other nodes reach them. */
  readonly peerAddress: string;
  readonly clientAddress: string;
  readonly httpAddress: string;
  /**
   * Nodes of one zone fail together: a rack, a data centre. Nodes that name none are a zone
   * together. As the node was configured when it started last.
   */
  readonly zone?: string;
}

export interface ReplicaEntry {
  readonly replicaId: number;
  readonly nodeId: number;
}

/** The Raft group of the topology itself; those of shards count from 1. */
export const TOPOLOGY_GROUP_ID = 0;

/** In the order of a change; `cancelling` may follow the first two, and ends one. */
export const CHANGE_STAGES = ['adding', 'catching-up', 'switching', 'cancelling'] as const;
export type ChangeStage = (typeof CHANGE_STAGES)[number];

/**
 * A change of a group's replicas on its way; replica-driver.ts says what each stage does. With both
 * parts the new replica takes the place of the old one, on the same node or on another. Without
 * `add` it begins with `switching`. The two ids name the change for ever, for none is used again;
 * one that can be given up brings a replica, whose id is enough to name it.
 *
 * Or nobody comes or goes, and a replica of the topology begins to vote, or votes no more.
 */
export interface ReplicaChange {
  readonly add?: ReplicaEntry;
  /** Id of the replica that goes. It stays in `replicas` until the change is over. */
  readonly remove?: number;
  /** Id of a learner that is to vote. */
  readonly promote?: number;
  /** Id of a voter that is to be a learner. */
  readonly demote?: number;
  readonly stage: ChangeStage;
}

/** How the replicas of a group come and go. */
export interface GroupMembership {
  /** Grows with each replica that is added: no id is ever given out again (M8). */
  readonly nextReplicaId: number;
  readonly change?: ReplicaChange;
  /** Replicas to be replaced on their node as soon as the change under way is over. */
  readonly resets: readonly number[];
}

export interface ShardEntry extends GroupMembership {
  readonly shardId: number;
  /** The shard's Raft group. */
  readonly groupId: number;
  /** Grows whenever what the shard owns changes, under any placement. */
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
  /** @default the default placement */
  readonly placementId?: number;
}

/** Chosen at bootstrap; a node that is configured otherwise refuses to start. */
export interface ClusterSettings {
  readonly shards: number;
  readonly replicationFactor: number;
  readonly virtualNodes: number;
  /** Minimum election timeout; all other times derive from it. */
  readonly electionTimeoutMs: number;
  /** Whether leaders may serve reads that say `leased` without a round to a quorum (R6). */
  readonly leases: boolean;
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
  readonly topologyGroup: GroupMembership;
  /** Shard of each slot; its length is the number of slots. */
  readonly slotTable: readonly number[];
  readonly collections: readonly CollectionEntry[];
  readonly nextCollectionId: number;
  /** Absent until a collection names another placement than the default one. */
  readonly placements?: Placements;
}

export type TopologyCommand =
  | { readonly kind: 'beginCreateCollection'; readonly config: CollectionConfig }
  | { readonly kind: 'finishCreateCollection'; readonly collectionId: number }
  | { readonly kind: 'beginDropCollection'; readonly collectionId: number }
  | { readonly kind: 'finishDropCollection'; readonly collectionId: number }
  /** Without a zone the node names none any more. */
  | { readonly kind: 'setNodeZone'; readonly nodeId: number; readonly zone?: string }
  | TenantCommand
  | ReplicaCommand;

/** What placement-transitions.ts applies. */
export type TenantCommand =
  | {
      readonly kind: 'beginTenantChange';
      readonly action: TenantAction;
      readonly by: string;
      readonly atMs: number;
    }
  /** No shard holds what it would lose; or one has refused, for this reason. */
  | {
      readonly kind: 'decideTenantChange';
      readonly changeId: number;
      readonly refused?: ErrorBody;
    }
  /** All shards have been told. */
  | { readonly kind: 'finishTenantChange'; readonly changeId: number };

/** What replica-transitions.ts applies. */
export type ReplicaCommand =
  | { readonly kind: 'addReplica'; readonly groupId: number; readonly nodeId: number }
  | { readonly kind: 'removeReplica'; readonly groupId: number; readonly replicaId: number }
  /** A new replica takes the place of one whose data are lost or damaged, on the same node. */
  | { readonly kind: 'resetReplica'; readonly groupId: number; readonly replicaId: number }
  /** Who votes in the topology, where more nodes than may vote have a replica of it. */
  | {
      readonly kind: 'promoteReplica' | 'demoteReplica';
      readonly groupId: number;
      readonly replicaId: number;
    }
  | {
      readonly kind: 'cancelReplicaChange';
      readonly groupId: number;
      /** See `changeIdOf`. Entries of an earlier version have none: they mean any change. */
      readonly changeId?: number;
    }
  /** The stage of `change` is done. Without effect where the group's change is another by now. */
  | {
      readonly kind: 'advanceReplicaChange';
      readonly groupId: number;
      readonly change: ReplicaChange;
    }
  /** The node has a new data directory: all of its replicas are to be replaced. */
  | { readonly kind: 'readmitNode'; readonly nodeId: number; readonly storeId: string };

/**
 * What is wrong with a document, as one sentence; undefined for a sound one. Field types are the
 * codec's business; this looks at how the parts fit together. Linear in the document.
 */
export function documentFault(document: TopologyDocument): string | undefined {
  return nodesFault(document) ?? shardsFault(document) ?? collectionsFault(document);
}

function nodesFault(document: TopologyDocument): string | undefined {
  const { nodes, topologyReplicas, topologyGroup } = document;
  if (nodes.length === 0) return 'there is no node';
  if (hasDuplicates(nodes.map((node) => node.nodeId))) return 'two nodes have one id';
  if (hasDuplicates(nodes.map((node) => node.storeId))) return 'two nodes have one store';
  if (topologyReplicas.length !== nodes.length || !topologyReplicas.some((one) => !one.learner)) {
    return 'the topology group is not on every node, or has no voter';
  }
  const group = { ...topologyGroup, replicas: topologyReplicas };
  return (
    replicasFault('the topology', topologyReplicas, nodes) ??
    membershipFault('the topology', group, nodes)
  );
}

function shardsFault({ shards, nodes, slotTable }: TopologyDocument): string | undefined {
  if (hasDuplicates(shards.map((shard) => shard.shardId))) return 'two shards have one id';
  if (hasDuplicates([0, ...shards.map((shard) => shard.groupId)])) return 'two groups have one id';
  for (const shard of shards) {
    const name = `shard ${shard.shardId}`;
    const fault = replicasFault(name, shard.replicas, nodes) ?? membershipFault(name, shard, nodes);
    if (fault !== undefined) return fault;
  }
  if (slotTable.length !== LIMITS.slots.value) return `the table has ${slotTable.length} slots`;
  const known = new Set(shards.map((shard) => shard.shardId));
  const lost = slotTable.findIndex((shardId) => !known.has(shardId));
  return lost === -1 ? undefined : `slot ${lost} belongs to a shard that does not exist`;
}

function collectionsFault(document: TopologyDocument): string | undefined {
  const { collections, nextCollectionId, shards, placements = NO_PLACEMENTS } = document;
  const ids = collections.map((collection) => collection.collectionId);
  if (hasDuplicates(ids)) return 'two collections have one id';
  if (ids.some((id) => id >= nextCollectionId)) return 'a collection id would be given out again';
  if (hasDuplicates(collections.map((collection) => collection.config.name))) {
    return 'two collections have one name';
  }
  const known = new Set(placements.entries.map(({ placementId }) => placementId));
  for (const { collectionId, config, placementId = DEFAULT_PLACEMENT_ID } of collections) {
    const fault = collectionSettingsFault(config);
    if (fault !== undefined) return `collection ${collectionId}: ${fault.message}`;
    if (placementId !== DEFAULT_PLACEMENT_ID && !known.has(placementId)) {
      return `collection ${collectionId} is on a placement that does not exist`;
    }
  }
  return placementsFault(
    placements,
    shards.map(({ shardId }) => shardId),
  );
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

function membershipFault(
  group: string,
  membership: GroupMembership & {
    readonly replicas: readonly (ReplicaEntry & { readonly learner?: boolean })[];
  },
  nodes: readonly NodeEntry[],
): string | undefined {
  const { replicas, nextReplicaId, change, resets } = membership;
  const ids = [...replicas, ...(change?.add === undefined ? [] : [change.add])].map(
    ({ replicaId }) => replicaId,
  );
  if ([...ids, ...resets].some((replicaId) => replicaId >= nextReplicaId)) {
    return `a replica id of ${group} would be given out again`;
  }
  if (hasDuplicates(ids)) return `two replicas of ${group} have one id`;
  if (hasDuplicates(resets)) return `a replica of ${group} waits twice for its reset`;
  return change && changeFault(group, change, replicas, nodes);
}

function changeFault(
  group: string,
  change: ReplicaChange,
  replicas: readonly (ReplicaEntry & { readonly learner?: boolean })[],
  nodes: readonly NodeEntry[],
): string | undefined {
  const { add, remove, promote, demote, stage } = change;
  if (promote !== undefined || demote !== undefined) return voteFault(group, change, replicas);
  if (add === undefined && remove === undefined) return `a change of ${group} changes nothing`;
  if (add === undefined && stage !== 'switching') return `a change of ${group} is ${stage} nobody`;
  if (remove !== undefined && !replicas.some(({ replicaId }) => replicaId === remove)) {
    return `a change of ${group} removes a replica that does not exist`;
  }
  if (add === undefined) return undefined;
  if (!nodes.some(({ nodeId }) => nodeId === add.nodeId)) {
    return `a change of ${group} is for a node that does not exist`;
  }
  const there = replicas.find(({ nodeId }) => nodeId === add.nodeId);
  return there === undefined || there.replicaId === remove
    ? undefined
    : `a change of ${group} would put two replicas on one node`;
}

function voteFault(
  group: string,
  { add, remove, promote, demote, stage }: ReplicaChange,
  replicas: readonly (ReplicaEntry & { readonly learner?: boolean })[],
): string | undefined {
  const isMore = add !== undefined || remove !== undefined;
  const isBoth = promote !== undefined && demote !== undefined;
  const isStage = stage === 'switching' || stage === 'cancelling';
  if (!isStage || isMore || isBoth) {
    return `a change of ${group} is about a vote and something else`;
  }
  const isThere = replicas.some(
    ({ replicaId, learner = false }) => replicaId === (learner ? promote : demote),
  );
  return isThere ? undefined : `a change of ${group} is about the vote of nobody`;
}

function hasDuplicates(values: readonly (number | string)[]): boolean {
  return new Set(values).size !== values.length;
}
