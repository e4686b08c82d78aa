// Goal: a replica that holds or finds something else than its log says is told from one that does.
// Method: the production engine beside the replay of its log, and replays of other logs.
import { describe, expect, it } from 'vitest';
import type { Engine, ReadScope, SearchQuery } from '../../../src/engine/engine.js';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import type { Command } from '../../../src/shared/codec/command.js';
import type { CommittedEntry } from '../../../src/shared/state-machine.js';
import { memoryHarness } from '../../unit/engine/harness.js';
import {
  collectionConfig,
  GENESIS,
  patch,
  remove,
  ShardDriver,
  slotOf,
  upsert,
} from '../../unit/engine/shard-driver.js';
import { type CheckScope, differenceOf } from './replica-check.js';
import { type RecordChange, ShardReplay, type ShardState, textOfResult } from './shard-replay.js';

const SCOPE: CheckScope = { closely: 'all', reads: true };

/** A shard with a few records, and what its replay has told. */
async function shard() {
  const driver = new ShardDriver(await memoryHarness((options) => new FlatIndex(options)));
  await driver.open();
  await driver.createCollection();
  await driver.write([upsert('a', [1, 0], { metadata: { group: 1 } }), upsert('b', [2, 0])]);
  await driver.write([upsert('c', [3, 0], { ttlMs: 5 }), patch('a', { group: 2 }), remove('b')]);
  const changes: RecordChange[] = [];
  const replay = replayOf(driver.log, changes);
  const check = (other = replay, engine = driver.engine) =>
    differenceOf(engine, other, driver.log.length, SCOPE);
  return { driver, replay, changes, check };
}

function replayOf(log: readonly CommittedEntry[], changes: RecordChange[] = []): ShardReplay {
  const replay = new ShardReplay(GENESIS, (change) => changes.push(change));
  replay.take(log);
  return replay;
}

const NONE = { added: [], removed: [] };
/** A tenant of a slot goes to another shard. */
const GONE = { units: NONE, here: NONE, elsewhere: { added: ['acme'], removed: [] } };

/** The slot goes to another shard, unasked. */
function gives(slot: number): Command {
  return {
    kind: 'changeOwnership',
    changeId: 1,
    placementId: 0,
    ownershipVersion: GENESIS.ownershipVersion + 1,
    change: { ...GONE, elsewhere: NONE, units: { added: [], removed: [slot] } },
  };
}

function scopeOf(ownershipVersion: number): ReadScope {
  return { collectionId: 1, ownershipVersion };
}

function idsIn({ collections }: ShardState): string[] {
  return [...(collections.get(1)?.values() ?? [])].map(({ id }) => id).sort();
}

