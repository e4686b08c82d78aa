// Goal: while a graph is saved, whatever is asked of its shard or happens to it costs nothing (H5).
// Method: exact engines that save whenever told to, on a disk that waits at each step of a save, or
// fails there; inserts are counted.
import { setImmediate } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../../../src/shared/limits.js';
import { patch, remove, upsert } from '../shard-driver.js';
import {
  ALWAYS,
  CheckpointRig,
  NEVER,
  NOT_SAVED,
  names,
  RECORDS,
  REMOVED,
  SAVED,
  turnsPass,
} from './checkpoint-rig.js';
import { GateDisk } from './gate-disk.js';

/** Enough for a checkpoint of them and the others. */
const LATE = 5;

let disk: GateDisk;
let rig: CheckpointRig;

beforeEach(() => {
  disk = new GateDisk();
  rig = new CheckpointRig(disk);
});

/** Where a save can be made to wait: while its graph is frozen, and when that goes on. */
const WRITING = [{ access: 'write', pattern: /\.graph$/ }] as const;
const SEALING = [
  { access: 'sync', pattern: /\.graph$/ },
  { access: 'write', pattern: /\.labels/ },
  { access: 'sync', pattern: /\.labels/ },
] as const;
const PHASES = [...WRITING, ...SEALING];
type Phase = (typeof PHASES)[number];

