// Deletes what matches a filter. It works in steps, and can be watched, given up and repeated.
// Prints:
//   deleted 40 so far
//   deleted 40, 60 left
import { Cluster } from 'flotilla';

await using cluster = await Cluster.start();
const logs = await cluster.client().openCollection<{ day: number }>({
  name: 'logs',
  dimension: 1,
  indexedFields: [{ path: 'day', type: 'integer' }],
});
await logs.upsert(
  Array.from({ length: 100 }, (_, at) => ({
    id: `line-${at}`,
    values: [at + 1],
    metadata: { day: at % 5 },
  })),
);

const { deletedCount } = await logs.deleteByFilter(
  { day: { $lt: 2 } },
  { onProgress: (progress) => console.log(`deleted ${progress.deletedCount} so far`) },
);
console.log(`deleted ${deletedCount}, ${await logs.count()} left`);
