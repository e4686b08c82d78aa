// Goal: the whole of the public API works through a real connection, for our client.
// Method: client -> gRPC on loopback -> server -> backend in memory.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FlotillaError } from '../../src/shared/errors.js';
import { CHANGE, COLLECTION, SERVED, STATUS } from './fake-backend.js';
import { failureOf, type Harness, startHarness } from './harness.js';

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
});
afterEach(() => harness[Symbol.asyncDispose]());

const vector = (x: number) => [x, 1, 0, 0];

describe('records', () => {
  it('upserts, fetches, counts and deletes', async () => {
    const notes = harness.client().collection<{ title: string }>('notes');
    const written = await notes.upsert([
      { id: 'a', values: vector(1), metadata: { title: 'One' } },
      { id: 'b', values: Float32Array.from(vector(2)) },
    ]);
    expect(written).toEqual({
      appliedCount: 2,
      outcomes: [
        { id: 'a', kind: 'applied', version: '1', existed: false },
        { id: 'b', kind: 'applied', version: '2', existed: false },
      ],
    });
    expect(await notes.count()).toBe(2);
    expect(await notes.fetch(['b', 'missing', 'a'])).toEqual([
      { id: 'b', version: '2', values: Float32Array.from(vector(2)) },
      { id: 'a', version: '1', values: Float32Array.from(vector(1)), metadata: { title: 'One' } },
    ]);
    expect(await notes.fetch(['a'], { includeValues: false, includeMetadata: false })).toEqual([
      { id: 'a', version: '1' },
    ]);
    const deleted = await notes.delete(['a', 'missing']);
    expect(
      deleted.outcomes.map((outcome) => outcome.kind === 'applied' && outcome.existed),
    ).toEqual([true, false]);
    expect(await notes.count()).toBe(1);
  });

  it('searches by vector and by id, with offset, threshold and what to include', async () => {
    const notes = harness.client().collection('notes');
    const metadata = { tags: ['x', null, { deep: true }], 'naïve ключ': 1.5 };
    await notes.upsert([1, 2, 4].map((x) => ({ id: `r${x}`, values: vector(x), metadata })));
    const near = await notes.search({ vector: vector(1), k: 2 });
    expect(near).toEqual({
      hits: [
        { id: 'r1', version: '1', distance: 0, metadata },
        { id: 'r2', version: '2', distance: 1, metadata },
      ],
      cut: false,
      shards: { total: 2, ok: 2, failed: [] },
      degraded: false,
      epoch: 7,
      served: SERVED,
    });
    const byId = await notes.search({
      id: 'r4',
      k: 5,
      offset: 1,
      ef: 50,
      scoreThreshold: 4,
      includeValues: true,
      includeMetadata: false,
    });
    expect(byId.hits).toEqual([
      { id: 'r2', version: '2', distance: 4, values: Float32Array.from(vector(2)) },
    ]);
    const batch = await notes.searchBatch([
      { vector: vector(4), k: 1 },
      { id: 'r1', k: 1 },
    ]);
    expect(batch.results.map((hits) => hits.map((hit) => hit.id))).toEqual([['r4'], ['r1']]);
    expect(await failureOf(notes.search({ id: 'missing', k: 1 }))).toMatchObject({
      reason: 'RECORD_NOT_FOUND',
      code: 'NOT_FOUND',
    });
  });

  it('names the field of its only query as the caller does (P-9)', async () => {
    harness.backend.before = () => {
      throw new FlotillaError('RECORD_NOT_FOUND', 'queries[0].id is nobody', {
        field: 'queries[0].id',
      });
    };
    const notes = harness.client().collection('notes');
    const single = await failureOf(notes.search({ id: 'x', k: 1 }));
    expect(single).toMatchObject({ field: 'query.id', message: 'query.id is nobody' });
    const batch = await failureOf(notes.searchBatch([{ id: 'x', k: 1 }]));
    expect(batch).toMatchObject({ field: 'queries[0].id' });
  });

  it('checks again where the collection was dropped and made anew elsewhere', async () => {
    harness.backend.newest.set('notes', { ...COLLECTION, dimension: 2 });
    const notes = harness.client().collection('notes');
    expect((await notes.upsert([{ id: 'r', values: [1, 2] }])).appliedCount).toBe(1);
    expect((await notes.search({ vector: [1, 2], k: 1 })).hits).toHaveLength(1);
    const error = await failureOf(notes.search({ vector: [1, 2, 3], k: 1 }));
    expect(error).toMatchObject({ reason: 'DIMENSION_MISMATCH' });
  });

  it('says when and where an answer is partial', async () => {
    harness.backend.degraded = true;
    const notes = harness.client().collection('notes');
    const answer = await notes.search({ vector: vector(1), k: 1 }, { allowPartial: true });
    expect(answer).toMatchObject({ degraded: true, shards: { total: 2, ok: 1, failed: [1] } });
    expect(harness.backend.lastOptions).toMatchObject({ allowPartial: true });
    expect(await harness.metrics.registry.metrics()).toContain('flotilla_search_degraded_total 1');
  });

  it('answers many calls at once, each with its own answer', async () => {
    const notes = harness.client().collection('notes');
    await notes.upsert([...Array(50).keys()].map((x) => ({ id: `r${x}`, values: vector(x) })));
    const searches = [...Array(200).keys()].map(async (i) => {
      const { hits } = await notes.search({ vector: vector(i % 50), k: 1 });
      return hits[0]?.id;
    });
    expect(await Promise.all(searches)).toEqual([...Array(200).keys()].map((i) => `r${i % 50}`));
  });
});

