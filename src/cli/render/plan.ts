/** A plan of capacity as tables, and its reasons and warnings as sentences. */
import type { CapacityAlternative } from '../../placement/capacity-alternatives.js';
import { type DiskPart, graphBuildMs, type MemoryPart } from '../../placement/capacity-costs.js';
import type { CapacityPlan } from '../../placement/capacity-plan.js';
import type { CapacityUse, ResourceUse } from '../../placement/capacity-use.js';
import type { CapacityWarning } from '../../placement/capacity-warnings.js';
import { unreachable } from '../../shared/assert.js';
import { sizeText } from '../quantities.js';
import { formatBytes, formatCount, formatDuration, formatList, formatPercent } from './format.js';
import { renderTable } from './table.js';

const PART_NAMES: Readonly<Record<MemoryPart | DiskPart, string>> = {
  graph: 'graph',
  tombstones: 'tombstones in it, up to a fifth',
  exactCopy: 'exact copy of the vectors',
  tables: 'tables and ids',
  payloadIndex: 'payload index',
  buffers: 'store cache, buffers, head, thread',
  node: 'process, log cache, requests',
  renewal: '+ while a replica is made anew',
  pointStore: 'point store',
  checkpoints: 'checkpoints of graphs',
  log: 'log',
  reserve: 'reserve of the log store',
  compaction: '+ while the point store is compacted',
  checkpointWrite: '+ while a checkpoint is written',
  snapshot: '+ while a snapshot is sent or received',
  install: '+ while it is installed',
  logBehindSnapshot: '+ log kept for a snapshot',
  keptFree: '+ kept free',
};

export function renderPlan(
  plan: CapacityPlan,
  alternatives: readonly CapacityAlternative[],
  warnings: readonly CapacityWarning[],
): string {
  const { input, shards, nodes } = plan;
  const memory = formatBytes(input.nodeMemoryBytes);
  const disk = formatBytes(input.nodeDiskBytes);
  return [
    `${counted(shards.count, 'shard')} x ${counted(input.replicationFactor, 'replica')} on ` +
      `${counted(nodes.count, 'node')} of ${memory} memory and ${disk} disk, for ` +
      `${counted(plan.records, 'vector')} of ${counted(input.dimension, 'dimension')}\n`,
    renderUse('memory', plan.memory),
    renderUse('disk', plan.disk),
    listed('why', reasonsOf(plan, alternatives)),
    ...(warnings.length > 0 ? [listed('WARNINGS', warnings.map(warningText))] : []),
  ].join('\n');
}

function renderUse(title: string, use: ResourceUse<MemoryPart | DiskPart>): string {
  const row = (name: string, { recordBytes, shardBytes, nodeBytes, clusterBytes }: CapacityUse) => [
    name,
    recordBytes === 0 ? '-' : `${formatCount(recordBytes)} B`,
    ...[shardBytes, nodeBytes, clusterBytes].map((bytes) =>
      bytes === 0 ? '-' : formatBytes(bytes),
    ),
  ];
  const rowsOf = (lasts: boolean) =>
    use.parts
      .filter((part) => part.lasts === lasts)
      .map((part) => row(PART_NAMES[part.part], part));
  const { lasting, peak } = use.nodeShares;
  return renderTable(
    [
      { title },
      { title: 'a record', align: 'right' },
      { title: 'largest shard', align: 'right' },
      { title: 'fullest node', align: 'right' },
      { title: 'all nodes', align: 'right' },
    ],
    [
      ...rowsOf(true),
      row(`at all times: ${formatPercent(lasting)} of a node`, use.lasting),
      ...rowsOf(false),
      row(`at most: ${formatPercent(peak)} of a node`, use.peak),
    ],
  );
}

/** Why the numbers are what they are, and what else would do. */
export function reasonsOf(
  plan: CapacityPlan,
  alternatives: readonly CapacityAlternative[],
): string[] {
  const { input, shards, nodes } = plan;
  const build = formatDuration(graphBuildMs(shards.recordsMax, input.dimension));
  return [
    shardsReason(plan),
    `strategy ${shards.strategy}: the largest shard holds ` +
      `${counted(shards.recordsMax, 'record')}, the average one ${formatCount(shards.recordsMean)}`,
    nodesReason(plan),
    `no node has more than ${counted(nodes.replicasMax, 'replica')}, or more than ` +
      `${counted(nodes.recordsMax, 'record')}`,
    ...(shards.count > 1 ? [fanOutReason(plan)] : []),
    `making the graph of the largest shard takes about ${build}; after a restart it is loaded`,
    ...alternatives.map(alternativeText),
    ...(input.growth === 1
      ? ['the number of shards is fixed when the cluster is created: --growth plans for more']
      : []),
  ];
}

