// How fresh a read is, request by request: the fresher, the more nodes have to agree on it.
// Prints:
//   strong: 1
//   session: 1
//   session of another client: 1
//   bounded, at most 5 s old: 1
import { Cluster } from 'flotilla';

await using cluster = await Cluster.start();
const writer = cluster.client();
const notes = await writer.openCollection({ name: 'notes', dimension: 1 });
await notes.upsert([{ id: 'a', values: [1] }]);

// The default: every write that was acknowledged before, whoever made it.
console.log(`strong: ${await notes.count()}`);

// Any replica that has this client's own writes.
console.log(`session: ${await notes.count({ consistency: 'session' })}`);

// The same for somebody else, who was handed what this client has seen.
const reader = cluster.client().collection('notes');
const session = writer.sessionToken;
console.log(`session of another client: ${await reader.count({ consistency: { session } })}`);

// Any replica that is at most so old. The answer tells which one it was, and how old.
const bounded = await reader.count({
  consistency: { boundedMs: 5_000 },
  onServed: (shards) => {
    for (const { ageMs = 0 } of shards) if (ageMs > 5_000) console.log('older than asked for');
  },
});
console.log(`bounded, at most 5 s old: ${bounded}`);
