// How a collection is spread over shards is its own choice: by hash, or by ranges of keys.
// Prints:
//   by hash: 60 records on 4 shards
//   by range: 2024, 2025 and 2026 on 3 shards
//   a year on one shard: true
import { Cluster } from 'flotilla';

await using cluster = await Cluster.start();
const flotilla = cluster.client();

/** The shard that has a record: answers tell which shards they come from. */
async function shardOf(collection: ReturnType<typeof flotilla.collection>, id: string) {
  let shardId: number | undefined;
  await collection.fetch([id], {
    onServed: ([served]) => {
      shardId = served?.shardId;
    },
  });
  return shardId;
}

async function open(name: string, settings: object) {
  const opened = await flotilla.openCollection({ name, dimension: 1, ...settings });
  const ids = Array.from({ length: 60 }, (_, at) => `${2024 + (at % 3)}-${at}`);
  await opened.upsert(ids.map((id) => ({ id, values: [1] })));
  const shards = await Promise.all(ids.map((id) => shardOf(opened, id)));
  return { ids, shards };
}

// The default is 'ring'; docs/placement.md compares it with the others.
const hashed = await open('hashed', { placement: 'rendezvous' });
console.log(`by hash: ${hashed.ids.length} records on ${new Set(hashed.shards).size} shards`);

// Ranges keep neighbours together. They begin where the user says.
const ranged = await open('by-year', { placement: 'range', splitPoints: ['2025', '2026'] });
console.log(`by range: 2024, 2025 and 2026 on ${new Set(ranged.shards).size} shards`);
const isTogether = ranged.ids.every(
  (id, at) => ranged.shards[at] === ranged.shards[Number(id[3]) - 4],
);
console.log(`a year on one shard: ${isTogether}`);
