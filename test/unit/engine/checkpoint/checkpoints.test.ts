// Goal: a graph that was saved comes back without its inserts, and whatever happens to it or beside
// it changes no answer (H1, H5, H6). Method: exact engines that save whenever told to, on a disk
// that can be made to wait or fail; HNSW on a real disk; inserts are counted.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Hit } from '../../../../src/engine/engine.js';
import { clearPointStore } from '../../../../src/engine/generations.js';
import { FlatIndex } from '../../../../src/engine/index/flat-index.js';
import { HnswIndex } from '../../../../src/engine/index/hnsw-index.js';
import type { VectorIndexOptions } from '../../../../src/engine/index/vector-index.js';
import { RealDisk } from '../../../../src/node/real-disk.js';
import { defined } from '../../../../src/shared/assert.js';
import { LIMITS } from '../../../../src/shared/limits.js';
import { clusteredVectors } from '../../../support/vectors.js';
import { patch, query, remove, SCOPE, upsert } from '../shard-driver.js';
import {
  ALWAYS,
  AT_CLOSE,
  type CheckpointRig,
  checkpointRig,
  LOADED,
  NEVER,
  NOT_SAVED,
  REMOVED,
  SAVED,
} from './checkpoint-rig.js';
import { GateDisk } from './gate-disk.js';

const RECORDS = 40;
/** Enough for a checkpoint of them and the others. */
const LATE = 5;
const GRAPHS = 'node/points/graphs-1';

let inserts = 0;

/** Counts what goes into the graphs of the collections here; engines calibrate with others. */
class CountingIndex extends FlatIndex {
  override add(label: number, vector: Float32Array): void {
    if (this.dimension === 2) inserts++;
    super.add(label, vector);
  }
}

const createIndex = (options: VectorIndexOptions) => new CountingIndex(options);

let disk: GateDisk;
let rig: CheckpointRig;

beforeEach(() => {
  inserts = 0;
  disk = new GateDisk();
  rig = checkpointRig(disk, { createIndex });
});

/** Writes `r0`, `r1`, ... at (0, 0), (1, 0), ..., and waits until all are in the graph. */
async function fill(records = RECORDS): Promise<void> {
  await rig.shard.open();
  await rig.shard.createCollection();
  await rig.shard.write(Array.from({ length: records }, (_, at) => upsert(`r${at}`, [at, 0])));
  await rig.shard.settled();
}

/** Starts again and waits for the graph; the inserts that this took. */
async function restart(): Promise<number> {
  await rig.shard.engine.close();
  inserts = 0;
  await rig.shard.open();
  await rig.shard.settled();
  return inserts;
}

/** The ids of all records, nearest to the origin first. */
function allIds(): Promise<string[]> {
  return rig.shard.searchIds([0, 0], 100);
}

const names = (count: number) => Array.from({ length: count }, (_, at) => `r${at}`);

