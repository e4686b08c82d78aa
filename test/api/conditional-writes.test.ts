// Goal: what writes demand of records, and how long these live, arrives as it was meant (P-9).
// Method: client -> gRPC on loopback -> server -> backend in memory that notes what it is given.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NewRecord as BackendRecord, DeleteOptions } from '../../src/server/backend.js';
import { decodeStruct } from '../../src/shared/codec/struct.js';
import { LIMITS } from '../../src/shared/limits.js';
import type { WriteOutcome } from '../../src/shared/types.js';
import { VERIFIED, WRITTEN_AT_MS } from './fake-backend.js';
import { failureOf, type Harness, startHarness } from './harness.js';

let harness: Harness;
let upserted: BackendRecord[];
beforeEach(async () => {
  harness = await startHarness();
  upserted = [];
  const upsert = harness.backend.upsert.bind(harness.backend);
  harness.backend.upsert = (collection, records, options) => {
    upserted.push(...records);
    return upsert(collection, records, options);
  };
});
afterEach(() => harness[Symbol.asyncDispose]());

const values = [1, 1, 0, 0];
const conflict: WriteOutcome = {
  kind: 'not-applied',
  error: {
    reason: 'VERSION_CONFLICT',
    message: 'it has another',
    details: { currentVersion: '77' },
  },
};
const missing: WriteOutcome = {
  kind: 'not-applied',
  error: { reason: 'VERSION_CONFLICT', message: 'none', details: { record: 'missing' } },
};

describe('an upsert', () => {
  it('demands versions and sets how long records live', async () => {
    const notes = harness.client().collection('notes');
    await notes.upsert([
      { id: 'a', values, ifVersion: '18446744073709551615', ttlMs: 5_000 },
      { id: 'b', values, ttlMs: 0 },
      { id: 'c', values },
    ]);
    expect(upserted.map(({ condition, ttlMs }) => [condition, ttlMs])).toEqual([
      [{ kind: 'version', version: 2n ** 64n - 1n }, 5_000],
      [undefined, 0],
      [undefined, undefined],
    ]);
  });

  it('is told by fetches and scrolls when its records expire, and where they do not', async () => {
    const notes = harness.client().collection('notes');
    await notes.upsert([
      { id: 'a', values, ttlMs: 5_000 },
      { id: 'b', values, ttlMs: 0 },
    ]);
    const [mortal, lasting] = await notes.fetch(['a', 'b']);
    expect(mortal).toMatchObject({ id: 'a', expiresAtMs: WRITTEN_AT_MS + 5_000 });
    expect(lasting).not.toHaveProperty('expiresAtMs');
    expect((await notes.scrollPage()).records.map(({ expiresAtMs }) => expiresAtMs)).toEqual([
      WRITTEN_AT_MS + 5_000,
      undefined,
    ]);
  });

  it.each([
    ['insert-only', 'absent'],
    ['update-only', 'exists'],
  ] as const)('may be %s', async (mode, kind) => {
    await harness
      .client()
      .collection('notes')
      .upsert([{ id: 'a', values }], { mode });
    expect(upserted.map(({ condition }) => condition)).toEqual([{ kind }]);
  });

  it('says which records did not meet the demand, and their versions', async () => {
    harness.backend.outcomes = ([first]) => [first as WriteOutcome, conflict, missing];
    const records = ['a', 'b', 'c'].map((id) => ({ id, values, ifVersion: '1' }));
    const { outcomes, appliedCount } = await harness.client().collection('notes').upsert(records);
    expect(appliedCount).toBe(1);
    expect(outcomes.slice(1)).toEqual([
      {
        id: 'b',
        kind: 'not-applied',
        reason: 'VERSION_CONFLICT',
        message: 'it has another',
        currentVersion: '77',
      },
      { id: 'c', kind: 'not-applied', reason: 'VERSION_CONFLICT', message: 'none' },
    ]);
  });

  it('is ABORTED where no record met it, and not sent again', async () => {
    harness.backend.outcomes = () => [conflict];
    const notes = harness.client({ retry: { attemptsMax: 5 } }).collection('notes');
    const failure = await failureOf(notes.upsert([{ id: 'a', values, ifVersion: '1' }]));
    expect(failure).toMatchObject({ reason: 'VERSION_CONFLICT', code: 'ABORTED' });
    expect(failure.body.details).toEqual({ currentVersion: '77' });
    expect(harness.backend.writes).toHaveLength(1);
  });

  it('keeps a conflict after a lost answer: the log has decided it (P-2)', async () => {
    let attempts = 0;
    harness.backend.outcomes = () => {
      attempts++;
      const lost = { reason: 'OUTCOME_UNKNOWN', message: 'lost' } as const;
      return [attempts === 1 ? { kind: 'unknown', error: lost } : conflict];
    };
    const notes = harness.client({ retry: { attemptsMax: 5 } }).collection('notes');
    const failure = await failureOf(notes.upsert([{ id: 'a', values, ifVersion: '1' }]));
    expect([failure.reason, attempts]).toEqual(['VERSION_CONFLICT', 2]);
  });

  it.each([
    ['records[0].ifVersion', { ifVersion: '12x' }],
    ['records[0].ifVersion', { ifVersion: '18446744073709551616' }],
    ['records[0].ifVersion', { ifVersion: '' }],
    ['records[0].ttlMs', { ttlMs: -1 }],
    ['records[0].ttlMs', { ttlMs: 1.5 }],
    ['records[0].ttlMs', { ttlMs: LIMITS.ttlMsMax.value + 1 }],
  ])('refuses what makes no sense, naming %s (P-9)', async (field, wrong) => {
    const notes = harness.client().collection('notes');
    const failure = await failureOf(notes.upsert([{ id: 'a', values, ...wrong }]));
    expect(failure.field).toBe(field);
    expect(failure.code).toBe('INVALID_ARGUMENT');
    expect(upserted).toEqual([]);
  });

  it.each([-1, 0])('takes a ttl up to its limit %+d', async (below) => {
    const ttlMs = LIMITS.ttlMsMax.value + below;
    await harness
      .client()
      .collection('notes')
      .upsert([{ id: 'a', values, ttlMs }]);
    expect(upserted[0]?.ttlMs).toBe(ttlMs);
  });

  it('refuses a version of what is only to be inserted', async () => {
    const notes = harness.client().collection('notes');
    const write = notes.upsert([{ id: 'a', values, ifVersion: '1' }], { mode: 'insert-only' });
    expect((await failureOf(write)).field).toBe('records[0].ifVersion');
  });
});

