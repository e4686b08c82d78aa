// Goal: installing a snapshot leaves the old state or the new, wherever the machine dies, and lost
// records are never taken for a shorter store. Method: death before each disk operation, in memory
// and on LevelDB; damaged files of a real LevelDB.
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import { ShardEngine } from '../../../src/engine/shard-engine.js';
import { LevelKv } from '../../../src/node/level-kv.js';
import { RealDisk } from '../../../src/node/real-disk.js';
import { defined } from '../../../src/shared/assert.js';
import type { Disk } from '../../../src/shared/environment.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { FaultyDisk } from './faulty-disk.js';
import { COSTS, engineEnvironment, levelHarness, memoryHarness, openShard } from './harness.js';
import { type EngineHarness, GENESIS, query, SCOPE, ShardDriver, upsert } from './shard-driver.js';

const directories: string[] = [];

async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'flotilla-generations-'));
  directories.push(directory);
  return directory;
}

afterEach(async () => {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true });
});

/** A snapshot of three records, at index 2. */
async function snapshotBytes(): Promise<Uint8Array> {
  const harness = await memoryHarness();
  const shard = await openShard({}, harness);
  await shard.write(['a', 'b', 'c'].map((id, at) => upsert(id, [at, 0])));
  await shard.engine.writeSnapshot(harness.snapshotPath('one'));
  return defined(await harness.disk.readFile(harness.snapshotPath('one')), 'snapshot');
}

/** One machine: engines over a disk that can die, on a disk that outlives it. */
interface Machine {
  readonly disk: FaultyDisk;
  readonly engine: ShardEngine;
  readonly driver: ShardDriver;
}

function boot(real: Disk, root: string, onDeath: () => void): Machine {
  const disk = new FaultyDisk(real, onDeath);
  const engine = new ShardEngine({
    environment: engineEnvironment(disk),
    path: `${root}/points`,
    genesis: GENESIS,
    costs: COSTS,
    createIndex: (options) => new FlatIndex(options),
  });
  const harness: EngineHarness = {
    disk,
    snapshotPath: (name) => `${root}/${name}`,
    create: () => engine,
    cleanup: async () => undefined,
  };
  return { disk, engine, driver: new ShardDriver(harness) };
}

/** What is left of the old state, one record `old`, or the new one. */
async function stateOf(machine: Machine): Promise<string> {
  const appliedIndex = await machine.driver.open();
  const ids = await machine.driver.searchIds([0, 0], 10);
  return `${ids.join('')}@${appliedIndex}`;
}

async function dieAtEveryStep(
  isOpen: boolean,
  makePlace: () => Promise<{ real: Disk; root: string; onDeath: () => void }>,
): Promise<{ states: string[]; leftovers: number[] }> {
  const snapshot = await snapshotBytes();
  const states: string[] = [];
  const leftovers: number[] = [];
  for (let steps = 0; ; steps++) {
    const { real, root, onDeath } = await makePlace();
    const first = boot(real, root, onDeath);
    await first.driver.open();
    await first.driver.createCollection();
    await first.driver.write([upsert('old', [5, 5])]);
    await first.driver.write([upsert('old', [6, 6])]);
    await real.writeFile(`${root}/one`, snapshot);
    await first.engine.close();

    const second = boot(real, root, onDeath);
    if (isOpen) await second.engine.open();
    second.disk.dieAfter(steps);
    const installed = await second.engine
      .installSnapshot(`${root}/one`)
      .then(() => true)
      .catch(() => false);
    await second.engine.close().catch(() => undefined);
    const survived = !second.disk.isDead;
    await second.disk.release();

    const third = boot(real, root, () => undefined);
    const state = await stateOf(third);
    if (installed) expect(state).toBe('abc@2');
    states.push(state);
    const names = await real.list(`${root}/points`);
    leftovers.push(names.filter((name) => name.startsWith('points-')).length);
    await third.engine.close();
    if (survived) return { states, leftovers };
  }
}

describe('a machine that dies while a snapshot is installed (S-41, F-12)', () => {
  const places = {
    'in memory': async () => {
      const real = new MemoryDisk();
      return { real, root: 'node', onDeath: () => real.crash() };
    },
    'on LevelDB': async () => {
      const root = await temporaryDirectory();
      return { real: new RealDisk(), root, onDeath: () => undefined };
    },
  };
  for (const [name, makePlace] of Object.entries(places)) {
    it.each([true, false])(`has the old state or the new ${name}, open: %s`, async (isOpen) => {
      const { states, leftovers } = await dieAtEveryStep(isOpen, makePlace);
      const turn = states.indexOf('abc@2');
      expect(turn).toBeGreaterThan(2);
      expect(states.slice(0, turn)).toEqual(states.slice(0, turn).map(() => 'old@3'));
      expect(states.slice(turn)).toEqual(states.slice(turn).map(() => 'abc@2'));
      expect(leftovers).toEqual(leftovers.map(() => 1));
    });
  }
});