describe('a shard that is opened again', () => {
  it('has its graph without an insert, and goes on from there', async () => {
    await fill();
    expect(await restart()).toBe(0);
    await rig.diary.until(LOADED);
    expect(rig.diary.messages).toEqual([SAVED, LOADED]);
    expect(await rig.files()).toEqual(['1-1.graph', '1-1.labels']);
    const { graphPoints, tombstones, headRows } = await rig.shard.stats();
    expect({ graphPoints, tombstones, headRows }).toEqual({
      graphPoints: RECORDS,
      tombstones: 0,
      headRows: 0,
    });
    expect(await allIds()).toEqual(names(RECORDS));
    await rig.shard.write([upsert('r3', [99, 0]), remove('r4'), upsert('new', [50, 0])]);
    await rig.shard.settled();
    expect(inserts).toBe(2);
    expect(await rig.shard.searchIds([50, 0], 1)).toEqual(['new']);
    expect(await rig.shard.searchIds([99, 0], 1)).toEqual(['r3']);
    // The next checkpoint takes the place of the first.
    expect(await restart()).toBe(0);
    expect(await rig.files()).toEqual(['1-2.graph', '1-2.labels']);
    expect((await rig.shard.stats()).graphPoints).toBe(RECORDS + 2);
    expect((await allIds()).length).toBe(RECORDS);
  });

  it('takes only the records for a label that have the version which was saved (H6)', async () => {
    await fill();
    await restart();
    rig.options = { createIndex, checkpoints: NEVER };
    // What comes after the checkpoint is in the store alone.
    await restart();
    await rig.shard.write([upsert('r1', [1.5, 0]), remove('r2'), upsert('late', [2.5, 0])]);
    await rig.shard.write([remove('r5')]);
    await rig.shard.write([upsert('r5', [5, 0])]);
    await rig.shard.write([patch('r6', { word: 'a' })]);
    await rig.shard.settled();
    expect(await restart()).toBe(4);
    const { records, graphPoints, tombstones } = await rig.shard.stats();
    expect({ records, graphPoints, tombstones }).toEqual({
      records: RECORDS,
      graphPoints: RECORDS + 4,
      tombstones: 4,
    });
    expect((await allIds()).slice(0, 7)).toEqual(['r0', 'r1', 'late', 'r3', 'r4', 'r5', 'r6']);
  });

  it('answers at once and exactly, while the graph is loaded', async () => {
    await fill();
    await rig.shard.engine.close();
    disk.shut('read', /\.graph$/);
    await rig.shard.open();
    await disk.reached();
    expect(await allIds()).toEqual(names(RECORDS));
    expect((await rig.shard.stats()).headRows).toBe(RECORDS);
    disk.open();
    await rig.shard.settled();
    expect(await allIds()).toEqual(names(RECORDS));
  });

  it('keeps what is written while the graph is loaded, and drops its labels (H1, H6)', async () => {
    await fill();
    for (const pattern of [/\.labels$/, /\.graph$/]) {
      await rig.shard.engine.close();
      disk.shut('read', pattern);
      await rig.shard.open();
      await disk.reached();
      await rig.shard.write([upsert('r1', [-1, 0]), remove('r2'), upsert('new', [-2, 0])]);
      await rig.shard.write([patch('r3', { word: 'b' })]);
      expect((await allIds()).slice(0, 5)).toEqual(['r0', 'r1', 'new', 'r3', 'r4']);
      disk.open();
      await rig.shard.settled();
      expect((await allIds()).slice(0, 5)).toEqual(['r0', 'r1', 'new', 'r3', 'r4']);
      expect((await allIds()).length).toBe(RECORDS);
      expect(await restart()).toBe(0);
      await rig.shard.write([upsert('r1', [1, 0]), upsert('r2', [2, 0]), remove('new')]);
      await rig.shard.settled();
    }
    expect(rig.diary.count(REMOVED)).toBe(0);
  });

  it('closes, drops the collection or takes a snapshot while the graph is loaded', async () => {
    await fill();
    await rig.shard.engine.writeSnapshot('snapshot');
    for (const pattern of [/\.labels$/, /\.graph$/]) {
      await rig.shard.engine.close();
      disk.shut('read', pattern);
      await rig.shard.open();
      await disk.reached();
      const closing = rig.shard.engine.close();
      disk.open();
      await closing;
      // What was broken off is no damage.
      expect(await rig.files()).toEqual(['1-1.graph', '1-1.labels']);
      disk.shut('read', pattern);
      await rig.shard.open();
      await disk.reached();
      const installing = rig.shard.engine.installSnapshot('snapshot');
      await installing;
      disk.open();
      await rig.shard.settled();
      expect(await allIds()).toEqual(names(RECORDS));
      await rig.shard.engine.close();
      await clearPointStore(disk, 'node/points');
      await rig.shard.open();
      await rig.shard.settled();
      expect(rig.diary.count(REMOVED)).toBe(0);
    }
    await rig.shard.engine.close();
    disk.shut('read', /\.graph$/);
    await rig.shard.open();
    await disk.reached();
    await rig.shard.apply({ kind: 'dropCollection', collectionId: 1 });
    disk.open();
    while ((await rig.files()).length > 0) await setImmediate();
    expect(rig.diary.count(REMOVED)).toBe(0);
    await rig.shard.reopen();
    expect((await rig.shard.engine.stats()).collections).toEqual([]);
  });

  it('lets writes wait while the head is full and the graph loaded, and go on then', async () => {
    rig.options = { createIndex, headFloatsMax: 8 };
    await fill();
    await rig.shard.engine.close();
    disk.shut('read', /\.graph$/);
    await rig.shard.open();
    await disk.reached();
    const write = (first: number) =>
      rig.shard.write([0, 1, 2, 3].map((at) => upsert(`n${first + at}`, [100 + first + at, 0])));
    await write(0);
    // Four times as much as it may hold otherwise.
    for (const first of [4, 8, 12, 16]) await write(first);
    let isApplied = false;
    const waiting = write(20).then(() => {
      isApplied = true;
    });
    for (let turn = 0; turn < 20; turn++) await setImmediate();
    expect(isApplied).toBe(false);
    disk.open();
    await waiting;
    await rig.shard.settled();
    expect(await rig.shard.searchIds([200, 0], 2)).toEqual(['n23', 'n22']);
    expect((await rig.shard.stats()).records).toBe(RECORDS + 24);
  });

  it('gives the vectors back that nobody needs, where no copy is kept', async () => {
    rig.options = { createIndex, exactCopy: false };
    await fill();
    const before = (await rig.shard.stats()).memoryBytes;
    await restart();
    await rig.diary.until(LOADED);
    for (let turn = 0; turn < 20; turn++) await setImmediate();
    expect((await rig.shard.stats()).memoryBytes).toBeLessThanOrEqual(before);
    expect(await allIds()).toEqual(names(RECORDS));
  });
});

