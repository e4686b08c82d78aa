/** The disk of production: node:fs with the fsyncs that make a file and its name durable. */
import { mkdir, open, readdir, readFile, rename, rm, stat, statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Disk } from '../shared/environment.js';
import type { Kv, KvOptions } from '../shared/kv.js';
import { LevelKv } from './level-kv.js';

const TEMPORARY_SUFFIX = '.tmp';

function hasCode(thrown: unknown, code: string): boolean {
  return thrown instanceof Error && 'code' in thrown && thrown.code === code;
}

function isAbsent(thrown: unknown): boolean {
  return hasCode(thrown, 'ENOENT');
}

async function absentAs<T>(value: T, read: Promise<T>): Promise<T> {
  try {
    return await read;
  } catch (thrown) {
    if (isAbsent(thrown)) return value;
    throw thrown;
  }
}

/** Makes the names in a directory durable. */
async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Parents first, one at a time, whoever else makes them too. (Node's own recursive form never
 * returns for a path below a directory that says ENOENT to every mkdir, such as /proc.) Each new
 * name is durable once the directory that holds it is synced.
 */
async function makeDirectories(path: string): Promise<void> {
  if (await isDirectory(path)) return;
  const parent = dirname(path);
  if (parent !== path) await makeDirectories(parent);
  try {
    await mkdir(path);
  } catch (thrown) {
    if (!(hasCode(thrown, 'EEXIST') && (await isDirectory(path)))) throw thrown;
  }
  await syncDirectory(parent);
}

async function isDirectory(path: string): Promise<boolean> {
  const found = await absentAs(undefined, stat(path));
  return found?.isDirectory() ?? false;
}

export class RealDisk implements Disk {
  async openKv(path: string, options?: KvOptions): Promise<Kv> {
    await this.makeDirectory(path);
    return LevelKv.open(path, options);
  }

  async readFile(path: string): Promise<Uint8Array | undefined> {
    const bytes = await absentAs<Buffer | undefined>(undefined, readFile(path));
    return bytes && new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** One writer per path at a time: the temporary file beside it has a fixed name. */
  async writeFile(path: string, bytes: Uint8Array): Promise<void> {
    const temporary = path + TEMPORARY_SUFFIX;
    const handle = await open(temporary, 'w');
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  }

  async list(path: string): Promise<string[]> {
    return (await absentAs<string[]>([], readdir(path))).sort();
  }

  async makeDirectory(path: string): Promise<void> {
    await makeDirectories(resolve(path));
  }

  async remove(path: string): Promise<void> {
    await rm(path, { recursive: true, force: true });
    await absentAs(undefined, syncDirectory(dirname(path)));
  }

  async space(path: string): Promise<{ freeBytes: number; totalBytes: number }> {
    const { bavail, blocks, bsize } = await statfs(path);
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  }
}
