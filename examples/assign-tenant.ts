// A large customer gets a shard of its own choice, before it writes its first record.
// Prints:
//   acme is on shard 3
//   assigned elsewhere with data: TENANT_HAS_DATA
//   1 of them in the log, by ops
import { Cluster, isFlotillaError } from 'flotilla';

await using cluster = await Cluster.start();
const flotilla = cluster.client();
const settings = { name: 'notes', dimension: 1, routing: 'tenant' } as const;
const acme = await flotilla.openCollection(settings, { tenant: 'acme' });

await flotilla.assignTenant({ tenant: 'acme', shardId: 3 }, { by: 'ops' });
await acme.upsert([{ id: 'a', values: [1] }]);
await acme.count({
  onServed: ([served]) => console.log(`acme is on shard ${served?.shardId}`),
});

try {
  // Records do not move yet: an assignment is for tenants without any.
  await flotilla.assignTenant({ tenant: 'acme', shardId: 1 });
} catch (error) {
  if (!isFlotillaError(error)) throw error;
  console.log(`assigned elsewhere with data: ${error.reason}`);
}

// Every change is kept, the refused ones too.
const { audit } = await flotilla.describeTenants();
const made = audit.filter(({ refused }) => refused === '');
console.log(`${made.length} of them in the log, by ${made[0]?.by}`);
