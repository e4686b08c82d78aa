/** The state of a cluster as tables, and its problems as sentences. */
import type {
  ClusterStatus,
  ReplicaChangeStatus,
  ReplicaStatus,
  ShardStatus,
} from '../../client/index.js';
import { divergentNodes } from '../../shared/content-hash.js';
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatList,
  formatPercent,
  shortHash,
} from './format.js';
import { renderTable } from './table.js';

export function renderStatus(status: ClusterStatus): string {
  return [
    `cluster ${status.clusterId}  epoch ${status.epoch}  answered by node ${status.answeredBy}\n`,
    renderHealth(status),
    renderNodes(status),
    renderShards(status),
    ...renderChanges(status),
  ].join('\n');
}

/** Where a replica neither comes to a node nor leaves it. */
const VERBS_OF_STAGE: Readonly<Record<string, readonly [string, string]>> = {
  promoting: ['votes on', ''],
  demoting: ['', 'votes no more on'],
};

/** `catching-up: replica 7 comes to node 2, ... 45.30 %, 2m 03s left (change 7)` */
export function describeChange(change: ReplicaChangeStatus): string {
  const { id, addReplicaId, addNodeId, removeReplicaId, removeNodeId, problem } = change;
  const [comes, leaves] = VERBS_OF_STAGE[change.stage] ?? ['comes to', 'leaves'];
  const who = [
    ...(addReplicaId > 0 ? [`replica ${addReplicaId} ${comes} node ${addNodeId}`] : []),
    ...(removeReplicaId > 0 ? [`replica ${removeReplicaId} ${leaves} node ${removeNodeId}`] : []),
  ];
  const progress = progressOf(change);
  const held = problem === '' ? '' : `; HELD UP: ${problem}`;
  const name = id === 0 ? '' : ` (change ${id})`;
  return `${change.stage}: ${[...who, ...progress].join(', ')}${name}${held}`;
}

function progressOf(change: ReplicaChangeStatus): string[] {
  const { stage, doneBytes, sizeBytes, bytesPerSecond, leftMs, lagEntries } = change;
  if (stage !== 'catching-up') return [];
  if (sizeBytes === 0) return [`${formatCount(lagEntries)} entries behind`];
  const share = `${formatPercent(doneBytes / sizeBytes)} of ${formatBytes(sizeBytes)}`;
  const rate = bytesPerSecond > 0 ? [`${formatBytes(bytesPerSecond)}/s`] : [];
  return [share, ...rate, ...(leftMs === undefined ? [] : [`${formatDuration(leftMs)} left`])];
}

/** What is wrong, one sentence each; empty in a healthy cluster. */
export function problemsOf(status: ClusterStatus): string[] {
  const nodes = status.nodes
    .filter((node) => !node.reachable)
    .map((node) => `node ${node.nodeId} (${node.peerAddress}) cannot be reached`);
  const shards = status.shards.flatMap((shard) => groupProblems(`shard ${shard.shardId}`, shard));
  return [...nodes, ...groupProblems('the topology', status.topology), ...shards];
}

function groupProblems(name: string, group: ShardStatus): string[] {
  const problems: string[] = [];
  if (group.leaderNodeId === 0) problems.push(`${name} has no leader`);
  const { change } = group;
  if (change !== undefined) {
    const isReset = change.addNodeId === change.removeNodeId;
    if (isReset || change.problem !== '') problems.push(`${name} is ${describeChange(change)}`);
  }
  for (const replica of group.replicas) {
    if (replica.fault !== '') {
      problems.push(`${name} on node ${replica.nodeId}: ${replica.fault}`);
    } else if (replica.state === 'unreachable') {
      problems.push(`${name} on node ${replica.nodeId} does not answer`);
    }
  }
  const divergent = divergentNodes(group.replicas);
  if (divergent.length > 0) {
    problems.push(
      `${name} holds different records on nodes ${divergent.join(', ')}: see flotilla verify`,
    );
  }
  return problems;
}

function renderHealth(status: ClusterStatus): string {
  return status.healthy ? 'healthy\n' : `DEGRADED\n${formatList(problemsOf(status))}`;
}

/** Where no node names a zone, there is no column that says so. */
function renderNodes(status: ClusterStatus): string {
  const isZoned = status.nodes.some(({ zone }) => zone !== '');
  return renderTable(
    [
      { title: 'node', align: 'right' },
      ...(isZoned ? [{ title: 'zone' }] : []),
      { title: 'reachable' },
      { title: 'client' },
      { title: 'peer' },
      { title: 'http' },
      { title: 'index' },
      { title: 'distances/s', align: 'right' },
    ],
    status.nodes.map((node) => [
      String(node.nodeId),
      ...(isZoned ? [node.zone === '' ? '-' : node.zone] : []),
      node.reachable ? 'yes' : 'NO',
      node.clientAddress,
      node.peerAddress,
      node.httpAddress,
      node.instructionSet === '' ? '-' : node.instructionSet,
      node.distancesPerSecond === 0 ? '-' : formatCount(node.distancesPerSecond),
    ]),
  );
}

function renderShards(status: ClusterStatus): string {
  const shards = status.shards.map((shard) => rowOf(String(shard.shardId), shard));
  return renderTable(
    [
      { title: 'shard', align: 'right' },
      { title: 'leader', align: 'right' },
      { title: 'term', align: 'right' },
      { title: 'commit', align: 'right' },
      { title: 'applied', align: 'right' },
      { title: 'slots', align: 'right' },
      { title: 'records', align: 'right' },
      { title: 'replicas (node state lag content)' },
    ],
    [rowOf('topology', status.topology), ...shards],
  );
}

function renderChanges(status: ClusterStatus): string[] {
  const lines = [
    { name: 'the topology', group: status.topology },
    ...status.shards.map((group) => ({ name: `shard ${group.shardId}`, group })),
  ].flatMap(({ name, group }) =>
    group.change === undefined ? [] : [`  ${name} is ${describeChange(group.change)}\n`],
  );
  return lines.length === 0 ? [] : [`replicas that change\n${lines.join('')}`];
}

/** Commit and applied are the leader's where there is one, else the highest known. */
function rowOf(name: string, group: ShardStatus): string[] {
  const leader = group.replicas.find((replica) => replica.nodeId === group.leaderNodeId);
  const highest = (read: (replica: ReplicaStatus) => number): number =>
    leader === undefined ? Math.max(0, ...group.replicas.map(read)) : read(leader);
  return [
    name,
    group.leaderNodeId === 0 ? 'NONE' : String(group.leaderNodeId),
    String(group.term),
    formatCount(highest((replica) => replica.commitIndex)),
    formatCount(highest((replica) => replica.appliedIndex)),
    String(group.slots),
    formatCount(group.recordCount),
    group.replicas.map(describeReplica).join(', '),
  ];
}

function describeReplica(replica: ReplicaStatus): string {
  const lag = replica.lagEntries > 0 ? ` -${formatCount(replica.lagEntries)}` : '';
  const content = replica.contentHash === '' ? '' : ` ${shortHash(replica.contentHash)}`;
  const fault = replica.fault === '' ? '' : ' FAULT';
  return `${replica.nodeId} ${replica.state}${lag}${content}${fault}`;
}
