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
import { HnswIndex } from '../../../../src/engine/index/hnsw-index.js';
import type { VectorIndexOptions } from '../../../../src/engine/index/vector-index.js';
import { RealDisk } from '../../../../src/node/real-disk.js';
import { defined } from '../../../../src/shared/assert.js';
import { clusteredVectors } from '../../../support/vectors.js';
import { VirtualEnvironment } from '../../../support/virtual-environment.js';
import { patch, query, remove, SCOPE, upsert } from '../shard-driver.js';
import {
  ALWAYS,
  AT_CLOSE,
  CheckpointRig,
  LOADED,
  NEVER,
  NOT_SAVED,
  names,
  RECORDS,
  REMOVED,
  SAVED,
  turnsPass,
} from './checkpoint-rig.js';
import { GateDisk } from './gate-disk.js';

const GRAPHS = 'node/points/graphs-1';

let disk: GateDisk;
let rig: CheckpointRig;

beforeEach(() => {
  disk = new GateDisk();
  rig = new CheckpointRig(disk);
});

describe('a shard that is opened again', () => {
  it('has its graph without an insert, and goes on from there', async () => {
    await rig.fill();
    expect(await rig.restart()).toBe(0);
    await rig.diary.until(LOADED);
    expect(rig.diary.messages).toEqual([SAVED, LOADED]);
    expect(await rig.files()).toEqual(['1-1.graph', '1-1.labels']);
    const { graphPoints, tombstones, headRows } = await rig.shard.stats();
    expect({ graphPoints, tombstones, headRows }).toEqual({
      graphPoints: RECORDS,
      tombstones: 0,
      headRows: 0,
    });
    expect(await rig.allIds()).toEqual(names(RECORDS));
    await rig.shard.write([upsert('r3', [99, 0]), remove('r4'), upsert('new', [50, 0])]);
    await rig.shard.settled();
    expect(rig.inserts).toBe(2);
    expect(await rig.shard.searchIds([50, 0], 1)).toEqual(['new']);
    expect(await rig.shard.searchIds([99, 0], 1)).toEqual(['r3']);
    // The next checkpoint takes the place of the first.
    expect(await rig.restart()).toBe(0);
    expect(await rig.files()).toEqual(['1-2.graph', '1-2.labels']);
    expect((await rig.shard.stats()).graphPoints).toBe(RECORDS + 2);
    expect((await rig.allIds()).length).toBe(RECORDS);
  });

  it('takes only the records for a label that have the version which was saved (H6)', async () => {
    await rig.fill();
    await rig.restart();
    rig.options = { checkpoints: NEVER };
    // What comes after the checkpoint is in the store alone.
    await rig.restart();
    await rig.shard.write([upsert('r1', [1.5, 0]), remove('r2'), upsert('late', [2.5, 0])]);
    await rig.shard.write([remove('r5')]);
    await rig.shard.write([upsert('r5', [5, 0])]);
    await rig.shard.write([patch('r6', { word: 'a' })]);
    await rig.shard.settled();
    expect(await rig.restart()).toBe(4);
    const { records, graphPoints, tombstones } = await rig.shard.stats();
    expect({ records, graphPoints, tombstones }).toEqual({
      records: RECORDS,
      graphPoints: RECORDS + 4,
      tombstones: 4,
    });
    expect((await rig.allIds()).slice(0, 7)).toEqual(['r0', 'r1', 'late', 'r3', 'r4', 'r5', 'r6']);
  });

  it('answers at once and exactly, while the graph is loaded', async () => {
    await rig.fill();
    await rig.shard.engine.close();
    disk.shut('read', /\.graph$/);
    await rig.shard.open();
    await disk.reached();
    expect(await rig.allIds()).toEqual(names(RECORDS));
    expect((await rig.shard.stats()).headRows).toBe(RECORDS);
    disk.open();
    await rig.shard.settled();
    expect(await rig.allIds()).toEqual(names(RECORDS));
  });

  it('keeps what is written while the graph is loaded, and drops its labels (H1, H6)', async () => {
    await rig.fill();
    for (const pattern of [/\.labels$/, /\.graph$/]) {
      await rig.shard.engine.close();
      disk.shut('read', pattern);
      await rig.shard.open();
      await disk.reached();
      await rig.shard.write([upsert('r1', [-1, 0]), remove('r2'), upsert('new', [-2, 0])]);
      await rig.shard.write([patch('r3', { word: 'b' })]);
      expect((await rig.allIds()).slice(0, 5)).toEqual(['r0', 'r1', 'new', 'r3', 'r4']);
      disk.open();
      await rig.shard.settled();
      expect((await rig.allIds()).slice(0, 5)).toEqual(['r0', 'r1', 'new', 'r3', 'r4']);
      expect((await rig.allIds()).length).toBe(RECORDS);
      expect(await rig.restart()).toBe(0);
      await rig.shard.write([upsert('r1', [1, 0]), upsert('r2', [2, 0]), remove('new')]);
      await rig.shard.settled();
    }
    expect(rig.diary.count(REMOVED)).toBe(0);
  });

  it('closes, drops the collection or takes a snapshot while the graph is loaded', async () => {
    await rig.fill();
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
      expect(await rig.allIds()).toEqual(names(RECORDS));
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
    rig.options = { headFloatsMax: 8 };
    await rig.fill();
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
    await turnsPass();
    expect(isApplied).toBe(false);
    disk.open();
    await waiting;
    await rig.shard.settled();
    expect(await rig.shard.searchIds([200, 0], 2)).toEqual(['n23', 'n22']);
    expect((await rig.shard.stats()).records).toBe(RECORDS + 24);
  });

  it('gives the vectors back that nobody needs, where no copy is kept', async () => {
    rig.options = { exactCopy: false };
    await rig.fill();
    const before = (await rig.shard.stats()).memoryBytes;
    await rig.restart();
    await rig.diary.until(LOADED);
    await turnsPass();
    expect((await rig.shard.stats()).memoryBytes).toBeLessThanOrEqual(before);
    expect(await rig.allIds()).toEqual(names(RECORDS));
  });
});

