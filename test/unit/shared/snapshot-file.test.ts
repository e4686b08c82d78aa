// Goal: a snapshot file gives back exactly what was written, or says that it is damaged (P-8, S4).
// Method: random entries there and back; every byte flipped, every length cut; both disks.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RealDisk } from '../../../src/node/real-disk.js';
import { defined } from '../../../src/shared/assert.js';
import { utf8 } from '../../../src/shared/bytes.js';
import { crc32c } from '../../../src/shared/crc32c.js';
import type { Disk } from '../../../src/shared/environment.js';
import type { KvEntry } from '../../../src/shared/kv.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import {
  type AttachedFile,
  SnapshotFileReader,
  writeSnapshotFile,
} from '../../../src/shared/snapshot-file.js';

const HEADER = { machine: 'test 1', appliedIndex: 77 };

async function readAll(disk: Disk, path: string): Promise<KvEntry[]> {
  const reader = await SnapshotFileReader.open(disk, path, HEADER.machine);
  try {
    expect(reader.header).toEqual(HEADER);
    const entries: KvEntry[] = [];
    for await (const page of reader.pages()) entries.push(...page);
    return entries;
  } finally {
    await reader.close();
  }
}

function entry(key: string, sizeBytes: number): KvEntry {
  return { key: utf8(key), value: new Uint8Array(sizeBytes).fill(key.length) };
}

async function* each(blocks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* blocks;
}

function attached(name: string, ...blocks: readonly Uint8Array[]): AttachedFile {
  const sizeBytes = blocks.reduce((sum, block) => sum + block.length, 0);
  return { name, sizeBytes, blocks: each(blocks) };
}

/** The files by name, and the entries. */
async function unpackAll(disk: Disk, path: string) {
  const reader = await SnapshotFileReader.open(disk, path, HEADER.machine);
  const entries: KvEntry[] = [];
  const files: { name: string; bytes: Buffer }[] = [];
  try {
    for await (const part of reader.parts()) {
      if (part.kind === 'page') entries.push(...part.entries);
      else if (part.kind === 'file') files.push({ name: part.name, bytes: Buffer.alloc(0) });
      else {
        const file = defined(files.at(-1), 'file');
        file.bytes = Buffer.concat([file.bytes, part.bytes]);
      }
    }
    return { entries, files };
  } finally {
    await reader.close();
  }
}

