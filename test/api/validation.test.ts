// Goal: P-9: bad input gets an error naming field and limit, and nothing of it gets further.
// Method: a table of requests at, one below and one above each limit, through a real connection.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Collection, Flotilla, Metadata, Query } from '../../src/client/index.js';
import { LIMITS, type LimitName } from '../../src/shared/limits.js';
import { failureOf, type Harness, startHarness } from './harness.js';

let harness: Harness;
let client: Flotilla;
let notes: Collection<Metadata>;
beforeAll(async () => {
  harness = await startHarness();
  client = harness.client();
  notes = client.collection('notes');
});
beforeEach(() => {
  harness.backend.calls.length = 0;
  harness.backend.records.clear();
});
afterAll(() => harness[Symbol.asyncDispose]());

const GOOD = [1, 2, 3, 4];
const max = (name: LimitName) => LIMITS[name].value;
const record = (changes: object) => ({ id: 'a', values: GOOD, ...changes });
const recordsOf = (count: number) =>
  Array.from({ length: count }, (_, i) => record({ id: `r${i}` }));
const upsert = (changes: object) => notes.upsert([record({ id: 'other' }), record(changes)]);
const search = (query: object) => notes.search({ vector: GOOD, k: 1, ...query } as Query);
const create = (changes: object) =>
  client.createCollection({ name: 'new', dimension: 4, ...changes });
/** Metadata whose encoded form has exactly this many bytes, from 128 to 2^21. */
const metadataOf = (sizeBytes: number) => {
  // Lengths take one more byte from 128 and from 16,384 on; four of them are nested.
  for (let length = Math.max(0, sizeBytes - 24); length < sizeBytes; length++) {
    const value = 'x'.repeat(length);
    if (encodedSizeBytes(length) === sizeBytes) return { k: value };
  }
  throw new Error(`no metadata of ${sizeBytes} bytes`);
};
const varintBytes = (n: number) => (n < 128 ? 1 : n < 16_384 ? 2 : 3);
const encodedSizeBytes = (length: number) => {
  const value = 1 + varintBytes(length) + length;
  const entry = 3 + 1 + varintBytes(value) + value;
  return 1 + varintBytes(entry) + entry;
};
const nested = (levels: number): Metadata => (levels === 1 ? {} : { a: nested(levels - 1) });

interface Row {
  readonly what: string;
  readonly limit: LimitName;
  readonly field: string;
  /** Sends a request that is `size` large in that respect. */
  readonly send: (size: number) => Promise<unknown>;
}

