// Goal: records expire by their versions and ttl alone, and the queue knows which is next.
// Method: the queue against a plain map; an engine over logs whose entries tell the time.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ExpiryQueue } from '../../../../src/engine/writes/expiry-queue.js';
import type { WriteOperation } from '../../../../src/shared/codec/command.js';
import { versionMs } from '../../../../src/shared/hlc.js';
import { openShard } from '../harness.js';
import {
  outcomesOf,
  patch,
  remove,
  SCOPE,
  type ShardDriver,
  slotOf,
  upsert,
} from '../shard-driver.js';

const FAR_MS = 1_000_000;

/** Writes, and returns the wall-clock time that the entry was stamped with. */
async function writtenMs(shard: ShardDriver, operation: WriteOperation): Promise<number> {
  const [outcome] = outcomesOf(await shard.write([operation]));
  if (outcome?.kind !== 'applied') throw new Error(JSON.stringify(outcome));
  return versionMs(outcome.version);
}

async function expiredIds(shard: ShardDriver, nowMs: number, limit = 100): Promise<string[]> {
  const expired = await shard.engine.expired(nowMs, limit);
  return expired.flatMap(({ records }) => records.map(({ id }) => id)).sort();
}

describe('ExpiryQueue', () => {
  it('hands out what is due, like a map that is searched', () => {
    const step = fc.record({
      row: fc.nat(40),
      at: fc.option(fc.nat(30), { nil: undefined }),
      look: fc.nat(30),
      limit: fc.integer({ min: 1, max: 12 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const queue = new ExpiryQueue();
        const model = new Map<number, number>();
        for (const { row, at, look, limit } of steps) {
          queue.set(row, at);
          if (at === undefined) model.delete(row);
          else model.set(row, at);
          const all = queue.due(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
          expect(new Set(all)).toEqual(new Set(model.keys()));
          expect(all.length).toBe(model.size);
          const due = queue.due(look, limit);
          const wanted = [...model].filter(([, expiry]) => expiry <= look).map(([one]) => one);
          expect(due.length).toBe(Math.min(limit, wanted.length));
          expect(new Set(due).size).toBe(due.length);
          expect(wanted).toEqual(expect.arrayContaining(due));
        }
      }),
    );
  });

  it('costs nothing where nothing expires', () => {
    const queue = new ExpiryQueue();
    queue.set(1_000_000, undefined);
    expect(queue.memoryBytes).toBe(0);
  });
});

describe('a record with a ttl (W3)', () => {
  it('is over exactly that long after its version', async () => {
    const shard = await openShard();
    const atMs = await writtenMs(shard, upsert('a', [1, 1], { ttlMs: 500 }));
    expect(await expiredIds(shard, atMs + 499)).toEqual([]);
    expect(await expiredIds(shard, atMs + 500)).toEqual(['a']);
  });

  it('tells when it expires to reads by id and to scrolls, and lasts silently', async () => {
    const shard = await openShard();
    const atMs = await writtenMs(shard, upsert('a', [1, 1], { ttlMs: 500 }));
    await shard.write([upsert('b', [1, 1], { ttlMs: 0 })]);
    await shard.write([patch('a', { x: 1 })]);
    const told = async () => {
      const keys = ['a', 'b'].map((id) => ({ slot: slotOf(id), tenant: '', id }));
      const include = { values: true, metadata: false };
      const fetched = await shard.engine.fetch(SCOPE, keys, include);
      const bare = { limit: 10, includeValues: false, includeMetadata: false };
      const { records } = await shard.engine.scroll(SCOPE, bare);
      return [fetched, records].map((list) => list.map((one) => one?.expiresAtMs));
    };
    const expected = [atMs + 500, undefined];
    expect(await told()).toEqual([expected, expected]);
    await shard.reopen();
    expect(await told()).toEqual([expected, expected]);
  });

  it('lasts where it is written again without, and a patch leaves its time as it is', async () => {
    const shard = await openShard();
    const atMs = await writtenMs(shard, upsert('a', [1, 1], { ttlMs: 500 }));
    await writtenMs(shard, upsert('b', [1, 1], { ttlMs: 500 }));
    await shard.write([patch('a', { x: 1 })]);
    await shard.write([upsert('b', [1, 1])]);
    expect(await expiredIds(shard, atMs + 499)).toEqual([]);
    expect(await expiredIds(shard, atMs + 500)).toEqual(['a']);
    expect(await expiredIds(shard, FAR_MS)).toEqual(['a']);
    await shard.reopen();
    expect(await expiredIds(shard, atMs + 500)).toEqual(['a']);
  });

  it('takes the ttl of its collection, unless it has one of its own or says 0', async () => {
    const shard = await openShard({ ttlMs: 500 });
    const atMs = await writtenMs(shard, upsert('a', [1, 1]));
    await writtenMs(shard, upsert('b', [1, 1], { ttlMs: 100_000 }));
    await writtenMs(shard, upsert('c', [1, 1], { ttlMs: 0 }));
    expect(await expiredIds(shard, atMs + 500)).toEqual(['a']);
    await shard.reopen();
    expect(await expiredIds(shard, atMs + 500)).toEqual(['a']);
    expect(await expiredIds(shard, FAR_MS)).toEqual(['a', 'b']);
  });

  it('is read until an entry deletes it, in the version that has expired', async () => {
    const shard = await openShard();
    const atMs = await writtenMs(shard, upsert('a', [1, 1], { ttlMs: 5 }));
    expect(await shard.engine.count(SCOPE)).toBe(1);
    const [expired] = await shard.engine.expired(FAR_MS, 10);
    await shard.write([upsert('a', [2, 2], { ttlMs: 5 })]);
    const stale = { kind: 'expire' as const, collectionId: 1, records: expired?.records ?? [] };
    expect(await shard.apply(stale)).toEqual([{ kind: 'expired', removed: 0 }]);
    expect(await shard.engine.count(SCOPE)).toBe(1);
    const [again] = await shard.engine.expired(FAR_MS, 10);
    const right = { ...stale, records: again?.records ?? [] };
    expect(await shard.apply(right)).toEqual([{ kind: 'expired', removed: 1 }]);
    expect(await shard.apply(right)).toEqual([{ kind: 'expired', removed: 0 }]);
    expect(await shard.engine.count(SCOPE)).toBe(0);
    expect(await expiredIds(shard, FAR_MS)).toEqual([]);
    expect(atMs).toBeGreaterThan(0);
  });

  it('expires in no dropped collection, and an entry about one does nothing', async () => {
    const shard = await openShard();
    await shard.write([upsert('a', [1, 1], { ttlMs: 5 })]);
    const [expired] = await shard.engine.expired(FAR_MS, 10);
    await shard.apply({ kind: 'dropCollection', collectionId: 1 });
    expect(await shard.engine.expired(FAR_MS, 10)).toEqual([]);
    const records = expired?.records ?? [];
    expect(records).toMatchObject([{ id: 'a', slot: slotOf('a') }]);
    const late = { kind: 'expire' as const, collectionId: 1, records };
    expect(await shard.apply(late)).toEqual([{ kind: 'expired', removed: 0 }]);
  });

  it('is not over once it was deleted', async () => {
    const shard = await openShard();
    await shard.write([upsert('a', [1, 1], { ttlMs: 5 }), upsert('b', [1, 1], { ttlMs: 5 })]);
    await shard.write([remove('a')]);
    expect(await expiredIds(shard, FAR_MS)).toEqual(['b']);
  });

  it('is one of as many as are asked for, over all collections', async () => {
    const shard = await openShard();
    await shard.createCollection({ name: 'more' }, 2);
    const scope = { ...SCOPE, collectionId: 2 };
    const many = Array.from({ length: 5 }, (_, at) => upsert(`r${at}`, [at, 1], { ttlMs: 5 }));
    await shard.write(many);
    await shard.apply(shard.writeCommand(many, {}, scope));
    const counts = async (limit: number): Promise<number[]> =>
      (await shard.engine.expired(FAR_MS, limit)).map(({ records }) => records.length);
    expect(await counts(3)).toEqual([3]);
    expect(await counts(7)).toEqual([5, 2]);
    expect(await counts(100)).toEqual([5, 5]);
  });
});