describe('collections and cluster', () => {
  it('creates with defaults, describes, lists and drops', async () => {
    const client = harness.client();
    const created = await client.createCollection({
      name: 'new',
      dimension: 8,
      indexedFields: [{ path: 'author.name', type: 'keyword' }],
    });
    const config = {
      name: 'new',
      dimension: 8,
      metric: 'cosine',
      m: 16,
      efConstruction: 200,
      indexedFields: [{ path: 'author.name', type: 'keyword' }],
    };
    expect(created).toEqual({ config, recordCount: 0, state: 'active' });
    expect(await client.describeCollection('notes')).toEqual({
      config: COLLECTION,
      recordCount: 0,
      state: 'active',
    });
    const names = (await client.listCollections()).map((info) => info.config.name);
    expect(names).toEqual(['notes', 'plain', 'new']);
    await client.dropCollection('new');
    expect(await failureOf(client.describeCollection('new'))).toMatchObject({
      reason: 'COLLECTION_NOT_FOUND',
      outcome: 'not-applied',
      retryable: false,
    });
  });

  it('carries every metric, type and setting', async () => {
    const client = harness.client();
    const types = ['keyword', 'integer', 'float', 'bool', 'datetime'] as const;
    for (const metric of ['l2', 'cosine', 'dot'] as const) {
      const wanted = {
        name: `c-${metric}`,
        dimension: 3,
        metric,
        m: 5,
        efConstruction: 77,
        indexedFields: types.map((type) => ({ path: type, type })),
      };
      expect((await client.createCollection(wanted)).config).toEqual(wanted);
    }
  });

  it('reports the status of the cluster', async () => {
    expect(await harness.client().status()).toEqual(STATUS);
  });

  it('changes replicas and leaders, and takes nodes in again (M-2)', async () => {
    const client = harness.client();
    const { backend } = harness;
    backend.calls.length = 0;
    expect(await client.addReplica({ shardId: 0, nodeId: 4 })).toEqual({
      change: CHANGE,
      epoch: 8,
    });
    await client.removeReplica({ shardId: 1, nodeId: 4 });
    await client.resetReplica({ topology: true, nodeId: 4 });
    await client.cancelReplicaChange({ shardId: 1, changeId: 4 });
    expect(await client.transferLeadership({ shardId: 1 })).toEqual({ leaderNodeId: 3 });
    await client.stepDown({ topology: true });
    await client.elect({ shardId: 1, nodeId: 2 });
    expect(await client.readmitNode(5)).toEqual({ storeId: 'new', replicas: 2 });
    expect(backend.calls).toEqual([
      'add {"kind":"shard","shardId":0} 4',
      'remove {"kind":"shard","shardId":1} 4',
      'reset {"kind":"topology"} 4',
      'cancel {"kind":"shard","shardId":1} 4',
      'transfer {"kind":"shard","shardId":1} 0',
      'step-down {"kind":"topology"} 0',
      'elect {"kind":"shard","shardId":1} 2',
      'readmit 5',
    ]);
    await expect(client.addReplica({ shardId: 1, nodeId: 0 })).rejects.toMatchObject({
      reason: 'INVALID_REQUEST',
      field: 'nodeId',
    });
    await expect(client.cancelReplicaChange({ shardId: 1, changeId: 0 })).rejects.toMatchObject({
      reason: 'INVALID_REQUEST',
      field: 'changeId',
    });
    await expect(client.stepDown({} as { shardId: number })).rejects.toMatchObject({
      reason: 'INVALID_REQUEST',
      field: 'shardId',
    });
  });

  it('looks after tenants, and gives a change of them up (M-18)', async () => {
    const client = harness.client();
    const { backend } = harness;
    backend.calls.length = 0;
    await client.assignTenant({ tenant: 'acme', shardId: 1 }, { by: 'ops' });
    expect(await client.cancelTenantChange(4)).toEqual({ changed: true, epoch: 7 });
    await client.describeTenants();
    await client.describeTenants({ withUsage: false });
    await client.countTenants('notes', { limit: 7 });
    expect(backend.calls).toEqual([
      'assignTenant by ops',
      'cancel tenant change 4',
      'describe tenants',
      'describe tenants without usage',
      'count tenants of notes, 7',
    ]);
    await expect(client.cancelTenantChange(0)).rejects.toMatchObject({
      reason: 'INVALID_REQUEST',
      field: 'changeId',
    });
  });

  it('takes a consistency for each read, and refuses words it does not know (P-4)', async () => {
    const notes = harness.client().collection('notes');
    await notes.count({ consistency: 'leased' });
    expect(harness.backend.lastOptions).toMatchObject({ consistency: 'leased' });
    await notes.fetch(['a']);
    expect(harness.backend.lastOptions).toMatchObject({ consistency: 'strong' });
    await expect(notes.count({ consistency: 'fresh' as 'strong' })).rejects.toMatchObject({
      reason: 'INVALID_REQUEST',
      field: 'consistency',
    });
  });
});
