// Goal: no call with one tenant returns, counts, deletes or lists a record of another (M-21, U1).
// Method: random calls of several tenants on real engines, beside a map per tenant; property-based.
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TenantScope, UpsertRecord } from '../../../src/router/requests.js';
import type { RequestKey } from '../../../src/shared/codec/command.js';
import { decodeStruct, encodeStruct } from '../../../src/shared/codec/struct.js';
import type { CollectionConfig } from '../../../src/shared/types.js';
import { EngineCluster } from './engine-cluster.js';

const TENANTS = ['acme', 'acme\0b', 'zephyr', 'Ä'];
const IDS = ['a', 'b', 'c'];
const COLOURS = ['red', 'blue'];
const SOON = { timeoutMs: 5_000 };
const ALL = { limit: 100, includeValues: false, includeMetadata: true };
const ROUTINGS: readonly CollectionConfig['routing'][] = [undefined, 'tenant', 'shardKey'];

type Call =
  | {
      readonly kind: 'upsert';
      readonly tenant: string;
      readonly id: string;
      readonly colour: string;
    }
  | {
      readonly kind: 'patch';
      readonly tenant: string;
      readonly id: string;
      readonly colour: string;
    }
  | { readonly kind: 'delete'; readonly tenant: string; readonly id: string }
  | { readonly kind: 'deleteByFilter'; readonly tenant: string; readonly colour: string };

const tenant = fc.constantFrom(...TENANTS);
const id = fc.constantFrom(...IDS);
const colour = fc.constantFrom(...COLOURS);
const call: fc.Arbitrary<Call> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('upsert' as const), tenant, id, colour }) },
  fc.record({ kind: fc.constant('patch' as const), tenant, id, colour }),
  fc.record({ kind: fc.constant('delete' as const), tenant, id }),
  fc.record({ kind: fc.constant('deleteByFilter' as const), tenant, colour }),
);

/** What one tenant should see: colours by id. */
type Records = Map<string, string>;

class Tenants {
  readonly #cluster: EngineCluster;
  readonly #collection: string;
  readonly #isKeyed: boolean;
  readonly #isGateway: boolean;
  readonly #sequences = new Map<string, number>();
  readonly #records = new Map<string, Records>();

  /** A gateway counts the requests of each tenant on their own, under one client id. */
  constructor(cluster: EngineCluster, collection: string, isKeyed: boolean, isGateway = false) {
    this.#cluster = cluster;
    this.#collection = collection;
    this.#isKeyed = isKeyed;
    this.#isGateway = isGateway;
  }

  of(name: string): Records {
    const records = this.#records.get(name) ?? new Map<string, string>();
    this.#records.set(name, records);
    return records;
  }

