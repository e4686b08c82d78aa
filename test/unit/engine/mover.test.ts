// Goal: what waits for the graph goes there beside the requests, never before them, and an idle
// engine does nothing. Method: a scheduler that runs turns when told to; inserts are counted.
import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Collection } from '../../../src/engine/collection.js';
import type { SearchQuery } from '../../../src/engine/engine.js';
import { type EnginePort, serveEngine } from '../../../src/engine/engine-server.js';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import { HnswIndex } from '../../../src/engine/index/hnsw-index.js';
import { Mover, type MoverOptions } from '../../../src/engine/mover.js';
import { newSearchLane, SearchCaller } from '../../../src/engine/search-lane.js';
import { ShardEngine, type ShardEngineOptions } from '../../../src/engine/shard-engine.js';
import {
  type EngineAnswer,
  type EngineCall,
  type ThreadMessage,
  WAKE_UP,
  type WakeUp,
} from '../../../src/engine/thread-protocol.js';
import type { Command } from '../../../src/shared/codec/command.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { GENESIS, query, SCOPE, ShardDriver, upsert } from './shard-driver.js';

/** Turns that wait to be run. */
class Turns {
  #tasks: (() => void)[] = [];
  readonly scheduler = {
    after: () => this.#noTimer(),
    every: () => this.#noTimer(),
    soon: (task: () => void) => void this.#tasks.push(task),
  };

  get waiting(): number {
    return this.#tasks.length;
  }

  /** Runs what was scheduled before, and all that follows from it without a turn. */
  async run(): Promise<void> {
    const tasks = this.#tasks;
    this.#tasks = [];
    for (const task of tasks) task();
    await promisesSettled();
  }

  /** The same, as an event loop does it: promises settle between two tasks. */
  async runApart(): Promise<void> {
    for (const task of this.#tasks.splice(0)) {
      task();
      await promisesSettled();
    }
  }

  #noTimer(): never {
    throw new Error('engines have no timers');
  }
}

/** Everything in memory is done after a few rounds of promises. */
async function promisesSettled(): Promise<void> {
  for (let round = 0; round < 50; round++) await Promise.resolve();
}

const STANDING_CLOCK = { wallMs: () => 0, monotonicMs: () => 0 };

let inserts = 0;

const one = query([7, 0], 1);

/** Exact, and counts what is inserted. */
class CountingIndex extends FlatIndex {
  override add(label: number, vector: Float32Array): void {
    inserts++;
    super.add(label, vector);
  }
}

let turns: Turns;

/** Of a mover alone; a failure is thrown. */
const MOVER_OPTIONS: Omit<MoverOptions, 'environment'> = {
  recordsOf: () => {
    throw new Error('nothing is read');
  },
  onSlice: () => undefined,
  requestsWait: () => false,
  answerWaiting: () => undefined,
  signal: new AbortController().signal,
  onFailure: (error) => {
    throw error;
  },
};

/** A mover that takes the turns of the test, and is not part of an engine. */
function createMover(options: Partial<MoverOptions> = {}): Mover {
  const environment = { clock: STANDING_CLOCK, scheduler: turns.scheduler };
  return new Mover({ ...MOVER_OPTIONS, environment, ...options });
}

/** Collections of which each has so many steps to do, and notes how often it was looked at. */
function workingCollections(work: readonly number[]) {
  const seen = { looks: 0, steps: [] as number[] };
  const collections = work.map((steps, collectionId): Collection => {
    let left = steps;
    const index = {
      get hasWork(): boolean {
        seen.looks++;
        return left > 0;
      },
      missingVectors: () => [],
      step: () => {
        left--;
        seen.steps.push(collectionId);
      },
    };
    return { collectionId, index } as unknown as Collection;
  });
  return { collections, seen };
}

function createEngine(options: Partial<ShardEngineOptions> = {}): ShardEngine {
  const environment = { clock: STANDING_CLOCK, scheduler: turns.scheduler, disk: new MemoryDisk() };
  return new ShardEngine({
    environment,
    path: 'points',
    genesis: GENESIS,
    createIndex: (indexOptions) => new CountingIndex(indexOptions),
    ...options,
  });
}

