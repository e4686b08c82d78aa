// Goal: a thread that fails or ends never leaves a caller waiting, and never goes unnoticed.
// Method: real threads with broken entries, and a fake thread for what real ones do too fast.
import { EventEmitter } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { ThreadEngine } from '../../../src/engine/engine-client.js';
import { WAKE_UP, type WakeUp } from '../../../src/engine/thread-protocol.js';
import type { FlotillaError } from '../../../src/shared/errors.js';
import { memoryHarness, spawnThread } from './harness.js';
import { GENESIS, query, SCOPE, ShardDriver, upsert } from './shard-driver.js';

interface Posted {
  readonly items: readonly { readonly body: { readonly kind: string } }[];
}

class FakeThread extends EventEmitter {
  readonly posted: (Posted | WakeUp)[] = [];

  postMessage(message: Posted | WakeUp): void {
    this.posted.push(message);
  }
}

describe('ThreadEngine', () => {
  it('rejects everything under way and later, and tells, when the thread ends', async () => {
    const ends: FlotillaError[] = [];
    const spawn = (): Worker => new Worker('throw new Error("out of luck")', { eval: true });
    const onExit = (error: FlotillaError): number => ends.push(error);
    const engine = new ThreadEngine({ spawn, path: 'x', genesis: GENESIS, onExit });
    const poisoned = { reason: 'STORE_POISONED', message: expect.stringContaining('out of luck') };
    const calls = [engine.open(), engine.apply([], 1), engine.count(SCOPE)];
    for (const call of calls) await expect(call).rejects.toMatchObject(poisoned);
    await expect(engine.stats()).rejects.toMatchObject(poisoned);
    expect(ends).toHaveLength(1);
    await engine.close();
    await engine.close();
  });

  it('carries errors across with all that they say', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'flotilla-engine-'));
    const engine = new ThreadEngine({ spawn: spawnThread, path: directory, genesis: GENESIS });
    await engine.open();
    const stale = engine.count({ ...SCOPE, ownershipVersion: 1 });
    await expect(stale).rejects.toMatchObject({
      reason: 'STALE_TOPOLOGY',
      retryable: true,
      body: { details: { ownershipVersion: '7' } },
    });
    await engine.close();
    await rm(directory, { recursive: true });
  });

  it('answers or rejects every call that a close overtakes, and ends the thread', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'flotilla-engine-'));
    const ends: FlotillaError[] = [];
    const engine = new ThreadEngine({
      spawn: spawnThread,
      path: directory,
      genesis: GENESIS,
      onExit: (error) => ends.push(error),
    });
    await engine.open();
    const calls = Array.from({ length: 50 }, () => engine.stats());
    const closed = engine.close();
    const late = engine.stats();
    await expect(late).rejects.toMatchObject({ reason: 'NODE_NOT_READY' });
    const settled = await Promise.allSettled(calls);
    for (const call of settled) {
      if (call.status === 'rejected') expect(call.reason.reason).toBe('NODE_NOT_READY');
    }
    await closed;
    expect(ends).toEqual([]);
    await rm(directory, { recursive: true });
  });

  it('posts the calls of one turn as one message', async () => {
    const thread = new FakeThread();
    const engine = new ThreadEngine({ spawn: () => thread, path: 'x', genesis: GENESIS });
    const withMetadata = { includeMetadata: true };
    const calls = [
      engine.search(SCOPE, [query([1, 2], 3, withMetadata)]),
      engine.count(SCOPE),
      engine.search(SCOPE, [query([3, 4], 3, withMetadata)]),
    ];
    await Promise.resolve();
    const [message, ...more] = thread.posted;
    expect(more).toEqual([]);
    expect(message?.items.map(({ body }) => body.kind)).toEqual(['search', 'count', 'search']);
    expect(message).toMatchObject({ bytes: { byteLength: 16 } });
    thread.emit('exit', 0);
    for (const call of calls)
      await expect(call).rejects.toMatchObject({ reason: 'STORE_POISONED' });
  });

  it('wakes the thread once for plain searches, and rejects them when it ends', async () => {
    const thread = new FakeThread();
    const engine = new ThreadEngine({ spawn: () => thread, path: 'x', genesis: GENESIS });
    const calls = [1, 2, 3].map((k) => engine.search(SCOPE, [query([1, 2], k)]));
    await Promise.resolve();
    expect(thread.posted).toEqual([WAKE_UP]);
    thread.emit('exit', 0);
    for (const call of calls)
      await expect(call).rejects.toMatchObject({ reason: 'STORE_POISONED' });
    await expect(engine.search(SCOPE, [query([1, 2], 1)])).rejects.toMatchObject({
      reason: 'STORE_POISONED',
    });
  });

  it('answers searches of all sorts as the engine in this thread does, many at once', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'flotilla-engine-'));
    const engine = new ThreadEngine({ spawn: spawnThread, path: directory, genesis: GENESIS });
    const harness = await memoryHarness();
    const alone = new ShardDriver(harness);
    await alone.open();
    await alone.createCollection();
    const records = Array.from({ length: 300 }, (_, at) => {
      const id = at % 3 === 0 ? `${at}` : `${at} \u2603`;
      return upsert(id, [at % 17, at % 23], { ordinal: at, tenant: at % 5 === 0 ? 't' : '' });
    });
    await alone.write(records);
    // Some that come before the engine is open, and before it has the collection.
    const early = engine.search(SCOPE, [query([1, 2], 3)]);
    await Promise.all([
      expect(early).rejects.toMatchObject({ reason: 'COLLECTION_NOT_FOUND' }),
      engine.open(),
    ]);
    await engine.apply(alone.log, alone.log.length);
    const queries = Array.from({ length: 400 }, (_, at) =>
      query([at % 19, at % 13], 1 + (at % 40), {
        ...(at % 7 === 0 && { scoreThreshold: at % 11 }),
        ...(at % 9 === 0 && { includeMetadata: true }),
        ...(at % 10 === 0 && { tenant: 't' }),
      }),
    );
    queries.push(query([1, 2], 0), query([1, 2, 3], 1), query([Number.NaN, 1], 1));
    const found = await Promise.allSettled(queries.map((one) => engine.search(SCOPE, [one])));
    const expected = await Promise.allSettled(
      queries.map((one) => alone.engine.search(SCOPE, [one])),
    );
    expect(found).toEqual(expected);
    const stale = { ...SCOPE, ownershipVersion: 1 };
    await expect(engine.search(stale, [query([1, 2], 1)])).rejects.toMatchObject({
      reason: 'STALE_TOPOLOGY',
      body: { details: { ownershipVersion: '7' } },
    });
    await engine.close();
    await alone.engine.close();
    await rm(directory, { recursive: true });
  });

  it('answers or rejects every plain search that a close overtakes', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'flotilla-engine-'));
    const engine = new ThreadEngine({ spawn: spawnThread, path: directory, genesis: GENESIS });
    await engine.open();
    const calls = Array.from({ length: 50 }, () => engine.search(SCOPE, [query([1, 2], 1)]));
    const settled = Promise.allSettled(calls);
    await engine.close();
    for (const call of await settled) {
      expect(call).toMatchObject({ status: 'rejected' });
      const reason = call.status === 'rejected' ? call.reason.reason : undefined;
      expect(['COLLECTION_NOT_FOUND', 'NODE_NOT_READY']).toContain(reason);
    }
    await rm(directory, { recursive: true });
  });
});