describe('a checkpoint that is damaged, missing or foreign', () => {
  /** Starts over what `spoil` has left; the graph is made anew. */
  async function expectRebuilt(spoil: () => Promise<void>): Promise<void> {
    await spoil();
    inserts = 0;
    const removed = rig.diary.count(REMOVED);
    await rig.shard.open();
    expect(await allIds()).toEqual(names(RECORDS));
    await rig.shard.settled();
    expect(inserts).toBe(RECORDS);
    expect(await allIds()).toEqual(names(RECORDS));
    expect(rig.diary.count(REMOVED)).toBe(removed + 1);
    expect(await rig.files()).toEqual([]);
    await rig.shard.engine.close();
  }

  async function savedFiles(): Promise<{ graph: Uint8Array; labels: Uint8Array }> {
    await fill();
    await rig.shard.engine.close();
    const read = async (name: string) =>
      defined(await disk.readFile(`${GRAPHS}/1-1.${name}`), 'file');
    const files = { graph: await read('graph'), labels: await read('labels') };
    rig.options = { createIndex, checkpoints: NEVER };
    return files;
  }

  async function put(graph: Uint8Array, labels: Uint8Array): Promise<void> {
    await disk.makeDirectory(GRAPHS);
    await disk.writeFile(`${GRAPHS}/1-1.graph`, graph);
    await disk.writeFile(`${GRAPHS}/1-1.labels`, labels);
  }

  it('is removed and the graph made anew, wherever a byte is wrong (P-8)', async () => {
    const { graph, labels } = await savedFiles();
    const flipped = (bytes: Uint8Array, at: number): Uint8Array => {
      const copy = bytes.slice();
      copy[at] = defined(copy[at], 'byte') ^ 0x10;
      return copy;
    };
    for (let at = 0; at < labels.length; at += 7) {
      await expectRebuilt(() => put(graph, flipped(labels, at)));
    }
    for (let at = 0; at < graph.length; at += 31) {
      await expectRebuilt(() => put(flipped(graph, at), labels));
    }
  });

  it('is removed and the graph made anew where it is cut short, too long or gone', async () => {
    const { graph, labels } = await savedFiles();
    for (const share of [0, 0.1, 0.5, 0.99]) {
      const end = (bytes: Uint8Array): number => Math.floor(share * bytes.length);
      await expectRebuilt(() => put(graph.slice(0, end(graph)), labels));
      await expectRebuilt(() => put(graph, labels.slice(0, end(labels))));
    }
    await expectRebuilt(() => put(Uint8Array.of(...graph, 0), labels));
    await expectRebuilt(() => put(graph, Uint8Array.of(...labels, 0)));
    await expectRebuilt(async () => {
      await put(graph, labels);
      await disk.remove(`${GRAPHS}/1-1.graph`);
    });
  });

  it('counts only with its labels: what else is there is removed at the open', async () => {
    const { graph, labels } = await savedFiles();
    await disk.remove(`${GRAPHS}/1-1.labels`);
    await disk.writeFile(`${GRAPHS}/1-1.labels.tmp`, labels);
    await disk.writeFile(`${GRAPHS}/7-2.labels`, labels);
    await disk.writeFile(`${GRAPHS}/7-2.graph`, graph);
    await disk.writeFile(`${GRAPHS}/anything`, graph);
    inserts = 0;
    await rig.shard.open();
    await rig.shard.settled();
    expect(inserts).toBe(RECORDS);
    while ((await rig.files()).length > 0) await setImmediate();
    expect(rig.diary.count(REMOVED)).toBe(0);
    await rig.shard.engine.close();
  });

  it('that a newer one has replaced is removed, though a crash has left both', async () => {
    const { graph, labels } = await savedFiles();
    await put(graph.slice(1), labels.slice(1));
    await disk.writeFile(`${GRAPHS}/1-2.graph`, graph);
    await disk.writeFile(`${GRAPHS}/1-2.labels`, labels);
    expect(await restart()).toBe(0);
    expect(await rig.files()).toEqual(['1-2.graph', '1-2.labels']);
    expect(rig.diary.count(REMOVED)).toBe(0);
  });

  it('is not taken from another collection, dimension, metric, m or kind of index', async () => {
    const { graph, labels } = await savedFiles();
    for (const config of [{ dimension: 3 }, { metric: 'cosine' }, { m: 4 }, {}] as const) {
      const other = new GateDisk();
      const foreign = checkpointRig(other, { createIndex });
      const collectionId = Object.keys(config).length === 0 ? 2 : 1;
      await foreign.shard.open();
      await foreign.shard.createCollection(config, collectionId);
      const values = 'dimension' in config ? [1, 2, 3] : [1, 2];
      const scope = { ...SCOPE, collectionId };
      await foreign.shard.apply(foreign.shard.writeCommand([upsert('r0', values)], {}, scope));
      await foreign.shard.settled();
      await foreign.shard.engine.close();
      const read = async (name: string) =>
        defined(await other.readFile(`${GRAPHS}/${collectionId}-1.${name}`), 'file');
      const [foreignGraph, foreignLabels] = [await read('graph'), await read('labels')];
      await expectRebuilt(() => put(foreignGraph, foreignLabels));
      await expectRebuilt(() => put(graph, foreignLabels));
      await expectRebuilt(() => put(foreignGraph, labels));
    }
  });

  it('costs nothing else where it cannot be read, or not even listed', async () => {
    const { graph, labels } = await savedFiles();
    disk.broken = { access: 'read', pattern: /\.graph$/ };
    await expectRebuilt(() => put(graph, labels));
    disk.broken = undefined;
    await put(graph, labels);
    rig.options = { createIndex };
    disk.list = async (path) => {
      if (path.endsWith('graphs-1')) throw new Error('EACCES');
      return GateDisk.prototype.list.call(disk, path);
    };
    expect(await restart()).toBe(RECORDS);
    expect(rig.diary.messages.at(-1)).toBe('the checkpoints of graphs cannot be read');
  });
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
    rig = checkpointRig(disk, { createIndex, ...options });
    await fill();
    rig.options = { ...rig.options, checkpoints: ALWAYS };
    await rig.shard.reopen();
    await rig.shard.settled();
    disk.shut(access, pattern);
    await rig.shard.write(
      Array.from({ length: LATE }, (_, at) => upsert(`late${at}`, [60 + at, 0])),
    );
    await disk.reached();
  }

  async function turnsPass(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) await setImmediate();
  }

  /** The power goes, and what was saved last is loaded; the inserts that this takes. */
  async function losePower(): Promise<number> {
    disk.crash();
    // The engine that has died writes nothing any more.
    disk.broken = { access: 'write', pattern: /graphs/ };
    disk.open();
    await rig.shard.engine.close().catch(() => undefined);
    disk.broken = undefined;
    rig.options = { createIndex, checkpoints: NEVER };
    inserts = 0;
    await rig.shard.open();
    await rig.shard.settled();
    return inserts;
  }

  it('what is written waits in the head, and what is removed is hidden (H1, H5)', async () => {
    for (const phase of WRITING) {
      await beginSave(phase);
      const before = inserts;
      await rig.shard.write([upsert('r1', [-1, 0]), remove('r2'), upsert('new', [-2, 0])]);
      await rig.shard.write([patch('r3', { word: 'b' })]);
      await turnsPass();
      expect(inserts).toBe(before);
      expect((await allIds()).slice(0, 5)).toEqual(['r0', 'r1', 'new', 'r3', 'r4']);
      expect(await rig.shard.searchIds([2, 0], 1)).toEqual(['r3']);
      const { tombstones, headRows } = await rig.shard.stats();
      expect({ tombstones, headRows }).toEqual({ tombstones: 2, headRows: 2 });
      disk.open();
      await rig.shard.settled();
      expect((await allIds()).slice(0, 5)).toEqual(['r0', 'r1', 'new', 'r3', 'r4']);
      expect((await rig.shard.stats()).tombstones).toBe(2);
      expect(await restart()).toBe(0);
      expect((await allIds()).length).toBe(RECORDS + LATE);
    }
    expect(rig.diary.count(REMOVED)).toBe(0);
  });

  it('the graph goes on as soon as it is written, whatever its files wait for (H5)', async () => {
    for (const phase of SEALING) {
      await beginSave(phase);
      const before = inserts;
      await rig.shard.write([upsert('r1', [-1, 0]), remove('r2'), upsert('new', [-2, 0])]);
      await rig.shard.settled();
      expect(inserts).toBe(before + 2);
      expect((await allIds()).slice(0, 5)).toEqual(['r0', 'r1', 'new', 'r3', 'r4']);
      const { tombstones, headRows, graphPoints } = await rig.shard.stats();
      expect({ tombstones, headRows }).toEqual({ tombstones: 2, headRows: 0 });
      expect(graphPoints).toBe(RECORDS + LATE + 2);
      const saved = rig.diary.count(SAVED);
      disk.open();
      await rig.diary.until(SAVED, saved + 1);
      // What went in meanwhile is not in the file, and counts towards the next one.
      expect(await losePower()).toBe(2);
      expect(rig.diary.count(REMOVED)).toBe(0);
      expect((await allIds()).slice(0, 4)).toEqual(['r0', 'r1', 'new', 'r3']);
      expect((await allIds()).length).toBe(RECORDS + LATE);
    }
  });

  it('what waited goes into the graph when that is written, not when it is saved', async () => {
    await beginSave(WRITING[0]);
    const before = inserts;
    await rig.shard.write([upsert('r1', [-1, 0]), upsert('new', [-2, 0])]);
    await turnsPass();
    expect(inserts).toBe(before);
    disk.open();
    disk.shut('sync', /\.graph$/);
    await disk.reached();
    await turnsPass();
    expect([inserts, (await rig.shard.stats()).headRows]).toEqual([before + 2, 0]);
    disk.open();
    expect(await restart()).toBe(0);
  });

  it('what goes into the graph meanwhile is saved by the next one', async () => {
    for (const phase of SEALING) {
      await beginSave(phase);
      await rig.shard.write([upsert('r1', [-1, 0]), upsert('new', [-2, 0])]);
      await rig.shard.settled();
      disk.open();
      expect(await restart()).toBe(0);
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
      expect((await allIds()).length).toBe(RECORDS + LATE);
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
      expect((await allIds()).slice(0, 4)).toEqual(['r0', 'r1', 'new', 'r3']);
      expect((await allIds()).length).toBe(RECORDS + LATE);
    }
  });

  it('the power may go before it counts: the one before does, nothing is lost', async () => {
    for (const phase of PHASES) {
      await beginSave(phase);
      await rig.shard.write([upsert('r1', [-1, 0]), remove('r2'), upsert('new', [-2, 0])]);
      expect(await losePower()).toBe(LATE + 2);
      expect(rig.diary.count(REMOVED)).toBe(0);
      expect((await allIds()).slice(0, 4)).toEqual(['r0', 'r1', 'new', 'r3']);
      expect((await allIds()).length).toBe(RECORDS + LATE);
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
    const before = inserts;
    const progress = writer();
    await progress.write(HEAD_ROWS);
    await progress.write(WIDE_ROWS - HEAD_ROWS - 1);
    await progress.write(1);
    expect(progress.applied).toBe(WIDE_ROWS);
    const waiting = progress.write(1);
    await turnsPass();
    expect([progress.applied, inserts]).toEqual([WIDE_ROWS, before]);
    // Searches go on, and see all that was applied.
    expect(await rig.shard.searchIds([200, 0], WIDE_ROWS)).toEqual(
      progress.ids.slice(0, WIDE_ROWS).reverse(),
    );
    disk.open();
    await waiting;
    await rig.shard.settled();
    expect(inserts).toBe(before + WIDE_ROWS + 1);
    expect((await rig.shard.stats()).records).toBe(RECORDS + LATE + WIDE_ROWS + 1);
    expect(await rig.shard.searchIds([200, 0], 99)).toEqual([
      ...progress.ids.toReversed(),
      ...(await allIds()).slice(0, RECORDS + LATE).reverse(),
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
    rig.options = { createIndex, checkpoints: ALWAYS, headFloatsMax: 2 * HEAD_ROWS };
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
      inserts = 0;
      await rig.shard.open();
      await rig.shard.settled();
      expect(inserts).toBe(0);
      expect((await allIds()).length).toBe(RECORDS + LATE);
    }
  });

  it('its disk may fail: the one before stays, and it is tried again later', async () => {
    for (const phase of PHASES) {
      disk = new GateDisk();
      rig = checkpointRig(disk, { createIndex });
      await fill();
      const policy = { insertsMin: 4, closingInsertsMin: 1e9 };
      rig.options = { createIndex, checkpoints: policy };
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
      expect(await restart()).toBe(0);
      expect(await allIds()).toEqual(names(RECORDS));
    }
  });

  it('takes no space that is short', async () => {
    await fill();
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
    inserts = 0;
    await rig.shard.open();
    await rig.shard.settled();
    expect(inserts).toBe(RECORDS);
  });
});

