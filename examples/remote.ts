// The same code against a cluster somewhere else: `FLOTILLA_URL=10.0.0.1:7700,10.0.0.2:7700`.
// Prints:
//   Anchors
//   2 notes on 3 nodes
import { Flotilla } from 'flotilla/client';

await using flotilla = new Flotilla();
const notes = await flotilla.openCollection<{ title: string }>({ name: 'remote', dimension: 3 });
await notes.upsert([
  { id: 'a', values: [0.1, 0.2, 0.9], metadata: { title: 'Anchors' } },
  { id: 'b', values: [0.9, 0.1, 0.1], metadata: { title: 'Bread' } },
]);
for await (const hit of notes.search({ vector: [0.1, 0.2, 0.8], k: 1 })) {
  console.log(hit.metadata?.title);
}
const { nodes } = await flotilla.status();
console.log(`${await notes.count()} notes on ${nodes.length} nodes`);
