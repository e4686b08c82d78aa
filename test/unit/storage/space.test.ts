// Goal: a store says when its disk is nearly full, and a full disk never keeps it from opening.
// Method: a memory disk whose free space the test sets; timers by hand; write errors on demand.
import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/shared/logger.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { isDiskFull } from '../../../src/storage/disk-full.js';
import type { LogStore } from '../../../src/storage/log-store.js';
import { openLogStore } from '../../../src/storage/open-log-store.js';
import {
  releaseReserve,
  SpaceGuard,
  type SpaceThresholds,
} from '../../../src/storage/space-guard.js';
import {
  entriesOf,
  environmentOn,
  genesisOf,
  hardStateOf,
  ManualScheduler,
  writeOf,
} from './harness.js';

const MEBIBYTE = 2 ** 20;
const GIBIBYTE = 2 ** 30;

/** A disk of `totalBytes`, whose reserve takes from what is free. */
class SizedDisk extends MemoryDisk {
  totalBytes = 100 * GIBIBYTE;

  override async space(): Promise<{ freeBytes: number; totalBytes: number }> {
    const reserve = await this.reserveBytes();
    return { freeBytes: this.freeBytes - reserve, totalBytes: this.totalBytes };
  }

  async reserveBytes(): Promise<number> {
    if (!(await this.list('d')).includes('RESERVE')) return 0;
    return (await this.openFile('d/RESERVE', 'read')).sizeBytes;
  }
}

function guardOn(disk: SizedDisk, thresholds: SpaceThresholds = {}): Promise<SpaceGuard> {
  return SpaceGuard.open({ disk, directory: 'd', logger: silentLogger, thresholds });
}

describe('SpaceGuard', () => {
  it.each([
    ['10 % of a small disk', 5 * GIBIBYTE, 0.5 * GIBIBYTE],
    ['1 GiB of a large one', 100 * GIBIBYTE, GIBIBYTE],
  ])('is low below %s, and until there is a quarter more (S7)', async (_, total, lowWater) => {
    const disk = new SizedDisk();
    disk.totalBytes = total;
    const states: string[] = [];
    const guard = await guardOn(disk, { reserveSizeBytes: 0 });
    for (const free of [lowWater, lowWater - 1, lowWater, 1.25 * lowWater - 1, 1.25 * lowWater]) {
      disk.freeBytes = free;
      await guard.sample();
      states.push(guard.state);
    }
    expect(states).toEqual(['ok', 'low', 'low', 'low', 'ok']);
  });

  it('is low from the first moment on a disk that is', async () => {
    const disk = new SizedDisk();
    disk.freeBytes = 1;
    expect((await guardOn(disk)).state).toBe('low');
  });

  it('takes its thresholds from its options', async () => {
    const disk = new SizedDisk();
    disk.totalBytes = 1_000;
    const states: string[] = [];
    for (const [freeBytes, thresholds] of [
      [499, { lowWaterShare: 0.5 }],
      [500, { lowWaterShare: 0.5 }],
      [29, { lowWaterShare: 0.5, lowWaterBytes: 30 }],
      [30, { lowWaterShare: 0.5, lowWaterBytes: 30 }],
    ] as const) {
      disk.freeBytes = freeBytes;
      states.push((await guardOn(disk, { ...thresholds, reserveSizeBytes: 0 })).state);
    }
    expect(states).toEqual(['low', 'ok', 'low', 'ok']);
  });

  it('makes its reserve of 64 MiB little by little, and once', async () => {
    const disk = new SizedDisk();
    const guard = await guardOn(disk);
    expect(await disk.reserveBytes()).toBe(0);
    await guard.sample();
    expect(await disk.reserveBytes()).toBe(4 * MEBIBYTE);
    for (let samples = 0; samples < 20; samples++) await guard.sample();
    expect(await disk.reserveBytes()).toBe(64 * MEBIBYTE);
    await guard.close();
    await releaseReserve(disk, 'd');
    expect(await disk.reserveBytes()).toBe(0);
  });

  it('keeps at most a quarter of a small disk', async () => {
    const disk = new SizedDisk();
    disk.totalBytes = 24 * MEBIBYTE;
    disk.freeBytes = 24 * MEBIBYTE;
    const guard = await guardOn(disk);
    for (let samples = 0; samples < 9; samples++) await guard.sample();
    expect(await disk.reserveBytes()).toBe(6 * MEBIBYTE);
  });

  it('is well only when its reserve has room again, which it then takes', async () => {
    const disk = new SizedDisk();
    disk.freeBytes = GIBIBYTE * 1.25 + 63 * MEBIBYTE;
    disk.freeBytes -= 300 * MEBIBYTE;
    const guard = await guardOn(disk);
    expect(guard.state).toBe('low');
    disk.freeBytes = GIBIBYTE * 1.25 + 63 * MEBIBYTE;
    await guard.sample();
    expect([guard.state, await disk.reserveBytes()]).toEqual(['low', 0]);
    disk.freeBytes += MEBIBYTE;
    for (let samples = 0; samples < 20; samples++) await guard.sample();
    expect([guard.state, await disk.reserveBytes()]).toEqual(['ok', 64 * MEBIBYTE]);
  });

  it('outlives a file system that does not answer, or gives no room', async () => {
    const disk = new SizedDisk();
    const guard = await guardOn(disk);
    disk.failNextFileWrite(new Error('ENOSPC'));
    await guard.sample();
    expect([guard.state, await disk.reserveBytes()]).toEqual(['ok', 0]);
    const space = disk.space.bind(disk);
    disk.space = () => Promise.reject(new Error('EIO'));
    await guard.sample();
    disk.space = space;
    await guard.sample();
    expect(await disk.reserveBytes()).toBe(4 * MEBIBYTE);
  });
});