async function startShard(options: Partial<ShardEngineOptions> = {}): Promise<ShardDriver> {
  const engine = createEngine(options);
  const shard = new ShardDriver({
    disk: new MemoryDisk(),
    snapshotPath: (name) => name,
    create: () => engine,
    cleanup: async () => undefined,
  });
  await shard.open();
  await shard.createCollection();
  return shard;
}

const records = (count: number, first = 0) =>
  Array.from({ length: count }, (_, at) => upsert(`r${first + at}`, [first + at, 0]));

beforeEach(() => {
  inserts = 0;
  turns = new Turns();
});

afterEach(() => {
  vi.restoreAllMocks();
});

describe('an apply call', () => {
  it('inserts nothing into the graph, and its records are found at once (H1)', async () => {
    const shard = await startShard();
    await shard.write(records(100));
    expect(inserts).toBe(0);
    expect(await shard.searchIds([7, 0], 1)).toEqual(['r7']);
    expect(await shard.stats()).toMatchObject({ headRows: 100, graphPoints: 0 });
  });

  it('waits for room before it changes anything, and is then carried out (P-10)', async () => {
    const shard = await startShard({ headFloatsMax: 2 * 50 });
    await shard.write(records(40));
    const results: unknown[] = [];
    const applying = shard.write(records(20, 40)).then((result) => results.push(result));
    await promisesSettled();
    expect([await shard.engine.count(SCOPE), results]).toEqual([40, []]);
    // While a call is under way each turn is one insert; ten make the room.
    for (let turn = 0; turn < 9; turn++) await turns.run();
    expect([await shard.engine.count(SCOPE), results]).toEqual([40, []]);
    await turns.run();
    await applying;
    expect([await shard.engine.count(SCOPE), results.length]).toEqual([60, 1]);
    expect((await shard.stats()).headRows).toBeLessThanOrEqual(50);
  });

  it('waits for the room that entries before it in the same call have taken (P-10)', async () => {
    const shard = await startShard({ headFloatsMax: 2 * 50 });
    const [first, second] = [records(40), records(20, 40)].map((some) => shard.writeCommand(some));
    let isApplied = false;
    const applying = shard.apply(first as Command, second as Command).then(() => {
      isApplied = true;
    });
    await promisesSettled();
    expect([isApplied, turns.waiting]).toEqual([false, 1]);
    while (turns.waiting > 0) await turns.run();
    await applying;
    expect(await shard.engine.count(SCOPE)).toBe(60);
  });

  it('of more records than a head may hold waits for an empty one (P-10)', async () => {
    const shard = await startShard({ headFloatsMax: 2 });
    await shard.write(records(5));
    const applying = shard.write(records(5, 5));
    for (let turn = 0; turn < 5; turn++) {
      expect(await shard.engine.count(SCOPE)).toBe(5);
      await turns.run();
    }
    await applying;
    expect(await shard.engine.count(SCOPE)).toBe(10);
  });

  it('that waits for room ends when the engine is closed', async () => {
    const shard = await startShard({ headFloatsMax: 2 * 50 });
    await shard.write(records(50));
    const applying = shard.write(records(1, 50));
    const rejected = expect(applying).rejects.toMatchObject({ reason: 'NODE_NOT_READY' });
    await promisesSettled();
    const closing = shard.engine.close();
    await rejected;
    await turns.run();
    await closing;
    expect(inserts).toBe(0);
    expect(turns.waiting).toBe(0);
  });

  it('that waits for room fails with the store that takes nothing, which is told', async () => {
    const disk = new MemoryDisk();
    const environment = { clock: STANDING_CLOCK, scheduler: turns.scheduler, disk };
    let letStore = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      letStore = resolve;
    });
    let isGated = false;
    const failures: unknown[] = [];
    const shard = await startShard({
      environment,
      headFloatsMax: 2 * 50,
      beforeStoring: () => (isGated ? gate : Promise.resolve()),
      onFailure: (error) => failures.push(error),
    });
    isGated = true;
    await shard.write(records(50));
    // A graph that is not emptied: nothing makes room before the store has failed.
    const applying = shard.write(records(50, 50));
    disk.kv('points/points-1').failNextBatch(new Error('ENOSPC'));
    letStore();
    const poisoned = { reason: 'STORE_POISONED', message: expect.stringContaining('ENOSPC') };
    await expect(applying).rejects.toMatchObject(poisoned);
    expect(failures).toMatchObject([poisoned]);
    const closing = shard.engine.close();
    await turns.run();
    await closing;
  });

  it('finds room that rows of the call before it give, which is still being stored', async () => {
    let letStore = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      letStore = resolve;
    });
    let isGated = false;
    const beforeStoring = () => (isGated ? gate : Promise.resolve());
    const shard = await startShard({ headFloatsMax: 2 * 50, beforeStoring });
    isGated = true;
    await shard.write(records(50));
    const applying = shard.write(records(5, 50));
    for (let turn = 0; turn < 6; turn++) await turns.run();
    expect(inserts).toBeGreaterThanOrEqual(5);
    letStore();
    await applying;
  });

  it('that waits for room fails with the graph that makes none', async () => {
    class FullIndex extends FlatIndex {
      override add(): void {
        throw new Error('out of memory');
      }
    }
    const createIndex: ShardEngineOptions['createIndex'] = (options) => new FullIndex(options);
    const shard = await startShard({ headFloatsMax: 2 * 50, createIndex });
    await shard.write(records(50));
    const poisoned = {
      reason: 'STORE_POISONED',
      message: expect.stringContaining('out of memory'),
    };
    const rejected = expect(shard.write(records(1, 50))).rejects.toMatchObject(poisoned);
    await turns.run();
    await rejected;
    await expect(shard.engine.stats()).rejects.toMatchObject(poisoned);
  });
});

