// Goal: counts and scrolls of an engine find what a look at every record finds, page by page.
// Method: random records and filters against a naive model, in this thread and in one of its own.
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { ScrollQuery } from '../../../src/engine/engine.js';
import { ShardEngine } from '../../../src/engine/shard-engine.js';
import { defined } from '../../../src/shared/assert.js';
import { encodeFilter } from '../../../src/shared/codec/filter-bytes.js';
import { decodeStruct, encodeStruct } from '../../../src/shared/codec/struct.js';
import { LIMITS } from '../../../src/shared/limits.js';
import type { ScrollPosition } from '../../../src/shared/scroll-position.js';
import {
  arbitraryFilter,
  arbitraryMetadata,
  FIELDS,
  printFilter,
} from '../shared/filter-arbitraries.js';
import { engineEnvironment, memoryHarness, threadHarness } from './harness.js';
import { modelOf, selected } from './model/shard-model.js';
import {
  type EngineHarness,
  GENESIS,
  query,
  remove,
  SCOPE,
  ShardDriver,
  upsert,
} from './shard-driver.js';

const harnesses: EngineHarness[] = [];
const drivers: ShardDriver[] = [];
afterEach(async () => {
  for (const driver of drivers.splice(0)) await driver.engine.close();
  for (const harness of harnesses.splice(0)) await harness.cleanup();
});

async function started(create: () => Promise<EngineHarness> = memoryHarness): Promise<ShardDriver> {
  const harness = await create();
  const driver = new ShardDriver(harness);
  harnesses.push(harness);
  await driver.open();
  drivers.push(driver);
  await driver.createCollection({ indexedFields: FIELDS });
  return driver;
}

const BARE = { includeValues: false, includeMetadata: false };

/** `id tenant` of all records, page by page. */
async function scrolled(driver: ShardDriver, query: Omit<ScrollQuery, 'after'>): Promise<string[]> {
  const seen: string[] = [];
  for await (const { records } of driver.scrollPages(query)) {
    expect(records.length).toBeLessThanOrEqual(query.limit);
    seen.push(...records.map(({ id, tenant }) => `${id} ${tenant}`));
  }
  return seen;
}

const ids = ['a', 'B', 'ab', 'é', '\uffee', '\u{1f600}', '10', '9', '__proto__'];

