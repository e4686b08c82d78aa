// Goal: what a search is answered in the turn of the call is what it is answered otherwise, and the
// searches that can be are. Method: one engine, asked both ways while records come and go.
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { SearchQuery } from '../../../src/engine/engine.js';
import { plainHit } from '../../../src/engine/plain-search.js';
import { ShardEngine } from '../../../src/engine/shard-engine.js';
import { encodeStruct, type JsonObject } from '../../../src/shared/codec/struct.js';
import { type MemoryHarness, memoryHarness } from './harness.js';
import { query, remove, SCOPE, ShardDriver, upsert } from './shard-driver.js';

const GROUPS = 20;
const open: ShardDriver[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((driver) => driver.engine.close()));
});

/** Records of two tenants; `group` is declared, `word` is not. */
async function shardOf(records: number): Promise<{ driver: ShardDriver; engine: ShardEngine }> {
  const harness: MemoryHarness = await memoryHarness();
  const driver = new ShardDriver(harness);
  await driver.open();
  open.push(driver);
  await driver.createCollection({ indexedFields: [{ path: 'group', type: 'integer' }] });
  await driver.write(Array.from({ length: records }, (_, at) => record(at)));
  const { engine } = driver;
  if (!(engine instanceof ShardEngine)) throw new Error('an engine of another thread');
  return { driver, engine };
}

function record(at: number, group = at % GROUPS): ReturnType<typeof upsert> {
  const metadata = { group, word: `w${at % 3}` };
  return upsert(`r${at}`, [at % 13, at % 7], { tenant: at % 4 === 0 ? 't' : '', metadata });
}

function filtered(filter: JsonObject, options: Partial<SearchQuery> = {}): SearchQuery {
  return query([3, 4], 5, { filter: encodeStruct(filter), ...options });
}

describe('a search that is answered now', () => {
  it.each<[string, SearchQuery, boolean]>([
    ['of all records', query([3, 4], 5), true],
    ['of a tenant', query([3, 4], 5, { tenant: 't' }), true],
    ['of few, told by an index', filtered({ group: 3 }), true],
    ['of none, told by an index', filtered({ group: 99 }), true],
    ['of one tenant among few', filtered({ group: 4 }, { tenant: 't' }), true],
    ['of those that metadata tell', filtered({ word: 'w1' }), false],
    ['with metadata', query([3, 4], 5, { includeMetadata: true }), false],
  ])('is one %s: %s', async (_name, asked, isNow) => {
    const { driver, engine } = await shardOf(200);
    const now = engine.searchNow(SCOPE, asked);
    expect(now !== undefined).toBe(isNow);
    if (now !== undefined) expect(now.map(plainHit)).toEqual(await driver.search(asked));
  });

  it('is refused as others are', async () => {
    const { engine } = await shardOf(10);
    const wrong = filtered({ group: { $wrong: 1 } });
    expect(() => engine.searchNow(SCOPE, wrong)).toThrow('$wrong');
    expect(() => engine.searchNow({ ...SCOPE, ownershipVersion: 1 }, query([1, 2], 1))).toThrow(
      expect.objectContaining({ reason: 'STALE_TOPOLOGY' }),
    );
  });

  it('finds the same as one in turns of its own, whatever was written (H4, Q1)', async () => {
    const change = fc.oneof(
      fc.record({ at: fc.nat(60), group: fc.nat(GROUPS) }),
      fc.record({ at: fc.nat(60), group: fc.constant(undefined) }),
    );
    const asked = fc.record({
      vector: fc.tuple(fc.nat(13), fc.nat(7)),
      k: fc.integer({ min: 1, max: 70 }),
      group: fc.option(fc.nat(GROUPS), { nil: undefined }),
      tenant: fc.option(fc.constantFrom('', 't', 'none'), { nil: undefined }),
      limit: fc.option(fc.nat(40), { nil: undefined }),
    });
    let answered = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.array(change, { maxLength: 8 }), asked), {
          minLength: 4,
          maxLength: 12,
        }),
        async (steps) => {
          const { driver, engine } = await shardOf(40);
          for (const [changes, { vector, k, group, tenant, limit }] of steps) {
            const last = new Map(changes.map((one) => [one.at, one.group]));
            const writes = [...last].map(([at, to]) =>
              to === undefined
                ? remove(`r${at}`, { tenant: at % 4 === 0 ? 't' : '' })
                : record(at, to),
            );
            if (writes.length > 0) await driver.write(writes);
            const one = query(vector, k, {
              ...(group !== undefined && { filter: encodeStruct({ group }) }),
              ...(tenant !== undefined && { tenant }),
              ...(limit !== undefined && { scoreThreshold: limit }),
            });
            const now = engine.searchNow(SCOPE, one);
            if (now === undefined) continue;
            answered++;
            expect(now.map(plainHit)).toEqual(await driver.search(one));
          }
          await driver.engine.close();
          open.splice(0);
        },
      ),
      { numRuns: 40 },
    );
    expect(answered).toBeGreaterThan(50);
  });
});