describe('a checkpoint that is damaged, missing or foreign', () => {
  /** Starts over what `spoil` has left; the graph is made anew. */
  async function expectRebuilt(spoil: () => Promise<void>): Promise<void> {
    await spoil();
    rig.inserts = 0;
    const removed = rig.diary.count(REMOVED);
    await rig.shard.open();
    expect(await rig.allIds()).toEqual(names(RECORDS));
    await rig.shard.settled();
    expect(rig.inserts).toBe(RECORDS);
    expect(await rig.allIds()).toEqual(names(RECORDS));
    expect(rig.diary.count(REMOVED)).toBe(removed + 1);
    expect(await rig.files()).toEqual([]);
    await rig.shard.engine.close();
  }

  async function savedFiles(): Promise<{ graph: Uint8Array; labels: Uint8Array }> {
    await rig.fill();
    await rig.shard.engine.close();
    const read = async (name: string) =>
      defined(await disk.readFile(`${GRAPHS}/1-1.${name}`), 'file');
    const files = { graph: await read('graph'), labels: await read('labels') };
    rig.options = { checkpoints: NEVER };
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
    expect(await rig.start()).toBe(RECORDS);
    while ((await rig.files()).length > 0) await setImmediate();
    expect(rig.diary.count(REMOVED)).toBe(0);
    await rig.shard.engine.close();
  });

  it('that a newer one has replaced is removed, though a crash has left both', async () => {
    const { graph, labels } = await savedFiles();
    await put(graph.slice(1), labels.slice(1));
    await disk.writeFile(`${GRAPHS}/1-2.graph`, graph);
    await disk.writeFile(`${GRAPHS}/1-2.labels`, labels);
    expect(await rig.restart()).toBe(0);
    expect(await rig.files()).toEqual(['1-2.graph', '1-2.labels']);
    expect(rig.diary.count(REMOVED)).toBe(0);
  });

  it('is not taken from another collection, dimension, metric, m or kind of index', async () => {
    const { graph, labels } = await savedFiles();
    for (const config of [{ dimension: 3 }, { metric: 'cosine' }, { m: 4 }, {}] as const) {
      const other = new GateDisk();
      const foreign = new CheckpointRig(other);
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
    rig.options = {};
    disk.list = async (path) => {
      if (path.endsWith('graphs-1')) throw new Error('EACCES');
      return GateDisk.prototype.list.call(disk, path);
    };
    expect(await rig.restart()).toBe(RECORDS);
    expect(rig.diary.messages.at(-1)).toBe('the checkpoints of graphs cannot be read');
  });
});