const UPPER: Row[] = [
  {
    what: 'id of a record',
    limit: 'idBytesMax',
    field: 'records[1].id',
    send: (size) => upsert({ id: 'x'.repeat(size) }),
  },
  {
    what: 'id in bytes, not letters',
    limit: 'idBytesMax',
    field: 'records[1].id',
    send: (size) => upsert({ id: `${'é'.repeat(size >> 1)}${size % 2 ? 'x' : ''}` }),
  },
  {
    what: 'values of a $in',
    limit: 'filterInValuesMax',
    field: 'query.filter.n.$in',
    send: (size) => search({ filter: { n: { $in: Array.from({ length: size }, (_, at) => at) } } }),
  },
  {
    what: 'conditions of a filter',
    limit: 'filterConditionsMax',
    field: 'filter.$or[256].n',
    send: (size) =>
      notes.deleteByFilter({ $or: Array.from({ length: size }, (_, at) => ({ n: at })) }),
  },
  {
    what: 'filter in bytes',
    limit: 'filterBytesMax',
    field: 'filter',
    send: (size) => notes.count({ filter: metadataOf(size) }),
  },
  {
    what: 'page of a scroll',
    limit: 'scrollLimitMax',
    field: 'limit',
    send: (size) => notes.scrollPage({ limit: size }),
  },
  {
    what: 'id to delete',
    limit: 'idBytesMax',
    field: 'ids[1]',
    send: (size) => notes.delete(['a', 'x'.repeat(size)]),
  },
  {
    what: 'id to fetch',
    limit: 'idBytesMax',
    field: 'ids[1]',
    send: (size) => notes.fetch(['a', 'x'.repeat(size)]),
  },
  {
    what: 'id to search near to',
    limit: 'idBytesMax',
    field: 'query.id',
    send: async (size) => {
      const id = 'x'.repeat(size);
      if (size <= max('idBytesMax')) await notes.upsert([record({ id })]);
      return notes.search({ id, k: 1 });
    },
  },
  {
    what: 'metadata size',
    limit: 'metadataBytesMax',
    field: 'records[1].metadata',
    send: (size) => upsert({ metadata: metadataOf(size) }),
  },
  {
    what: 'metadata depth',
    limit: 'metadataDepthMax',
    field: 'records[1].metadata',
    send: (levels) => upsert({ metadata: nested(levels) }),
  },
  {
    what: 'records of an upsert',
    limit: 'upsertRecordsMax',
    field: 'records',
    send: (count) => notes.upsert(recordsOf(count)),
  },
  {
    what: 'ids of a delete',
    limit: 'deleteIdsMax',
    field: 'ids',
    send: (count) => notes.delete(recordsOf(count).map(({ id }) => id)),
  },
  {
    what: 'ids of a fetch',
    limit: 'fetchIdsMax',
    field: 'ids',
    send: (count) => notes.fetch(Array(count).fill('nobody')),
  },
  {
    what: 'queries of a batch',
    limit: 'searchBatchMax',
    field: 'queries',
    send: (count) => notes.searchBatch(Array(count).fill({ vector: GOOD, k: 1 })),
  },
  {
    what: 'hits of a batch',
    limit: 'searchBatchHitsMax',
    field: 'queries',
    send: (hits) => {
      const full = { vector: GOOD, k: max('kMax') };
      const queries = Array<Query>(Math.floor(hits / full.k)).fill(full);
      const rest = hits % full.k;
      return notes.searchBatch(rest === 0 ? queries : [...queries, { ...full, k: rest }]);
    },
  },
  { what: 'k', limit: 'kMax', field: 'query.k', send: (k) => search({ k }) },
  {
    what: 'k in a batch',
    limit: 'kMax',
    field: 'queries[1].k',
    send: (k) =>
      notes.searchBatch([
        { vector: GOOD, k: 1 },
        { vector: GOOD, k },
      ]),
  },
  {
    what: 'k and offset',
    limit: 'kMax',
    field: 'query.offset',
    send: (sum) => search({ k: 10, offset: sum - 10 }),
  },
  {
    what: 'shardK',
    limit: 'shardKMax',
    field: 'query.shardK',
    send: (shardK) => search({ shardK }),
  },
  {
    what: 'hits of a batch by shardK',
    limit: 'searchBatchHitsMax',
    field: 'queries',
    send: (hits) => {
      const full = { vector: GOOD, k: 1, shardK: max('shardKMax') };
      const queries = Array<Query>(Math.floor(hits / full.shardK)).fill(full);
      const rest = hits % full.shardK;
      return notes.searchBatch(rest === 0 ? queries : [...queries, { ...full, shardK: rest }]);
    },
  },
  {
    what: 'shard keys of a read',
    limit: 'scopeShardKeysMax',
    field: 'shardKeys',
    send: (count) => notes.count({ shardKey: Array<string>(count).fill('order-7') }),
  },
  {
    what: 'shard keys of a delete by filter',
    limit: 'scopeShardKeysMax',
    field: 'shardKeys',
    send: (count) => notes.deleteByFilter({}, { shardKey: Array<string>(count).fill('order-7') }),
  },
  {
    what: 'bytes of a shard key of a delete by filter',
    limit: 'routingKeyBytesMax',
    field: 'shardKeys[1]',
    send: (size) => notes.deleteByFilter({}, { shardKey: ['order-7', 'k'.repeat(size)] }),
  },
  {
    what: 'bytes of a shard key of a read',
    limit: 'routingKeyBytesMax',
    field: 'shardKeys[1]',
    send: (size) => notes.count({ shardKey: ['order-7', 'k'.repeat(size)] }),
  },
  { what: 'ef', limit: 'efMax', field: 'query.ef', send: (ef) => search({ ef }) },
  {
    what: 'collection name',
    limit: 'collectionNameBytesMax',
    field: 'config.name',
    send: (size) => create({ name: 'n'.repeat(size) }),
  },
  {
    what: 'dimension',
    limit: 'dimensionMax',
    field: 'config.dimension',
    send: (dimension) => create({ dimension }),
  },
  { what: 'm', limit: 'mMax', field: 'config.m', send: (m) => create({ m }) },
  {
    what: 'efConstruction',
    limit: 'efConstructionMax',
    field: 'config.efConstruction',
    send: (efConstruction) => create({ efConstruction }),
  },
  {
    what: 'indexed fields',
    limit: 'indexedFieldsMax',
    field: 'config.indexedFields',
    send: (count) =>
      create({
        indexedFields: Array.from({ length: count }, (_, i) => ({ path: `f${i}`, type: 'bool' })),
      }),
  },
  {
    what: 'depth of an indexed field',
    limit: 'metadataDepthMax',
    field: 'config.indexedFields[0].path',
    send: (levels) =>
      create({ indexedFields: [{ path: Array(levels).fill('a').join('.'), type: 'bool' }] }),
  },
  {
    what: 'path of an indexed field',
    limit: 'fieldPathBytesMax',
    field: 'config.indexedFields[0].path',
    send: (size) => create({ indexedFields: [{ path: 'a'.repeat(size), type: 'bool' }] }),
  },
];

