// A shard that is down fails a search, unless the search may do without it.
// Prints:
//   all shards: 30 hits
//   one is down: SHARD_UNAVAILABLE
//   in part: degraded true, 2 of 3 shards
import { Cluster, isFlotillaError } from 'flotilla';

// One replica of each shard: a node that stops takes its shard along.
await using cluster = await Cluster.start({ nodes: 3, shards: 3, replicationFactor: 1 });
const flotilla = cluster.client();
const notes = await flotilla.openCollection({ name: 'notes', dimension: 1, metric: 'l2' });
const ids = Array.from({ length: 30 }, (_, at) => `note-${at}`);
await notes.upsert(ids.map((id, at) => ({ id, values: [at] })));

const query = { vector: [1], k: 30 };
const whole = await notes.search(query);
console.log(`all shards: ${whole.hits.length} hits`);

await cluster.stopNode(3);
try {
  await notes.search(query, { timeoutMs: 1_000 });
} catch (error) {
  if (!isFlotillaError(error)) throw error;
  console.log(`one is down: ${error.reason}`);
}

const { hits, degraded, shards } = await notes.search(query, {
  allowPartial: true,
  timeoutMs: 2_000,
});
if (hits.length === 0 || hits.length === ids.length) console.log('some, and not all');
console.log(`in part: degraded ${degraded}, ${shards.ok} of ${shards.total} shards`);
