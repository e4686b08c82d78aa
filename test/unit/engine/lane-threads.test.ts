// Goal: between two real threads no search is lost, doubled, stale or left asleep, whenever either
// sleeps or dies. Method: ends that dawdle at random, answers of all sizes, rings that fill up.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { ThreadEngine } from '../../../src/engine/engine-client.js';
import { newSearchLane, SearchCaller } from '../../../src/engine/search-lane.js';
import type { FlotillaError } from '../../../src/shared/errors.js';
import { threadHarness } from './harness.js';
import { GENESIS, query, SCOPE, ShardDriver, upsert } from './shard-driver.js';

/** Answers query `k` with `k` hits; every seventh by a message, every fifth after a while. */
const SERVER = `
  const { parentPort, workerData } = require('node:worker_threads');
  import(workerData.entry).then(({ SearchServer }) => {
    const dawdle = () => {
      const until = performance.now() + Math.random() ** 4 * 0.6;
      while (performance.now() < until);
    };
    const hitsOf = (frame) => Array.from({ length: frame.query.k }, (_, at) => ({
      name: frame.id % 2 + '/1/t' + frame.id + (at % 2 === 0 ? '' : '\\u2603'),
      version: BigInt(frame.id),
      distance: at,
    }));
    const answer = (frame) => parentPort.postMessage({ id: frame.id, count: frame.query.k });
    const server = new SearchServer(workerData.lane, {
      environment: {
        clock: { monotonicMs: () => performance.now() },
        scheduler: { soon: (task) => void setImmediate(task) },
      },
      search: (frame) => {
        if (frame.id % 5 === 0) dawdle();
        if (frame.id % 7 !== 0) return hitsOf(frame);
        answer(frame);
        return undefined;
      },
      answer,
      wakeCaller: () => {
        dawdle();
        parentPort.postMessage(null);
      },
    });
    parentPort.on('message', (message) => {
      if (message === 'end') {
        server.finish();
        parentPort.close();
        return;
      }
      dawdle();
      server.serve();
    });
    parentPort.postMessage('ready');
  });
`;

/** Answers so many searches, then ends without a word while others wait. */
const MORTAL = `
  const { parentPort, workerData } = require('node:worker_threads');
  import(workerData.entry).then(({ SearchServer }) => {
    let left = workerData.answers;
    const server = new SearchServer(workerData.lane, {
      environment: {
        clock: { monotonicMs: () => performance.now() },
        scheduler: { soon: (task) => void setImmediate(task) },
      },
      search: () => {
        if (left-- === 0) process.exit(3);
        return [];
      },
      answer: () => undefined,
      wakeCaller: () => parentPort.postMessage(null),
    });
    parentPort.on('message', () => server.serve());
  });
`;

const ENTRY = new URL('../../../dist/engine/search-lane.js', import.meta.url).href;

const SEARCHES = 4_000;
const UNDER_WAY_MAX = 300;

describe('a lane between two threads', () => {
  it('answers each search once, with its own hits', async () => {
    const lane = newSearchLane();
    const worker = new Worker(SERVER, { eval: true, workerData: { lane, entry: ENTRY } });
    const wanted = new Map<number, number>();
    const wrong: unknown[] = [];
    const answered = (id: number, count: number): void => {
      if (wanted.get(id) !== count || !wanted.delete(id)) wrong.push([id, count]);
    };
    const caller = new SearchCaller(lane, () => worker.postMessage('wake'));
    const receive = (): void =>
      caller.receive((id, hits) => {
        const isOwn = hits.every((hit, at) => {
          const text = `${hit.tenant}${hit.id}`;
          const isName = text === `t${id}${at % 2 === 0 ? '' : '\u2603'}`;
          return isName && hit.version === BigInt(id) && hit.distance === at;
        });
        answered(id, isOwn ? hits.length : Number.NaN);
      });
    await new Promise((resolve) => worker.once('message', resolve));
    worker.on('message', (message: { id: number; count: number } | null) => {
      if (message === null) receive();
      else answered(message.id, message.count);
    });
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    let refused = 0;
    for (let id = 1; id <= SEARCHES; id++) {
      const underWayMax = id % 1_000 < 500 ? 2 : UNDER_WAY_MAX;
      while (wanted.size > underWayMax) await nextTurn();
      // Some hundred hits, now and then more than the ring has room for.
      const k = id % 501 === 0 ? 4_000 : Math.floor(Math.random() ** 6 * 300);
      const vector = new Float32Array(id % 11 === 0 ? 4_096 : 1 + (id % 5));
      wanted.set(id, k);
      while (!caller.send(id, SCOPE, [query(vector, k)])) {
        refused++;
        await nextTurn();
      }
    }
    while (wanted.size > UNDER_WAY_MAX / 2) await nextTurn();
    // What is under way is answered by one that ends.
    worker.postMessage('end');
    await ended;
    receive();
    expect(wrong).toEqual([]);
    expect([...wanted]).toEqual([]);
    expect(refused).toBeGreaterThan(0);
  }, 60_000);

  it.each([0, 1, 8, 20])('leaves nobody waiting where one dies after %d', async (answers) => {
    const ends: FlotillaError[] = [];
    const engine = new ThreadEngine({
      spawn: ({ lane }) => {
        return new Worker(MORTAL, { eval: true, workerData: { lane, entry: ENTRY, answers } });
      },
      path: 'x',
      genesis: GENESIS,
      onLost: (error) => ends.push(error),
    });
    const calls = Array.from({ length: 60 }, () => engine.search(SCOPE, [query([1, 2], 1)]));
    const settled = await Promise.allSettled(calls);
    const answered = settled.filter(({ status }) => status === 'fulfilled');
    // Those that were announced; who is not told of an answer is told of the end.
    expect(answered.length).toBeLessThanOrEqual(answers);
    for (const call of settled) {
      if (call.status === 'fulfilled') expect(call.value).toEqual([[]]);
      else expect(call.reason).toMatchObject({ reason: 'STORE_POISONED' });
    }
    expect(ends).toHaveLength(1);
    await engine.close();
  });

  it('shows what was acknowledged before the search was sent (P-4)', async () => {
    const harness = await threadHarness();
    const shard = new ShardDriver(harness);
    await shard.open();
    await shard.createCollection();
    let isOver = false;
    const others = Array.from({ length: 16 }, async (_, at) => {
      while (!isOver) await shard.engine.search(SCOPE, [query([at, 1], 3)]);
    });
    for (let round = 1; round <= 100; round++) {
      const id = `r${round % 7}`;
      await shard.write([upsert(id, [3 * round, 0])]);
      const [nearest] = await shard.search(query([3 * round, 0], 1));
      expect([nearest?.id, nearest?.distance]).toEqual([id, 0]);
    }
    isOver = true;
    await Promise.all(others);
    await shard.engine.close();
    await harness.cleanup();
  });
});
