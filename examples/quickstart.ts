// A cluster of three nodes in this process: no server, no Docker, no key.
// Prints:
//   Anchors
import { Cluster } from 'flotilla';

await using cluster = await Cluster.start();
const flotilla = cluster.client();
const notes = await flotilla.openCollection<{ title: string }>({ name: 'notes', dimension: 3 });
await notes.upsert([
  { id: 'a', values: [0.1, 0.2, 0.9], metadata: { title: 'Anchors' } },
  { id: 'b', values: [0.9, 0.1, 0.1], metadata: { title: 'Bread' } },
]);
for await (const hit of notes.search({ vector: [0.1, 0.2, 0.8], k: 1 })) {
  console.log(hit.metadata?.title);
}