describe('a patch', () => {
  it('arrives with its nulls', async () => {
    const notes = harness.client().collection('notes');
    const metadata = { gone: null, deep: { also: null, kept: [null] } };
    const result = await notes.patch([
      { id: 'a', metadata },
      { id: 'b', metadata: {}, ifVersion: '9' },
    ]);
    expect(result.appliedCount).toBe(2);
    const [a, b] = harness.backend.patches;
    expect(decodeStruct(a?.metadata ?? new Uint8Array(0))).toEqual(metadata);
    expect(a?.condition).toBeUndefined();
    expect(b).toMatchObject({ id: 'b', condition: { kind: 'version', version: 9n } });
  });

  it('refuses an id twice, none, and metadata that are too large (P-9)', async () => {
    const notes = harness.client().collection('notes');
    const twice = [1, 2].map((x) => ({ id: 'a', metadata: { x } }));
    expect((await failureOf(notes.patch(twice))).field).toBe('patches[1].id');
    expect((await failureOf(notes.patch([]))).field).toBe('patches');
    const large = { text: 'x'.repeat(LIMITS.metadataBytesMax.value) };
    const failure = await failureOf(notes.patch([{ id: 'a', metadata: large }]));
    expect(failure).toMatchObject({ field: 'patches[0].metadata', reason: 'LIMIT_EXCEEDED' });
    expect(harness.backend.patches).toEqual([]);
  });
});

describe('a delete', () => {
  it('demands versions of some records, of all or of none', async () => {
    const notes = harness.client().collection('notes');
    await notes.delete(['a', { id: 'b', ifVersion: '5' }, { id: 'c' }]);
    await notes.delete(['a']);
    const versions = harness.backend.writes.map((options: DeleteOptions) => options.ifVersions);
    expect(versions).toEqual([[undefined, 5n, undefined], []]);
  });
});

describe('a collection', () => {
  it('is created with a ttl, described with it, and without one has none', async () => {
    const client = harness.client();
    const config = { name: 'short', dimension: 4 };
    const created = await client.createCollection({ ...config, ttlMs: 60_000 });
    expect(created.config.ttlMs).toBe(60_000);
    const lasting = await client.createCollection({ ...config, name: 'long', ttlMs: 0 });
    expect(lasting.config).not.toHaveProperty('ttlMs');
    const wrong = client.createCollection({ ...config, ttlMs: LIMITS.ttlMsMax.value + 1 });
    expect((await failureOf(wrong)).field).toBe('config.ttlMs');
  });
});

describe('a verification', () => {
  it('asks for all collections or one, and answers what was found', async () => {
    const client = harness.client();
    expect(await client.verify()).toEqual([VERIFIED]);
    await client.verify({ collection: 'notes', deep: true });
    expect(harness.backend.calls).toEqual([
      'verify {"deep":false}',
      'verify {"collection":"notes","deep":true}',
    ]);
    expect((await failureOf(client.verify({ collection: 'no such/name' }))).field).toBe(
      'collection',
    );
  });
});
