// Filters on metadata. Their fields and types are those of the collection's metadata.
// Prints:
//   near, since 2020: fog, tides
//   by Ada or about weather: 2
import { Cluster } from 'flotilla';

interface Article {
  year: number;
  topics: string[];
  author: { name: string };
}

await using cluster = await Cluster.start();
const articles = await cluster.client().openCollection<Article>({
  name: 'articles',
  dimension: 2,
  metric: 'l2',
  indexedFields: [
    { path: 'year', type: 'integer' },
    { path: 'topics', type: 'keyword' },
    { path: 'author.name', type: 'keyword' },
  ],
});
await articles.upsert([
  {
    id: 'tides',
    values: [3, 1],
    metadata: { year: 2021, topics: ['sea'], author: { name: 'Ada' } },
  },
  {
    id: 'fog',
    values: [2, 1],
    metadata: { year: 2024, topics: ['sea', 'weather'], author: { name: 'Bo' } },
  },
  {
    id: 'knots',
    values: [1, 1],
    metadata: { year: 1998, topics: ['ropes'], author: { name: 'Bo' } },
  },
]);

const { hits } = await articles.search({ vector: [1, 1], k: 10, filter: { year: { $gte: 2020 } } });
console.log(`near, since 2020: ${hits.map(({ id }) => id).join(', ')}`);

// `{ yaer: 2020 }` or `{ year: '2020' }` would not compile.
const filter = { $or: [{ 'author.name': 'Ada' }, { topics: 'weather' }] };
console.log(`by Ada or about weather: ${await articles.count({ filter })}`);
