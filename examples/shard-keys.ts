// Records that belong together are kept together: those of one shard key are on one shard.
// Prints:
//   lines of order-7: 2, of both orders: 3
//   nearest of order-7: line-1 line-2
//   asked for them: 1 shard of 4
import { Cluster } from 'flotilla';

await using cluster = await Cluster.start();
const flotilla = cluster.client();
const lines = await flotilla.openCollection({
  name: 'order-lines',
  dimension: 1,
  metric: 'l2',
  routing: 'shardKey',
});
// The key is a part of what names a record: the two named line-1 are not the same.
await lines.upsert([
  { id: 'line-1', shardKey: 'order-7', values: [1] },
  { id: 'line-2', shardKey: 'order-7', values: [2] },
  { id: 'line-1', shardKey: 'order-8', values: [3] },
]);

const ofOne = await lines.count({ shardKey: 'order-7' });
const ofBoth = await lines.count({ shardKey: ['order-7', 'order-8'] });
console.log(`lines of order-7: ${ofOne}, of both orders: ${ofBoth}`);

const { hits, shards } = await lines.search({ vector: [1], k: 10 }, { shardKey: 'order-7' });
console.log(`nearest of order-7: ${hits.map(({ id }) => id).join(' ')}`);
const { length } = (await flotilla.status()).shards;
console.log(`asked for them: ${shards.total} shard of ${length}`);
