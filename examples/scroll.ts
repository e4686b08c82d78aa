// All records, or those that match a filter, in the order of their ids.
// Prints:
//   even ones: 00 02 04 06 08 10
//   a page: 00 01 02 03
//   the next: 04 05 06 07
import { Cluster } from 'flotilla';

await using cluster = await Cluster.start();
const rows = await cluster.client().openCollection<{ even: boolean }>({
  name: 'rows',
  dimension: 1,
  indexedFields: [{ path: 'even', type: 'bool' }],
});
await rows.upsert(
  Array.from({ length: 12 }, (_, row) => ({
    id: String(row).padStart(2, '0'),
    values: [row + 1],
    metadata: { even: row % 2 === 0 },
  })),
);

// Reads page by page, as the loop goes on.
const even: string[] = [];
for await (const { id } of rows.scroll({ filter: { even: true } })) even.push(id);
console.log(`even ones: ${even.join(' ')}`);

// For callers that show pages: the cursor is text, to be kept in a link.
const page = await rows.scrollPage({ limit: 4 });
console.log(`a page: ${page.records.map(({ id }) => id).join(' ')}`);
if (page.cursor !== undefined) {
  const next = await rows.scrollPage({ limit: 4, cursor: page.cursor });
  console.log(`the next: ${next.records.map(({ id }) => id).join(' ')}`);
}
