/**
 * A Raft group as the topology lists it: that of a shard and that of the topology itself alike, for
 * all that deals with replicas coming and going.
 */
import {
  type GroupMembership,
  type ReplicaChange,
  type ReplicaEntry,
  TOPOLOGY_GROUP_ID,
  type TopologyDocument,
  type TopologyReplicaEntry,
} from './document.js';

export interface ReplicaGroup extends GroupMembership {
  readonly groupId: number;
  /** 0 for the topology group too. */
  readonly shardId: number;
  readonly replicas: readonly TopologyReplicaEntry[];
}

/** The topology's group, then those of the shards. Linear in the replicas of the cluster. */
export function replicaGroups(document: TopologyDocument): ReplicaGroup[] {
  const { topologyGroup, topologyReplicas, shards } = document;
  const topology = { groupId: TOPOLOGY_GROUP_ID, shardId: 0, replicas: topologyReplicas };
  return [
    { ...topologyGroup, ...topology },
    ...shards.map((shard) => ({
      ...shard,
      replicas: shard.replicas.map((replica) => ({ ...replica, learner: false })),
    })),
  ];
}

export function replicaGroup(
  document: TopologyDocument,
  groupId: number,
): ReplicaGroup | undefined {
  return replicaGroups(document).find((group) => group.groupId === groupId);
}

/** As people call it. */
export function groupName({ groupId, shardId }: Pick<ReplicaGroup, 'groupId' | 'shardId'>): string {
  return groupId === TOPOLOGY_GROUP_ID ? 'the topology' : `shard ${shardId}`;
}

/** What names a change, within its group and for ever; 0 for one that cannot be given up. */
export function changeIdOf(change: ReplicaChange | undefined): number {
  return change?.add?.replicaId ?? 0;
}

/** The replica that the topology wants on a node; one that is being added counts. */
export function replicaOn(group: ReplicaGroup, nodeId: number): ReplicaEntry | undefined {
  const { change, replicas } = group;
  const isAdded = change?.add?.nodeId === nodeId && change.stage !== 'cancelling';
  return isAdded ? change.add : replicas.find((replica) => replica.nodeId === nodeId);
}

/**
 * Whether the replica has left the group for ever. A document from before it was added says
 * nothing of it, which is not the same: documents are seen again, oldest first, at each start.
 */
export function hasLeft(group: ReplicaGroup, replicaId: number): boolean {
  const { change, replicas, nextReplicaId } = group;
  if (replicaId >= nextReplicaId || change?.add?.replicaId === replicaId) return false;
  return !replicas.some((replica) => replica.replicaId === replicaId);
}

/** Whether what a change adds shall not vote: it takes the place of a learner. */
export function addsLearner({ change, replicas }: ReplicaGroup): boolean {
  return replicas.some(({ replicaId, learner }) => learner && replicaId === change?.remove);
}

/** The document with another state of one of its groups. Its epoch is left alone. */
export function withGroup(document: TopologyDocument, group: ReplicaGroup): TopologyDocument {
  const { groupId, nextReplicaId, change, resets } = group;
  const membership: GroupMembership = {
    nextReplicaId,
    resets,
    ...(change !== undefined && { change }),
  };
  if (groupId === TOPOLOGY_GROUP_ID) {
    return { ...document, topologyReplicas: group.replicas, topologyGroup: membership };
  }
  const replicas = group.replicas.map(({ replicaId, nodeId }) => ({ replicaId, nodeId }));
  const shards = document.shards.map((shard) => {
    if (shard.groupId !== groupId) return shard;
    const { shardId, ownershipVersion } = shard;
    return { shardId, groupId, ownershipVersion, replicas, ...membership };
  });
  return { ...document, shards };
}