  get all(): number {
    return [...this.#records.values()].reduce((sum, { size }) => sum + size, 0);
  }

  async make(one: Call): Promise<void> {
    const { router } = this.#cluster;
    const records = this.of(one.tenant);
    const scope = { ...SOON, tenant: one.tenant, ...this.#requestKey(one.tenant) };
    switch (one.kind) {
      case 'upsert':
        await router.upsert(this.#collection, [this.#record(one.id, one.colour)], scope);
        records.set(one.id, one.colour);
        return;
      case 'patch': {
        const metadata = encodeStruct({ colour: one.colour });
        const patched = router.patch(
          this.#collection,
          [{ ...this.#name(one.id), metadata }],
          scope,
        );
        if (!records.has(one.id)) {
          await expect(patched).rejects.toMatchObject({ reason: 'RECORD_NOT_FOUND' });
          return;
        }
        await patched;
        records.set(one.id, one.colour);
        return;
      }
      case 'delete': {
        const { outcomes } = await router.delete(this.#collection, [one.id], {
          ...scope,
          ...this.#keys([one.id]),
        });
        expect(outcomes).toMatchObject([{ kind: 'applied', existed: records.delete(one.id) }]);
        return;
      }
      case 'deleteByFilter': {
        const filter = encodeStruct({ colour: one.colour });
        const { deletedCount } = await router.deleteByFilter(this.#collection, { filter }, scope);
        const gone = [...records].filter(([, held]) => held === one.colour);
        for (const [gonId] of gone) records.delete(gonId);
        expect(deletedCount).toBe(gone.length);
      }
    }
  }

  /** Every kind of read, with and without a filter, as each tenant. */
  async look(): Promise<void> {
    for (const name of TENANTS) {
      const records = this.of(name);
      const scope = { ...SOON, tenant: name };
      for (const wanted of [undefined, ...COLOURS]) await this.#read(scope, records, wanted);
      await this.#fetch(scope, records);
    }
    const everybody = { ...SOON, allTenants: true };
    const { count } = await this.#cluster.router.count(this.#collection, everybody);
    expect(count).toBe(this.all);
  }

  async #read(scope: TenantScope & typeof SOON, records: Records, wanted?: string): Promise<void> {
    const { router } = this.#cluster;
    const filter = wanted === undefined ? {} : { filter: encodeStruct({ colour: wanted }) };
    const expected = [...records].filter(([, held]) => wanted === undefined || held === wanted);
    const ids = expected.map(([own]) => own).sort();
    const target = { kind: 'vector', values: Float32Array.of(0, 0) } as const;
    const query = { target, ...ALL, ...filter };
    const { results } = await router.search(this.#collection, [query], scope);
    const hits = results[0] ?? [];
    expect(hits.map((hit) => hit.id).sort()).toEqual(ids);
    expect(hits.every((hit) => hit.tenant === scope.tenant)).toBe(true);
    const plain = { ...query, includeMetadata: false };
    const bare = await router.search(this.#collection, [plain], scope);
    expect((bare.results[0] ?? []).map((hit) => hit.id).sort()).toEqual(ids);
    expect((await router.count(this.#collection, { ...scope, ...filter })).count).toBe(ids.length);
    const page = await router.scroll(this.#collection, { ...ALL, ...filter }, scope);
    expect(page.records.map((record) => record.id)).toEqual(ids);
    for (const { id: own, metadata = new Uint8Array() } of page.records) {
      expect(decodeStruct(metadata)).toEqual({ colour: records.get(own) });
    }
    const explained = await router.explain(this.#collection, query, scope);
    expect(explained.shards.reduce((sum, shard) => sum + shard.records, 0)).toBe(records.size);
    const matches = explained.shards.reduce((sum, shard) => sum + (shard.matches ?? 0), 0);
    expect(matches).toBeLessThanOrEqual(ids.length);
  }

  async #fetch(scope: TenantScope & typeof SOON, records: Records): Promise<void> {
    const include = { values: false, metadata: true };
    const options = { ...scope, ...this.#keys(IDS) };
    const found = await this.#cluster.router.fetch(this.#collection, IDS, include, options);
    const held = found.records.map(
      (record) => record && decodeStruct(record.metadata ?? new Uint8Array()),
    );
    expect(held).toEqual(
      IDS.map((one) => (records.has(one) ? { colour: records.get(one) } : undefined)),
    );
  }

  #requestKey(name: string): { readonly idempotencyKey?: RequestKey } {
    if (!this.#isGateway) return {};
    const sequence = (this.#sequences.get(name) ?? 0) + 1;
    this.#sequences.set(name, sequence);
    const client = { clientId: 'gateway', clientStampMs: 1 };
    return { idempotencyKey: { ...client, sequence, lowestUnanswered: 0 } };
  }

  #record(recordId: string, held: string): UpsertRecord {
    const values = Float32Array.of(IDS.indexOf(recordId), 1);
    return { ...this.#name(recordId), values, metadata: encodeStruct({ colour: held }) };
  }

  #name(recordId: string): { id: string; shardKey?: string } {
    return this.#isKeyed ? { id: recordId, shardKey: 'group' } : { id: recordId };
  }

  #keys(ids: readonly string[]): { shardKeys?: string[] } {
    return this.#isKeyed ? { shardKeys: ids.map(() => 'group') } : {};
  }
}

describe('tenants of one collection', () => {
  let cluster: EngineCluster;
  let collections = 0;

  beforeEach(async () => {
    cluster = await EngineCluster.start(3);
  });

  afterEach(() => cluster.close());

  const fields = [{ path: 'colour', type: 'keyword' }] as const;

  it.each(
    ROUTINGS.flatMap((routing) => [
      { routing, indexedFields: fields },
      { routing, indexedFields: [] },
    ]),
  )('never meet, routed by $routing, fields $indexedFields.length (M-21, U1)', async (shape) => {
    const { routing, indexedFields } = shape;
    await fc.assert(
      fc.asyncProperty(fc.array(call, { minLength: 1, maxLength: 12 }), async (calls) => {
        const name = `docs-${++collections}`;
        await cluster.createCollection(name, {
          indexedFields,
          ...(routing !== undefined && { routing }),
        });
        const tenants = new Tenants(cluster, name, routing === 'shardKey');
        for (const one of calls) await tenants.make(one);
        await tenants.look();
      }),
      { numRuns: 12 },
    );
  });

  it('are not told what became of requests of others whose keys are the same (U1)', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(call, { minLength: 2, maxLength: 12 }), async (calls) => {
        const names = ['a', 'b'].map((part) => `docs-${++collections}-${part}`);
        const tenants: Tenants[] = [];
        for (const name of names) {
          await cluster.createCollection(name, { routing: 'tenant' });
          tenants.push(new Tenants(cluster, name, false, true));
        }
        for (const one of calls) for (const each of tenants) await each.make(one);
        for (const each of tenants) await each.look();
      }),
      { numRuns: 12 },
    );
  });

  it('hold when calls of different tenants run at the same time (M-21, U1)', async () => {
    await cluster.createCollection('docs');
    const tenants = new Tenants(cluster, 'docs', false);
    const calls = fc.sample(call, { numRuns: 60, seed: 7 });
    await Promise.all(
      TENANTS.map(async (name) => {
        for (const one of calls) if (one.tenant === name) await tenants.make(one);
      }),
    );
    await tenants.look();
  });

  it('includes nobody, who is a tenant too: the empty one sees its own only (U1)', async () => {
    await cluster.createCollection('docs');
    const tenants = new Tenants(cluster, 'docs', false);
    await tenants.make({ kind: 'upsert', tenant: 'acme', id: 'a', colour: 'red' });
    await tenants.make({ kind: 'upsert', tenant: '', id: 'a', colour: 'blue' });
    const { results } = await cluster.router.search(
      'docs',
      [{ target: { kind: 'vector', values: Float32Array.of(0, 0) }, ...ALL }],
      SOON,
    );
    expect(results[0]).toMatchObject([{ tenant: '', id: 'a' }]);
    expect((await cluster.router.count('docs', SOON)).count).toBe(1);
    await tenants.look();
  });
});
