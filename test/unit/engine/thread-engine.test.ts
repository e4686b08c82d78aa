// Goal: a thread that fails or ends never leaves a caller waiting, and never goes unnoticed.
// Method: real threads with broken entries, and a fake thread for what real ones do too fast.
import { EventEmitter } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { ThreadEngine } from '../../../src/engine/engine-client.js';
import type { FlotillaError } from '../../../src/shared/errors.js';
import { spawnThread } from './harness.js';
import { GENESIS, query, SCOPE } from './shard-driver.js';

class FakeThread extends EventEmitter {
  readonly posted: { readonly items: readonly { readonly body: { readonly kind: string } }[] }[] =
    [];

  postMessage(message: FakeThread['posted'][number]): void {
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
    const calls = [
      engine.search(SCOPE, [query([1, 2], 3)]),
      engine.count(SCOPE),
      engine.search(SCOPE, [query([3, 4], 3)]),
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
});