describe('the mover', () => {
  it('has nothing pending when there is nothing to do', async () => {
    const shard = await startShard();
    expect(turns.waiting).toBe(0);
    await shard.write(records(100));
    expect(turns.waiting).toBe(1);
    await turns.run();
    await turns.run();
    expect([inserts, turns.waiting]).toEqual([100, 0]);
    await shard.write(records(1));
    expect(turns.waiting).toBe(1);
    await turns.run();
    expect([inserts, turns.waiting]).toEqual([101, 0]);
  });

  it('misses no work that comes in the very moment in which it runs out', async () => {
    let steps = 0;
    let work = 3;
    let comesLate = 2;
    const index = {
      get hasWork(): boolean {
        if (work > 0) return true;
        // After this look, and before the mover has come to rest.
        if (comesLate > 0 && steps > 0) {
          queueMicrotask(() => {
            work += comesLate;
            comesLate = 0;
            mover.wake([collection]);
          });
        }
        return false;
      },
      missingVectors: () => [],
      step: () => {
        steps++;
        work--;
      },
    };
    const collection = { collectionId: 1, index } as unknown as Collection;
    const mover = createMover();
    mover.wake([collection]);
    for (let turn = 0; turn < 3; turn++) await turns.run();
    expect([steps, turns.waiting]).toEqual([5, 0]);
    await mover.stop();
  });

  it('lets those go on who wait when room came without a step of it', async () => {
    const mover = createMover();
    let hasRoom = false;
    let wentOn = false;
    const waiting = mover
      .until(() => hasRoom)
      .then(() => {
        wentOn = true;
      });
    mover.wake();
    await promisesSettled();
    expect(wentOn).toBe(false);
    hasRoom = true;
    mover.wake();
    await waiting;
    await mover.stop();
  });

  it('gives each collection that has work a step in turn, also those that come later', async () => {
    const { collections, seen } = workingCollections([3, 0, 2, 1]);
    const worked: (readonly Collection[])[] = [];
    const mover = createMover({ onSlice: (some) => worked.push([...some]) });
    mover.wake(collections.slice(0, 3));
    mover.wake(collections);
    await turns.run();
    expect(seen.steps).toEqual([0, 2, 3, 0, 2, 0]);
    expect(worked).toEqual([[collections[0], collections[2], collections[3]]]);
    expect(turns.waiting).toBe(0);
    await mover.stop();
  });

  it('looks at no collection without work, however many there are', async () => {
    const { collections, seen } = workingCollections([...new Array<number>(10_000).fill(0), 500]);
    const mover = createMover();
    mover.wake(collections);
    seen.looks = 0;
    while (turns.waiting > 0) await turns.run();
    expect(seen.steps.length).toBe(500);
    // Once as it is taken, and once to see whether there is more.
    expect(seen.looks).toBe(1_000);
    await mover.stop();
  });

  it('goes through as many that have work at one look a step', async () => {
    const { collections, seen } = workingCollections(new Array<number>(10_000).fill(3));
    const mover = createMover();
    mover.wake(collections);
    seen.looks = 0;
    while (turns.waiting > 0) await turns.run();
    const round = collections.map(({ collectionId }) => collectionId);
    expect(seen.steps).toEqual([...round, ...round, ...round]);
    expect(seen.looks).toBe(60_000);
    await mover.stop();
  });

  it('ends its slices also where the clock stands still', async () => {
    const shard = await startShard();
    await shard.write(records(1_000));
    await turns.run();
    expect(inserts).toBe(64);
  });

  it('lets the collections take turns', async () => {
    const shard = await startShard();
    await shard.createCollection({}, 2);
    await shard.write(records(500));
    const others = { ...SCOPE, collectionId: 2 };
    await shard.apply(shard.writeCommand(records(20), {}, others));
    await turns.run();
    expect((await shard.stats(2)).graphPoints).toBe(20);
    expect((await shard.stats(1)).graphPoints).toBeGreaterThan(0);
  });

  it('makes one insert a turn while requests wait, and slices when they do not (H2)', async () => {
    let isWaiting = false;
    const shard = await startShard({ requestsWait: () => isWaiting });
    await shard.write(records(500));
    isWaiting = true;
    for (let turn = 1; turn <= 10; turn++) {
      await turns.run();
      expect(inserts).toBe(turn);
    }
    isWaiting = false;
    await turns.run();
    expect(inserts).toBe(74);
  });

  it('lets requests go before each insert, also where it does not wait for them (H2)', async () => {
    const insertsBefore: number[] = [];
    const shard = await startShard({ answerWaiting: () => insertsBefore.push(inserts) });
    await shard.write(records(5));
    await turns.run();
    expect(inserts).toBe(5);
    expect(insertsBefore).toEqual([0, 1, 2, 3, 4]);
  });

  it('answers and lets requests go before an entry is stored and moved (H2)', async () => {
    let letStore = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      letStore = resolve;
    });
    let isGated = false;
    const beforeStoring = () => (isGated ? gate : Promise.resolve());
    const shard = await startShard({ beforeStoring });
    isGated = true;
    await shard.write(records(3));
    await turns.run();
    expect([await shard.searchIds([7, 0], 1), inserts]).toEqual([['r2'], 0]);
    letStore();
    await promisesSettled();
    await turns.run();
    expect(inserts).toBe(3);
  });

  it('fills a graph by slices while searches of what waits for it take turns (H2)', async () => {
    const disk = new MemoryDisk();
    const environment = { clock: STANDING_CLOCK, scheduler: turns.scheduler, disk };
    const first = await startShard({ environment });
    // More than a search reads in one turn.
    for (let at = 0; at < 4; at++) await first.write(records(400, 400 * at));
    const closing = first.engine.close();
    await turns.run();
    await closing;

    inserts = 0;
    const engine = createEngine({ environment });
    await engine.open();
    let found = 0;
    for (let search = 0; search < 8; search++) {
      void engine.search(SCOPE, [one]).then((hits) => {
        found += hits.length;
      });
    }
    await turns.runApart();
    await turns.runApart();
    expect(inserts).toBe(128);
    expect(found).toBeLessThanOrEqual(2);
    for (let turn = 0; turn < 40; turn++) await turns.runApart();
    expect(found).toBe(8);
  });

  it('stops in the middle of a slice when the engine is closed', async () => {
    const shard = await startShard();
    await shard.write(records(500));
    await turns.run();
    const closing = shard.engine.close();
    await turns.run();
    await closing;
    expect([inserts, turns.waiting]).toEqual([64, 0]);
  });
});

