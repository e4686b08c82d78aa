/** What a comparison of replicas has found, as a table and as sentences. */
import type { ShardVerification, SlotHolding } from '../../client/index.js';
import { formatCount, formatList, shortHash } from './format.js';
import { renderTable } from './table.js';

const ADVICE =
  '\nwhere a node did not answer in time, see flotilla status, or raise --timeout-ms\n';

/** `findings` and `gaps` are those of the shards. */
export function renderVerification(
  shards: readonly ShardVerification[],
  findings: readonly string[],
  gaps: readonly string[],
): string {
  const table = renderTable(
    [
      { title: 'shard', align: 'right' },
      { title: 'at', align: 'right' },
      { title: 'slots', align: 'right' },
      { title: 'replicas', align: 'right' },
      { title: 'differences', align: 'right' },
    ],
    shards.map((shard) => [
      String(shard.shardId),
      shard.index === 0 ? '-' : formatCount(shard.index),
      formatCount(shard.slots),
      `${comparedOf(shard)} of ${shard.replicas.length}`,
      formatCount(shard.differences.length + shard.damages.length),
    ]),
  );
  if (findings.length > 0) return `${table}\nDIFFERENT\n${formatList([...findings, ...gaps])}`;
  if (gaps.length > 0) return `${table}\nNOT ALL COMPARED\n${formatList(gaps)}${ADVICE}`;
  return `${table}\nequal\n`;
}

/** What is wrong, a sentence for each slot: shard, collection, slot and nodes. */
export function findingsOf(shards: readonly ShardVerification[]): string[] {
  return shards.flatMap(({ shardId, differences, damages }) => [
    ...differences.map(({ collection, slot, holdings }) => {
      const held = holdings.map((one) => `node ${one.nodeId} holds ${contentOf(one)}`);
      return `shard ${shardId}, collection ${collection}, slot ${slot}: ${held.join(', ')}`;
    }),
    ...damages.map(({ collection, slot, kept, found }) => {
      const where = `shard ${shardId}, collection ${collection}, slot ${slot}, node ${kept.nodeId}`;
      return `${where}: should hold ${contentOf(kept)}, and has stored ${contentOf(found)}`;
    }),
  ]);
}

/** What could not be compared, a sentence each. */
export function gapsOf(shards: readonly ShardVerification[]): string[] {
  return shards.flatMap(({ shardId, problem, replicas }) => [
    ...(problem === '' ? [] : [`shard ${shardId} was not compared: ${problem}`]),
    ...replicas
      .filter((replica) => replica.problem !== '')
      .map((replica) => `shard ${shardId} on node ${replica.nodeId}: ${replica.problem}`),
  ]);
}

function comparedOf({ replicas }: ShardVerification): number {
  return replicas.filter(({ problem }) => problem === '').length;
}

function contentOf({ records, hash }: SlotHolding): string {
  return `${formatCount(records)} records (${shortHash(hash)})`;
}
