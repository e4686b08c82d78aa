// Goal: what a search is answered in the turn of the call is what it is answered otherwise, and one
// that cannot goes on as it was begun. Method: one engine, asked both ways while records change.
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { SearchQuery } from '../../../src/engine/engine.js';
import { PayloadIndex } from '../../../src/engine/payload/payload-index.js';
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

/** Takes many slices: metadata tell which records match, and more are wanted than there are. */
const LONG = query([3, 4], 1_000, { filter: encodeStruct({ word: 'w1' }) });

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
    const found = engine.beginSearch(SCOPE, asked);
    expect(!(found instanceof Promise)).toBe(isNow);
    const hits = found instanceof Promise ? await found : found.map(plainHit);
    expect(hits).toEqual(await driver.search(asked));
  });

  it('is refused as others are', async () => {
    const { engine } = await shardOf(10);
    const wrong = filtered({ group: { $wrong: 1 } });
    expect(() => engine.beginSearch(SCOPE, wrong)).toThrow('$wrong');
    expect(() => engine.beginSearch({ ...SCOPE, ownershipVersion: 1 }, query([1, 2], 1))).toThrow(
      expect.objectContaining({ reason: 'STALE_TOPOLOGY' }),
    );
  });

  it('is what goes on where it is not known now: it is selected and planned once', async () => {
    const { driver, engine } = await shardOf(200);
    const resolved = vi.spyOn(PayloadIndex.prototype, 'resolve');
    const asked = filtered({ word: 'w1' });
    const found = engine.beginSearch(SCOPE, asked);
    expect(await found).toHaveLength(5);
    expect(resolved).toHaveBeenCalledTimes(1);
    resolved.mockRestore();
    expect(await found).toEqual(await driver.search(asked));
  });

  it('ends with CANCELLED when nobody waits for it any more', async () => {
    const { engine } = await shardOf(2_000);
    const givenUp = { aborted: false };
    const found = engine.beginSearch(SCOPE, LONG, givenUp);
    givenUp.aborted = true;
    await expect(found).rejects.toMatchObject({ reason: 'CANCELLED' });
  });

  it('tells of a collection that is dropped before it ends', async () => {
    const { driver, engine } = await shardOf(2_000);
    const found = engine.beginSearch(SCOPE, LONG);
    const dropping = driver.apply({ kind: 'dropCollection', collectionId: 1 });
    const [ended] = await Promise.allSettled([found, dropping]);
    expect(ended).toMatchObject({ reason: { reason: 'COLLECTION_NOT_FOUND' } });
  });

  it('is finished, or broken off, before the engine is closed', async () => {
    const { engine } = await shardOf(2_000);
    const found = Promise.resolve(engine.beginSearch(SCOPE, LONG));
    let isEnded = false;
    const ended = found.then(
      () => undefined,
      (error: unknown) => error,
    );
    void ended.then(() => {
      isEnded = true;
    });
    await engine.close();
    expect(isEnded).toBe(true);
    expect(await ended).toMatchObject({ reason: 'NODE_NOT_READY' });
  });

  it('waits for an engine that is not open yet', async () => {
    const { driver } = await shardOf(3);
    await driver.engine.close();
    const reopening = driver.open();
    const { engine } = driver;
    if (!(engine instanceof ShardEngine)) throw new Error('an engine of another thread');
    const found = engine.beginSearch(SCOPE, query([1, 1], 2));
    await reopening;
    expect(await found).toEqual(await driver.search(query([1, 1], 2)));
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
            const found = engine.beginSearch(SCOPE, one);
            if (found instanceof Promise) continue;
            answered++;
            expect(found.map(plainHit)).toEqual(await driver.search(one));
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