describe('a snapshot file', () => {
  it('of entries alone has the bytes that it had before files could be attached', async () => {
    const disk = new MemoryDisk();
    await writeSnapshotFile(disk, 'file', HEADER, [[entry('a', 3)], [entry('bc', 2)]]);
    const bytes = defined(await disk.readFile('file'), 'file');
    expect(Buffer.from(bytes).toString('hex')).toBe(
      '0120000000018143919911666c6f74696c6c6120736e617073686f7401067465737420314d0211000000' +
        '01146c235f016103010101026263020202030b000000019333c43e0102dafbe6b3',
    );
  });

  it('takes files along, after the entries, and gives both back', async () => {
    const disk = new MemoryDisk();
    const given = [entry('a', 30), entry('b', 3)];
    const blocks = [Buffer.alloc(70_000, 1), Buffer.alloc(5, 2)];
    const files = () => [
      attached('one', ...blocks),
      attached('none'),
      attached('two', Buffer.alloc(5, 2)),
    ];
    await writeSnapshotFile(disk, 'file', HEADER, [given], files());
    expect(await unpackAll(disk, 'file')).toEqual({
      entries: given,
      files: [
        { name: 'one', bytes: Buffer.concat(blocks) },
        { name: 'none', bytes: Buffer.alloc(0) },
        { name: 'two', bytes: blocks[1] },
      ],
    });
    // Who does not know of files reads the entries, and checks everything.
    expect(await readAll(disk, 'file')).toEqual(given);
    const whole = defined(await disk.readFile('file'), 'file');
    await writeSnapshotFile(disk, 'other', HEADER, [given], files());
    expect(await disk.readFile('other')).toEqual(whole);
  });

  it('with files passes with no byte flipped, none missing, and none too many', async () => {
    const disk = new MemoryDisk();
    const files = [attached('f', Buffer.from([1, 2, 3]), Buffer.from([4])), attached('g')];
    await writeSnapshotFile(disk, 'file', HEADER, [[entry('a', 5)]], files);
    const whole = defined(await disk.readFile('file'), 'file');
    for (let at = 0; at < whole.length; at++) {
      const flipped = whole.slice();
      flipped[at] = defined(flipped[at], 'byte') ^ 1;
      for (const bytes of [flipped, whole.slice(0, at)]) {
        await disk.writeFile('file', bytes);
        for (const read of [readAll, unpackAll]) {
          await expect(read(disk, 'file')).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
        }
      }
    }
  });

  it('is not made of a file that turns out to have another size', async () => {
    for (const sizeBytes of [3, 5]) {
      const disk = new MemoryDisk();
      const file = { ...attached('f', Buffer.alloc(4)), sizeBytes };
      const writing = writeSnapshotFile(disk, 'file', HEADER, [], [file]);
      await expect(writing).rejects.toThrow(`f has ${sizeBytes} bytes, and 4 came`);
      await expect(readAll(disk, 'file')).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
    }
  });

  it('gives back its entries in order, whatever pages they came in', async () => {
    const bytes = fc.uint8Array({ maxLength: 40 });
    const pages = fc.array(fc.array(fc.record({ key: bytes, value: bytes }), { maxLength: 6 }));
    await fc.assert(
      fc.asyncProperty(pages, async (given) => {
        const disk = new MemoryDisk();
        const written = await writeSnapshotFile(disk, 'file', HEADER, given);
        expect(await readAll(disk, 'file')).toEqual(given.flat());
        const file = defined(await disk.readFile('file'), 'file');
        expect(written).toEqual({
          appliedIndex: 77,
          sizeBytes: file.length,
          crc32c: crc32c(file),
        });
        // The same entries make the same file.
        await writeSnapshotFile(disk, 'other', HEADER, [given.flat()]);
        expect(await disk.readFile('other')).toEqual(file);
      }),
      { numRuns: 60 },
    );
  });

  it('is cut into pages of bounded size, and holds entries larger than a page', async () => {
    const disk = new MemoryDisk();
    const given = [900_000, 10, 0, 200_000, 100_000, 5].map((size, at) => entry(`${at}`, size));
    await writeSnapshotFile(disk, 'file', HEADER, [given]);
    const reader = await SnapshotFileReader.open(disk, 'file', HEADER.machine);
    const pages: number[] = [];
    for await (const page of reader.pages()) pages.push(page.length);
    expect(pages).toEqual([1, 4, 1]);
    const found = await readAll(disk, 'file');
    const summary = ({ key, value }: KvEntry) => [`${key}`, value.length, crc32c(value)];
    expect(found.map(summary)).toEqual(given.map(summary));
  });

  it('replaces a longer file that lay there, on a real disk too', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'flotilla-snapshot-'));
    for (const [disk, path] of [
      [new MemoryDisk(), 'file'],
      [new RealDisk(), join(directory, 'file')],
    ] as const) {
      await writeSnapshotFile(disk, path, HEADER, [[entry('long', 700_000)]]);
      await writeSnapshotFile(disk, path, HEADER, [[entry('short', 1)]]);
      expect(await readAll(disk, path)).toEqual([entry('short', 1)]);
      await expect(SnapshotFileReader.open(disk, `${path}-none`, 'test 1')).rejects.toThrow();
    }
    await rm(directory, { recursive: true });
  });

  it('passes with no byte flipped, none missing, and none too many', async () => {
    const disk = new MemoryDisk();
    const given = [entry('a', 30), entry('b', 3)];
    await writeSnapshotFile(disk, 'file', HEADER, [given]);
    const whole = defined(await disk.readFile('file'), 'file');
    const damaged = { reason: 'LOG_DAMAGED' };
    for (let at = 0; at < whole.length; at++) {
      for (const bit of [1, 128]) {
        const flipped = whole.slice();
        flipped[at] = defined(flipped[at], 'byte') ^ bit;
        await disk.writeFile('file', flipped);
        await expect(readAll(disk, 'file')).rejects.toMatchObject(damaged);
      }
      await disk.writeFile('file', whole.slice(0, at));
      await expect(readAll(disk, 'file')).rejects.toMatchObject(damaged);
    }
    await disk.writeFile('file', Uint8Array.of(...whole, 0));
    await expect(readAll(disk, 'file')).rejects.toMatchObject(damaged);
    await disk.writeFile('file', whole);
    expect(await readAll(disk, 'file')).toEqual(given);
  });

  it('does not pass with its pages in another order, or one left out', async () => {
    const disk = new MemoryDisk();
    const size = 300_000;
    await writeSnapshotFile(disk, 'file', HEADER, [[entry('a', size), entry('b', size)]]);
    const whole = defined(await disk.readFile('file'), 'file');
    const pageBytes = 10 + 2 + 3 + size;
    const end = whole.length - 5 - 5 - 1 - 1 - 4;
    const parts = [
      whole.slice(0, end - 2 * pageBytes),
      whole.slice(end - 2 * pageBytes, end - pageBytes),
      whole.slice(end - pageBytes, end),
      whole.slice(end),
    ] as const;
    const joined = (order: readonly (0 | 1 | 2 | 3)[]): Uint8Array =>
      Buffer.concat(order.map((part) => parts[part]));
    await disk.writeFile('file', joined([0, 1, 2, 3]));
    expect(await readAll(disk, 'file')).toHaveLength(2);
    for (const order of [
      [0, 2, 1, 3],
      [0, 1, 3],
      [0, 1, 1, 2, 3],
      [0, 1, 2],
      [0, 1, 2, 3, 3],
      [1, 2, 3],
    ] as const) {
      await disk.writeFile('file', joined(order));
      await expect(readAll(disk, 'file')).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
    }
  });

  it('is not taken for the state of another machine', async () => {
    const disk = new MemoryDisk();
    await writeSnapshotFile(disk, 'file', HEADER, []);
    await expect(SnapshotFileReader.open(disk, 'file', 'test 2')).rejects.toMatchObject({
      reason: 'SETTINGS_MISMATCH',
    });
  });

  it('is not whole when its source failed, or the machine lost power, on the way', async () => {
    async function* source(): AsyncGenerator<KvEntry[]> {
      yield [entry('a', 400_000)];
      yield [entry('b', 400_000)];
      throw new Error('no more');
    }
    for (const keptWrites of [3, 2, 1, 0]) {
      const disk = new MemoryDisk();
      const writing = writeSnapshotFile(disk, 'file', HEADER, source());
      await expect(writing).rejects.toThrow('no more');
      disk.crash(keptWrites);
      await expect(readAll(disk, 'file')).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
    }
  });
});
