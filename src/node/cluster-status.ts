/** The state of the cluster as this node can see it, asked for over the links to the others. */
import type { IndexLibraryStats } from '../engine/engine.js';
import type { ReplicaStatus, ShardReplica } from '../replica/replica.js';
import type {
  ClusterStatus,
  NodeStatus,
  ReplicaStatus as PublicReplicaStatus,
  ShardStatus,
} from '../shared/codec/admin-messages.js';
import type { ReplicaChangeStatus } from '../shared/codec/replica-messages.js';
import { divergentNodes, shardContentHash } from '../shared/content-hash.js';
import { toFlotillaError } from '../shared/errors.js';
import {
  TOPOLOGY_GROUP_ID,
  type TopologyDocument,
  type TopologyReplicaEntry,
} from '../topology/document.js';
import type { GroupState } from '../topology/group-control.js';
import { type ReplicaGroup, replicaGroups, replicaOn } from '../topology/replica-group.js';
import { changeStatus } from './change-status.js';
import { engineStateOf } from './engine-state.js';

export interface ClusterStatusOptions {
  readonly document: TopologyDocument;
  readonly nodeId: number;
  /** Nodes with an open link; this node counts as reachable. */
  readonly connected: ReadonlySet<number>;
  readonly replicaOf: (group: GroupAddress, nodeId: number) => ShardReplica;
  /** A group as its leader sees it; asked for where a change is under way. */
  readonly stateOf: (groupId: number) => Promise<GroupState>;
  readonly timeoutMs: number;
}

export interface GroupAddress {
  readonly shardId: number;
  readonly groupId: number;
}

const STATES = {
  StateLeader: 'leader',
  StateFollower: 'follower',
  StateCandidate: 'candidate',
  StatePreCandidate: 'pre-candidate',
} as const;

const NO_CONTENT = { contentHash: '', contentIndex: 0 };

/** Asks all replicas at once; one that does not answer in time is listed as unreachable. */
export async function clusterStatus(options: ClusterStatusOptions): Promise<ClusterStatus> {
  const { document, nodeId, connected } = options;
  const groups = replicaGroups(document);
  const slotsOf = (group: ReplicaGroup): number =>
    group.groupId === TOPOLOGY_GROUP_ID
      ? 0
      : document.slotTable.filter((owner) => owner === group.shardId).length;
  const answered = await Promise.all(groups.map((group) => askGroup(options, group)));
  const [topology, ...shards] = answered.map((answer) =>
    groupStatus(answer, slotsOf(answer.group)),
  );
  const libraries = librariesOf(answered);
  const nodes = document.nodes.map(
    (node): NodeStatus => ({
      nodeId: node.nodeId,
      peerAddress: node.peerAddress,
      clientAddress: node.clientAddress,
      httpAddress: node.httpAddress,
      reachable: node.nodeId === nodeId || connected.has(node.nodeId),
      instructionSet: libraries.get(node.nodeId)?.instructionSet ?? '',
      distancesPerSecond: libraries.get(node.nodeId)?.distancesPerSecond ?? 0,
      zone: node.zone ?? '',
    }),
  );
  return {
    clusterId: document.clusterId,
    epoch: document.epoch,
    answeredBy: nodeId,
    nodes,
    shards,
    topology: topology as ShardStatus,
    healthy: [topology as ShardStatus, ...shards].every(isHealthy),
  };
}

function isHealthy(group: ShardStatus): boolean {
  return (
    group.leaderNodeId !== 0 &&
    (group.change === undefined || isHarmless(group.change)) &&
    group.replicas.every((replica) => replica.state !== 'unreachable' && replica.fault === '') &&
    divergentNodes(group.replicas).length === 0
  );
}

/** A replica that is replaced on its node is missing until the new one votes. */
function isHarmless(change: ReplicaChangeStatus): boolean {
  return change.problem === '' && change.addNodeId !== change.removeNodeId;
}

/** What the replicas of a group have answered; a status is missing where none came in time. */
interface GroupAnswer {
  readonly group: ReplicaGroup;
  readonly answers: readonly {
    readonly entry: TopologyReplicaEntry;
    readonly status: ReplicaStatus | undefined;
  }[];
  readonly change: ReplicaChangeStatus | undefined;
}

