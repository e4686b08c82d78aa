// Goal: files and directories behave the same on the real disk and on its memory twin.
// Method: the same cases on both; the twin's crash and failure hooks by example.
import { readdirSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { RealDisk } from '../../../src/node/real-disk.js';
import type { Disk } from '../../../src/shared/environment.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { temporaryDirectory } from './harness.js';

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

function realRoot(): { disk: Disk; root: string } {
  const directory = temporaryDirectory();
  cleanups.push(directory.remove);
  return { disk: new RealDisk(), root: directory.path };
}

const kinds: [string, () => { disk: Disk; root: string }][] = [
  ['RealDisk', realRoot],
  ['MemoryDisk', () => ({ disk: new MemoryDisk(), root: '/data' })],
];

describe.each(kinds)('%s', (_, make) => {
  it('reads back what was written, and undefined for what is not there', async () => {
    const { disk, root } = make();
    await disk.makeDirectory(`${root}/a/b`);
    const bytes = Uint8Array.of(1, 2, 3);
    await disk.writeFile(`${root}/a/b/file`, bytes);
    bytes.fill(0);
    expect(await disk.readFile(`${root}/a/b/file`)).toEqual(Uint8Array.of(1, 2, 3));
    await disk.writeFile(`${root}/a/b/file`, Uint8Array.of());
    expect(await disk.readFile(`${root}/a/b/file`)).toEqual(Uint8Array.of());
    expect(await disk.readFile(`${root}/a/none`)).toBeUndefined();
    expect(await disk.readFile(`${root}/none/none`)).toBeUndefined();
  });

  it('lists the names of a directory, sorted, and nothing where there is none', async () => {
    const { disk, root } = make();
    await disk.makeDirectory(`${root}/a`);
    for (const name of ['z', 'b', 'm']) {
      await disk.writeFile(`${root}/a/${name}`, Uint8Array.of(1));
    }
    await disk.makeDirectory(`${root}/a/deep/er`);
    await (await disk.openKv(`${root}/a/kv`)).close();
    expect(await disk.list(`${root}/a`)).toEqual(['b', 'deep', 'kv', 'm', 'z']);
    expect(await disk.list(`${root}/none`)).toEqual([]);
  });

  it('removes files and whole directories, and what is not there without an error', async () => {
    const { disk, root } = make();
    await disk.makeDirectory(`${root}/a/b`);
    await disk.writeFile(`${root}/a/b/file`, Uint8Array.of(1));
    await disk.writeFile(`${root}/a/file`, Uint8Array.of(1));
    await disk.remove(`${root}/a/b`);
    await disk.remove(`${root}/a/b`);
    expect(await disk.list(`${root}/a`)).toEqual(['file']);
    await disk.remove(`${root}/a/file`);
    expect(await disk.readFile(`${root}/a/file`)).toBeUndefined();
    await disk.remove(`${root}/never/there`);
  });

  it('reads and writes a file piece by piece, and keeps what was there', async () => {
    const { disk, root } = make();
    await disk.makeDirectory(root);
    await expect(disk.openFile(`${root}/file`, 'read')).rejects.toThrow();
    const file = await disk.openFile(`${root}/file`, 'write');
    expect(file.sizeBytes).toBe(0);
    const bytes = Uint8Array.of(1, 2, 3);
    await file.write(0, bytes);
    bytes.fill(9);
    await file.write(5, Uint8Array.of(6));
    await file.sync();
    expect(file.sizeBytes).toBe(6);
    expect(await file.read(0, 100)).toEqual(Uint8Array.of(1, 2, 3, 0, 0, 6));
    expect(await file.read(1, 2)).toEqual(Uint8Array.of(2, 3));
    expect(await file.read(6, 1)).toEqual(new Uint8Array());
    expect(await file.read(9, 1)).toEqual(new Uint8Array());
    const target = new Uint8Array(8).fill(9);
    expect(await file.readInto(4, target.subarray(1, 4))).toBe(2);
    expect(target).toEqual(Uint8Array.of(9, 0, 6, 9, 9, 9, 9, 9));
    expect(await file.readInto(1, target.subarray(6))).toBe(2);
    expect(target).toEqual(Uint8Array.of(9, 0, 6, 9, 9, 9, 2, 3));
    expect(await file.readInto(9, target)).toBe(0);
    await file.close();
    await file.close();
    await expect(file.write(0, Uint8Array.of(1))).rejects.toThrow();
    const again = await disk.openFile(`${root}/file`, 'write');
    expect(again.sizeBytes).toBe(6);
    await again.write(1, Uint8Array.of(8));
    await again.sync();
    await again.close();
    expect(await disk.readFile(`${root}/file`)).toEqual(Uint8Array.of(1, 8, 3, 0, 0, 6));
    const reading = await disk.openFile(`${root}/file`, 'read');
    expect(reading.sizeBytes).toBe(6);
    await expect(reading.write(0, Uint8Array.of(1))).rejects.toThrow();
    await reading.close();
  });

  it('renames a file, over another one too', async () => {
    const { disk, root } = make();
    await disk.makeDirectory(`${root}/a`);
    await disk.writeFile(`${root}/a/from`, Uint8Array.of(1));
    await disk.writeFile(`${root}/to`, Uint8Array.of(2));
    await disk.rename(`${root}/a/from`, `${root}/to`);
    expect(await disk.readFile(`${root}/to`)).toEqual(Uint8Array.of(1));
    expect(await disk.list(`${root}/a`)).toEqual([]);
    await expect(disk.rename(`${root}/a/from`, `${root}/to`)).rejects.toThrow();
    expect(await disk.readFile(`${root}/to`)).toEqual(Uint8Array.of(1));
  });

  it('sets space aside for a file, and never less than there is', async () => {
    const { disk, root } = make();
    await disk.makeDirectory(root);
    for (const [asked, expected] of [
      [1_500_000, 1_500_000],
      [1_000, 1_500_000],
      [2_500_000, 2_500_000],
    ] as const) {
      await disk.allocateFile(`${root}/file`, asked);
      const file = await disk.openFile(`${root}/file`, 'read');
      expect(file.sizeBytes).toBe(expected);
      await file.close();
    }
  });

  it('says how much space there is', async () => {
    const { disk, root } = make();
    await disk.makeDirectory(root);
    const { freeBytes, totalBytes } = await disk.space(root);
    expect(freeBytes).toBeGreaterThan(0);
    expect(totalBytes).toBeGreaterThanOrEqual(freeBytes);
  });
});

describe('RealDisk', () => {
  it('makes directories with their parents, also several at once and again', async () => {
    const { disk, root } = realRoot();
    const paths = [`${root}/a/b/c`, `${root}/a/b/d`, `${root}/a`];
    await Promise.all([...paths, ...paths].map((path) => disk.makeDirectory(path)));
    expect(await disk.list(`${root}/a/b`)).toEqual(['c', 'd']);
  });

  it('refuses a directory where a file is, or below a place that takes none', async () => {
    const { disk, root } = realRoot();
    await disk.writeFile(`${root}/file`, Uint8Array.of(1));
    await expect(disk.makeDirectory(`${root}/file`)).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(disk.makeDirectory(`${root}/file/below`)).rejects.toMatchObject({
      code: 'ENOTDIR',
    });
    await expect(disk.makeDirectory('/proc/none/below')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('leaves no temporary file behind', async () => {
    const { disk, root } = realRoot();
    await disk.writeFile(`${root}/file`, Uint8Array.of(1));
    expect(readdirSync(root)).toEqual(['file']);
  });

  it('refuses a database that is open already, saying so', async () => {
    const { disk, root } = realRoot();
    const kv = await disk.openKv(`${root}/kv`);
    await expect(disk.openKv(`${root}/kv`)).rejects.toMatchObject({ reason: 'NODE_NOT_READY' });
    await kv.close();
  });
});

describe('MemoryDisk', () => {
  it('keeps whole files over a crash and loses the one under way', async () => {
    const disk = new MemoryDisk();
    await disk.writeFile('a', Uint8Array.of(1));
    const underWay = disk.writeFile('a', Uint8Array.of(2));
    disk.crash();
    await expect(underWay).rejects.toThrow('crashed');
    expect(await disk.readFile('a')).toEqual(Uint8Array.of(1));
  });

  it('fails exactly one file write on demand', async () => {
    const disk = new MemoryDisk();
    disk.failNextFileWrite(new Error('ENOSPC'));
    await expect(disk.writeFile('a', Uint8Array.of(1))).rejects.toThrow('ENOSPC');
    expect(await disk.readFile('a')).toBeUndefined();
    await disk.writeFile('a', Uint8Array.of(2));
    expect(await disk.readFile('a')).toEqual(Uint8Array.of(2));
  });

  it('loses what was written to an open file and not synced, also under another name', async () => {
    const disk = new MemoryDisk();
    const file = await disk.openFile('a', 'write');
    await file.write(0, Uint8Array.of(1, 1, 1));
    await file.sync();
    await file.write(1, Uint8Array.of(2, 2, 2));
    await file.write(0, Uint8Array.of(3));
    await disk.rename('a', 'b');
    expect(await disk.readFile('b')).toEqual(Uint8Array.of(3, 2, 2, 2));
    disk.crash();
    expect(await disk.readFile('a')).toBeUndefined();
    expect(await disk.readFile('b')).toEqual(Uint8Array.of(1, 1, 1));
    await expect(file.read(0, 1)).rejects.toThrow('crashed');
    const again = await disk.openFile('b', 'write');
    await again.write(0, Uint8Array.of(4));
    await again.write(1, Uint8Array.of(5));
    disk.crash(1);
    expect(await disk.readFile('b')).toEqual(Uint8Array.of(4, 1, 1));
  });

  it('keeps only what was written before the sync began', async () => {
    const disk = new MemoryDisk();
    const file = await disk.openFile('a', 'write');
    await file.write(0, Uint8Array.of(1));
    const syncing = file.sync();
    await file.write(1, Uint8Array.of(2));
    await syncing;
    disk.crash();
    expect(await disk.readFile('a')).toEqual(Uint8Array.of(1));
  });

  it('loses a sync or a rename that was under way', async () => {
    const disk = new MemoryDisk();
    const file = await disk.openFile('a', 'write');
    await file.write(0, Uint8Array.of(1));
    const underWay = [file.sync(), disk.rename('a', 'b')];
    disk.crash();
    for (const lost of underWay) await expect(lost).rejects.toThrow('crashed');
    expect(await disk.list('')).toEqual(['a']);
    expect(await disk.readFile('a')).toEqual(new Uint8Array());
  });
});
