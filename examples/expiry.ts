// Records that delete themselves some time after they were written.
// Prints:
//   2 notes
//   1 note left: the one that was told to stay
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster } from 'flotilla';

await using cluster = await Cluster.start();
// Records of this collection live for half a second, unless they say otherwise.
const notes = await cluster.client().openCollection({ name: 'notes', dimension: 1, ttlMs: 500 });
await notes.upsert([
  { id: 'brief', values: [1] },
  { id: 'kept', values: [2], ttlMs: 0 },
]);
console.log(`${await notes.count()} notes`);

// They are seen until they are deleted, which is a few seconds after their time.
while ((await notes.count()) > 1) await sleep(200);
const [left] = await notes.fetch(['brief', 'kept']);
if (left?.id === 'kept') console.log('1 note left: the one that was told to stay');