describe('checkpoints', () => {
  it('are written when enough was inserted, not for what is removed', async () => {
    await fill();
    await rig.shard.engine.close();
    rig.options = { createIndex, checkpoints: { insertsMin: 10, closingInsertsMin: 5 } };
    await rig.shard.open();
    await rig.shard.settled();
    const saved = (): number => rig.diary.count(SAVED);
    const begun = saved();
    await rig.shard.write(names(9).map((id) => upsert(id, [1, 1])));
    await rig.shard.settled();
    for (let turn = 0; turn < 20; turn++) await setImmediate();
    expect(saved()).toBe(begun);
    await rig.shard.write([upsert('one more', [1, 1])]);
    await rig.diary.until(SAVED, begun + 1);
    await rig.shard.write(names(30).map((id) => remove(id)));
    await rig.shard.write(names(4).map((id) => upsert(id, [1, 1])));
    await rig.shard.settled();
    await rig.shard.reopen();
    expect(saved()).toBe(begun + 1);
  });

  it('go with a collection that is dropped, and with a generation that is replaced', async () => {
    await fill();
    await rig.shard.engine.writeSnapshot('snapshot');
    await rig.shard.createCollection({}, 2);
    const scope = { ...SCOPE, collectionId: 2 };
    await rig.shard.apply(rig.shard.writeCommand([upsert('x', [1, 2])], {}, scope));
    await rig.shard.settled();
    await restart();
    expect(await rig.files()).toEqual(['1-1.graph', '1-1.labels', '2-2.graph', '2-2.labels']);
    await rig.shard.apply({ kind: 'dropCollection', collectionId: 2 });
    while ((await rig.files()).length > 2) await setImmediate();
    await rig.shard.engine.installSnapshot('snapshot');
    rig.shard.log.length = 2;
    await rig.shard.settled();
    await restart();
    expect(await disk.list('node/points')).toEqual(['GENERATION', 'graphs-2', 'points-2']);
    await rig.shard.engine.close();
    await clearPointStore(disk, 'node/points');
    expect(await disk.list('node/points')).toEqual([]);
  });

  it('are not written by an engine that has failed', async () => {
    await fill();
    disk.kv('node/points/points-1').failNextBatch(new Error('EIO'));
    await expect(rig.shard.write([upsert('r1', [7, 7])])).rejects.toThrow('EIO');
    await rig.shard.engine.close();
    expect(await rig.files()).toEqual([]);
  });
});