/** The engine, but for what a search answers. */
function searching(engine: Engine, search: Engine['search']): Engine {
  return new Proxy(engine, {
    get: (target, name) => {
      if (name === 'search') return search;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

describe('a replica and its log', () => {
  it('agree after writes, patches, deletes and an expiry, and at every index before', async () => {
    const { driver, check } = await shard();
    expect(await check()).toBe('');
    const [{ records = [], collectionId = 0 } = {}] = await driver.engine.expired(2 ** 50, 9);
    await driver.apply({ kind: 'expire', collectionId, records });
    const replay = replayOf(driver.log);
    expect(await check(replay)).toBe('');
    expect(idsIn(replay.latest)).toEqual(['a']);
    expect(idsIn(replay.stateAt(3))).toEqual(['a', 'c']);
  });

  it('agree on results, those of a request that comes again, or too late, too (A7)', async () => {
    const { driver } = await shard();
    const key = { sequence: 50, lowestUnanswered: 50 };
    const insert = upsert('d', [4, 0], { ordinal: 0, condition: { kind: 'absent' } });
    const results = [
      await driver.write([insert], key),
      await driver.write([insert], key),
      await driver.write([insert], { sequence: 51 }),
      await driver.write([remove('d')], { sequence: 49 }),
    ];
    const replay = replayOf(driver.log);
    const first = driver.log.length - results.length + 1;
    const expected = results.map((_, at) => replay.resultOf(first + at));
    expect(results.map(textOfResult)).toEqual(expected);
    expect(expected[1]).toBe(expected[0]);
    expect(expected[2]).toContain('RECORD_EXISTS');
    expect(expected[3]).toContain('SESSION_EXPIRED');
  });

  it('tell of each change of a record once', async () => {
    const { driver, replay, changes } = await shard();
    replay.take(driver.log);
    expect(changes.map(({ id, after }) => `${id} ${after === undefined}`)).toEqual([
      'a false',
      'b false',
      'c false',
      'a false',
      'b true',
    ]);
  });

  it.each([
    ['a record too few', [remove('a')]],
    ['another version', [upsert('a', [1, 0])]],
    ['another expiry', [upsert('c', [3, 0])]],
    ['a record too many', [upsert('d', [4, 0])]],
  ])('differ by %s', async (_, operations) => {
    const { driver, check } = await shard();
    const other = replayOf([...driver.log, driver.append(driver.writeCommand(operations))]);
    expect(await check(other)).not.toBe('');
  });

  it('differ by a collection', async () => {
    const { driver, check } = await shard();
    const dropped = driver.append({ kind: 'dropCollection', collectionId: 1 });
    expect(await check(replayOf([...driver.log, dropped]))).toContain('collections');
  });

  it('differ where a search for its own vector finds another record (H6)', async () => {
    const { driver, replay, check } = await shard();
    const engine = searching(driver.engine, async (scope, queries, givenUp) => {
      const [hits = []] = await driver.engine.search(scope, queries, givenUp);
      return [queries[0]?.k === 1 ? hits.map((hit) => ({ ...hit, id: 'z' })) : hits];
    });
    expect(await check(replay, engine)).toContain('nearest');
  });

  it('differ where a search does not find all', async () => {
    const { driver, replay, check } = await shard();
    const engine = searching(driver.engine, async () => [[]]);
    expect(await check(replay, engine)).toContain('0 of 2 records');
  });

  it('agree on who has which records, whose ids are the same (U1, U2)', async () => {
    const { driver, check } = await shard();
    await driver.write([upsert('a', [7, 0], { tenant: 'acme' }), upsert('c', [8, 0])]);
    await driver.write([upsert('c', [9, 0], { tenant: 'acme' })]);
    await driver.write([remove('a', { tenant: 'acme' })]);
    expect(await check(replayOf(driver.log))).toBe('');
  });

  it.each(['search', 'count'] as const)(
    'differ where a %s forgets the tenant (U1)',
    async (name) => {
      const { driver, check } = await shard();
      await driver.write([upsert('a', [7, 0], { tenant: 'acme' })]);
      const { engine } = driver;
      const forgetful = new Proxy(engine, {
        get: (target, member) => {
          if (name === 'count' && member === 'count')
            return (scope: ReadScope) => engine.count(scope);
          if (name === 'search' && member === 'search') {
            return (scope: ReadScope, queries: readonly SearchQuery[]) =>
              engine.search(
                scope,
                queries.map(({ tenant: _, ...query }) => query),
              );
          }
          const value: unknown = Reflect.get(target, member, target);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
      expect(await check(replayOf(driver.log), forgetful)).toContain('tenant');
    },
  );

  it('agree on what is owned, and on what a fence takes away (O2, O4)', async () => {
    const driver = new ShardDriver(await memoryHarness((options) => new FlatIndex(options)));
    await driver.open();
    const ownership = { placementId: 1, units: [1, 2], tenants: { here: [], elsewhere: [] } };
    const config = collectionConfig({ routing: 'tenant' });
    await driver.apply({ kind: 'createCollection', collectionId: 1, config, ownership });
    const put = (tenant: string, slot: number, version = GENESIS.ownershipVersion): Command =>
      driver.writeCommand([upsert('a', [1, 1], { tenant, slot })], {}, scopeOf(version));
    const take = (tenant: string, slot: number): Command =>
      driver.writeCommand([{ ...remove('a', { tenant }), slot }]);
    const fence = (changeId: number): Command => {
      return { kind: 'fenceUnits', changeId, placementId: 1, change: GONE };
    };
    const next = GENESIS.ownershipVersion + 1;
    const change = { kind: 'changeOwnership', changeId: 2, placementId: 1, change: GONE } as const;
    const results = await driver.apply(
      put('acme', 1),
      put('stranger', 3),
      fence(1),
      take('acme', 1),
      { kind: 'liftFence', changeId: 1, placementId: 1 },
      fence(1),
      fence(2),
      put('acme', 1),
      put('other', 1),
      { ...change, ownershipVersion: next },
      { ...change, ownershipVersion: next },
      { ...change, ownershipVersion: next + 2 },
      put('other', 1),
      put('other', 1, next),
      put('acme', 1, next),
    );
    const replay = replayOf(driver.log);
    expect(results.map((_, at) => replay.resultOf(at + 2))).toEqual(results.map(textOfResult));
    expect(results.map(textOfResult).filter((text) => text.startsWith('refused'))).toEqual([
      'refused STALE_TOPOLOGY',
      'refused TENANT_HAS_DATA',
      'refused STALE_TOPOLOGY',
      'refused STALE_TOPOLOGY',
      'refused STALE_TOPOLOGY',
      'refused STALE_TOPOLOGY',
      'refused STALE_TOPOLOGY',
    ]);
    expect(replay.stray).toBeUndefined();
    expect(await differenceOf(driver.engine, replay, driver.log.length, SCOPE)).toBe('');
  });

  it('tell of a record that was given away with its tenant (O2)', async () => {
    const { driver } = await shard();
    driver.append(gives(slotOf('a')));
    const replay = replayOf(driver.log);
    expect(replay.stray?.id).toBe('a');
  });

  it('are not compared when the engine is closed', async () => {
    const { driver, check } = await shard();
    await driver.engine.close();
    expect(await check()).toBe('');
  });

  it('are compared whatever else the engine answers', async () => {
    const { driver, check } = await shard();
    const elsewhere = driver.append(gives(5));
    expect(await check(replayOf([...driver.log, elsewhere]))).toContain('STALE_TOPOLOGY');
  });
});
