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
});