describe('a snapshot', () => {
  const path = 'snapshot';

  /** Another replica, on the same disk, that installs the snapshot; the inserts that this took. */
  async function install(): Promise<{ replica: CheckpointRig; inserted: number }> {
    const replica = checkpointRig(disk, { createIndex, checkpoints: NEVER }, 'other');
    await clearPointStore(disk, 'other/points');
    await replica.shard.open();
    inserts = 0;
    const { appliedIndex } = await replica.shard.engine.installSnapshot(path);
    replica.shard.follow(rig.shard, appliedIndex);
    await replica.shard.settled();
    return { replica, inserted: inserts };
  }

  it('takes a fresh graph along, which then needs no insert elsewhere', async () => {
    await fill();
    await restart();
    await rig.shard.write([upsert('r1', [1.5, 0]), remove('r2'), upsert('new', [-1, 0])]);
    await rig.shard.settled();
    await rig.shard.engine.writeSnapshot(path);
    const { replica, inserted } = await install();
    expect(inserted).toBe(2);
    await replica.diary.until(LOADED);
    expect(replica.diary.messages).toEqual([LOADED]);
    expect(await replica.files(2)).toEqual(['1-1.graph', '1-1.labels']);
    for (const one of [rig, replica]) {
      expect((await one.shard.searchIds([0, 0], 100)).slice(0, 4)).toEqual([
        'r0',
        'new',
        'r1',
        'r3',
      ]);
    }
    await replica.shard.reopen();
    await replica.shard.settled();
    expect(await replica.shard.searchIds([0, 0], 100)).toEqual(await allIds());
    await replica.shard.engine.close();
  });

  it('that is installed survives a loss of power, whole (S3)', async () => {
    await fill();
    await rig.shard.engine.writeSnapshot(path);
    const { replica } = await install();
    disk.crash();
    await replica.shard.engine.close().catch(() => undefined);
    await replica.shard.open();
    expect(await replica.shard.searchIds([0, 0], 100)).toEqual(names(RECORDS));
  });

  it('leaves a graph behind that has changed too much since it was saved', async () => {
    await fill();
    await restart();
    await rig.shard.write(names(25).map((id, at) => upsert(id, [at, 0])));
    await rig.shard.settled();
    await rig.shard.engine.writeSnapshot(path);
    const { replica, inserted } = await install();
    expect(inserted).toBe(RECORDS);
    expect(replica.diary.messages).toEqual([]);
    expect(await replica.files(2)).toEqual([]);
    await replica.shard.engine.close();
  });

  it('keeps the files that it is taking along until it has them', async () => {
    await fill();
    rig.options = { createIndex, checkpoints: ALWAYS };
    await restart();
    disk.shut('read', /\.graph$/);
    const writing = rig.shard.engine.writeSnapshot(path);
    await disk.reached();
    const saved = rig.diary.count(SAVED);
    await rig.shard.write(names(5).map((id, at) => upsert(id, [at, 0])));
    await rig.diary.until(SAVED, saved + 1);
    const held = ['1-1.graph', '1-1.labels'];
    expect(await rig.files()).toEqual([...held, '1-2.graph', '1-2.labels']);
    await rig.shard.apply({ kind: 'dropCollection', collectionId: 1 });
    while ((await rig.files()).length > 2) await setImmediate();
    expect(await rig.files()).toEqual(held);
    disk.open();
    await writing;
    expect(await rig.files()).toEqual([]);
    const { replica, inserted } = await install();
    expect(inserted).toBe(0);
    expect(await replica.shard.searchIds([0, 0], 100)).toEqual(names(RECORDS));
    await replica.shard.engine.close();
  });

  it('is written without a graph whose file cannot be read', async () => {
    await fill();
    await restart();
    disk.broken = { access: 'read', pattern: /\.graph$/ };
    await rig.shard.engine.writeSnapshot(path);
    disk.broken = undefined;
    expect(rig.diary.messages.slice(2)).toEqual([REMOVED]);
    expect(await rig.files()).toEqual([]);
    expect((await install()).inserted).toBe(RECORDS);
  });

  it('that has a damaged graph gives a replica that makes it anew', async () => {
    await fill();
    await rig.shard.engine.close();
    const bytes = defined(await disk.readFile(`${GRAPHS}/1-1.graph`), 'file').slice();
    await rig.shard.open();
    await rig.shard.settled();
    bytes[99] = defined(bytes[99], 'byte') ^ 1;
    await disk.writeFile(`${GRAPHS}/1-1.graph`, bytes);
    await rig.shard.engine.writeSnapshot(path);
    const { replica, inserted } = await install();
    expect(inserted).toBe(RECORDS);
    expect(replica.diary.messages).toEqual([REMOVED]);
    expect(await replica.shard.searchIds([0, 0], 100)).toEqual(names(RECORDS));
    await replica.shard.engine.close();
  });
});

