/** The disk of production: node:fs with the fsyncs that make a file and its name durable. */
import { randomBytes } from 'node:crypto';
import {
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  statfs,
} from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Disk, DiskFile } from '../shared/environment.js';
import type { Kv, KvOptions } from '../shared/kv.js';
import { LevelKv } from './level-kv.js';

const TEMPORARY_SUFFIX = '.tmp';
/** Written at a time, with a sync each, when space is set aside: other syncs wait no longer. */
const ALLOCATION_STEP_BYTES = 1024 * 1024;

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

/** `undefined` where the file is there already. */
async function createFile(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'wx+');
  } catch (thrown) {
    if (hasCode(thrown, 'EEXIST')) return undefined;
    throw thrown;
  }
}

async function openForWriting(path: string): Promise<FileHandle> {
  const created = await createFile(path);
  if (created === undefined) return open(path, 'r+');
  try {
    await syncDirectory(dirname(path));
    return created;
  } catch (thrown) {
    await created.close();
    throw thrown;
  }
}

class RealDiskFile implements DiskFile {
  readonly #handle: FileHandle;
  #sizeBytes: number;
  #closing: Promise<void> | undefined;

  constructor(handle: FileHandle, sizeBytes: number) {
    this.#handle = handle;
    this.#sizeBytes = sizeBytes;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  async read(offset: number, lengthBytes: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(Math.max(0, Math.min(lengthBytes, this.#sizeBytes - offset)));
    return bytes.subarray(0, await this.readInto(offset, bytes));
  }

  async readInto(offset: number, target: Uint8Array): Promise<number> {
    let length = 0;
    while (length < target.length) {
      const rest = target.length - length;
      const { bytesRead } = await this.#handle.read(target, length, rest, offset + length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return length;
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    for (let length = 0; length < bytes.length; ) {
      const rest = bytes.length - length;
      const { bytesWritten } = await this.#handle.write(bytes, length, rest, offset + length);
      length += bytesWritten;
      this.#sizeBytes = Math.max(this.#sizeBytes, offset + length);
    }
  }

  async sync(): Promise<void> {
    await this.#handle.datasync();
  }

  close(): Promise<void> {
    this.#closing ??= this.#handle.close();
    return this.#closing;
  }
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

  async openFile(path: string, mode: 'read' | 'write'): Promise<DiskFile> {
    const handle = mode === 'read' ? await open(path, 'r') : await openForWriting(path);
    try {
      return new RealDiskFile(handle, (await handle.stat()).size);
    } catch (thrown) {
      await handle.close();
      throw thrown;
    }
  }

  async allocateFile(path: string, sizeBytes: number): Promise<void> {
    const file = await this.openFile(path, 'write');
    // Not zeros: a file system may give those no blocks.
    const filler = randomBytes(ALLOCATION_STEP_BYTES);
    try {
      while (file.sizeBytes < sizeBytes) {
        const rest = sizeBytes - file.sizeBytes;
        await file.write(file.sizeBytes, filler.subarray(0, rest));
        await file.sync();
      }
    } finally {
      await file.close();
    }
  }

  async rename(from: string, to: string): Promise<void> {
    await rename(from, to);
    await syncDirectory(dirname(to));
    if (dirname(from) !== dirname(to)) await syncDirectory(dirname(from));
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

  nativePath(path: string): string {
    return resolve(path);
  }

  async space(path: string): Promise<{ freeBytes: number; totalBytes: number }> {
    const { bavail, blocks, bsize } = await statfs(path);
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  }
}