describe('checkpoints', () => {
  it('are written when enough was inserted, not for what is removed', async () => {
    await rig.fill();
    await rig.shard.engine.close();
    rig.options = { checkpoints: { insertsMin: 10, closingInsertsMin: 5 } };
    await rig.shard.open();
    await rig.shard.settled();
    const saved = (): number => rig.diary.count(SAVED);
    const begun = saved();
    await rig.shard.write(names(9).map((id) => upsert(id, [1, 1])));
    await rig.shard.settled();
    await turnsPass();
    expect(saved()).toBe(begun);
    await rig.shard.write([upsert('one more', [1, 1])]);
    await rig.diary.until(SAVED, begun + 1);
    await rig.shard.write(names(30).map((id) => remove(id)));
    await rig.shard.write(names(4).map((id) => upsert(id, [1, 1])));
    await rig.shard.settled();
    await rig.shard.reopen();
    expect(saved()).toBe(begun + 1);
  });

  it('are written of a graph that rests, so that a crash costs no more than a stop', async () => {
    const time = new VirtualEnvironment();
    const soon = (task: () => void): void => void setImmediate().then(task);
    const scheduler = { ...time.scheduler, soon };
    rig.options = {
      checkpoints: { insertsMin: 1e9, closingInsertsMin: 10, idleMs: 30_000 },
      environment: { disk, clock: time.clock, scheduler },
    };
    await rig.fill();
    await time.advance(29_999);
    await rig.shard.write([upsert('r0', [0, 0])]);
    await rig.shard.settled();
    await time.advance(29_999);
    await turnsPass();
    expect(rig.diary.count(SAVED)).toBe(0);
    await time.advance(1);
    await rig.diary.until(SAVED);
    await turnsPass();
    expect(time.pendingTimers).toBe(0);
    disk.crash();
    await rig.shard.engine.close().catch(() => undefined);
    expect(await rig.start()).toBe(0);
    expect(await rig.allIds()).toEqual(names(RECORDS));
    // Fewer than a close would save wait for more.
    await rig.shard.write(names(9).map((id, at) => upsert(id, [at, 0])));
    await rig.shard.settled();
    await turnsPass();
    expect(time.pendingTimers).toBe(0);
    await rig.shard.write([upsert('r9', [9, 0])]);
    await rig.shard.settled();
    await turnsPass();
    expect(time.pendingTimers).toBe(1);
    await rig.shard.engine.close();
    expect(time.pendingTimers).toBe(0);
  });

  it('go with a collection that is dropped, and with a generation that is replaced', async () => {
    await rig.fill();
    await rig.shard.engine.writeSnapshot('snapshot');
    await rig.shard.createCollection({}, 2);
    const scope = { ...SCOPE, collectionId: 2 };
    await rig.shard.apply(rig.shard.writeCommand([upsert('x', [1, 2])], {}, scope));
    await rig.shard.settled();
    await rig.restart();
    expect(await rig.files()).toEqual(['1-1.graph', '1-1.labels', '2-2.graph', '2-2.labels']);
    await rig.shard.apply({ kind: 'dropCollection', collectionId: 2 });
    while ((await rig.files()).length > 2) await setImmediate();
    await rig.shard.engine.installSnapshot('snapshot');
    rig.shard.log.length = 2;
    await rig.shard.settled();
    await rig.restart();
    expect(await disk.list('node/points')).toEqual(['GENERATION', 'graphs-2', 'points-2']);
    await rig.shard.engine.close();
    await clearPointStore(disk, 'node/points');
    expect(await disk.list('node/points')).toEqual([]);
  });

  it('are not written by an engine that has failed', async () => {
    await rig.fill();
    disk.kv('node/points/points-1').failNextBatch(new Error('EIO'));
    await rig.shard.write([upsert('r1', [7, 7])]);
    await expect(rig.shard.write([upsert('r1', [8, 8])])).rejects.toThrow('EIO');
    await rig.shard.engine.close();
    expect(await rig.files()).toEqual([]);
  });
});