describe('counts and scrolls', () => {
  const write = fc.record({
    id: fc.constantFrom(...ids),
    tenant: fc.constantFrom('', 'x'),
    metadata: fc.option(arbitraryMetadata, { nil: undefined }),
  });
  const ask = fc.record({
    filter: fc.option(arbitraryFilter, { nil: undefined }),
    tenant: fc.constantFrom(undefined, '', 'x', 'nobody'),
    limit: fc.integer({ min: 1, max: 4 }),
  });

  it.each([
    ['in this thread', memoryHarness, 40],
    ['in a thread of its own', threadHarness, 8],
  ])('find what matches, %s', async (_where, create, numRuns) => {
    const writes = fc.array(write, { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(writes, fc.array(ask, { minLength: 1, maxLength: 6 }), async (all, asks) => {
        const driver = await started(create);
        for (const { id, tenant, metadata } of all) {
          if (metadata === undefined) await driver.write([remove(id, { tenant })]);
          else await driver.write([upsert(id, [1, 2], { tenant, metadata })]);
        }
        const collection = defined(modelOf(driver.log).collections.get(1), 'collection');
        for (const { filter, tenant, limit } of asks) {
          const selection = {
            ...(filter !== undefined && { filter: encodeFilter(printFilter(filter)) }),
            ...(tenant !== undefined && { tenant }),
          };
          const matching = selected(collection, selection);
          const expected = matching.map((one) => `${one.id} ${one.tenant}`);
          expect(await driver.engine.count(SCOPE, selection)).toBe(expected.length);
          expect(await scrolled(driver, { ...selection, ...BARE, limit })).toEqual(expected);
        }
      }),
      { numRuns },
    );
  });

  it('answer what is asked of a record, as it is stored', async () => {
    const driver = await started();
    await driver.write([upsert('a', [1, 2], { metadata: { word: 'x' } })]);
    const whole = { limit: 5, includeValues: true, includeMetadata: true };
    const { records } = await driver.engine.scroll(SCOPE, whole);
    expect(records).toMatchObject([{ id: 'a', version: expect.any(BigInt) }]);
    expect(decodeStruct(records[0]?.metadata ?? new Uint8Array(1))).toEqual({ word: 'x' });
    expect(records[0]?.values).toHaveLength(8);
    const [bare] = (await driver.engine.scroll(SCOPE, { ...BARE, limit: 5 })).records;
    expect(Object.keys(bare ?? {}).sort()).toEqual(['id', 'tenant', 'version']);
  });

  it('see entries that are applied and not stored yet', async () => {
    const driver = await started();
    const applying = driver.apply(driver.writeCommand([upsert('a', [1, 2])]));
    const seen = await scrolled(driver, { ...BARE, limit: 5 });
    const after = await applying.then(() => scrolled(driver, { ...BARE, limit: 5 }));
    expect([[], ['a ']]).toContainEqual(seen);
    expect(after).toEqual(['a ']);
  });

  it('give records that stay there exactly once while others come and go', async () => {
    const driver = await started();
    const stay = Array.from({ length: 600 }, (_, at) => `stay${String(at).padStart(4, '0')}`);
    await driver.write(stay.map((id) => upsert(id, [1, 2], { metadata: { word: 'a' } })));
    const filter = encodeFilter({ free: { $exists: false } });
    const scrolling = scrolled(driver, { ...BARE, filter, limit: 50 });
    for (let round = 0; round < 30; round++) {
      const moved = stay[(round * 37) % stay.length] as string;
      await driver.write([
        upsert(`come${round}`, [1, 2]),
        ...(round > 0 ? [remove(`come${round - 1}`)] : []),
        upsert(moved, [3, 4], { metadata: { word: 'b' } }),
      ]);
    }
    const seen = (await scrolling).filter((one) => one.startsWith('stay'));
    expect(seen).toEqual(stay.map((id) => `${id} `));
  });

  it('keep several scrolls apart, and see what was written since the page before', async () => {
    const driver = await started();
    const all = Array.from({ length: 120 }, (_, at) => `r${1_000 + at}`);
    await driver.write(all.map((id, at) => upsert(id, [1, 2], { metadata: { count: at % 6 } })));
    const scrolls = [0, 1, 2, 3, 4, 5].map((count) => ({
      filter: encodeFilter({ count: { $lte: count } }),
      seen: [] as string[],
      after: { id: '', tenant: '' } as ScrollPosition | undefined,
    }));
    for (let round = 0; scrolls.some(({ after }) => after !== undefined); round++) {
      for (const scroll of scrolls) {
        if (scroll.after === undefined) continue;
        const { filter, after } = scroll;
        const page = await driver.engine.scroll(SCOPE, { ...BARE, filter, after, limit: 7 });
        scroll.seen.push(...page.records.map(({ id }) => id));
        scroll.after = page.next;
      }
      if (round === 1) await driver.write([upsert('r2000', [1, 2], { metadata: { count: 0 } })]);
    }
    for (const [count, { seen }] of scrolls.entries()) {
      expect(seen).toEqual([...all.filter((_, at) => at % 6 <= count), 'r2000']);
    }
  });

  it('go back to any position, and start anew', async () => {
    const driver = await started();
    const all = Array.from({ length: 50 }, (_, at) => `r${1_000 + at}`);
    await driver.write(all.map((id) => upsert(id, [1, 2])));
    for (const from of [30, 10, 49, -1, 20]) {
      const after = from < 0 ? {} : { after: { id: all[from] as string, tenant: '' } };
      const { records } = await driver.engine.scroll(SCOPE, { ...BARE, ...after, limit: 5 });
      expect(records.map(({ id }) => id)).toEqual(all.slice(from + 1, from + 6));
    }
  });

  it('end a page that has its bytes', async () => {
    const driver = await started();
    const large = 'x'.repeat(60_000);
    const count = Math.ceil(LIMITS.scrollBytesMax.value / 60_000) + 10;
    const large100 = Array.from({ length: count }, (_, at) =>
      upsert(`l${1_000 + at}`, [1, 2], { metadata: { free: large } }),
    );
    for (const one of large100) await driver.write([one]);
    const query = { limit: 1_000, includeValues: false, includeMetadata: true };
    const page = await driver.engine.scroll(SCOPE, query);
    expect(page.records.length).toBeLessThan(count);
    expect(page.next).toBeDefined();
    expect(await scrolled(driver, query)).toHaveLength(count);
  });

  it('end a page that has looked at enough, whatever it found', async () => {
    const driver = await started();
    const count = 8_500;
    for (let from = 0; from < count; from += 500) {
      const part = Array.from({ length: 500 }, (_, at) => `r${10_000 + from + at}`);
      const last = `r${10_000 + count - 1}`;
      await driver.write(
        part.map((id) => upsert(id, [1, 2], id === last ? { metadata: { free: 'x' } } : {})),
      );
    }
    const query = { ...BARE, filter: encodeFilter({ free: 'x' }), limit: 10 };
    const first = await driver.engine.scroll(SCOPE, query);
    expect(first.records).toEqual([]);
    expect(first.next).toBeDefined();
    expect(await scrolled(driver, query)).toEqual([`r${10_000 + count - 1} `]);
  });

  it('let others run between any few records that are large (P-10)', async () => {
    let turns = 0;
    const driver = await started(async () => {
      const harness = await memoryHarness();
      const environment = engineEnvironment(harness.disk);
      const soon = (task: () => void): void => {
        turns++;
        environment.scheduler.soon(task);
      };
      const scheduler = { ...environment.scheduler, soon };
      const options = { environment: { ...environment, scheduler }, path: harness.path };
      return { ...harness, create: () => new ShardEngine({ ...options, genesis: GENESIS }) };
    });
    const metadata = { free: 'x'.repeat(60_000) };
    for (let at = 0; at < 100; at++) await driver.write([upsert(`r${at}`, [1, 2], { metadata })]);
    const filter = encodeFilter({ other: { $exists: false } });
    const turnsOf = async (read: () => Promise<unknown>): Promise<number> => {
      const before = turns;
      await read();
      return turns - before;
    };
    // The clock goes on by a millisecond at each look, and a slice has four.
    expect(await turnsOf(() => driver.engine.count(SCOPE, { filter }))).toBeGreaterThan(20);
    const page = { ...BARE, filter, limit: 100 };
    expect(await turnsOf(() => driver.engine.scroll(SCOPE, page))).toBeGreaterThan(20);
  });

  it.each([
    ['in this thread', memoryHarness],
    ['in a thread of its own', threadHarness],
  ])('end soon when nobody waits for them any more, %s (P-10)', async (_where, create) => {
    const driver = await started(create);
    const { engine } = driver;
    for (let from = 0; from < 5_000; from += 500) {
      const part = Array.from({ length: 500 }, (_, at) => `r${from + at}`);
      await driver.write(part.map((id) => upsert(id, [1, 2])));
    }
    const filter = encodeFilter({ free: { $exists: false } });
    const reads: ((givenUp: AbortSignal) => Promise<unknown>)[] = [
      (givenUp) => engine.count(SCOPE, { filter }, givenUp),
      (givenUp) => engine.scroll(SCOPE, { ...BARE, filter, limit: 5_000 }, givenUp),
      (givenUp) => engine.search(SCOPE, [query([1, 2], 5_000, { filter })], givenUp),
      (givenUp) => engine.explain(SCOPE, query([1, 2], 5_000, { filter }), givenUp),
    ];
    for (const read of reads) {
      const givenUp = new AbortController();
      const reading = read(givenUp.signal);
      givenUp.abort();
      await expect(reading).rejects.toMatchObject({ reason: 'CANCELLED' });
      await expect(read(givenUp.signal)).rejects.toMatchObject({ reason: 'CANCELLED' });
    }
    expect(await engine.count(SCOPE, { filter })).toBe(5_000);
  });

  it('refuse a filter that the door has let through, with the same error (P-9)', async () => {
    const driver = await started();
    const filter = encodeStruct({ count: 'x' });
    const refused = { reason: 'INVALID_REQUEST', field: 'filter.count' };
    const { engine } = driver;
    await expect(engine.count(SCOPE, { filter })).rejects.toMatchObject(refused);
    await expect(engine.scroll(SCOPE, { ...BARE, filter, limit: 1 })).rejects.toMatchObject(
      refused,
    );
    await expect(engine.scroll(SCOPE, { ...BARE, limit: 0 })).rejects.toMatchObject({
      reason: 'INVALID_REQUEST',
    });
    const stale = { ...SCOPE, ownershipVersion: 1 };
    await expect(engine.scroll(stale, { ...BARE, limit: 1 })).rejects.toMatchObject({
      reason: 'STALE_TOPOLOGY',
    });
    expect(await engine.count(SCOPE)).toBe(0);
  });
});