describe('a log store on a full disk', () => {
  const FULL = new Error('IO error: d/log/000003.log: No space left on device');

  async function open(disk: SizedDisk, scheduler = new ManualScheduler()): Promise<LogStore> {
    const environment = environmentOn(disk, scheduler);
    return openLogStore({ environment, directory: 'd', logger: silentLogger });
  }

  async function fire(scheduler: ManualScheduler, times: number): Promise<void> {
    for (let fired = 0; fired < times; fired++) {
      scheduler.fire();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  it('samples its space with its timer, and says what it is', async () => {
    const disk = new SizedDisk();
    const scheduler = new ManualScheduler();
    const store = await open(disk, scheduler);
    expect(store.space).toBe('ok');
    disk.freeBytes = 1;
    await fire(scheduler, 1);
    expect(store.space).toBe('low');
    await store.close();
    expect(scheduler.pending).toBe(0);
  });

  it('gives its reserve up when it closes, opens, and makes it again (S-48)', async () => {
    const disk = new SizedDisk();
    const scheduler = new ManualScheduler();
    const store = await open(disk, scheduler);
    await store.createGroup(genesisOf(1));
    await store.write(writeOf(1, entriesOf(1, 3, 1), hardStateOf(1)));
    await fire(scheduler, 20);
    expect(await disk.reserveBytes()).toBe(64 * MEBIBYTE);
    disk.kv('d/log').failNextBatch(FULL);
    const refused = store.write(writeOf(1, entriesOf(4, 4, 1)));
    await expect(refused).rejects.toMatchObject({ reason: 'STORE_POISONED' });
    expect(await disk.reserveBytes()).toBe(64 * MEBIBYTE);
    await store.close();
    expect(await disk.reserveBytes()).toBe(0);
    const again = await open(disk, scheduler);
    expect(again.reader(1).lastIndex()).toBe(3);
    await fire(scheduler, 1);
    expect(await disk.reserveBytes()).toBe(4 * MEBIBYTE);
    await again.close();
  });

  it('keeps its reserve when another write error poisons it', async () => {
    const disk = new SizedDisk();
    const scheduler = new ManualScheduler();
    const store = await open(disk, scheduler);
    await fire(scheduler, 1);
    disk.kv('d/log').failNextBatch(new Error('EIO'));
    await expect(store.createGroup(genesisOf(1))).rejects.toThrow('EIO');
    await store.close();
    expect(await disk.reserveBytes()).toBe(4 * MEBIBYTE);
  });

  it('opens by its reserve when it can not without, and fails when there is none', async () => {
    const disk = new SizedDisk();
    const scheduler = new ManualScheduler();
    const store = await open(disk, scheduler);
    await fire(scheduler, 1);
    await store.close();
    const openKv = disk.openKv.bind(disk);
    disk.openKv = async (path) => {
      if ((await disk.reserveBytes()) > 0) throw new Error('does not open', { cause: FULL });
      return openKv(path);
    };
    const again = await open(disk, scheduler);
    expect(await disk.reserveBytes()).toBe(0);
    await again.close();
    disk.openKv = () => Promise.reject(new Error('does not open', { cause: FULL }));
    await expect(open(disk)).rejects.toThrow('does not open');
  });
});

describe('isDiskFull', () => {
  it('knows a full disk or quota, in whatever error it comes', () => {
    const full = Object.assign(new Error('write'), { code: 'ENOSPC' });
    const quota = Object.assign(new Error('write'), { code: 'EDQUOT' });
    const level = new Error('IO error: 3.log: No space left on device');
    const wrapped = new Error('poisoned', { cause: new Error('batch', { cause: level }) });
    expect([full, quota, level, wrapped].map(isDiskFull)).toEqual([true, true, true, true]);
    const others = [
      new Error('EIO'),
      undefined,
      'ENOSPC',
      Object.assign(new Error('x'), { code: 5 }),
    ];
    expect(others.map(isDiskFull)).toEqual([false, false, false, false]);
  });
});
