// Goal: an explanation tells a tenant nothing of how much others have (U1, M-21).
// Method: the same tenant in two engines, alone in one, beside thousands of records in the other.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Explanation, Selection } from '../../../src/engine/engine.js';
import { encodeStruct, type JsonObject } from '../../../src/shared/codec/struct.js';
import { seededRandom } from '../../support/vectors.js';
import { memoryHarness } from '../engine/harness.js';
import { query, SCOPE, ShardDriver, upsert } from '../engine/shard-driver.js';

const RECORDS = 200;
const OTHERS = 3_000;
const BATCH = 250;

const random = seededRandom(5);
const vectors = Array.from({ length: OTHERS }, () => [random(), random()] as const);

async function fill(shard: ShardDriver, tenant: string, count: number): Promise<void> {
  for (let from = 0; from < count; from += BATCH) {
    const batch = vectors.slice(from, Math.min(from + BATCH, count)).map((vector, ordinal) => {
      const at = from + ordinal;
      return upsert(`r${at}`, vector, { tenant, ordinal, metadata: { a: at % 7, b: at % 3 } });
    });
    await shard.write(batch);
  }
}

const shards: ShardDriver[] = [];

/** One with the tenant alone, and one with another beside it. */
async function pair(tenant: string): Promise<[ShardDriver, ShardDriver]> {
  const make = async (others: number): Promise<ShardDriver> => {
    const shard = new ShardDriver(await memoryHarness());
    shards.push(shard);
    await shard.open();
    await shard.createCollection({ indexedFields: [{ path: 'a', type: 'integer' }] });
    await fill(shard, tenant, RECORDS);
    await fill(shard, 'beta', others);
    await shard.settled();
    return shard;
  };
  return [await make(0), await make(OTHERS)];
}

function explain(shard: ShardDriver, k: number, selection: Selection): Promise<Explanation> {
  return shard.engine.explain(SCOPE, query([0.5, 0.5], k, selection));
}

afterEach(async () => {
  for (const shard of shards.splice(0)) await shard.engine.close();
});

describe('an explanation for a tenant', () => {
  let alone: ShardDriver;
  let beside: ShardDriver;

  beforeEach(async () => {
    [alone, beside] = await pair('acme');
  });

  const filters: readonly (JsonObject | undefined)[] = [
    undefined,
    { a: 3 },
    { a: { $gte: 1 } },
    { b: 1 },
    { $or: [{ a: 2 }, { b: 0 }] },
    { a: 99 },
  ];

  it('is the same whether there are others or not, but for the plan', async () => {
    for (const filter of filters) {
      for (const k of [1, 10, 500]) {
        const selection = {
          tenant: 'acme',
          ...(filter !== undefined && { filter: encodeStruct(filter) }),
        };
        const [one, other] = [
          await explain(alone, k, selection),
          await explain(beside, k, selection),
        ];
        expect({ ...other, plan: '', durationMs: 0 }).toEqual({ ...one, plan: '', durationMs: 0 });
        expect(other).toMatchObject({ visited: 0, compared: 0, records: RECORDS });
      }
    }
  });

  it('still tells how many records match, where indexes know it', async () => {
    const filter = encodeStruct({ a: 3 });
    const matches = vectors.slice(0, RECORDS).filter((_, at) => at % 7 === 3).length;
    expect(await explain(beside, 10, { tenant: 'acme', filter })).toMatchObject({
      matches,
      estimatedMatches: matches,
      indexedFields: ['a'],
    });
    const scanned = await explain(beside, 10, { tenant: 'acme', filter: encodeStruct({ b: 1 }) });
    expect(scanned).toMatchObject({ estimatedMatches: RECORDS, scannedFields: ['b'] });
    expect(scanned).not.toHaveProperty('matches');
  });

  it('of nobody tells everything while there are no tenants, and of all always', async () => {
    const [none, some] = await pair('');
    const whole = await explain(none, 10, { tenant: '' });
    expect(whole.reason).toBe('every record matches');
    expect((await explain(some, 10, { tenant: '' })).reason).not.toBe(whole.reason);
    expect((await explain(some, 10, {})).reason).toBe(whole.reason);
    expect((await explain(none, 10, { tenant: 'acme' })).records).toBe(0);
  });
});
