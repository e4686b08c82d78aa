// Goal: filters, counts, scrolls and deletes by filter are right over shards, through any node.
// Method: three nodes in this process over gRPC, declared fields and others, brute force beside.
import { Cluster, type Collection, type Flotilla, type Where } from 'flotilla';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defined } from '../../src/shared/assert.js';
import { clientOf, FAST } from './harness.js';

type Article = { year: number; tags: string[]; author: { name: string }; shelf?: string };

const COUNT = 400;
const articles = Array.from({ length: COUNT }, (_, at) => ({
  id: `a${String(at).padStart(3, '0')}`,
  values: [at, at % 7, 0, 1],
  metadata: {
    year: 2000 + (at % 25),
    tags: at % 3 === 0 ? ['third'] : at % 5 === 0 ? ['fifth', 'round'] : [],
    author: { name: at % 2 === 0 ? 'Ada' : 'Bo' },
    ...(at % 40 === 0 && { shelf: 'top' }),
  } satisfies Article,
}));

let cluster: Cluster;
let clients: Flotilla[];
let turn = 0;

/** The collection through one node after the other. */
const next = (name = 'articles'): Collection<Article> =>
  defined(clients[turn++ % clients.length], 'client').collection<Article>(name);

async function filled(name: string): Promise<void> {
  await defined(clients[0], 'client').createCollection({
    name,
    dimension: 4,
    metric: 'l2',
    indexedFields: [
      { path: 'year', type: 'integer' },
      { path: 'tags', type: 'keyword' },
    ],
  });
  expect((await next(name).upsert(articles)).appliedCount).toBe(COUNT);
}

beforeAll(async () => {
  cluster = await Cluster.start({ ...FAST, nodes: 3, shards: 3 });
  clients = [1, 2, 3].map((nodeId) => clientOf(cluster, nodeId));
  await filled('articles');
});

afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await cluster.stop();
});

/** Filters, and what they mean, from nearly all records down to none. */
const cases: [string, Where<Article>, (article: Article) => boolean][] = [
  ['everything', {}, () => true],
  ['a range', { year: { $gte: 2005, $lt: 2020 } }, ({ year }) => year >= 2005 && year < 2020],
  ['a list', { tags: 'round' }, ({ tags }) => tags.includes('round')],
  ['no list', { tags: { $exists: false } }, ({ tags }) => tags.length === 0],
  ['an undeclared field', { 'author.name': 'Ada' }, ({ author }) => author.name === 'Ada'],
  [
    'declared and undeclared ones',
    { $or: [{ shelf: 'top' }, { year: 2003, 'author.name': { $ne: 'Ada' } }] },
    ({ shelf, year, author }) => shelf === 'top' || (year === 2003 && author.name !== 'Ada'),
  ],
  [
    'the opposite of both',
    { $not: { year: { $gt: 2002 }, shelf: { $exists: false } } },
    ({ shelf, year }) => !(year > 2002 && shelf === undefined),
  ],
  ['a single record', { year: 2000, shelf: 'top', tags: 'fifth' }, isSingle],
  ['nothing', { year: { $gt: 3000 } }, () => false],
];

function isSingle({ year, shelf, tags }: Article): boolean {
  return year === 2000 && shelf === 'top' && tags.includes('fifth');
}

const ids = (records: readonly { readonly id: string }[]) => records.map(({ id }) => id);

describe('a filter', () => {
  it.each(cases)('on %s finds, counts and lists what matches', async (_what, filter, holds) => {
    const matching = articles.filter(({ metadata }) => holds(metadata));
    const nearest = [...matching].sort((a, b) => distance(a.values) - distance(b.values));
    const { hits } = await next().search({ vector: [150, 3, 0, 1], k: 20, filter });
    expect(ids(hits)).toEqual(ids(nearest.slice(0, 20)));
    expect(await next().count({ filter })).toBe(matching.length);
    const listed: string[] = [];
    for await (const { id } of next().scroll({ filter, limit: 30 })) listed.push(id);
    expect(listed).toEqual(ids(matching));
  });

  it('explains itself, shard by shard', async () => {
    const filter: Where<Article> = { year: 2003, 'author.name': 'Ada' };
    const { shards } = await next().explain({ vector: [1, 1, 1, 1], k: 3, filter });
    expect(shards.map(({ shardId }) => shardId)).toEqual([0, 1, 2]);
    for (const shard of shards) {
      expect(shard).toMatchObject({ indexedFields: ['year'], scannedFields: ['author.name'] });
      expect(shard.reason).not.toBe('');
    }
    expect(shards.reduce((sum, { records }) => sum + records, 0)).toBe(COUNT);
  });

  it('that does not fit a declared field is refused by every node alike (P-9)', async () => {
    const filter = { year: '2003' } as unknown as Where<Article>;
    for (const _ of clients) {
      await expect(next().count({ filter })).rejects.toMatchObject({
        reason: 'INVALID_REQUEST',
        field: 'filter.year',
      });
    }
  });

  it('sees what was acknowledged through another node (P-4)', async () => {
    for (let round = 0; round < 10; round++) {
      const shelf = `s${round}`;
      const metadata = { year: 1990, tags: [], author: { name: 'Cy' }, shelf };
      await next().upsert([{ id: 'zz', values: [9_000, 0, 0, 1], metadata }]);
      expect(await next().count({ filter: { shelf } })).toBe(1);
      expect(ids((await next().scrollPage({ filter: { year: 1990 } })).records)).toEqual(['zz']);
    }
    await next().delete(['zz']);
  });
});

describe('a delete by filter', () => {
  it('deletes what matches and nothing else, however often it is done', async () => {
    await filled('shrinking');
    const filter: Where<Article> = { year: { $lt: 2010 }, 'author.name': 'Ada' };
    const matching = articles.filter(
      ({ metadata: { year, author } }) => year < 2010 && author.name === 'Ada',
    );
    const [one, other] = await Promise.all([
      next('shrinking').deleteByFilter(filter),
      next('shrinking').deleteByFilter(filter),
    ]);
    expect(one.deletedCount + other.deletedCount).toBe(matching.length);
    expect(await next('shrinking').deleteByFilter(filter)).toEqual({ deletedCount: 0 });
    const left: string[] = [];
    for await (const { id } of next('shrinking').scroll()) left.push(id);
    expect(left).toEqual(ids(articles.filter((article) => !matching.includes(article))));
  });
});

function distance(values: readonly number[]): number {
  const near = [150, 3, 0, 1];
  return values.reduce((sum, value, at) => sum + (value - (near[at] ?? 0)) ** 2, 0);
}
