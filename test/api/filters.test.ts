// Goal: filters, counts, scrolls and deletes by filter work through a real connection.
// Method: client -> gRPC on loopback -> server -> backend in memory that knows the definition.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Collection, Query, Where } from '../../src/client/index.js';
import { encodeCursor } from '../../src/shared/codec/scroll-cursor.js';
import { FlotillaError } from '../../src/shared/errors.js';
import { COLLECTION, EXPLAINED, EXPLANATION, SERVED } from './fake-backend.js';
import { failureOf, type Harness, startHarness } from './harness.js';

type Note = { year: number; topic?: string; colour?: string };

let harness: Harness;
let notes: Collection<Note>;
beforeEach(async () => {
  harness = await startHarness();
  notes = harness.client().collection<Note>('notes');
  await notes.upsert(
    [2019, 2020, 2021, 2022, 2023].map((year) => ({
      id: `n${year}`,
      values: [year - 2019, 1, 0, 0],
      metadata: { year, ...(year % 2 === 0 && { topic: 'even' }) },
    })),
  );
  harness.backend.calls.length = 0;
});
afterEach(() => harness[Symbol.asyncDispose]());

const ids = (records: readonly { readonly id: string }[]) => records.map(({ id }) => id);

describe('a filter', () => {
  it('narrows searches, batches and counts', async () => {
    const filter: Where<Note> = { year: { $gte: 2021 }, topic: { $exists: false } };
    const near = { vector: [0, 1, 0, 0], k: 10 };
    expect(ids((await notes.search({ ...near, filter })).hits)).toEqual(['n2021', 'n2023']);
    const { results } = await notes.searchBatch([near, { ...near, filter }]);
    expect(results.map((hits) => hits.length)).toEqual([5, 2]);
    expect(await notes.count({ filter })).toBe(2);
    expect(await notes.count({ filter: {} })).toBe(5);
    expect(await notes.count()).toBe(5);
  });

  it.each<[string, Where<Note>, string]>([
    ['of another type than declared', { year: '2020' as unknown as number }, 'filter.year'],
    ['of a keyword by number', { $or: [{ topic: 1 as unknown as string }] }, 'filter.$or[0].topic'],
  ])('%s is refused by its place before it goes further (P-9)', async (_what, filter, field) => {
    const near = { vector: [0, 1, 0, 0], k: 1 };
    for (const [call, prefix] of [
      [notes.search({ ...near, filter }), 'query.'],
      [notes.searchBatch([near, { ...near, filter }]), 'queries[1].'],
      [notes.explain({ ...near, filter }), 'query.'],
      [notes.count({ filter }), ''],
      [notes.scrollPage({ filter }), ''],
      [notes.deleteByFilter(filter), ''],
    ] as const) {
      const error = await failureOf(call);
      expect(error).toMatchObject({ reason: 'INVALID_REQUEST', field: `${prefix}${field}` });
    }
    expect(harness.backend.calls).toEqual([]);
  });

  it('is checked again where the collection was dropped and made anew elsewhere', async () => {
    const filter = { year: '2020' } as unknown as Where<Note>;
    const indexedFields = [{ path: 'year', type: 'keyword' as const }];
    harness.backend.newest.set('notes', { ...COLLECTION, indexedFields });
    expect(await notes.count({ filter })).toBe(0);
    expect(await failureOf(notes.count({ filter: { year: 2020 } }))).toMatchObject({
      field: 'filter.year',
    });
  });

  it('with a name of any length is refused by a short place', async () => {
    const filter = { ['x'.repeat(60_000)]: 1 } as unknown as Where<Note>;
    const error = await failureOf(notes.count({ filter }));
    expect(error).toMatchObject({ reason: 'LIMIT_EXCEEDED', field: `filter.${'x'.repeat(64)}...` });
  });

  it.each([
    ['an unknown operator', { year: { $near: 1 } }, 'query.filter.year.$near'],
    ['a value that is left out', { year: undefined }, 'query.filter.year'],
    ['a date', { year: new Date(0) }, 'query.filter.year'],
    ['no object', 'year', 'query.filter'],
  ])('with %s is refused before it is sent', async (_what, filter, field) => {
    const query = { vector: [0, 1, 0, 0], k: 1, filter } as unknown as Query<Note>;
    expect(await failureOf(notes.search(query))).toMatchObject({
      reason: 'INVALID_REQUEST',
      field,
    });
    expect(harness.backend.calls).toEqual([]);
  });
});

