// Goal: no flipped byte of a table file hides a record without being found (P-8, S5).
// Method: a real LevelDB; one byte at a time, over the whole file; LevelDB without the check.
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { damagedTable } from '../../../src/engine/table-check.js';
import { LevelKv } from '../../../src/node/level-kv.js';
import { RealDisk } from '../../../src/node/real-disk.js';

const RECORDS = 300;
const ALL = { gte: new Uint8Array(0), lt: Uint8Array.of(0xff) };
const directories: string[] = [];

afterEach(async () => {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true });
});

/** A database of one or more tables: what was written is in them once it is opened again. */
async function databaseWithTables(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'flotilla-tables-'));
  directories.push(path);
  const options = { writeBufferSizeBytes: 64 * 1024 };
  const kv = await LevelKv.open(path, options);
  for (let at = 0; at < RECORDS; at++) {
    const key = new TextEncoder().encode(`key-${String(at).padStart(5, '0')}`);
    await kv.batch([{ type: 'put', key, value: new Uint8Array(200).fill(at) }], { sync: false });
  }
  await kv.close();
  await (await LevelKv.open(path, options)).close();
  return path;
}

async function tablesOf(path: string): Promise<string[]> {
  return (await readdir(path)).filter((name) => name.endsWith('.ldb'));
}

async function flip(file: string, at: number): Promise<void> {
  const bytes = await readFile(file);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at);
  await writeFile(file, bytes);
}

it('finds nothing in sound tables, nor where there are none', async () => {
  const path = await databaseWithTables();
  expect((await tablesOf(path)).length).toBeGreaterThan(0);
  expect(await damagedTable(new RealDisk(), path)).toBeUndefined();
  expect(await damagedTable(new RealDisk(), join(path, 'nothing'))).toBeUndefined();
});

it('finds every flipped byte of every block, index and filter', async () => {
  const path = await databaseWithTables();
  const [name = ''] = await tablesOf(path);
  const sound = await readFile(join(path, name));
  const bytes = Buffer.from(sound);
  const disk = { list: async () => [name], readFile: async () => bytes };
  const missed: number[] = [];
  for (let at = 0; at < sound.length; at += at > sound.length - 2_000 ? 1 : 37) {
    bytes.writeUInt8(sound.readUInt8(at) ^ 0x10, at);
    if ((await damagedTable(disk, '')) === undefined) missed.push(at);
    bytes.writeUInt8(sound.readUInt8(at), at);
  }
  // The footer's padding alone may say what it likes.
  expect(missed.filter((at) => at < sound.length - 48)).toEqual([]);
});

it('finds what LevelDB itself leaves out without a word', async () => {
  const path = await databaseWithTables();
  const [name = ''] = await tablesOf(path);
  const sizeBytes = (await readFile(join(path, name))).length;
  let hidden = 0;
  for (let at = 0; at < sizeBytes && hidden < 1; at += 7) {
    const copy = `${path}-copy`;
    await cp(path, copy, { recursive: true });
    directories.push(copy);
    await flip(join(copy, name), at);
    const isFound = (await damagedTable(new RealDisk(), copy)) !== undefined;
    const count = await countOf(copy);
    if (count !== undefined && count < RECORDS) {
      hidden += 1;
      expect(isFound).toBe(true);
    }
    await rm(copy, { recursive: true });
    directories.pop();
  }
  expect(hidden).toBe(1);
});

it('finds a table that is cut short', async () => {
  const path = await databaseWithTables();
  const [name = ''] = await tablesOf(path);
  const bytes = await readFile(join(path, name));
  for (const sizeBytes of [0, 10, 47, bytes.length >> 1, bytes.length - 1]) {
    await writeFile(join(path, name), bytes.subarray(0, sizeBytes));
    expect(await damagedTable(new RealDisk(), path)).toContain(name);
  }
});

/** The records that a scan gives; undefined where it fails. */
async function countOf(path: string): Promise<number | undefined> {
  const kv = await LevelKv.open(path).catch(() => undefined);
  if (kv === undefined) return undefined;
  let count = 0;
  try {
    for await (const page of kv.scan(ALL)) count += page.length;
    return count;
  } catch {
    return undefined;
  } finally {
    await kv.close();
  }
}