describe('a disk that fails while a snapshot is written or installed', () => {
  it('leaves the engine and its state as they were, and no left-over', async () => {
    const harness = await memoryHarness();
    const shard = new ShardDriver(harness);
    await shard.open();
    await shard.createCollection();
    await shard.write([upsert('old', [5, 5])]);
    const { disk } = harness;
    disk.failNextFileWrite(new Error('ENOSPC'));
    await expect(shard.engine.writeSnapshot('snap')).rejects.toMatchObject({
      reason: 'STORE_POISONED',
      message: expect.stringContaining('ENOSPC'),
    });
    await disk.writeFile('one', await snapshotBytes());
    const installing = shard.engine.installSnapshot('one');
    while ((await disk.list('points')).length < 3) await Promise.resolve();
    disk.kv('points/points-2').failNextBatch(new Error('ENOSPC'));
    await expect(installing).rejects.toMatchObject({ reason: 'STORE_POISONED' });
    expect(await disk.list('points')).toEqual(['GENERATION', 'points-1']);
    await shard.write([upsert('more', [5, 5])]);
    expect(await shard.searchIds([5, 5], 2)).toEqual(['more', 'old']);
  });

  it('stops the engine where nobody can tell which state counts', async () => {
    const harness = await memoryHarness();
    const shard = new ShardDriver(harness);
    await shard.open();
    await harness.disk.writeFile('one', await snapshotBytes());
    const installing = shard.engine.installSnapshot('one');
    while ((await harness.disk.list('points')).length < 3) await Promise.resolve();
    harness.disk.failNextFileWrite(new Error('EIO'));
    await expect(installing).rejects.toMatchObject({ reason: 'STORE_POISONED' });
    await expect(shard.engine.stats()).rejects.toMatchObject({ reason: 'STORE_POISONED' });
    await shard.engine.close();
    await shard.open();
    expect((await shard.engine.stats()).appliedIndex).toBe(0);
  });
});

describe('reads and the state that a snapshot replaces', () => {
  it('end on the state on which they began', async () => {
    const harness = await memoryHarness((options) => new FlatIndex(options));
    const shard = new ShardDriver(harness);
    await shard.open();
    await shard.createCollection();
    await shard.write(Array.from({ length: 600 }, (_, at) => upsert(`old${at}`, [at, 5])));
    await harness.disk.writeFile('one', await snapshotBytes());
    const one = query([3, 5], 1, { includeValues: true });
    const searching = shard.engine.search(
      SCOPE,
      Array.from({ length: 2_000 }, () => one),
    );
    const order: string[] = [];
    const searched = searching.then(() => order.push('searched'));
    await shard.engine.installSnapshot('one');
    order.push('installed');
    // The state that the search stands on is kept for it, and for nothing that comes later.
    expect(await harness.disk.list('points')).toContain('points-1');
    expect(await shard.searchIds([3, 5], 1)).toEqual(['c']);
    const ids = (await searching).map(([hit]) => hit?.id);
    expect(new Set(ids)).toEqual(new Set(['old3']));
    await searched;
    expect(order).toEqual(['installed', 'searched']);
    expect(await shard.searchIds([0, 0], 9)).toEqual(['a', 'b', 'c']);
    await shard.engine.close();
    expect(await harness.disk.list('points')).toEqual(['GENERATION', 'points-2']);
  });

  it('see every record while the graph of the new state is being filled', async () => {
    const source = await memoryHarness();
    const shard = new ShardDriver(source);
    await shard.open();
    await shard.createCollection();
    const ids = Array.from({ length: 500 }, (_, at) => `r${at}`);
    await shard.write(ids.map((id, at) => upsert(id, [at, 0])));
    await shard.engine.writeSnapshot('one');
    await shard.reopen();
    await shard.engine.installSnapshot('one');
    const points = async (): Promise<number> => (await shard.stats()).graphPoints;
    expect(await points()).toBeLessThan(500);
    // Overwritten, removed and added before the filling comes to them.
    await shard.write([upsert('r499', [-5, 0]), upsert('new', [-4, 0])]);
    expect(await shard.engine.count(SCOPE)).toBe(501);
    expect(await shard.searchIds([-5, 0], 3)).toEqual(['r499', 'new', 'r0']);
    expect(await points()).toBeLessThan(500);
    await shard.settled();
    expect(await points()).toBeGreaterThanOrEqual(501);
    expect(await shard.searchIds([-5, 0], 3)).toEqual(['r499', 'new', 'r0']);
    expect(await shard.engine.count(SCOPE)).toBe(501);
  });

  it('see nothing of a collection that is dropped while its graph is being filled', async () => {
    const harness = await memoryHarness();
    const shard = new ShardDriver(harness);
    await shard.open();
    await shard.createCollection();
    await shard.write(Array.from({ length: 400 }, (_, at) => upsert(`r${at}`, [at, 0])));
    await shard.engine.writeSnapshot('one');
    for (const end of ['drop', 'close']) {
      await shard.engine.installSnapshot('one');
      shard.log.length = 2;
      if (end === 'drop') await shard.apply({ kind: 'dropCollection', collectionId: 1 });
      for (let turn = 0; turn < 5; turn++) await setImmediate();
      await shard.reopen();
      await shard.settled();
      const { collections } = await shard.engine.stats();
      expect(collections.map(({ graphPoints }) => graphPoints)).toEqual(
        end === 'drop' ? [] : [400],
      );
    }
  });
});

