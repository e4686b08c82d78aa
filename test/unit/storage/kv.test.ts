// Goal: the key-value database and its memory twin are the same to whoever uses them.
// Method: one conformance suite against both; the twin's crash and failure hooks by example.
import { describe, expect, it } from 'vitest';
import { RealDisk } from '../../../src/node/real-disk.js';
import { utf8 } from '../../../src/shared/bytes.js';
import type { KvOperation } from '../../../src/shared/kv.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { type KvPlace, kvSuite } from '../../conformance/kv-suite.js';
import { temporaryDirectory } from './harness.js';

async function memoryPlace(): Promise<KvPlace> {
  const disk = new MemoryDisk();
  return { open: () => disk.openKv('kv'), remove: () => disk.remove('kv') };
}

async function levelPlace(): Promise<KvPlace> {
  const directory = temporaryDirectory();
  const disk = new RealDisk();
  return {
    open: () => disk.openKv(`${directory.path}/deep/kv`),
    remove: async () => directory.remove(),
  };
}

kvSuite('MemoryKv', memoryPlace);
kvSuite('LevelKv', levelPlace);

const put = (key: string): KvOperation[] => [{ type: 'put', key: utf8(key), value: utf8('v') }];

describe('MemoryKv in a crash', () => {
  async function keysAfterCrash(keepBatches?: number): Promise<string> {
    const disk = new MemoryDisk();
    const kv = await disk.openKv('kv');
    await kv.batch(put('a'), { sync: false });
    await kv.batch(put('b'), { sync: true });
    await kv.batch(put('c'), { sync: false });
    await kv.batch([{ type: 'del', key: utf8('a') }, ...put('d')], { sync: false });
    const underWay = kv.batch(put('e'), { sync: true });
    disk.crash(keepBatches);
    await expect(underWay).rejects.toThrow('crashed');
    await expect(kv.batch(put('f'), { sync: true })).rejects.toThrow('crashed');
    const again = await disk.openKv('kv');
    const found = await again.getMany(['a', 'b', 'c', 'd', 'e', 'f'].map(utf8));
    return ['a', 'b', 'c', 'd', 'e', 'f'].filter((_, at) => found[at] !== undefined).join('');
  }

  it('loses what was not synced, and nothing before the last sync', async () => {
    expect(await keysAfterCrash()).toBe('ab');
  });

  it('loses a suffix: batches survive whole and in order', async () => {
    expect(await keysAfterCrash(1)).toBe('abc');
    expect(await keysAfterCrash(2)).toBe('bcd');
    expect(await keysAfterCrash(3)).toBe('bcde');
    expect(await keysAfterCrash(9)).toBe('bcde');
  });

  it('loses nothing that was synced after a first crash', async () => {
    const disk = new MemoryDisk();
    const before = await disk.openKv('kv');
    await before.batch(put('a'), { sync: false });
    disk.crash();
    const after = await disk.openKv('kv');
    await after.batch(put('b'), { sync: true });
    disk.crash();
    const last = await disk.openKv('kv');
    expect(last.getSync(utf8('a'))).toBeUndefined();
    expect(last.getSync(utf8('b'))).toBeDefined();
  });

  it('fails exactly one batch on demand, with nothing of it applied', async () => {
    const disk = new MemoryDisk();
    const kv = await disk.openKv('kv');
    disk.kv('kv').failNextBatch(new Error('EIO'));
    await expect(kv.batch(put('a'), { sync: true })).rejects.toThrow('EIO');
    await kv.batch(put('b'), { sync: true });
    expect(kv.getSync(utf8('a'))).toBeUndefined();
    expect(kv.getSync(utf8('b'))).toBeDefined();
  });
});