describe('limits (P-9): one below and at the limit pass, one above is named', () => {
  it.each(UPPER)('$what', async ({ limit, field, send }) => {
    const value = max(limit);
    await send(value - 1);
    await send(value);
    expect(harness.backend.calls.length).toBeGreaterThanOrEqual(2);
    harness.backend.calls.length = 0;
    const error = await failureOf(send(value + 1));
    expect(error.body).toMatchObject({
      reason: 'LIMIT_EXCEEDED',
      field,
      limit: { name: limit, value },
    });
    expect(error).toMatchObject({
      code: 'INVALID_ARGUMENT',
      outcome: 'not-applied',
      retryable: false,
    });
    expect(harness.backend.calls).toEqual([]);
  });

  it('m has a lower limit too', async () => {
    await create({ m: 2 });
    expect((await failureOf(create({ m: 1 }))).body).toMatchObject({
      field: 'config.m',
      limit: { name: 'mMin', value: 2 },
    });
  });
});

const vectorWith = (value: number) => [1, value, 0, 0];
const plain = (changes: object) => client.collection('plain').upsert([record(changes)]);

describe('what is malformed is named, and reaches nobody (P-9)', () => {
  it.each<[string, string, string, () => Promise<unknown>]>([
    ['an empty id', 'INVALID_REQUEST', 'records[1].id', () => upsert({ id: '' })],
    ['half a character as id', 'INVALID_REQUEST', 'records[1].id', () => upsert({ id: 'a\ud800' })],
    ['the same id twice', 'DUPLICATE_ID', 'records[1].id', () => upsert({ id: 'other' })],
    ['the same id deleted twice', 'DUPLICATE_ID', 'ids[2]', () => notes.delete(['a', 'b', 'a'])],
    [
      'a vector too short',
      'DIMENSION_MISMATCH',
      'records[1].values',
      () => upsert({ values: [1] }),
    ],
    [
      'a vector too long',
      'DIMENSION_MISMATCH',
      'records[1].values',
      () => upsert({ values: [...GOOD, 5] }),
    ],
    ['no vector', 'DIMENSION_MISMATCH', 'records[1].values', () => upsert({ values: [] })],
    ['NaN', 'NOT_FINITE', 'records[1].values', () => upsert({ values: vectorWith(Number.NaN) })],
    ['infinity', 'NOT_FINITE', 'records[1].values', () => upsert({ values: vectorWith(1 / 0) })],
    [
      'minus infinity',
      'NOT_FINITE',
      'records[0].values',
      () => plain({ values: vectorWith(-1 / 0) }),
    ],
    [
      'a double beyond float32',
      'NOT_FINITE',
      'records[0].values',
      () => plain({ values: vectorWith(1e300) }),
    ],
    [
      'distances that overflow',
      'NOT_FINITE',
      'records[0].values',
      () => plain({ values: vectorWith(3e38) }),
    ],
    [
      'zeros under cosine',
      'ZERO_VECTOR',
      'records[1].values',
      () => upsert({ values: [0, 0, -0, 0] }),
    ],
    [
      'too small for a direction',
      'ZERO_VECTOR',
      'records[1].values',
      () => upsert({ values: [1e-30, 0, 0, 0] }),
    ],
    ['no records', 'INVALID_REQUEST', 'records', () => notes.upsert([])],
    ['no ids to delete', 'INVALID_REQUEST', 'ids', () => notes.delete([])],
    ['no ids to fetch', 'INVALID_REQUEST', 'ids', () => notes.fetch([])],
    ['no queries', 'INVALID_REQUEST', 'queries', () => notes.searchBatch([])],
    ['a query for nothing', 'INVALID_REQUEST', 'query', () => search({ vector: undefined })],
    ['a query for two things', 'INVALID_REQUEST', 'query', () => search({ id: 'a' })],
    [
      'an empty id to search',
      'INVALID_REQUEST',
      'query.id',
      () => search({ vector: undefined, id: '' }),
    ],
    ['k = 0', 'INVALID_REQUEST', 'query.k', () => search({ k: 0 })],
    ['k = 1.5', 'INVALID_REQUEST', 'query.k', () => search({ k: 1.5 })],
    ['k = -1', 'INVALID_REQUEST', 'query.k', () => search({ k: -1 })],
    [
      'a threshold of NaN',
      'INVALID_REQUEST',
      'query.scoreThreshold',
      () => search({ scoreThreshold: Number.NaN }),
    ],
    ['a query too short', 'DIMENSION_MISMATCH', 'query.vector', () => search({ vector: [1] })],
    ['a query of zeros', 'ZERO_VECTOR', 'query.vector', () => search({ vector: [0, 0, 0, 0] })],
    [
      'a query with NaN',
      'NOT_FINITE',
      'query.vector',
      () => search({ vector: vectorWith(Number.NaN) }),
    ],
    [
      'one bad query of a batch',
      'NOT_FINITE',
      'queries[1].vector',
      () =>
        notes.searchBatch([
          { vector: GOOD, k: 1 },
          { vector: vectorWith(1 / 0), k: 1 },
        ]),
    ],
    [
      'NaN in metadata',
      'INVALID_REQUEST',
      'records[1].metadata',
      () => upsert({ metadata: { a: Number.NaN } }),
    ],
    [
      'too large an integer',
      'INVALID_REQUEST',
      'records[1].metadata',
      () => upsert({ metadata: { a: 2 ** 60 } }),
    ],
    ['a name with a slash', 'INVALID_REQUEST', 'config.name', () => create({ name: 'a/b' })],
    ['a name with an umlaut', 'INVALID_REQUEST', 'config.name', () => create({ name: 'ü' })],
    ['no name', 'INVALID_REQUEST', 'config.name', () => create({ name: '' })],
    ['no name to drop', 'INVALID_REQUEST', 'name', () => client.dropCollection('')],
    ['no collection', 'INVALID_REQUEST', 'collection', () => client.collection('').count()],
    ['no dimension', 'INVALID_REQUEST', 'config.dimension', () => create({ dimension: 0 })],
    [
      'an unknown metric',
      'INVALID_REQUEST',
      'config.metric',
      () => create({ metric: 'manhattan' }),
    ],
    [
      'a field without type',
      'INVALID_REQUEST',
      'config.indexedFields[0].type',
      () => create({ indexedFields: [{ path: 'a', type: 'blob' }] }),
    ],
    [
      'a field with an empty name',
      'INVALID_REQUEST',
      'config.indexedFields[0].path',
      () => create({ indexedFields: [{ path: 'a..b', type: 'bool' }] }),
    ],
    [
      'a field twice',
      'INVALID_REQUEST',
      'config.indexedFields[1].path',
      () =>
        create({
          indexedFields: [
            { path: 'a', type: 'bool' },
            { path: 'a', type: 'float' },
          ],
        }),
    ],
  ])('%s', async (_what, reason, field, send) => {
    const error = await failureOf(send());
    expect({ reason: error.reason, field: error.field }).toEqual({ reason, field });
    expect(error.outcome).toBe('not-applied');
    expect(harness.backend.calls).toEqual([]);
    expect(harness.backend.records.size).toBe(0);
  });

  it('an unknown collection', async () => {
    const error = await failureOf(client.collection('nowhere').count());
    expect(error.reason).toBe('COLLECTION_NOT_FOUND');
    expect(harness.backend.calls).toEqual([]);
  });

  it('but zeros under l2, the name "." and the same id fetched twice are fine', async () => {
    await plain({ id: 'zero', values: [0, 0, 0, 0] });
    await create({ name: '.' });
    await search({ scoreThreshold: Number.POSITIVE_INFINITY });
    expect(await client.collection('plain').fetch(['zero', 'zero'])).toHaveLength(2);
  });
});
