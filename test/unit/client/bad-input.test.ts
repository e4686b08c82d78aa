// Goal: whatever JavaScript lets a caller pass is refused by its place, and never as a TypeError.
// Method: a table of wrong arguments to a client without a cluster: nothing of them is sent.
import { describe, expect, it } from 'vitest';
import { Flotilla, isFlotillaError } from '../../../src/client/index.js';

/** A client as JavaScript sees it. */
type Loose = Record<string, (...args: unknown[]) => Promise<unknown>>;

const flotilla = new Flotilla('localhost:1');
const admin = flotilla as unknown as Loose;
const notes = flotilla.collection('notes') as unknown as Loose;
const call = (on: Loose, method: string, ...args: unknown[]) => on[method]?.call(on, ...args);

async function faultOf(work: () => unknown) {
  try {
    await work();
  } catch (error) {
    if (isFlotillaError(error)) return error.body;
    throw error;
  }
  throw new Error('it was accepted');
}

const GOOD = { id: 'a', values: [1, 2] };

describe('a client', () => {
  it.each([
    ['localhost', 'addresses[0]'],
    ['http://localhost:7700', 'addresses[0]'],
    [['a:1', ''], 'addresses[1]'],
    [[], 'addresses'],
    [undefined, 'addresses'],
    [[7700], 'addresses[0]'],
  ])('is not made for the addresses %j', async (addresses, field) => {
    const fault = await faultOf(() => new Flotilla(addresses as string[]));
    expect(fault).toMatchObject({ reason: 'INVALID_REQUEST', field });
    expect(fault.message.startsWith(`${field} is `)).toBe(true);
  });

  it.each([
    ['records that are none', () => call(notes, 'upsert', GOOD), 'records'],
    ['a record that is missing', () => call(notes, 'upsert', [GOOD, undefined]), 'records[1]'],
    ['a record without id', () => call(notes, 'upsert', [{ values: [1] }]), 'records[0].id'],
    ['a number for an id', () => call(notes, 'upsert', [{ ...GOOD, id: 7 }]), 'records[0].id'],
    ['no vector', () => call(notes, 'upsert', [{ id: 'a' }]), 'records[0].values'],
    [
      'text in a vector',
      () => call(notes, 'upsert', [{ id: 'a', values: [1, '2'] }]),
      'records[0].values[1]',
    ],
    [
      'a hole in a vector',
      () => call(notes, 'upsert', [{ id: 'a', values: new Array(3) }]),
      'records[0].values[0]',
    ],
    [
      'a list as metadata',
      () => call(notes, 'upsert', [{ ...GOOD, metadata: ['x'] }]),
      'records[0].metadata',
    ],
    [
      'a date in metadata',
      () => call(notes, 'upsert', [{ ...GOOD, metadata: { at: new Date(0) } }]),
      'records[0].metadata',
    ],
    [
      'a number as version',
      () => call(notes, 'upsert', [{ ...GOOD, ifVersion: 7 }]),
      'records[0].ifVersion',
    ],
    ['a ttl below 0', () => call(notes, 'upsert', [{ ...GOOD, ttlMs: -1 }]), 'records[0].ttlMs'],
    ['an unknown mode', () => call(notes, 'upsert', [GOOD], { mode: 'replace' }), 'mode'],
    ['patches that are none', () => call(notes, 'patch', 'a'), 'patches'],
    ['a patch of null', () => call(notes, 'patch', [null]), 'patches[0]'],
    ['an id for ids', () => call(notes, 'delete', 'a'), 'ids'],
    ['null among ids', () => call(notes, 'delete', ['a', null]), 'ids[1]'],
    ['ids to fetch that are none', () => call(notes, 'fetch', 'a'), 'ids'],
    ['a number to fetch', () => call(notes, 'fetch', [7]), 'ids[0]'],
    ['no query', () => call(notes, 'search'), 'query'],
    ['no k', () => call(notes, 'search', { vector: [1] }), 'query.k'],
    ['k below 0', () => call(notes, 'search', { vector: [1], k: -1 }), 'query.k'],
    ['text as a vector', () => call(notes, 'search', { vector: '1,2', k: 1 }), 'query.vector'],
    ['a query for queries', () => call(notes, 'searchBatch', { vector: [1], k: 1 }), 'queries'],
    ['a filter of null', () => call(notes, 'count', { filter: null }), 'filter'],
    ['no filter to delete by', () => call(notes, 'deleteByFilter'), 'filter'],
    [
      'an operator without its dollar',
      () => call(notes, 'count', { filter: { a: { gt: 1 } } }),
      'filter.a.gt',
    ],
    ['an unknown consistency', () => call(notes, 'count', { consistency: 'weak' }), 'consistency'],
    [
      'a collection without a name',
      () => call(admin, 'createCollection', { dimension: 3 }),
      'config.name',
    ],
    ['no collection to create', () => call(admin, 'createCollection', null), 'collection'],
    ['no collection to open', () => call(admin, 'openCollection', null), 'collection'],
    [
      'split points that are no list',
      () => call(admin, 'createCollection', { name: 'a', dimension: 3, splitPoints: 'm' }),
      'config.splitPoints',
    ],
    ['no dimension', () => call(admin, 'createCollection', { name: 'a' }), 'config.dimension'],
    [
      'an unknown metric',
      () => call(admin, 'createCollection', { name: 'a', dimension: 3, metric: 'L2' }),
      'config.metric',
    ],
    [
      'an unknown type of a field',
      () =>
        call(admin, 'createCollection', {
          name: 'a',
          dimension: 3,
          indexedFields: [{ path: 'p', type: 'int' }],
        }),
      'config.indexedFields[0].type',
    ],
    [
      'a field that is a name',
      () => call(admin, 'createCollection', { name: 'a', dimension: 3, indexedFields: ['year'] }),
      'config.indexedFields[0].path',
    ],
    ['no name to describe', () => call(admin, 'describeCollection'), 'name'],
    ['no name to drop', () => call(admin, 'dropCollection'), 'name'],
    ['a name that is none', () => call(admin, 'collection', 7), 'collection'],
  ] as const)('refuses %s', async (_what, work, field) => {
    const fault = await faultOf(work);
    expect(fault).toMatchObject({ reason: 'INVALID_REQUEST', field });
    expect(fault.message).toContain(field);
  });
});