describe('while a graph is saved', () => {
  /** A new shard to which five records are added: a save is under way that waits for its disk. */
  async function beginSave({ access, pattern }: Phase, options = {}): Promise<void> {
    disk = new GateDisk();
    rig = new CheckpointRig(disk, options);
    await rig.fill();
    rig.options = { ...rig.options, checkpoints: ALWAYS };
    await rig.shard.reopen();
    await rig.shard.settled();
    disk.shut(access, pattern);
    await rig.shard.write(
      Array.from({ length: LATE }, (_, at) => upsert(`late${at}`, [60 + at, 0])),
    );
    await disk.reached();
  }

  /** The power goes, and what was saved last is loaded; the inserts that this takes. */
  async function losePower(): Promise<number> {
    disk.crash();
    // The engine that has died writes nothing any more.
    disk.broken = { access: 'write', pattern: /graphs/ };
    disk.open();
    await rig.shard.engine.close().catch(() => undefined);
    disk.broken = undefined;
    rig.options = { checkpoints: NEVER };
    return rig.start();
  }

  it('what is written waits in the head, and what is removed is hidden (H1, H5)', async () => {
    for (const phase of WRITING) {
      await beginSave(phase);
      const before = rig.inserts;
      await rig.shard.write([upsert('r1', [-1, 0]), remove('r2'), upsert('new', [-2, 0])]);
      await rig.shard.write([patch('r3', { word: 'b' })]);
      await turnsPass();
      expect(rig.inserts).toBe(before);
      expect((await rig.allIds()).slice(0, 5)).toEqual(['r0', 'r1', 'new', 'r3', 'r4']);
      expect(await rig.shard.searchIds([2, 0], 1)).toEqual(['r3']);
      const { tombstones, headRows } = await rig.shard.stats();
      expect({ tombstones, headRows }).toEqual({ tombstones: 2, headRows: 2 });
      disk.open();
      await rig.shard.settled();
      expect((await rig.allIds()).slice(0, 5)).toEqual(['r0', 'r1', 'new', 'r3', 'r4']);
      expect((await rig.shard.stats()).tombstones).toBe(2);
      expect(await rig.restart()).toBe(0);
      expect((await rig.allIds()).length).toBe(RECORDS + LATE);
    }
    expect(rig.diary.count(REMOVED)).toBe(0);
  });

  it('the graph goes on as soon as it is written, whatever its files wait for (H5)', async () => {
    for (const phase of SEALING) {
      await beginSave(phase);
      const before = rig.inserts;
      await rig.shard.write([upsert('r1', [-1, 0]), remove('r2'), upsert('new', [-2, 0])]);
      await rig.shard.settled();
      expect(rig.inserts).toBe(before + 2);
      expect((await rig.allIds()).slice(0, 5)).toEqual(['r0', 'r1', 'new', 'r3', 'r4']);
      const { tombstones, headRows, graphPoints } = await rig.shard.stats();
      expect({ tombstones, headRows }).toEqual({ tombstones: 2, headRows: 0 });
      expect(graphPoints).toBe(RECORDS + LATE + 2);
      const saved = rig.diary.count(SAVED);
      disk.open();
      await rig.diary.until(SAVED, saved + 1);
      // What went in meanwhile is not in the file, and counts towards the next one.
      expect(await losePower()).toBe(2);
      expect(rig.diary.count(REMOVED)).toBe(0);
      expect((await rig.allIds()).slice(0, 4)).toEqual(['r0', 'r1', 'new', 'r3']);
      expect((await rig.allIds()).length).toBe(RECORDS + LATE);
    }
  });

  it('what waited goes into the graph when that is written, not when it is saved', async () => {
    await beginSave(WRITING[0]);
    const before = rig.inserts;
    await rig.shard.write([upsert('r1', [-1, 0]), upsert('new', [-2, 0])]);
    await turnsPass();
    expect(rig.inserts).toBe(before);
    disk.open();
    disk.shut('sync', /\.graph$/);
    await disk.reached();
    await turnsPass();
    expect([rig.inserts, (await rig.shard.stats()).headRows]).toEqual([before + 2, 0]);
    disk.open();
    expect(await rig.restart()).toBe(0);
  });

  it('what goes into the graph meanwhile is saved by the next one', async () => {
    for (const phase of SEALING) {
      await beginSave(phase);
      await rig.shard.write([upsert('r1', [-1, 0]), upsert('new', [-2, 0])]);
      await rig.shard.settled();
      disk.open();
      expect(await rig.restart()).toBe(0);
    }
  });

  it('no renewal begins: the labels that are listed are those of the file (H3, H6)', async () => {
    for (const phase of SEALING) {
      await beginSave(phase);
      const ids = names(RECORDS).slice(0, 20);
      for (let round = 0; round < 4; round++) {
        await rig.shard.write(ids.map((id, at) => upsert(id, [at, 1 + round])));
        while ((await rig.shard.stats()).headRows > 0) await setImmediate();
      }
      await turnsPass();
      const { tombstones, isRenewing } = await rig.shard.stats();
      expect({ tombstones, isRenewing }).toEqual({ tombstones: 80, isRenewing: true });
      const saved = rig.diary.count(SAVED);
      disk.open();
      await rig.diary.until(SAVED, saved + 1);
      await rig.shard.settled();
      expect((await rig.shard.stats()).tombstones).toBe(0);
      await losePower();
      expect(rig.diary.count(REMOVED)).toBe(0);
      expect(await rig.shard.searchIds([0, 4], 3)).toEqual(['r0', 'r1', 'r2']);
      expect((await rig.allIds()).length).toBe(RECORDS + LATE);
    }
  });

  it('the power may go: labels of what was replaced count for nothing', async () => {
    for (const phase of PHASES) {
      await beginSave(phase);
      await rig.shard.write([upsert('r1', [-1, 0]), remove('r2'), upsert('new', [-2, 0])]);
      const saved = rig.diary.count(SAVED);
      disk.open();
      await rig.diary.until(SAVED, saved + 1);
      // What was saved had been synced, and is there.
      expect(await losePower()).toBe(2);
      expect(rig.diary.count(REMOVED)).toBe(0);
      expect((await rig.allIds()).slice(0, 4)).toEqual(['r0', 'r1', 'new', 'r3']);
      expect((await rig.allIds()).length).toBe(RECORDS + LATE);
    }
  });

  it('the power may go before it counts: the one before does, nothing is lost', async () => {
    for (const phase of PHASES) {
      await beginSave(phase);
      await rig.shard.write([upsert('r1', [-1, 0]), remove('r2'), upsert('new', [-2, 0])]);
      expect(await losePower()).toBe(LATE + 2);
      expect(rig.diary.count(REMOVED)).toBe(0);
      expect((await rig.allIds()).slice(0, 4)).toEqual(['r0', 'r1', 'new', 'r3']);
      expect((await rig.allIds()).length).toBe(RECORDS + LATE);
      expect((await rig.files()).length).toBe(2);
    }
  });

  const HEAD_ROWS = 3;
  /** As many as that, and four times as many while the graph takes no rows. */
  const WIDE_ROWS = 5 * HEAD_ROWS;

  /** Writes `count` records behind those that were written so, one an entry; tells when applied. */
  function writer(): {
    write: (count: number) => Promise<unknown>;
    ids: string[];
    applied: number;
  } {
    const progress = {
      ids: [] as string[],
      applied: 0,
      write: async (count: number) => {
        for (let left = count; left > 0; left--) {
          const at = progress.ids.length;
          progress.ids.push(`n${at}`);
          await rig.shard.write([upsert(`n${at}`, [100 + at, 0])]);
          progress.applied++;
        }
      },
    };
    return progress;
  }

  it('writes go on beyond the bound of the head up to another, and wait then (P-10)', async () => {
    await beginSave(WRITING[0], { headFloatsMax: 2 * HEAD_ROWS });
    const before = rig.inserts;
    const progress = writer();
    await progress.write(HEAD_ROWS);
    await progress.write(WIDE_ROWS - HEAD_ROWS - 1);
    await progress.write(1);
    expect(progress.applied).toBe(WIDE_ROWS);
    const waiting = progress.write(1);
    await turnsPass();
    expect([progress.applied, rig.inserts]).toEqual([WIDE_ROWS, before]);
    // Searches go on, and see all that was applied.
    expect(await rig.shard.searchIds([200, 0], WIDE_ROWS)).toEqual(
      progress.ids.slice(0, WIDE_ROWS).reverse(),
    );
    disk.open();
    await waiting;
    await rig.shard.settled();
    expect(rig.inserts).toBe(before + WIDE_ROWS + 1);
    expect((await rig.shard.stats()).records).toBe(RECORDS + LATE + WIDE_ROWS + 1);
    expect(await rig.shard.searchIds([200, 0], 99)).toEqual([
      ...progress.ids.toReversed(),
      ...(await rig.allIds()).slice(0, RECORDS + LATE).reverse(),
    ]);
  });

  it('what was written beyond the bound outlives a crash, whenever it comes', async () => {
    for (const phase of PHASES) {
      await beginSave(phase, { headFloatsMax: 2 * HEAD_ROWS });
      const progress = writer();
      await progress.write(WIDE_ROWS);
      await losePower();
      expect(await rig.shard.searchIds([200, 0], WIDE_ROWS)).toEqual(progress.ids.toReversed());
      expect((await rig.shard.stats()).records).toBe(RECORDS + LATE + WIDE_ROWS);
    }
  });

  it('a write finds room that had waited for some when the save began (P-10)', async () => {
    rig.options = { checkpoints: ALWAYS, headFloatsMax: 2 * HEAD_ROWS };
    await rig.shard.open();
    await rig.shard.createCollection();
    disk.shut('write', /\.graph$/);
    await rig.shard.write(names(WIDE_ROWS).map((id, at) => upsert(id, [at, 0])));
    // The first insert is saved at once, and leaves one row less than may wait meanwhile.
    await Promise.all([disk.reached(), rig.shard.write([upsert('late', [-1, 0])])]);
    expect(await rig.shard.searchIds([-1, 0], 1)).toEqual(['late']);
    expect((await rig.shard.stats()).headRows).toBe(WIDE_ROWS);
    disk.open();
    await rig.shard.settled();
  });

  it('its collection may be dropped: nothing of it stays', async () => {
    for (const phase of PHASES) {
      await beginSave(phase);
      await rig.shard.apply({ kind: 'dropCollection', collectionId: 1 });
      disk.open();
      while ((await rig.files()).length > 0) await setImmediate();
      await rig.shard.createCollection({}, 2);
      expect((await rig.shard.engine.stats()).collections).toHaveLength(1);
      await rig.shard.reopen();
      expect(await rig.files()).toEqual([]);
    }
  });

  it('the engine may be closed: the checkpoint is written whole before it is', async () => {
    for (const phase of PHASES) {
      await beginSave(phase);
      let isClosed = false;
      const closing = rig.shard.engine.close().then(() => {
        isClosed = true;
      });
      await turnsPass();
      expect(isClosed).toBe(false);
      disk.open();
      await closing;
      expect(await rig.start()).toBe(0);
      expect((await rig.allIds()).length).toBe(RECORDS + LATE);
    }
  });

  it('its disk may fail: the one before stays, and it is tried again later', async () => {
    for (const phase of PHASES) {
      disk = new GateDisk();
      rig = new CheckpointRig(disk);
      await rig.fill();
      const policy = { insertsMin: 4, closingInsertsMin: 1e9 };
      rig.options = { checkpoints: policy };
      await rig.shard.reopen();
      await rig.shard.settled();
      const before = await rig.files();
      disk.broken = phase;
      await rig.shard.write(names(5).map((id, at) => upsert(id, [at, 0])));
      await rig.diary.until(NOT_SAVED);
      await rig.shard.settled();
      expect(await rig.files()).toEqual(before);
      // Not for each insert, as long as it does not work.
      await rig.shard.write([upsert('r0', [0, 0])]);
      await rig.shard.settled();
      expect(rig.diary.count(NOT_SAVED)).toBe(1);
      disk.broken = undefined;
      const saved = rig.diary.count(SAVED);
      await rig.shard.write(names(5).map((id, at) => upsert(id, [at, 0])));
      await rig.diary.until(SAVED, saved + 1);
      await rig.shard.settled();
      expect(await rig.restart()).toBe(0);
      expect(await rig.allIds()).toEqual(names(RECORDS));
    }
  });

  it('takes no space that is short', async () => {
    await rig.fill();
    disk.freeBytes = 1_000;
    await rig.shard.engine.close();
    expect(rig.diary.messages).toEqual([NOT_SAVED]);
    expect(rig.diary.fieldsOf(NOT_SAVED)).toMatchObject({
      error: expect.stringMatching(/it needs \d+ bytes, and 1000 are free/),
    });
    // What is below the low-water mark is kept for records, and for stores that are opened.
    disk.freeBytes = LIMITS.diskLowWaterBytes.value + 1_000;
    await rig.shard.open();
    await rig.shard.settled();
    await rig.shard.engine.close();
    expect(rig.diary.messages.filter((message) => message === NOT_SAVED)).toHaveLength(2);
    disk.freeBytes = 1e9;
    expect(await rig.start()).toBe(RECORDS);
  });
});