describe('a damaged point store on LevelDB', () => {
  async function damagedAt(share: number): Promise<{ harness: EngineHarness; shard: ShardDriver }> {
    const harness = await levelHarness();
    const shard = new ShardDriver(harness);
    await shard.open();
    await shard.createCollection();
    for (let at = 0; at < 50; at++) await shard.write([upsert(`r${at}`, [at, 0])]);
    await shard.engine.close();
    const store = join(harness.snapshotPath('points'), 'points-1');
    const log = (await readdir(store)).find((name) => /^\d+\.log$/.test(name));
    const path = join(store, defined(log, 'log file'));
    const bytes = await readFile(path);
    const at = Math.floor(bytes.length * share);
    bytes[at] = defined(bytes[at], 'byte') ^ 0xff;
    await writeFile(path, bytes);
    return { harness, shard };
  }

  it('is found by what LevelDB says of dropped records, at every open (P-8, S5)', async () => {
    for (const share of [0.25, 0.5, 0.9]) {
      const { harness, shard } = await damagedAt(share);
      for (let opens = 0; opens < 3; opens++) {
        const engine = harness.create();
        await expect(engine.open()).rejects.toMatchObject({
          reason: 'LOG_DAMAGED',
          message: expect.stringMatching(/lost records.*dropping/),
        });
        await engine.close();
      }
      // A snapshot of another replica is the way out.
      const engine = harness.create();
      await harness.disk.writeFile(harness.snapshotPath('one'), await snapshotBytes());
      await engine.installSnapshot(harness.snapshotPath('one'));
      await engine.close();
      shard.log.length = 0;
      expect(await shard.open()).toBe(2);
      expect(await shard.searchIds([0, 0], 9)).toEqual(['a', 'b', 'c']);
      await shard.engine.close();
      await harness.cleanup();
    }
  });

  it('is found where a file of the database, or the GENERATION file, is gone', async () => {
    for (const victim of ['MANIFEST', 'GENERATION']) {
      const { harness } = await damagedAt(0.99);
      const points = harness.snapshotPath('points');
      const folder = victim === 'MANIFEST' ? join(points, 'points-1') : points;
      for (const name of await readdir(folder)) {
        if (name.startsWith(victim)) await rm(join(folder, name));
      }
      for (let opens = 0; opens < 2; opens++) {
        const engine = harness.create();
        await expect(engine.open()).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
        await engine.close();
      }
      await harness.cleanup();
    }
  });

  it('is found where the store that a snapshot made is empty', async () => {
    const harness = await memoryHarness();
    const shard = new ShardDriver(harness);
    await shard.open();
    await harness.disk.writeFile('one', await snapshotBytes());
    await shard.engine.installSnapshot('one');
    await shard.engine.close();
    await harness.disk.remove('points/points-2');
    await expect(shard.open()).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
    await harness.disk.writeFile('points/GENERATION', Uint8Array.of(1, 2, 3));
    await expect(shard.open()).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
  });
});

describe('the directory of the release before generations', () => {
  it('opens, takes a snapshot over, and keeps nothing of the old database', async () => {
    const harness = await levelHarness();
    const shard = new ShardDriver(harness);
    await shard.open();
    await shard.createCollection();
    await shard.write([upsert('old', [5, 5])]);
    await shard.engine.close();
    // As it lay before: the database in the directory itself, and nothing that says so.
    const points = harness.snapshotPath('points');
    const disk = new RealDisk();
    const before = join(await temporaryDirectory(), 'before');
    const [from, to] = [await LevelKv.open(join(points, 'points-1')), await LevelKv.open(before)];
    const everything = { gte: Uint8Array.of(0), lt: Uint8Array.of(255) };
    for await (const page of from.scan(everything)) {
      await to.batch(
        page.map((entry) => ({ type: 'put', ...entry })),
        { sync: true },
      );
    }
    await from.close();
    await to.close();
    await disk.remove(points);
    await disk.makeDirectory(points);
    for (const name of await readdir(before)) {
      await writeFile(join(points, name), await readFile(join(before, name)));
    }

    shard.log.length = 2;
    expect(await shard.open()).toBe(2);
    expect(await shard.reopen()).toBe(2);
    expect(await shard.searchIds([5, 5], 9)).toEqual(['old']);
    await disk.writeFile(harness.snapshotPath('one'), await snapshotBytes());
    await shard.engine.installSnapshot(harness.snapshotPath('one'));
    await shard.engine.close();
    expect((await readdir(points)).sort()).toEqual(['GENERATION', 'points-1']);
    expect(await shard.open()).toBe(2);
    expect(await shard.searchIds([0, 0], 9)).toEqual(['a', 'b', 'c']);
    await shard.engine.close();
    await harness.cleanup();
  });
});