describe('a snapshot', () => {
  const path = 'snapshot';

  /** Another replica, on the same disk, that installs the snapshot; the inserts that this took. */
  async function install(): Promise<{ replica: CheckpointRig; inserted: number }> {
    const replica = new CheckpointRig(disk, { checkpoints: NEVER }, 'other');
    await clearPointStore(disk, 'other/points');
    await replica.shard.open();
    const { appliedIndex } = await replica.shard.engine.installSnapshot(path);
    replica.shard.follow(rig.shard, appliedIndex);
    await replica.shard.settled();
    return { replica, inserted: replica.inserts };
  }

  it('takes a fresh graph along, which then needs no insert elsewhere', async () => {
    await rig.fill();
    await rig.restart();
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
    expect(await replica.shard.searchIds([0, 0], 100)).toEqual(await rig.allIds());
    await replica.shard.engine.close();
  });

  it('that is installed survives a loss of power, whole (S3)', async () => {
    await rig.fill();
    await rig.shard.engine.writeSnapshot(path);
    const { replica } = await install();
    disk.crash();
    await replica.shard.engine.close().catch(() => undefined);
    await replica.shard.open();
    expect(await replica.shard.searchIds([0, 0], 100)).toEqual(names(RECORDS));
  });

  it('leaves a graph behind that has changed too much since it was saved', async () => {
    await rig.fill();
    await rig.restart();
    await rig.shard.write(names(25).map((id, at) => upsert(id, [at, 0])));
    await rig.shard.settled();
    await rig.shard.engine.writeSnapshot(path);
    const { replica, inserted } = await install();
    expect(inserted).toBe(RECORDS);
    expect(replica.diary.messages).toEqual([]);
    expect(await replica.files(2)).toEqual([]);
    await replica.shard.engine.close();
  });

  const FRESHENED = { ...AT_CLOSE, snapshotInsertsMin: 1 };
  const late = (count: number, first = 0) =>
    Array.from({ length: count }, (_, at) => upsert(`late-${first + at}`, [-1 - first - at, 0]));

  it('saves first what has changed much, and leaves a tenth at most to insert (H5)', async () => {
    await rig.fill();
    rig.options = { checkpoints: FRESHENED };
    await rig.restart();
    await rig.shard.write(late(27));
    await rig.shard.settled();
    await rig.shard.engine.writeSnapshot(path);
    expect(rig.diary.count(SAVED)).toBe(2);
    const { replica, inserted } = await install();
    expect(inserted).toBe(0);
    expect(await replica.allIds()).toEqual(await rig.allIds());
    await replica.shard.engine.close();
    // Six of 73 are not worth a save.
    await rig.shard.write(late(6, 27));
    await rig.shard.settled();
    await rig.shard.engine.writeSnapshot(path);
    expect(rig.diary.count(SAVED)).toBe(2);
    const second = await install();
    expect(second.inserted).toBe(6);
    await second.replica.shard.engine.close();
  });

  it('takes the older file along where a graph cannot be saved', async () => {
    await rig.fill();
    rig.options = { checkpoints: FRESHENED };
    await rig.restart();
    await rig.shard.write(late(27));
    await rig.shard.settled();
    disk.broken = { access: 'sync', pattern: /\.graph$/ };
    await rig.shard.engine.writeSnapshot(path);
    disk.broken = undefined;
    expect(rig.diary.count(NOT_SAVED)).toBe(1);
    const { replica, inserted } = await install();
    expect(inserted).toBe(27);
    await replica.shard.engine.close();
  });

  it('is given up by a close, which waits for the graph that is being saved for it', async () => {
    await rig.fill();
    rig.options = { checkpoints: FRESHENED };
    await rig.restart();
    await rig.shard.write(late(27));
    await rig.shard.settled();
    disk.shut('sync', /\.graph$/);
    const writing = rig.shard.engine.writeSnapshot(path).catch((error) => error.reason);
    await disk.reached();
    const closing = rig.shard.engine.close();
    disk.open();
    expect(await writing).toBe('NODE_NOT_READY');
    await closing;
    expect(await rig.start()).toBe(0);
  });

  it('keeps the files that it is taking along until it has them', async () => {
    await rig.fill();
    rig.options = { checkpoints: ALWAYS };
    await rig.restart();
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
    await rig.fill();
    await rig.restart();
    disk.broken = { access: 'read', pattern: /\.graph$/ };
    await rig.shard.engine.writeSnapshot(path);
    disk.broken = undefined;
    expect(rig.diary.messages.slice(2)).toEqual([REMOVED]);
    expect(await rig.files()).toEqual([]);
    expect((await install()).inserted).toBe(RECORDS);
  });

  it('that has a damaged graph gives a replica that makes it anew', async () => {
    await rig.fill();
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
      rig = new CheckpointRig(
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
