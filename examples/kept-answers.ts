// A node can keep answers: the same search again asks no shard while its answer is young enough.
// Prints:
//   kept for bounded reads: hit
//   strong reads ask the shards: not-asked
//   after a write: miss
import { Cluster } from 'flotilla';

await using cluster = await Cluster.start({ nodes: 1, searchCacheBytes: 16 * 1024 * 1024 });
const notes = await cluster.client().openCollection({ name: 'notes', dimension: 1 });
await notes.upsert([{ id: 'a', values: [1] }]);

const query = { vector: [1], k: 1 };
const bounded = { consistency: { boundedMs: 60_000 } } as const;
const verdictNow = async () => (await notes.explain(query, bounded)).cache.verdict;

// Kept is what shows the last write through this node for certain.
while ((await verdictNow()) !== 'hit') await notes.search(query, bounded);
console.log(`kept for bounded reads: ${await verdictNow()}`);
console.log(`strong reads ask the shards: ${(await notes.explain(query)).cache.verdict}`);

await notes.upsert([{ id: 'a', values: [2] }]);
console.log(`after a write: ${await verdictNow()}`);
