// Writes that look before they leap: nobody overwrites what they have not read.
// Prints:
//   the first writer is through
//   the second writer: VERSION_CONFLICT
//   and again, on what it has read now: 2
import { Cluster } from 'flotilla';

await using cluster = await Cluster.start();
const flotilla = cluster.client();
const stock = await flotilla.openCollection<{ left: number }>({ name: 'stock', dimension: 1 });
// With `insert-only` an item that exists is left as it is.
await stock.upsert([{ id: 'anchor', values: [1], metadata: { left: 4 } }], { mode: 'insert-only' });

async function read() {
  const [record] = await stock.fetch(['anchor']);
  return { version: record?.version ?? '', left: record?.metadata?.left ?? 0 };
}

/** Takes one away from what was read, if nobody has done so since. */
function take({ version, left }: { version: string; left: number }) {
  return stock.patch([{ id: 'anchor', metadata: { left: left - 1 }, ifVersion: version }]);
}

const seenByBoth = await read();
const first = await take(seenByBoth);
if (first.appliedCount === 1) console.log('the first writer is through');

const second = await take(seenByBoth).catch((error) => error.reason);
console.log(`the second writer: ${second}`);

await take(await read());
console.log(`and again, on what it has read now: ${(await read()).left}`);
