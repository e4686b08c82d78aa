// Many customers in one collection: each call is about the records of one of them.
// Prints:
//   acme: 2, zeta: 1, all: 3
//   acme finds its own: a1 a2
//   asked for it: 1 shard of 4
import { Cluster } from 'flotilla';

await using cluster = await Cluster.start();
const flotilla = cluster.client();
// With this routing all records of a tenant are on one shard, and its searches ask that one only.
const settings = { name: 'notes', dimension: 1, metric: 'l2', routing: 'tenant' } as const;
const acme = await flotilla.openCollection(settings, { tenant: 'acme' });
const zeta = flotilla.collection('notes', { tenant: 'zeta' });

await acme.upsert([
  { id: 'a1', values: [1] },
  { id: 'a2', values: [2] },
]);
// Another tenant's record, whatever its id.
await zeta.upsert([{ id: 'a1', values: [1] }]);

const all = await flotilla.collection('notes').count({ allTenants: true });
console.log(`acme: ${await acme.count()}, zeta: ${await zeta.count()}, all: ${all}`);

const { hits, shards } = await acme.search({ vector: [1], k: 10 });
console.log(`acme finds its own: ${hits.map(({ id }) => id).join(' ')}`);
const { length } = (await flotilla.status()).shards;
console.log(`asked for it: ${shards.total} shard of ${length}`);
