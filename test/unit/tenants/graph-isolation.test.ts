// Goal: a search for one tenant among thousands of records of others finds its own, and all that it
// should (M-21, U1, Q1). Method: real graphs, here and in a thread, beside a look at all vectors;
// after a restart from a checkpoint, and after a snapshot.
import { afterEach, describe, expect, it } from 'vitest';
import { encodeStruct } from '../../../src/shared/codec/struct.js';
import { seededRandom, squaredDistance } from '../../support/vectors.js';
import { memoryHarness, threadHarness } from '../engine/harness.js';
import {
  type EngineHarness,
  query,
  SCOPE,
  ShardDriver,
  sendSnapshot,
  upsert,
} from '../engine/shard-driver.js';

const TENANTS = ['acme', 'beta'];
const RECORDS_EACH = 1_500;
const DIMENSION = 64;
const BATCH = 250;
const K = 10;

const random = seededRandom(7);
const vector = (): Float32Array => Float32Array.from({ length: DIMENSION }, random);

interface Own {
  readonly id: string;
  readonly vector: Float32Array;
  readonly colour: string;
}

/** The two have the same ids, and neighbours of each other. */
const OWN = new Map(
  TENANTS.map((tenant) => [
    tenant,
    Array.from({ length: RECORDS_EACH }, (_, at): Own => {
      return { id: `r${at}`, vector: vector(), colour: at % 3 === 0 ? 'red' : 'blue' };
    }),
  ]),
);
const QUERIES = Array.from({ length: 12 }, vector);

async function fill(shard: ShardDriver): Promise<void> {
  const indexedFields = [{ path: 'colour', type: 'keyword' }] as const;
  await shard.createCollection({ dimension: DIMENSION, indexedFields });
  for (let from = 0; from < RECORDS_EACH; from += BATCH) {
    for (const [tenant, own] of OWN) {
      const batch = own.slice(from, from + BATCH).map(({ id, vector: values, colour }, ordinal) => {
        return upsert(id, values, { metadata: { colour }, tenant, ordinal });
      });
      await shard.write(batch);
    }
  }
}

/** The share of the true nearest that was found; every hit has to be the tenant's own. */
async function recallOf(shard: ShardDriver, tenant: string, colour?: string): Promise<number> {
  const own = OWN.get(tenant) ?? [];
  const wanted = own.filter((one) => colour === undefined || one.colour === colour);
  const filter = colour === undefined ? {} : { filter: encodeStruct({ colour }) };
  let found = 0;
  // Some at a time, so that searches overlap.
  const answers = await Promise.all(
    QUERIES.map((target) => shard.search(query(target, K, { tenant, ...filter }))),
  );
  for (const [at, hits] of answers.entries()) {
    const target = QUERIES[at] ?? new Float32Array(DIMENSION);
    const nearest = wanted
      .map(({ id, vector: values }) => ({ id, distance: squaredDistance(values, target) }))
      .sort((a, b) => a.distance - b.distance)
      .slice(0, K);
    const byId = new Map(wanted.map((one) => [one.id, one]));
    expect(hits).toHaveLength(K);
    for (const hit of hits) {
      expect(hit.tenant).toBe(tenant);
      const values = byId.get(hit.id)?.vector ?? new Float32Array(DIMENSION);
      expect(hit.distance).toBeCloseTo(squaredDistance(values, target), 3);
    }
    const ids = new Set(hits.map(({ id }) => id));
    found += nearest.filter(({ id }) => ids.has(id)).length;
  }
  return found / (K * QUERIES.length);
}

async function look(shard: ShardDriver): Promise<void> {
  for (const tenant of TENANTS) {
    expect(await recallOf(shard, tenant)).toBeGreaterThan(0.85);
    expect(await recallOf(shard, tenant, 'red')).toBeGreaterThan(0.85);
  }
}

const open: { shard: ShardDriver; harness: EngineHarness }[] = [];

async function start(create: () => Promise<EngineHarness>) {
  const harness = await create();
  const shard = new ShardDriver(harness);
  await shard.open();
  open.push({ shard, harness });
  return { shard, harness };
}

afterEach(async () => {
  for (const { shard, harness } of open.splice(0)) {
    await shard.engine.close();
    await harness.cleanup();
  }
});

describe.each([
  {
    where: 'this thread',
    create: (): Promise<EngineHarness> => memoryHarness(),
    plan: 'graph-filtered',
  },
  { where: 'a thread of its own', create: threadHarness, plan: undefined },
])('tenants of one graph, in $where', ({ create, plan }) => {
  it('find their own, also from a checkpoint and after a snapshot', async () => {
    const { shard, harness } = await start(create);
    await fill(shard);
    // Some are still in the head.
    await look(shard);
    await shard.settled();
    // By the clock of the test; by that of a machine it may be another one.
    if (plan !== undefined) {
      for (const tenant of TENANTS) {
        expect(await shard.engine.explain(SCOPE, query(vector(), K, { tenant }))).toMatchObject({
          plan,
        });
      }
    }
    await look(shard);
    await shard.reopen();
    await look(shard);
    await shard.settled();
    await look(shard);
    await shard.engine.writeSnapshot(harness.snapshotPath('s'));
    const other = await start(create);
    await other.shard.engine.installSnapshot(await sendSnapshot('s', harness, other.harness));
    await other.shard.settled();
    await look(other.shard);
  }, 120_000);
});