describe('a search posted to the thread while its mover works', () => {
  /** The thread's end of a port whose messages are delivered between two turns. */
  class FakePort extends EventEmitter implements EnginePort {
    readonly posted = new SharedArrayBuffer(4);
    readonly lane = newSearchLane();
    readonly answers: EngineAnswer[] = [];
    readonly #inbox: (ThreadMessage<EngineCall> | WakeUp)[] = [];
    readonly #counter = new Int32Array(this.posted);
    readonly #searches = new SearchCaller(this.lane, () => this.#send(WAKE_UP));
    #lastId = 0;

    /** What the other thread does. */
    post(call: EngineCall, bytes = new ArrayBuffer(0)): void {
      this.#send({ items: [{ id: ++this.#lastId, body: call }], bytes });
    }

    /** The same, through the lane. */
    search(one: SearchQuery): void {
      expect(this.#searches.send(++this.#lastId, SCOPE, [one])).toBe(true);
    }

    /** What the event loop does before the next turn. */
    async deliver(): Promise<void> {
      for (const message of this.#inbox.splice(0)) this.emit('message', message);
      await promisesSettled();
    }

    postMessage(message: ThreadMessage<EngineAnswer> | WakeUp): void {
      if (message !== WAKE_UP) this.answers.push(...message.items.map(({ body }) => body));
      else
        this.#searches.receive((_id, hits) => this.answers.push({ kind: 'search', hits: [hits] }));
    }

    #send(message: ThreadMessage<EngineCall> | WakeUp): void {
      Atomics.add(this.#counter, 0, 1);
      this.#inbox.push(message);
    }

    close(): void {
      this.removeAllListeners('message');
    }
  }

  it.each<[string, (port: FakePort) => void]>([
    ['as a message', (port) => port.post(...packedSearch())],
    ['through the lane', (port) => port.search(one)],
  ])('%s is answered after at most one more insert (H2)', async (_name, search) => {
    const port = new FakePort();
    const disk = new MemoryDisk();
    const environment = { clock: STANDING_CLOCK, scheduler: turns.scheduler, disk };
    const writer = await startShard();
    await writer.write(records(400));
    const { posted, lane } = port;
    serveEngine(port, environment, { path: 'points', genesis: GENESIS, posted, lane });
    port.post({ kind: 'open' });
    await port.deliver();
    for (const { index, term, data } of writer.log) {
      // The entry before is stored when its answer has left.
      await turns.run();
      const entry = { index, term, data: { at: 0, length: data.length } };
      port.post({ kind: 'apply', entries: [entry], lastIndex: index }, new Uint8Array(data).buffer);
      await port.deliver();
    }
    expect(port.answers.map(({ kind }) => kind)).toEqual(['open', 'apply', 'apply']);

    const original = HnswIndex.prototype.add;
    let added = 0;
    let addedAtPost = 0;
    vi.spyOn(HnswIndex.prototype, 'add').mockImplementation(function (this: HnswIndex, ...point) {
      added++;
      // The other thread posts while this one is inside an insert.
      if (added % 10 === 5) {
        search(port);
        addedAtPost = added;
      }
      original.apply(this, point);
    });
    for (let searches = 1; searches <= 20; searches++) {
      const answered = port.answers.length;
      while (addedAtPost < 10 * searches - 5) await turns.run();
      await port.deliver();
      expect(port.answers.length).toBe(answered + 1);
      expect(added - addedAtPost).toBeLessThanOrEqual(1);
    }
  });

  it('is answered before the engine closes, where it was sent before', async () => {
    const port = new FakePort();
    const disk = new MemoryDisk();
    const environment = { clock: STANDING_CLOCK, scheduler: turns.scheduler, disk };
    const { posted, lane } = port;
    serveEngine(port, environment, { path: 'points', genesis: GENESIS, posted, lane });
    port.post({ kind: 'open' });
    await port.deliver();
    // The frame is there at once, and its wake-up comes too late.
    port.post({ kind: 'close' });
    port.search(one);
    await port.deliver();
    expect(port.answers).toMatchObject([
      { kind: 'open' },
      { kind: 'error', error: { reason: 'COLLECTION_NOT_FOUND' } },
      { kind: 'close' },
    ]);
  });

  function packedSearch(): [EngineCall, ArrayBuffer] {
    const { vector, filter: _none, ...rest } = one;
    const queries = [{ ...rest, vector: { at: 0, length: vector.length } }];
    return [{ kind: 'search', scope: SCOPE, queries }, new Uint8Array(vector).buffer];
  }
});
