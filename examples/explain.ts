// Where a search goes and what each shard does for it, instead of what it finds.
// Prints:
//   a search: asks 4 shards, skips 0
//   of one shard key: asks 1 shard, skips 3 (shard-key)
//   its filter: indexed year, read from records colour
import { Cluster } from 'flotilla';

await using cluster = await Cluster.start();
const parts = await cluster.client().openCollection<{ year: number; colour: string }>({
  name: 'parts',
  metric: 'l2',
  dimension: 1,
  routing: 'shardKey',
  indexedFields: [{ path: 'year', type: 'integer' }],
});
await parts.upsert(
  Array.from({ length: 40 }, (_, at) => ({
    id: `part-${at}`,
    shardKey: `machine-${at % 8}`,
    values: [at],
    metadata: { year: 2020 + (at % 5), colour: at % 2 === 0 ? 'red' : 'blue' },
  })),
);

const all = await parts.explain({ vector: [1], k: 5 });
console.log(`a search: asks ${all.shards.length} shards, skips ${all.skipped.length}`);

const query = { vector: [1], k: 5, filter: { year: { $gte: 2021 }, colour: 'red' } };
const { shards, skipped } = await parts.explain(query, { shardKey: 'machine-1' });
console.log(
  `of one shard key: asks ${shards.length} shard, skips ${skipped.length} (${skipped[0]?.why})`,
);

// What is not indexed is read from each record that may match. Times, plans and which replica
// answered are told as well: docs/fan-out.md.
const [shard] = shards;
const indexed = shard?.indexedFields.join(' ');
console.log(`its filter: indexed ${indexed}, read from records ${shard?.scannedFields.join(' ')}`);