function alternativeText(alternative: CapacityAlternative): string {
  const nodes = `${counted(alternative.nodes, 'node')} would do`;
  switch (alternative.kind) {
    case 'without-copy':
      return `${nodes} with --exact-copy=false: searches with few matches read the store then`;
    case 'larger-nodes':
      return `${nodes} with --node-memory ${sizeText(alternative.nodeMemoryBytes)}`;
    default:
      return unreachable(alternative);
  }
}

function shardsReason({ input, shards }: CapacityPlan): string {
  const count = counted(shards.count, 'shard');
  switch (shards.reason) {
    case 'given':
      return `${count}, as asked for`;
    case 'vectors':
      return `${count}: one should hold ${counted(input.shardVectorsMax, 'vector')} at most`;
    case 'graph':
      return `${count}: with fewer, one would hold more than a graph can`;
    case 'node':
      return `${count}: with fewer, one would take more than a third of a node`;
    case 'limit':
      return `${count}: more would be needed, and there cannot be more`;
    default:
      return unreachable(shards.reason);
  }
}

function nodesReason({ nodes }: CapacityPlan): string {
  const count = counted(nodes.count, 'node');
  switch (nodes.reason) {
    case 'given':
      return `${count}, as asked for`;
    case 'replication':
      return `${count}: as many as a shard has replicas, and enough for all`;
    case 'memory':
    case 'disk':
      return `${count}: with fewer, one would have too little ${nodes.reason}`;
    case 'limit':
      return `${count}: one replica each, and even so they are too small`;
    default:
      return unreachable(nodes.reason);
  }
}

function fanOutReason({ input, shards }: CapacityPlan): string {
  const all = `a search that names no tenant asks ${formatCount(shards.count)} shards`;
  if (input.tenants === undefined) {
    return `${all}; larger ones (--shard-vectors) are fewer, and take longer to move and make anew`;
  }
  const tenants = counted(Math.ceil(input.tenants / shards.count), 'tenant');
  return `${all}, and one that names its tenant asks one, which has about ${tenants}`;
}

/** What is wrong, as one sentence. */
export function warningText(warning: CapacityWarning): string {
  if (warning.code === 'single-replica') {
    return 'with one replica of each shard, what is lost with a node is lost';
  }
  const { code, value, limit } = warning;
  const [count, countMax] = [formatCount(value), formatCount(limit)];
  const [share, shareMax] = [formatPercent(value), formatPercent(limit)];
  switch (code) {
    case 'replication':
      return `${count} replicas need as many nodes, not ${countMax}; the figures are for ${count}`;
    case 'slots':
      return `${count} shards are more than the ${countMax} slots: some would own none`;
    case 'shards':
      return `${count} shards are more than a cluster can have: ${countMax}`;
    case 'nodes':
      return `${count} nodes are more than a cluster can have: ${countMax}`;
    case 'graph-records':
      return `the largest shard has ${count} records, and a collection can have ${countMax} there`;
    case 'memory':
      return `the fullest node uses ${share} of its memory at all times, more than ${shareMax}`;
    case 'memory-peak':
      return `the fullest node uses up to ${share} of its memory, more than ${shareMax}`;
    case 'disk':
      return `the fullest node uses ${share} of its disk at all times, more than ${shareMax}`;
    case 'disk-peak':
      return `the fullest node needs up to ${share} of its disk`;
    case 'shard-vectors':
      return `the largest shard has ${count} vectors: above ${countMax} there is an alert`;
    case 'uneven-shards':
      return `the largest shard is ${share} above the average; virtual-shards are more even`;
    case 'tenants':
      return `a shard has ${count} tenants on average: from ${countMax} on there is a warning`;
    default:
      return unreachable(code);
  }
}

/** `1 shard`, `2 shards` */
function counted(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

function listed(title: string, sentences: readonly string[]): string {
  return `${title}\n${formatList(sentences)}`;
}