describe('a graph of HNSW on a real disk', () => {
  it('finds after a restart what it found before, to the last hit', async () => {
    const root = await mkdtemp(join(tmpdir(), 'flotilla-checkpoint-'));
    const options = { createIndex: (one: VectorIndexOptions) => new HnswIndex(one) };
    for (const exactCopy of [true, false]) {
      rig = checkpointRig(
        new RealDisk(),
        { ...options, exactCopy, checkpoints: AT_CLOSE },
        join(root, `${exactCopy}`),
      );
      await rig.shard.open();
      await rig.shard.createCollection({ dimension: 16 });
      const vectors = clusteredVectors({ count: 2_000, dimension: 16, seed: 3 });
      await rig.shard.write(vectors.map((vector, at) => upsert(`v${at}`, vector)));
      await rig.shard.write(vectors.slice(0, 100).map((_, at) => remove(`v${3 * at}`)));
      await rig.shard.settled();
      const queries = clusteredVectors({ count: 50, dimension: 16, seed: 4 });
      const ask = () =>
        rig.shard.engine.search(
          SCOPE,
          queries.map((vector) => query(vector, 10, { ef: 20 })),
        );
      const before = await ask();
      await rig.shard.reopen();
      await rig.shard.settled();
      // A distance has other last digits where it was computed without the copy.
      const idsOf = (lists: Hit[][]) => lists.map((hits) => hits.map(({ id }) => id));
      expect(idsOf(await ask())).toEqual(idsOf(before));
      if (exactCopy) expect(await ask()).toEqual(before);
      await rig.diary.until(LOADED);
      expect(rig.diary.messages).toEqual([SAVED, LOADED]);
      await rig.shard.engine.close();
    }
    await rm(root, { recursive: true });
  });
});