async function askGroup(options: ClusterStatusOptions, group: ReplicaGroup): Promise<GroupAnswer> {
  const [answers, change] = await Promise.all([
    Promise.all(
      shownReplicas(group).map(async (entry) => ({
        entry,
        status: await ask(options, group, entry),
      })),
    ),
    changeOf(options, group),
  ]);
  return { group, answers, change };
}

/** By node; all replicas of a node use the same library, and that of the topology tells it too. */
function librariesOf(groups: readonly GroupAnswer[]): Map<number, IndexLibraryStats> {
  const statuses = groups.flatMap(({ answers }) => answers.map(({ status }) => status));
  return new Map(
    statuses.flatMap((status) => {
      const library = status?.engine?.library;
      return status === undefined || library === undefined ? [] : [[status.nodeId, library]];
    }),
  );
}

function groupStatus({ group, answers, change }: GroupAnswer, slots: number): ShardStatus {
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
    slots,
    recordCount: records ?? 0,
    replicas: answers
      .map(({ entry, status }) => ({
        ...publicStatus(entry, status, leader),
        ...(group.groupId !== TOPOLOGY_GROUP_ID && heldBy(status)),
      }))
      .sort((a, b) => a.nodeId - b.nodeId),
    ...(change !== undefined && { change }),
  };
}

/** Those of the document, and the one that is being added: it takes the place of its node's. */
function shownReplicas(group: ReplicaGroup): TopologyReplicaEntry[] {
  const added = group.change?.add;
  const there = group.replicas.map((replica) => {
    const wanted = replicaOn(group, replica.nodeId);
    return wanted?.replicaId === added?.replicaId && added !== undefined
      ? { ...added, learner: true }
      : replica;
  });
  const isShown = there.some(({ nodeId }) => nodeId === added?.nodeId);
  return added === undefined || isShown ? there : [...there, { ...added, learner: true }];
}

async function changeOf(
  { stateOf }: ClusterStatusOptions,
  group: ReplicaGroup,
): Promise<ReplicaChangeStatus | undefined> {
  const { change, groupId } = group;
  if (change === undefined) return undefined;
  return changeStatus(group, change, await stateOf(groupId).catch(toFlotillaError));
}

async function ask(
  options: ClusterStatusOptions,
  group: ReplicaGroup,
  entry: TopologyReplicaEntry,
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
  entry: TopologyReplicaEntry,
  status: ReplicaStatus | undefined,
  leader: ReplicaStatus | undefined,
): PublicReplicaStatus {
  const { nodeId, replicaId } = entry;
  if (status === undefined) {
    const none = { term: 0, commitIndex: 0, appliedIndex: 0, lastIndex: 0, lagEntries: 0 };
    return { nodeId, replicaId, state: 'unreachable', ...none, fault: '', ...NO_CONTENT };
  }
  const isLearner = entry.learner && status.role === 'StateFollower';
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
    fault: strangerFault(entry, status) ?? status.fault ?? '',
    ...NO_CONTENT,
  };
}

/** The hash and the index that it is of come from one moment of the engine. */
function heldBy(
  status: ReplicaStatus | undefined,
): Partial<Pick<PublicReplicaStatus, 'contentHash' | 'contentIndex' | 'engine'>> {
  const stats = status?.engine;
  if (stats === undefined) return {};
  const contentHash = shardContentHash(stats.collections);
  return {
    engine: engineStateOf(stats),
    ...(contentHash !== undefined && { contentHash, contentIndex: stats.appliedIndex }),
  };
}

/** A node may run another replica than the group has there: one that takes part in nothing. */
function strangerFault(
  { replicaId }: TopologyReplicaEntry,
  status: ReplicaStatus,
): string | undefined {
  if (status.replicaId === replicaId) return undefined;
  const own = status.fault === undefined ? '' : ` (${status.fault})`;
  return status.replicaId === 0
    ? `the node does not hold replica ${replicaId}${own}`
    : `the node holds replica ${status.replicaId}, not replica ${replicaId}${own}`;
}
