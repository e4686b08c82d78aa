// Goal: a replica that holds or finds something else than its log says is told from one that does.
// Method: the production engine beside the replay of its log, and replays of other logs.
import { describe, expect, it } from 'vitest';
import type { Engine } from '../../../src/engine/engine.js';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import type { CommittedEntry } from '../../../src/shared/state-machine.js';
import { memoryHarness } from '../../unit/engine/harness.js';
import { GENESIS, patch, remove, ShardDriver, upsert } from '../../unit/engine/shard-driver.js';
import { type CheckScope, differenceOf } from './replica-check.js';
import { type RecordChange, ShardReplay, textOfResult } from './shard-replay.js';

const SCOPE: CheckScope = {
  ownershipVersion: GENESIS.ownershipVersion,
  closely: 'all',
  reads: true,
};

/** A shard with a few records, and what its replay has told. */
async function shard() {
  const driver = new ShardDriver(await memoryHarness((options) => new FlatIndex(options)));
  await driver.open();
  await driver.createCollection();
  await driver.write([upsert('a', [1, 0], { metadata: { group: 1 } }), upsert('b', [2, 0])]);
  await driver.write([upsert('c', [3, 0], { ttlMs: 5 }), patch('a', { group: 2 }), remove('b')]);
  const changes: RecordChange[] = [];
  const replay = replayOf(driver.log, changes);
  const check = (other = replay, scope: Partial<CheckScope> = {}, engine = driver.engine) =>
    differenceOf(engine, other, driver.log.length, { ...SCOPE, ...scope });
  return { driver, replay, changes, check };
}

function replayOf(log: readonly CommittedEntry[], changes: RecordChange[] = []): ShardReplay {
  const replay = new ShardReplay(GENESIS.ownershipVersion, (change) => changes.push(change));
  replay.take(log);
  return replay;
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
    expect([...(replay.latest.get(1)?.keys() ?? [])]).toEqual(['a']);
    expect([...(replay.stateAt(3).get(1)?.keys() ?? [])].sort()).toEqual(['a', 'c']);
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
    expect(await check(replay, {}, engine)).toContain('nearest');
  });

  it('differ where a search does not find all', async () => {
    const { driver, replay, check } = await shard();
    const engine = searching(driver.engine, async () => [[]]);
    expect(await check(replay, {}, engine)).toContain('0 of 2 records');
  });

  it('are not compared when the engine is closed', async () => {
    const { driver, check } = await shard();
    await driver.engine.close();
    expect(await check()).toBe('');
  });

  it('are compared whatever else the engine answers', async () => {
    const { check, replay } = await shard();
    expect(await check(replay, { ownershipVersion: 1 })).toContain('STALE_TOPOLOGY');
  });
});
