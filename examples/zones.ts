// Six nodes in three zones: one zone fails as a whole, and the cluster goes on.
// Prints:
//   each shard is in zones a b c
//   without zone a: 2 records
import { Cluster } from 'flotilla';

// On machines of their own: flotilla node --node-zone a
await using cluster = await Cluster.start({ nodes: 6, zones: ['a', 'a', 'b', 'b', 'c', 'c'] });
const flotilla = cluster.client();
const notes = await flotilla.openCollection({ name: 'notes', dimension: 1 });
await notes.upsert([{ id: 'before', values: [1] }]);

const { nodes, shards } = await flotilla.status();
const zoneOf = new Map(nodes.map(({ nodeId, zone }) => [nodeId, zone]));
const spreads = shards.map(({ replicas }) =>
  replicas
    .map(({ nodeId }) => zoneOf.get(nodeId))
    .sort()
    .join(' '),
);
console.log(`each shard is in zones ${[...new Set(spreads)].join(' or ')}`);

for (const nodeId of [1, 2]) await cluster.stopNode(nodeId);
await notes.upsert([{ id: 'after', values: [2] }]);
console.log(`without zone a: ${await notes.count()} records`);
