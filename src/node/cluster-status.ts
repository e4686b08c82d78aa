/** The state of the cluster as this node can see it, asked for over the links to the others. */
import type { ReplicaStatus, ShardReplica } from '../replica/replica.js';
import type {
  ClusterStatus,
  NodeStatus,
  ReplicaStatus as PublicReplicaStatus,
  ShardStatus,
} from '../shared/codec/admin-messages.js';
import type { ReplicaEntry, TopologyDocument } from '../topology/document.js';
import { TOPOLOGY_GROUP_ID } from './shards.js';

export interface ClusterStatusOptions {
  readonly document: TopologyDocument;
  readonly nodeId: number;
  /** Nodes with an open link; this node counts as reachable. */
  readonly connected: ReadonlySet<number>;
  readonly replicaOf: (group: GroupAddress, nodeId: number) => ShardReplica;
  readonly timeoutMs: number;
}

export interface GroupAddress {
  readonly shardId: number;
  readonly groupId: number;
}

interface GroupEntry extends GroupAddress {
  readonly slots: number;
  readonly replicas: readonly (ReplicaEntry & { readonly learner?: boolean })[];
}

const STATES = {
  StateLeader: 'leader',
  StateFollower: 'follower',
  StateCandidate: 'candidate',
  StatePreCandidate: 'pre-candidate',
} as const;

/** Asks all replicas at once; one that does not answer in time is listed as unreachable. */
export async function clusterStatus(options: ClusterStatusOptions): Promise<ClusterStatus> {
  const { document, nodeId, connected } = options;
  const [topology, ...shards] = await Promise.all([
    groupStatus(options, {
      shardId: 0,
      groupId: TOPOLOGY_GROUP_ID,
      slots: 0,
      replicas: document.topologyReplicas,
    }),
    ...document.shards.map((shard) =>
      groupStatus(options, {
        ...shard,
        slots: document.slotTable.filter((owner) => owner === shard.shardId).length,
      }),
    ),
  ]);
  const nodes = document.nodes.map(
    (node): NodeStatus => ({
      nodeId: node.nodeId,
      peerAddress: node.peerAddress,
      clientAddress: node.clientAddress,
      httpAddress: node.httpAddress,
      reachable: node.nodeId === nodeId || connected.has(node.nodeId),
    }),
  );
  return {
    clusterId: document.clusterId,
    epoch: document.epoch,
    answeredBy: nodeId,
    nodes,
    shards,
    topology,
    healthy: [topology, ...shards].every(isHealthy),
  };
}

function isHealthy(group: ShardStatus): boolean {
  return (
    group.leaderNodeId !== 0 &&
    group.replicas.every((replica) => replica.state !== 'unreachable' && replica.fault === '')
  );
}

async function groupStatus(options: ClusterStatusOptions, group: GroupEntry): Promise<ShardStatus> {
  const answers = await Promise.all(
    group.replicas.map(async (entry) => ({ entry, status: await ask(options, group, entry) })),
  );
  const leader = answers
    .flatMap(({ status }) => (status?.role === 'StateLeader' ? [status] : []))
    .reduce<ReplicaStatus | undefined>(
      (newest, status) => (newest === undefined || status.term > newest.term ? status : newest),
      undefined,
    );
  const records = leader?.engine?.collections.reduce((sum, { records: count }) => sum + count, 0);
  return {
    shardId: group.shardId,
    leaderNodeId: leader?.nodeId ?? 0,
    term: leader?.term ?? 0,
    slots: group.slots,
    recordCount: records ?? 0,
    replicas: answers
      .map(({ entry, status }) => publicStatus(entry, status, leader))
      .sort((a, b) => a.nodeId - b.nodeId),
  };
}

async function ask(
  options: ClusterStatusOptions,
  group: GroupEntry,
  entry: ReplicaEntry,
): Promise<ReplicaStatus | undefined> {
  const { document, timeoutMs } = options;
  try {
    const replica = options.replicaOf(group, entry.nodeId);
    return await replica.status({ epoch: document.epoch, timeoutMs });
  } catch {
    return undefined;
  }
}

function publicStatus(
  entry: ReplicaEntry & { readonly learner?: boolean },
  status: ReplicaStatus | undefined,
  leader: ReplicaStatus | undefined,
): PublicReplicaStatus {
  const { nodeId, replicaId } = entry;
  if (status === undefined) {
    const none = { term: 0, commitIndex: 0, appliedIndex: 0, lastIndex: 0, lagEntries: 0 };
    return { nodeId, replicaId, state: 'unreachable', ...none, fault: '' };
  }
  const isLearner = entry.learner === true && status.role === 'StateFollower';
  const follower = leader?.followers.find((one) => one.id === replicaId);
  return {
    nodeId,
    replicaId,
    state: isLearner ? 'learner' : STATES[status.role],
    term: status.term,
    commitIndex: status.commitIndex,
    appliedIndex: status.appliedIndex,
    lastIndex: status.lastIndex,
    lagEntries: follower?.lagEntries ?? 0,
    fault: status.fault ?? '',
  };
}
