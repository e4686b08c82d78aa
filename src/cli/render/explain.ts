/** How a search was carried out, for people: where the time went, which shards, which replicas. */
import type { ExplainResponse, ServedShard, ShardExplanation } from '../../client/index.js';
import { formatCount, formatList } from './format.js';
import { type Column, renderTable } from './table.js';

/** What replicas are asked for, in words. */
const CHOICES: Readonly<Record<string, string>> = {
  leader: 'leads',
  local: 'on the node asked',
  near: 'in its zone',
  any: 'any will do',
  next: 'next in turn',
  last: 'only one left',
  relay: 'passes it on',
  hedge: 'hedge',
};

export function renderExplanation(answer: ExplainResponse): string {
  const { shards, attempts, cache } = answer;
  return [
    summaryOf(answer),
    shardTable(answer),
    listed(
      'plans',
      shards.map(({ shardId, reason, ...plan }) => {
        return `shard ${shardId}: ${plan.plan}: ${reason}${unindexed(plan.scannedFields)}`;
      }),
    ),
    attempts.length === 0 ? '' : attemptTable(answer),
    listed('not asked', skippedTexts(answer)),
    cache.verdict === '' ? '' : `cache: ${cache.verdict}: ${cache.reason}\n`,
  ]
    .filter((part) => part !== '')
    .join('\n');
}

function summaryOf({ stages, shards, failed, skipped }: ExplainResponse): string {
  const { routeMs, fanOutMs, mergeMs } = stages;
  const all = shards.length + failed.length;
  const totalMs = routeMs + fanOutMs + mergeMs;
  return (
    `${ms(totalMs)} = route ${ms(routeMs)} + shards ${ms(fanOutMs)} + merge ${ms(mergeMs)}\n` +
    `${shards.length} of ${all} shards answered, ${skipped.length} were not asked\n`
  );
}

const SHARD_COLUMNS: readonly Column[] = [
  { title: 'shard', align: 'right' },
  { title: 'node', align: 'right' },
  { title: 'why' },
  { title: 'plan' },
  { title: 'records', align: 'right' },
  { title: 'expected', align: 'right' },
  { title: 'matches', align: 'right' },
  { title: 'asked', align: 'right' },
  { title: 'hits', align: 'right' },
  { title: 'used', align: 'right' },
  { title: 'waited', align: 'right' },
  { title: 'network', align: 'right' },
  { title: 'engine', align: 'right' },
  { title: 'applied', align: 'right' },
  { title: 'age', align: 'right' },
];

function shardTable({ shards, served = [] }: ExplainResponse): string {
  const sources = new Map(served.map((one) => [one.shardId, one]));
  return renderTable(
    SHARD_COLUMNS,
    shards.map((shard) => shardRow(shard, sources.get(shard.shardId))),
  );
}

function shardRow(shard: ShardExplanation, source: ServedShard | undefined): string[] {
  return [
    String(shard.shardId),
    source === undefined ? '' : String(source.nodeId),
    CHOICES[shard.choice] ?? shard.choice,
    shard.plan,
    formatCount(shard.records),
    formatCount(shard.estimatedMatches),
    shard.matches === undefined ? '' : formatCount(shard.matches),
    formatCount(shard.visited),
    formatCount(shard.foundHits),
    formatCount(shard.usedHits),
    ms(shard.waitedMs),
    ms(shard.networkMs),
    ms(shard.durationMs),
    source === undefined ? '' : formatCount(source.appliedIndex),
    source?.ageMs === undefined ? '' : `${formatCount(source.ageMs)} ms`,
  ];
}

function attemptTable({ attempts }: ExplainResponse): string {
  return renderTable(
    [
      { title: 'no answer of shard', align: 'right' },
      { title: 'node', align: 'right' },
      { title: 'why' },
      { title: 'error' },
      { title: 'after', align: 'right' },
    ],
    attempts.map(({ shardId, nodeId, choice, reason, durationMs }) => [
      String(shardId),
      String(nodeId),
      CHOICES[choice] ?? choice,
      reason,
      ms(durationMs),
    ]),
  );
}

/** One line for each reason: there may be hundreds of shards. */
function skippedTexts({ skipped }: ExplainResponse): string[] {
  const whys = [...new Set(skipped.map(({ why }) => why))];
  return whys.map((why) => {
    const shardIds = skipped.filter((one) => one.why === why).map(({ shardId }) => shardId);
    return `${SKIPPED[why] ?? why}: shard ${shardIds.join(', ')}`;
  });
}

const SKIPPED: Readonly<Record<string, string>> = {
  tenant: 'has nothing of the tenant',
  'shard-key': 'has none of the shard keys',
  'owns-nothing': 'owns nothing of the collection',
};

function unindexed(paths: readonly string[]): string {
  return paths.length === 0 ? '' : `; not indexed: ${paths.join(', ')}`;
}

function listed(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? '' : `${title}\n${formatList(lines)}`;
}

function ms(durationMs: number): string {
  return `${durationMs.toFixed(2)} ms`;
}
