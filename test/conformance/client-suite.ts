// Goal: the client keeps its contract, whatever cluster it talks to and however it reaches it.
// Method: the whole surface of the client against a cluster under test, with equal expectations.
import { type Collection, Flotilla, type FlotillaOptions } from 'flotilla';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failureOf } from '../api/harness.js';
import { waitUntil } from '../support/wait-until.js';

export interface ClientHarness {
  /** host:port of every node, of three. */
  readonly addresses: readonly string[];
  close(): Promise<void>;
}

interface Note {
  title: string;
  year: number;
  tags?: string[];
}

const ROWS = 40;
const IDS = Array.from({ length: ROWS }, (_, row) => `note-${String(row).padStart(2, '0')}`);

function noteOf(row: number) {
  const metadata: Note = { title: `Note ${row}`, year: 2000 + row, tags: [`t${row % 3}`] };
  return { id: IDS[row] as string, values: [row, 1, 0], metadata };
}

export function clientSuite(
  name: string,
  open: () => Promise<ClientHarness>,
  options: FlotillaOptions = {},
): void {
  describe(`client: ${name}`, () => {
    let harness: ClientHarness;
    let client: Flotilla;
    let notes: Collection<Note>;
    let collections = 0;

    const connect = (more: FlotillaOptions = {}): Flotilla =>
      new Flotilla(harness.addresses, { ...options, ...more });
    const fresh = (settings: { ttlMs?: number } = {}): Promise<Collection<Note>> =>
      client.openCollection<Note>({ name: `c${++collections}`, dimension: 3, ...settings });

    beforeAll(async () => {
      harness = await open();
      client = connect();
      notes = await client.openCollection<Note>({
        name: 'notes',
        dimension: 3,
        metric: 'l2',
        indexedFields: [
          { path: 'year', type: 'integer' },
          { path: 'tags', type: 'keyword' },
        ],
      });
      const { appliedCount } = await notes.upsert(IDS.map((_, row) => noteOf(row)));
      expect(appliedCount).toBe(ROWS);
    });
    afterAll(async () => {
      await client?.close();
      await harness?.close();
    });

    describe('collections', () => {
      it('are opened again with equal settings, and refused with others', async () => {
        const settings = { name: 'opened', dimension: 3 };
        await (await client.openCollection(settings)).upsert([{ id: 'a', values: [1, 0, 0] }]);
        expect(await (await client.openCollection(settings)).count()).toBe(1);
        const other = client.openCollection({ ...settings, dimension: 4 });
        expect((await failureOf(other)).reason).toBe('COLLECTION_EXISTS');
      });

      it('are described, listed and dropped', async () => {
        const { name: dropped } = await fresh();
        const info = await client.describeCollection(dropped);
        expect(info).toMatchObject({ state: 'active', recordCount: 0, config: { dimension: 3 } });
        const names = async () => (await client.listCollections()).map(({ config }) => config.name);
        expect(await names()).toContain(dropped);
        await client.dropCollection(dropped);
        expect(await names()).not.toContain(dropped);
        const error = await failureOf(client.collection(dropped).count());
        expect(error).toMatchObject({ reason: 'COLLECTION_NOT_FOUND', retryable: false });
      });
    });

    describe('writes', () => {
      it('tell an outcome for each record, in order', async () => {
        const records = await fresh();
        const first = await records.upsert([noteOf(1)]);
        expect(first.outcomes).toMatchObject([{ id: IDS[1], kind: 'applied', existed: false }]);
        const mixed = await records.upsert([noteOf(0), noteOf(1)], { mode: 'insert-only' });
        expect(mixed.appliedCount).toBe(1);
        expect(mixed.outcomes).toMatchObject([
          { id: IDS[0], kind: 'applied' },
          { id: IDS[1], kind: 'not-applied', reason: 'RECORD_EXISTS' },
        ]);
      });

      it('take Float32Array and numbers, and give back Float32Array', async () => {
        const records = await fresh();
        await records.upsert([
          { id: 'floats', values: Float32Array.of(0.1, 0.2, 0.3) },
          { id: 'numbers', values: [0.1, 0.2, 0.3] },
        ]);
        const [floats, numbers] = await records.fetch(['floats', 'numbers']);
        expect(floats?.values).toEqual(Float32Array.of(0.1, 0.2, 0.3));
        expect(numbers?.values).toEqual(floats?.values);
      });

      it('look at versions', async () => {
        const records = await fresh();
        const { outcomes } = await records.upsert([noteOf(0)]);
        const [written] = outcomes;
        if (written?.kind !== 'applied') throw new Error('not written');
        const ifVersion = written.version;
        await records.patch([{ id: noteOf(0).id, metadata: { year: 1 }, ifVersion }]);
        await using other = connect();
        const refused = other.collection(records.name).delete([{ id: noteOf(0).id, ifVersion }]);
        const late = await failureOf(refused);
        expect(late).toMatchObject({ reason: 'VERSION_CONFLICT', outcome: 'not-applied' });
        // What it was refused for is something that its session has seen.
        expect(other.sessionToken).not.toBe('');
        const [record] = await records.fetch([noteOf(0).id]);
        expect(record?.metadata).toEqual({ ...noteOf(0).metadata, year: 1 });
      });

      it('patch what exists, and delete it', async () => {
        const records = await fresh();
        await records.upsert([noteOf(0)]);
        const { outcomes } = await records.patch([
          { id: noteOf(0).id, metadata: { tags: null, title: 'New' } },
          { id: 'nobody', metadata: {} },
        ]);
        expect(outcomes).toMatchObject([{ kind: 'applied' }, { reason: 'RECORD_NOT_FOUND' }]);
        const [record] = await records.fetch([noteOf(0).id]);
        expect(record?.metadata).toEqual({ title: 'New', year: 2000 });
        expect((await records.delete([noteOf(0).id, 'nobody'])).outcomes).toMatchObject([
          { existed: true },
          { existed: false },
        ]);
        expect(await records.fetch([noteOf(0).id])).toEqual([]);
      });

      it('expire', async () => {
        const records = await fresh({ ttlMs: 300 });
        await records.upsert([noteOf(0), { ...noteOf(1), ttlMs: 0 }]);
        const [brief, kept] = await records.fetch([noteOf(0).id, noteOf(1).id]);
        expect(brief?.expiresAtMs ?? kept?.expiresAtMs).toBeGreaterThan(0);
        await waitUntil('one has expired', async () => (await records.count()) === 1);
        expect(await records.fetch([noteOf(1).id])).toHaveLength(1);
      });

      it('delete what matches a filter, step by step', async () => {
        const records = await fresh();
        await records.upsert(IDS.map((_, row) => noteOf(row)));
        const seen: number[] = [];
        const onProgress = ({ deletedCount }: { deletedCount: number }) => seen.push(deletedCount);
        const { deletedCount } = await records.deleteByFilter(
          { year: { $lt: 2010 } },
          { onProgress },
        );
        expect(deletedCount).toBe(10);
        expect(seen.at(-1)).toBe(10);
        expect(await records.count()).toBe(ROWS - 10);
      });
    });

    describe('reads', () => {
      it('fetch in the order asked for, and leave out what is not there', async () => {
        const found = await notes.fetch([noteOf(7).id, 'nobody', noteOf(3).id]);
        expect(found.map(({ id }) => id)).toEqual([noteOf(7).id, noteOf(3).id]);
        expect(found[0]?.metadata).toEqual(noteOf(7).metadata);
      });

      it('search by vector and by record, awaited and hit by hit', async () => {
        const query = { vector: [10, 1, 0], k: 3 };
        const search = notes.search(query);
        const { hits, shards, degraded } = await search;
        expect(hits[0]).toMatchObject({ id: noteOf(10).id, distance: 0 });
        expect(hits[0]?.metadata?.title).toBe('Note 10');
        expect(shards.ok).toBe(shards.total);
        expect(degraded).toBe(false);
        const inTurn: string[] = [];
        for await (const { id } of search) inTurn.push(id);
        expect(inTurn).toEqual(hits.map(({ id }) => id));
        const byId = await notes.search({ id: noteOf(10).id, k: 3 });
        expect(byId.hits.map(({ distance }) => distance)).toEqual([0, 1, 1]);
      });

      it('search with an offset, a threshold, values and several queries', async () => {
        const vector = [5, 1, 0];
        const { hits } = await notes.search({
          vector,
          k: 10,
          offset: 1,
          scoreThreshold: 1,
          includeValues: true,
          includeMetadata: false,
        });
        expect(hits).toHaveLength(2);
        expect(hits[0]?.values).toBeInstanceOf(Float32Array);
        expect(hits[0]?.metadata).toBeUndefined();
        const { results } = await notes.searchBatch([
          { vector, k: 1 },
          { id: noteOf(30).id, k: 1 },
        ]);
        expect(results.map(([first]) => first?.id)).toEqual([noteOf(5).id, noteOf(30).id]);
      });

      it('filter searches and counts', async () => {
        const filter = { year: { $gte: 2010 }, tags: 't1' };
        const rows = IDS.map((_, row) => row).filter((row) => row >= 10 && row % 3 === 1);
        expect(await notes.count({ filter })).toBe(rows.length);
        const { hits } = await notes.search({ vector: [0, 1, 0], k: ROWS, filter });
        expect(hits.map(({ id }) => id)).toEqual(rows.map((row) => IDS[row]));
      });

      it('scroll through all, and from a cursor on', async () => {
        const all: string[] = [];
        for await (const { id } of notes.scroll({ limit: 7 })) all.push(id);
        expect(all).toEqual(IDS);
        const page = await notes.scrollPage({ limit: 5 });
        expect(page.records.map(({ id }) => id)).toEqual(IDS.slice(0, 5));
        expect(page.served.length).toBeGreaterThan(0);
        const next = await notes.scrollPage({ limit: 5, cursor: page.cursor ?? '' });
        expect(next.records.map(({ id }) => id)).toEqual(IDS.slice(5, 10));
      });

      it('explain a search', async () => {
        const { shards } = await notes.explain({ vector: [1, 1, 0], k: 1, filter: { year: 2001 } });
        expect(shards.length).toBeGreaterThan(0);
        expect(shards.flatMap(({ indexedFields }) => indexedFields)).toContain('year');
      });

      it('explain which replicas were asked and why, and where the time went (M-55)', async () => {
        const { shards, served, skipped, attempts, stages, cache } = await notes.explain({
          vector: [1, 1, 0],
          k: 5,
        });
        expect(served).toHaveLength(shards.length);
        expect(skipped).toEqual([]);
        expect(shards.reduce((sum, { usedHits }) => sum + usedHits, 0)).toBe(5);
        expect(cache.verdict).toBe('off');
        const slowest = Math.max(
          ...shards.map((one) => one.waitedMs + one.networkMs + one.durationMs),
        );
        // Sent as float32, and measured by the clocks of two threads.
        expect(stages.fanOutMs).toBeGreaterThan(0.99 * slowest - 1);
        for (const { choice } of shards) expect(choice).not.toBe('');
        for (const { reason } of attempts) expect(reason).not.toBe('');
      });

      it('search with less or more from each shard, and say where some may miss', async () => {
        const query = { vector: [0, 1, 0], k: 10 };
        const whole = await notes.search(query);
        expect(whole.cut).toBe(false);
        const more = await notes.search({ ...query, shardK: 30 });
        expect(more).toMatchObject({ hits: whole.hits, cut: false });
        const less = await notes.search({ ...query, shardK: 1 });
        expect(less.hits).toHaveLength(less.shards.total);
        expect(less.cut).toBe(true);
        const { cut } = await notes.searchBatch([query, { ...query, shardK: 1 }]);
        expect(cut).toEqual([false, true]);
      });

      it.each(['strong', 'leased', 'session', { boundedMs: 60_000 }] as const)(
        'see the own write at %j, and tell who served it',
        async (consistency) => {
          const records = await fresh();
          await records.upsert(IDS.map((_, row) => noteOf(row)));
          const served: number[] = [];
          const onServed = (parts: readonly { nodeId: number }[]) =>
            served.push(...parts.map(({ nodeId }) => nodeId));
          const count = await records.count({ consistency, onServed });
          const { hits } = await records.search({ vector: [1, 1, 1], k: 1 }, { consistency });
          const found = await records.fetch([IDS[0] as string], { consistency });
          const page = await records.scrollPage({ consistency });
          expect(served.length).toBeGreaterThan(0);
          expect(page.served.length).toBeGreaterThan(0);
          // A state that is bounded by a minute may be from before the write.
          if (typeof consistency !== 'string') return;
          expect([count, hits.length, found.length, page.records.length]).toEqual([
            ROWS,
            1,
            1,
            ROWS,
          ]);
        },
      );

      it('see in one client what another has written, by its token', async () => {
        const records = await fresh();
        await records.upsert([noteOf(0)]);
        await using other = connect();
        const session = client.sessionToken;
        const seen = await other.collection(records.name).count({ consistency: { session } });
        expect(seen).toBe(1);
      });
    });

    describe('a tenant', () => {
      it('sees its own records, by every call, wherever they are (M-21)', async () => {
        for (const routing of ['id', 'tenant'] as const) {
          const settings = { name: `tenants-by-${routing}`, dimension: 3, routing };
          const acme = await client.openCollection<Note>(settings, { tenant: 'acme' });
          const zeta = client.collection<Note>(settings.name, { tenant: 'zeta' });
          await acme.upsert(IDS.map((_, row) => noteOf(row)));
          await zeta.upsert([{ ...noteOf(3), metadata: { title: 'Other', year: 1 } }]);
          const query = { vector: [1, 1, 1], k: 2 * ROWS };
          expect((await acme.search(query)).hits).toHaveLength(ROWS);
          expect((await zeta.search(query)).hits.map(({ id }) => id)).toEqual([IDS[3]]);
          const [record] = await zeta.fetch([IDS[3] as string]);
          expect(record?.metadata?.title).toBe('Other');
          await zeta.deleteByFilter({});
          expect([await acme.count(), await zeta.count()]).toEqual([ROWS, 0]);
        }
      });
    });

    describe('records with a shard key', () => {
      it('are named with it, and stay together', async () => {
        const settings = { name: 'by-shard-key', dimension: 3, routing: 'shardKey' } as const;
        const records = await client.openCollection<Note>(settings);
        const keyed = IDS.map((_, row) => ({ ...noteOf(row), shardKey: `order-${row % 3}` }));
        expect((await records.upsert(keyed)).appliedCount).toBe(ROWS);
        const [{ id, shardKey } = { id: '', shardKey: '' }] = keyed;
        expect(await records.fetch([{ id, shardKey }])).toHaveLength(1);
        expect((await records.delete([{ id, shardKey }])).outcomes).toMatchObject([
          { kind: 'applied', existed: true },
        ]);
        expect(await records.count()).toBe(ROWS - 1);
      });

      it('are read key by key, from the shards that own them (M-19)', async () => {
        const settings = { name: 'by-shard-key-reads', dimension: 3, routing: 'shardKey' } as const;
        const records = await client.openCollection<Note>(settings);
        await records.upsert(IDS.map((_, row) => ({ ...noteOf(row), shardKey: `o-${row % 4}` })));
        const query = { vector: [0, 1, 0], k: 2 * ROWS };
        expect(await records.count({ shardKey: 'o-1' })).toBe(ROWS / 4);
        const { hits, shards } = await records.search(query, { shardKey: 'o-1' });
        expect(new Set(hits.map(({ shardKey }) => shardKey))).toEqual(new Set(['o-1']));
        expect(shards).toEqual({ total: 1, ok: 1, failed: [] });
        const keys = { shardKey: ['o-1', 'o-3'] };
        expect((await records.searchBatch([query], keys)).results[0]).toHaveLength(ROWS / 2);
        expect((await records.scrollPage(keys)).records).toHaveLength(ROWS / 2);
        const explained = await records.explain(query, { shardKey: 'o-2' });
        expect(explained.shards).toHaveLength(1);
        expect(new Set(explained.skipped.map(({ why }) => why))).toEqual(new Set(['shard-key']));
        const none = await failureOf(records.count({ shardKey: [] }));
        expect(none).toMatchObject({ reason: 'INVALID_REQUEST', field: 'shardKey' });
        const wrong = await failureOf(notes.count({ shardKey: 'o-1' }));
        expect(wrong).toMatchObject({ reason: 'INVALID_REQUEST', field: 'shardKeys' });
      });

      it('are deleted by a filter key by key, and those of no other (M-19)', async () => {
        const settings = { name: 'by-shard-key-gone', dimension: 3, routing: 'shardKey' } as const;
        const records = await client.openCollection<Note>(settings);
        await records.upsert(IDS.map((_, row) => ({ ...noteOf(row), shardKey: `o-${row % 4}` })));
        const early = { year: { $lt: 2000 + ROWS / 2 } };
        const one = await records.deleteByFilter(early, { shardKey: 'o-1' });
        expect(one).toEqual({ deletedCount: ROWS / 8 });
        expect(await records.count({ shardKey: 'o-1' })).toBe(ROWS / 8);
        expect(await records.count({ filter: early })).toBe(ROWS / 2 - ROWS / 8);
        const two = await records.deleteByFilter({}, { shardKey: ['o-2', 'o-3', 'nobody'] });
        expect(two).toEqual({ deletedCount: ROWS / 2 });
        expect(await records.count()).toBe(ROWS / 2 - ROWS / 8);
        const none = await failureOf(records.deleteByFilter({}, { shardKey: [] }));
        expect(none).toMatchObject({ reason: 'INVALID_REQUEST', field: 'shardKey' });
        const slip = await failureOf(records.deleteByFilter({}, { shardKey: undefined as never }));
        expect(slip).toMatchObject({ reason: 'INVALID_REQUEST', field: 'shardKey' });
        const wrong = await failureOf(notes.deleteByFilter({}, { shardKey: 'o-1' }));
        expect(wrong).toMatchObject({ reason: 'INVALID_REQUEST', field: 'shardKeys' });
        expect(await records.count()).toBe(ROWS / 2 - ROWS / 8);
      });
    });

    describe('every call', () => {
      const calls: Record<string, (more: { signal?: AbortSignal; timeoutMs?: number }) => unknown> =
        {
          upsert: (more) => notes.upsert([noteOf(0)], more),
          patch: (more) => notes.patch([{ id: noteOf(0).id, metadata: {} }], more),
          delete: (more) => notes.delete(['nobody'], more),
          fetch: (more) => notes.fetch([noteOf(0).id], more),
          search: (more) => notes.search({ vector: [1, 1, 1], k: 1 }, more),
          searchBatch: (more) => notes.searchBatch([{ vector: [1, 1, 1], k: 1 }], more),
          count: (more) => notes.count(more),
          scroll: (more) => notes.scroll(more).next(),
          scrollPage: (more) => notes.scrollPage(more),
          deleteByFilter: (more) => notes.deleteByFilter({ year: 1 }, more),
          explain: (more) => notes.explain({ vector: [1, 1, 1], k: 1 }, more),
          createCollection: (more) =>
            client.createCollection({ name: 'notes', dimension: 3, metric: 'l2' }, more),
          describeCollection: (more) => client.describeCollection('notes', more),
          listCollections: (more) => client.listCollections(more),
          dropCollection: (more) => client.dropCollection('nobody', more),
          status: (more) => client.status(more),
          verify: (more) => client.verify(more),
          elect: (more) => client.elect({ shardId: 0 }, more),
        };

      it.each(Object.keys(calls))('can be given up: %s', async (call) => {
        const signal = AbortSignal.abort();
        const error = await failureOf(Promise.resolve(calls[call]?.({ signal })));
        expect(error).toMatchObject({ reason: 'CANCELLED', retryable: false });
      });

      it.each(Object.keys(calls))('keeps its deadline: %s', async (call) => {
        const error = await failureOf(Promise.resolve(calls[call]?.({ timeoutMs: 0.000_1 })));
        expect(['DEADLINE_EXCEEDED', 'NODE_NOT_READY']).toContain(error.reason);
        expect(error.retryable).toBe(true);
      });
    });

    describe('errors', () => {
      it('name the field and the limit (P-9)', async () => {
        const wrong = notes.upsert([noteOf(0), { id: 'b', values: [1] }]);
        expect(await failureOf(wrong)).toMatchObject({
          reason: 'DIMENSION_MISMATCH',
          code: 'INVALID_ARGUMENT',
          outcome: 'not-applied',
          field: 'records[1].values',
        });
        const long = notes.fetch(['x'.repeat(513)]);
        expect(await failureOf(long)).toMatchObject({
          field: 'ids[0]',
          limit: { name: 'idBytesMax', value: 512 },
        });
      });

      it('say that the client is closed', async () => {
        const other = connect();
        await other.collection('notes').count();
        await other.close();
        await other.close();
        expect((await failureOf(other.collection('notes').count())).reason).toBe('CANCELLED');
      });
    });

    describe('the cluster', () => {
      it('tells its state, and that its replicas agree', async () => {
        const { nodes, shards, epoch } = await client.status();
        expect(nodes).toHaveLength(3);
        expect(shards.every(({ leaderNodeId }) => leaderNodeId > 0)).toBe(true);
        expect(epoch).toBeGreaterThan(0);
        const verified = await client.verify({ collection: 'notes' });
        expect(verified.flatMap(({ differences }) => differences)).toEqual([]);
      });

      it('hands a leadership over while calls go on', async () => {
        const [shard] = (await client.status()).shards;
        if (shard === undefined) throw new Error('no shard');
        const { shardId, leaderNodeId } = shard;
        const { leaderNodeId: next } = await client.transferLeadership({ shardId });
        expect(next).not.toBe(leaderNodeId);
        expect(await notes.fetch(IDS)).toHaveLength(ROWS);
      });
    });
  });
}
