// Goal: a thread that fails or ends never leaves a caller waiting, and never goes unnoticed.
// Method: real threads with broken entries, and a fake thread for what real ones do too fast.
import { EventEmitter } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { type EngineThread, ThreadEngine } from '../../../src/engine/engine-client.js';
import { type EnginePort, serveEngine } from '../../../src/engine/engine-server.js';
import {
  type EngineThreadData,
  WAKE_UP,
  type WakeUp,
} from '../../../src/engine/thread-protocol.js';
import { encodeStruct } from '../../../src/shared/codec/struct.js';
import type { Disk } from '../../../src/shared/environment.js';
import type { FlotillaError } from '../../../src/shared/errors.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { engineEnvironment, memoryHarness, spawnThread } from './harness.js';
import { GENESIS, query, SCOPE, ShardDriver, upsert } from './shard-driver.js';

interface Posted {
  readonly items: readonly { readonly body: { readonly kind: string } }[];
}

/** The other end of a thread, in this one: what is posted arrives when it is delivered. */
class EngineBesides extends EventEmitter implements EngineThread {
  #waiting: unknown[] = [];
  readonly #port = new EventEmitter();

  spawn(data: EngineThreadData, disk: Disk): EngineThread {
    const port: EnginePort = {
      on: (event, listener) => this.#port.on(event, listener),
      postMessage: (message) => void this.emit('message', message),
      close: () => void this.emit('exit', 0),
    };
    serveEngine(port, engineEnvironment(disk), data);
    return this;
  }

  postMessage(message: unknown): void {
    this.#waiting.push(message);
  }

  /** Those that `first` is true of before the others. */
  deliver(first: (message: unknown) => boolean = () => true): void {
    const waiting = this.#waiting.splice(0);
    const others = waiting.filter((message) => !first(message));
    for (const message of [...waiting.filter(first), ...others])
      this.#port.emit('message', message);
  }

  /** Delivers until the call has its answer. */
  async answered<T>(call: Promise<T>): Promise<T> {
    let isAnswered = false;
    const done = (): void => {
      isAnswered = true;
    };
    call.then(done, done);
    while (!isAnswered) {
      await setImmediate();
      this.deliver();
    }
    return call;
  }
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
    const onLost = (error: FlotillaError): number => ends.push(error);
    const engine = new ThreadEngine({ spawn, path: 'x', genesis: GENESIS, onLost });
    const poisoned = { reason: 'STORE_POISONED', message: expect.stringContaining('out of luck') };
    const calls = [engine.open(), engine.apply([], 1), engine.count(SCOPE)];
    for (const call of calls) await expect(call).rejects.toMatchObject(poisoned);
    await expect(engine.stats()).rejects.toMatchObject(poisoned);
    expect(ends).toHaveLength(1);
    await engine.close();
    await engine.close();
  });

  it('tells that the engine has failed, also where nobody waits for an answer', () => {
    const thread = new FakeThread();
    const ends: FlotillaError[] = [];
    const onLost = (error: FlotillaError): number => ends.push(error);
    new ThreadEngine({ spawn: () => thread, path: 'x', genesis: GENESIS, onLost });
    const error = { reason: 'STORE_POISONED', message: 'the disk is full' };
    const items = [{ id: 0, body: { kind: 'failed', error } }];
    thread.emit('message', { items, bytes: new ArrayBuffer(0) });
    expect(ends).toMatchObject([error]);
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
      onLost: (error) => ends.push(error),
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
    await alone.createCollection({ indexedFields: [{ path: 'group', type: 'integer' }] });
    const records = Array.from({ length: 300 }, (_, at) => {
      const id = at % 3 === 0 ? `${at}` : `${at} \u2603`;
      const metadata = { group: at % 30, word: `w${at % 4}` };
      const tenant = at % 5 === 0 ? 't' : '';
      return upsert(id, [at % 17, at % 23], { ordinal: at, tenant, metadata });
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
        ...(at % 4 === 0 && { filter: encodeStruct({ group: at % 31 }) }),
        ...(at % 16 === 1 && { filter: encodeStruct({ word: 'w1' }) }),
        ...(at % 16 === 3 && { filter: encodeStruct({ group: { $wrong: 1 } }) }),
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

  it('ends a search that was given up while it waited in the lane', async () => {
    const harness = await memoryHarness();
    const driver = new ShardDriver(harness);
    await driver.open();
    await driver.createCollection();
    await driver.write([upsert('a', [1, 2], { metadata: { word: 'w' } })]);
    const thread = new EngineBesides();
    const disk = new MemoryDisk();
    const spawn = (data: EngineThreadData): EngineThread => thread.spawn(data, disk);
    const engine = new ThreadEngine({ spawn, path: 'points', genesis: GENESIS });
    await thread.answered(engine.open());
    await thread.answered(engine.apply(driver.log, driver.log.length));
    const asked = query([1, 2], 1, { filter: encodeStruct({ word: 'w' }) });
    expect(await thread.answered(engine.search(SCOPE, [asked]))).toHaveLength(1);
    // Before an insert searches go first.
    const graphPoints = async (): Promise<number | undefined> =>
      (await thread.answered(engine.stats())).collections[0]?.graphPoints;
    while ((await graphPoints()) !== 1) await setImmediate();
    const giving = new AbortController();
    const given = engine.search(SCOPE, [asked], giving.signal);
    giving.abort();
    await setImmediate();
    thread.deliver((message) => message !== WAKE_UP);
    await expect(thread.answered(given)).rejects.toMatchObject({ reason: 'CANCELLED' });
    expect(await thread.answered(engine.search(SCOPE, [asked]))).toHaveLength(1);
    await thread.answered(engine.close());
    await driver.engine.close();
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