describe('a scroll', () => {
  it('gives each record once, in order, page by page', async () => {
    const seen: string[] = [];
    for await (const { id, metadata, values } of notes.scroll({ limit: 2 })) {
      seen.push(`${id} ${metadata?.year} ${values?.length}`);
    }
    expect(seen).toEqual(
      [2019, 2020, 2021, 2022, 2023].map((year) => `n${year} ${year} undefined`),
    );
    expect(harness.backend.calls).toEqual(['scroll', 'scroll', 'scroll']);
  });

  it('goes on from a cursor that the caller kept', async () => {
    const filter: Where<Note> = { topic: { $exists: false } };
    const options = { filter, limit: 2, includeValues: true, includeMetadata: false };
    const first = await notes.scrollPage(options);
    expect(ids(first.records)).toEqual(['n2019', 'n2021']);
    expect(first.records[0]).toMatchObject({ values: Float32Array.of(0, 1, 0, 0) });
    expect(first.records[0]).not.toHaveProperty('metadata');
    const { cursor = '' } = first;
    const last = await notes.scrollPage({ ...options, cursor });
    expect(last.records).toEqual([expect.objectContaining({ id: 'n2023' })]);
    expect(last).not.toHaveProperty('cursor');
  });

  it.each(['x', '====', 'AQ', `${encodeCursor({ id: 'a', tenant: '' })}!`, 'AgFhAA'])(
    'refuses the cursor %j, which no scroll gave',
    async (cursor) => {
      const error = await failureOf(notes.scrollPage({ cursor }));
      expect(error).toMatchObject({ reason: 'INVALID_REQUEST', field: 'cursor' });
    },
  );

  it('refuses a cursor that is no text, as one out of a query string may be', async () => {
    const cursor = ['AQFhAA'] as unknown as string;
    const error = await failureOf(notes.scrollPage({ cursor }));
    expect(error).toMatchObject({ reason: 'INVALID_REQUEST', field: 'cursor' });
  });
});

describe('a delete by filter', () => {
  it('goes on until everything was looked at, and tells how far it is', async () => {
    const progress: number[] = [];
    const { deletedCount } = await notes.deleteByFilter(
      { year: { $lt: 2023 } },
      { onProgress: (step) => progress.push(step.deletedCount) },
    );
    expect(deletedCount).toBe(4);
    expect(progress).toEqual([2, 4]);
    expect([...harness.backend.records.keys()]).toEqual(['n2023']);
    expect(await notes.deleteByFilter({ year: { $lt: 2023 } })).toEqual({ deletedCount: 0 });
  });

  it('is repeated after a lost answer, where retries are on', async () => {
    const [client] = [harness.client({ retry: { attemptsMax: 3, waitMinMs: 1 } })];
    let calls = 0;
    harness.backend.before = (call) => {
      if (call === 'deleteByFilter' && ++calls === 2) {
        throw new FlotillaError('OUTCOME_UNKNOWN', 'the answer was lost');
      }
    };
    expect(await client.collection('notes').deleteByFilter({})).toEqual({ deletedCount: 5 });
    expect(harness.backend.records.size).toBe(0);
  });
});

describe('explain', () => {
  it('tells how each shard carries a search out', async () => {
    const filter: Where<Note> = { year: 2020, colour: 'red' };
    const answer = await notes.explain({ vector: [0, 1, 0, 0], k: 1, filter });
    const found = { ...EXPLAINED, shards: [EXPLANATION], epoch: 7, failed: [], degraded: false };
    expect(answer).toEqual({ ...found, served: SERVED });
  });

  it('leaves out shards only where the caller allows it, and says which', async () => {
    harness.backend.degraded = true;
    const query = { vector: [0, 1, 0, 0], k: 1 };
    expect(await notes.explain(query)).toMatchObject({ failed: [], degraded: false });
    const partial = await notes.explain(query, { allowPartial: true });
    expect(partial).toMatchObject({ shards: [EXPLANATION], failed: [0], degraded: true });
  });
});
