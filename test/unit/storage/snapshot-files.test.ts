// Goal: only whole snapshots are listed, and what has arrived of one is not sent again (S4, P3).
// Method: both disks by example; cuts at every piece, and damage to each of the files.
import { afterEach, describe, expect, it } from 'vitest';
import { RealDisk } from '../../../src/node/real-disk.js';
import { crc32c } from '../../../src/shared/crc32c.js';
import type { Disk } from '../../../src/shared/environment.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import {
  SnapshotFiles,
  type SnapshotId,
  type StagedSnapshot,
} from '../../../src/storage/snapshot-files.js';
import { nameOf, parseName } from '../../../src/storage/snapshot-name.js';
import { temporaryDirectory } from './harness.js';

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

function realPlace(): { disk: Disk; root: string } {
  const directory = temporaryDirectory();
  cleanups.push(directory.remove);
  return { disk: new RealDisk(), root: `${directory.path}/snapshots` };
}

const kinds: [string, () => { disk: Disk; root: string }][] = [
  ['the real disk', realPlace],
  ['a memory disk', () => ({ disk: new MemoryDisk(), root: 'd/snapshots' })],
];

const PIECE = 1_000;
const BYTES = new Uint8Array(4_500).map((_, at) => (at * 7) % 253);

function idOf(more: Partial<SnapshotId> = {}, bytes: Uint8Array = BYTES): SnapshotId {
  const file = { sizeBytes: bytes.length, crc32c: crc32c(bytes) };
  return { groupId: 7, index: 100, term: 3, sourceId: '2', ...file, ...more };
}

async function makeFile(
  files: SnapshotFiles,
  disk: Disk,
  meta: { groupId: number; index: number; term?: number },
): Promise<void> {
  const { groupId, index, term = 1 } = meta;
  const made = files.newFile(groupId, { index, term, replicaId: 1 });
  const file = await disk.openFile(made.path, 'write');
  await file.write(0, BYTES);
  await file.close();
  await made.publish({ sizeBytes: BYTES.length, crc32c: crc32c(BYTES) });
}

function write(staged: StagedSnapshot, offset: number, bytes: Uint8Array): Promise<void> {
  return staged.write(offset, bytes, crc32c(bytes));
}

/** Sends what is missing, up to `pieces` pieces, from where the receiver says. */
async function send(staged: StagedSnapshot, pieces = 100, bytes = BYTES): Promise<void> {
  for (let sent = 0; sent < pieces && staged.nextOffset < bytes.length; sent++) {
    const from = staged.nextOffset;
    await write(staged, from, bytes.subarray(from, from + PIECE));
  }
}

describe.each(kinds)('snapshot files on %s', (_, makePlace) => {
  it('lists complete files, the newest first, also after a reopen', async () => {
    const { disk, root } = makePlace();
    const files = await SnapshotFiles.open(disk, root);
    for (const index of [5, 40, 9]) await makeFile(files, disk, { groupId: 7, index });
    await makeFile(files, disk, { groupId: 8, index: 1, term: 4 });
    for (const opened of [files, await SnapshotFiles.open(disk, root)]) {
      expect(opened.list(7).map(({ index }) => index)).toEqual([40, 9, 5]);
      const [file] = opened.list(8);
      expect(file).toMatchObject({ groupId: 8, index: 1, term: 4, sourceId: '1' });
      expect(file).toMatchObject({ sizeBytes: BYTES.length, crc32c: crc32c(BYTES) });
      expect(await disk.readFile(file?.path ?? '')).toEqual(BYTES);
      expect(opened.list(9)).toEqual([]);
    }
  });

  it('shows nothing of a file before it is published, or if it has another size', async () => {
    const { disk, root } = makePlace();
    const files = await SnapshotFiles.open(disk, root);
    const made = files.newFile(7, { index: 5, term: 1, replicaId: 1 });
    await (await disk.openFile(made.path, 'write')).close();
    expect(files.list(7)).toEqual([]);
    await expect(made.publish({ sizeBytes: 1, crc32c: 0 })).rejects.toMatchObject({
      reason: 'LOG_DAMAGED',
    });
    expect(files.list(7)).toEqual([]);
    const other = files.newFile(7, { index: 5, term: 1, replicaId: 1 });
    expect(other.path).not.toBe(made.path);
    await (await disk.openFile(other.path, 'write')).close();
    await other.discard();
    await other.discard();
    expect(await disk.list(root)).toEqual([]);
  });

  it('removes at open what a crash has left, and keeps what it does not know', async () => {
    const { disk, root } = makePlace();
    const files = await SnapshotFiles.open(disk, root);
    await makeFile(files, disk, { groupId: 7, index: 5 });
    const names = await disk.list(root);
    const short = nameOf(idOf({ index: 6 }), 'snap');
    for (const name of [
      '3.local',
      short,
      nameOf(idOf(), 'part'),
      nameOf(idOf({ index: 7 }), 'mark'),
      'README',
    ]) {
      await disk.writeFile(`${root}/${name}`, Uint8Array.of(1));
    }
    const again = await SnapshotFiles.open(disk, root);
    expect(again.list(7).map(({ index }) => index)).toEqual([5]);
    expect(await disk.list(root)).toEqual([...names, 'README'].sort());
  });

  it('receives a file in pieces, and ignores any that is not the next one (P3, S-37)', async () => {
    const { disk, root } = makePlace();
    const files = await SnapshotFiles.open(disk, root);
    const staged = await files.stage(idOf());
    expect(staged.nextOffset).toBe(0);
    await send(staged, 2);
    await write(staged, 0, BYTES.subarray(0, PIECE));
    await write(staged, 3_000, BYTES.subarray(3_000, 4_000));
    await write(staged, 2_000, new Uint8Array());
    expect(staged.nextOffset).toBe(2_000);
    const piece = BYTES.subarray(2_000, 3_000);
    await Promise.all([write(staged, 2_000, piece), write(staged, 2_000, piece)]);
    expect(staged.nextOffset).toBe(3_000);
    const tooMuch = write(staged, 3_000, new Uint8Array(1_501));
    await expect(tooMuch).rejects.toMatchObject({ reason: 'INVALID_REQUEST' });
    await expect(staged.finish()).rejects.toThrow('3000 of 4500');
    await send(staged);
    expect(files.list(7)).toEqual([]);
    const file = await staged.finish();
    expect(files.list(7)).toEqual([file]);
    expect(file).toMatchObject(idOf());
    expect(await disk.readFile(file.path)).toEqual(BYTES);
    expect(await disk.list(root)).toHaveLength(1);
  });

  it('goes on where it was after a cut at any piece and a restart (P3, S-37)', async () => {
    for (let pieces = 0; pieces <= 5; pieces++) {
      const { disk, root } = makePlace();
      const first = await SnapshotFiles.open(disk, root);
      const cut = await first.stage(idOf());
      await send(cut, pieces);
      const before = cut.nextOffset;
      await first.close();
      await expect(write(cut, before, Uint8Array.of(1))).rejects.toThrow('closed');
      const files = await SnapshotFiles.open(disk, root);
      const staged = await files.stage(idOf());
      expect(staged.nextOffset).toBe(before);
      await send(staged);
      await staged.finish();
      expect(await disk.readFile(files.list(7)[0]?.path ?? '')).toEqual(BYTES);
      // What a sender repeats whose answer got lost.
      const again = await files.stage(idOf());
      expect(again.nextOffset).toBe(BYTES.length);
      await write(again, 0, BYTES);
      expect(await again.finish()).toBe(files.list(7)[0]);
    }
  });

  it('believes no piece that is not as it was written', async () => {
    for (const damage of ['data', 'short data', 'mark', 'no mark'] as const) {
      const { disk, root } = makePlace();
      const first = await SnapshotFiles.open(disk, root);
      await send(await first.stage(idOf()), 3);
      await first.close();
      const [part, mark] = [nameOf(idOf(), 'part'), nameOf(idOf(), 'mark')];
      const name = damage.includes('data') ? part : mark;
      const bytes = (await disk.readFile(`${root}/${name}`)) as Uint8Array;
      if (damage === 'short data')
        await disk.writeFile(`${root}/${name}`, bytes.subarray(0, 2_100));
      else if (damage === 'no mark') await disk.writeFile(`${root}/${name}`, new Uint8Array());
      else {
        const at = damage === 'data' ? 1_500 : bytes.length - 1;
        bytes[at] = (bytes[at] as number) ^ 1;
        await disk.writeFile(`${root}/${name}`, bytes);
      }
      const files = await SnapshotFiles.open(disk, root);
      const staged = await files.stage(idOf());
      const expected = { data: 1_000, 'short data': 2_000, mark: 2_000, 'no mark': 0 };
      expect(staged.nextOffset, damage).toBe(expected[damage]);
      await send(staged);
      await staged.finish();
      expect(await disk.readFile(files.list(7)[0]?.path ?? '')).toEqual(BYTES);
    }
  });

  it('refuses a whole file with another checksum, and begins anew (S-37)', async () => {
    const { disk, root } = makePlace();
    const files = await SnapshotFiles.open(disk, root);
    const staged = await files.stage(idOf());
    const other = Uint8Array.from(BYTES);
    other[4_499] = 1;
    await send(staged, 100, other);
    await expect(staged.finish()).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
    expect(files.list(7)).toEqual([]);
    expect(await disk.list(root)).toEqual([]);
    expect((await files.stage(idOf())).nextOffset).toBe(0);
    await files.close();
  });

  it('removes a whole file that the disk has damaged since, and no other (S4, P-8)', async () => {
    for (const damage of ['flipped', 'shorter', 'longer'] as const) {
      const { disk, root } = makePlace();
      const files = await SnapshotFiles.open(disk, root);
      const staged = await files.stage(idOf());
      await send(staged);
      const file = await staged.finish();
      await makeFile(files, disk, { groupId: 7, index: 5 });
      expect(await files.verify(file)).toBe(true);
      const bytes = Uint8Array.from([...BYTES, 0]).subarray(0, damage === 'longer' ? 4_501 : 4_500);
      if (damage === 'flipped') bytes[4_499] = (bytes[4_499] as number) ^ 128;
      await disk.writeFile(file.path, damage === 'shorter' ? bytes.subarray(1) : bytes);
      expect(await files.verify(file), damage).toBe(false);
      expect(files.list(7).map(({ index }) => index)).toEqual([5]);
      expect((await files.stage(idOf())).nextOffset).toBe(0);
      await files.close();
    }
  });

  it('drops what has arrived for another snapshot of the group (S-38)', async () => {
    const { disk, root } = makePlace();
    const files = await SnapshotFiles.open(disk, root);
    const old = await files.stage(idOf());
    await send(old, 2);
    const kept = await files.stage(idOf({ groupId: 8 }));
    await send(kept, 1);
    const fresh = await files.stage(idOf({ index: 120 }));
    expect(fresh.nextOffset).toBe(0);
    await expect(write(old, 2_000, BYTES.subarray(2_000, 3_000))).rejects.toThrow('closed');
    await expect(old.finish()).rejects.toThrow('closed');
    await old.discard();
    await send(fresh, 1);
    expect([fresh.nextOffset, kept.nextOffset]).toEqual([1_000, 1_000]);
    expect((await disk.list(root)).map((name) => parseName(name)?.id.index)).toEqual([
      120, 120, 100, 100,
    ]);
    await fresh.discard();
    await files.removeStaged(8);
    expect(await disk.list(root)).toEqual([]);
  });

  it('takes an empty file', async () => {
    const { disk, root } = makePlace();
    const files = await SnapshotFiles.open(disk, root);
    const staged = await files.stage(idOf({}, new Uint8Array()));
    await staged.finish();
    expect(files.list(7)).toMatchObject([{ sizeBytes: 0 }]);
    expect((await SnapshotFiles.open(disk, root)).list(7)).toHaveLength(1);
  });

  it('removes single files, and all of a group', async () => {
    const { disk, root } = makePlace();
    const files = await SnapshotFiles.open(disk, root);
    for (const index of [5, 6]) await makeFile(files, disk, { groupId: 7, index });
    await makeFile(files, disk, { groupId: 8, index: 5 });
    await send(await files.stage(idOf()), 1);
    const [newest] = files.list(7);
    if (newest) await files.remove(newest);
    expect(files.list(7).map(({ index }) => index)).toEqual([5]);
    expect(files.arriving).toEqual([idOf()]);
    await files.removeGroup(7);
    expect(files.list(7)).toEqual([]);
    expect(files.list(8)).toHaveLength(1);
    expect(files.arriving).toEqual([]);
    expect(await disk.list(root)).toHaveLength(1);
  });
});

describe('a staged snapshot', () => {
  it('counts nothing that a crash can take back', async () => {
    for (const keepWrites of [0, 1, 2, 3]) {
      const disk = new MemoryDisk();
      const files = await SnapshotFiles.open(disk, 'd');
      const staged = await files.stage(idOf());
      await send(staged, 2);
      const counted = staged.nextOffset;
      const underWay = write(staged, counted, BYTES.subarray(counted, counted + PIECE));
      await Promise.resolve();
      disk.crash(keepWrites);
      await expect(underWay).rejects.toThrow('crashed');
      const again = await (await SnapshotFiles.open(disk, 'd')).stage(idOf());
      expect([counted, counted + PIECE]).toContain(again.nextOffset);
    }
  });

  it('is at its end with a write that fails, and goes on when it is staged again', async () => {
    const disk = new MemoryDisk();
    const files = await SnapshotFiles.open(disk, 'd');
    const staged = await files.stage(idOf());
    await send(staged, 2);
    disk.failNextFileWrite(new Error('ENOSPC'));
    await expect(send(staged, 1)).rejects.toThrow('ENOSPC');
    await expect(send(staged, 1)).rejects.toThrow('ENOSPC');
    const again = await files.stage(idOf());
    expect(again.nextOffset).toBe(2_000);
    await send(again);
    await again.finish();
    expect(await disk.readFile(files.list(7)[0]?.path ?? '')).toEqual(BYTES);
  });
});

describe('the name of a snapshot file', () => {
  it('says which snapshot it is, whatever its source is called', () => {
    for (const sourceId of ['2', 'a-b.snap', '3/4', '..', 'ü %2F', '日本']) {
      const id = idOf({ sourceId, crc32c: 7, index: 2 ** 53 - 1 });
      const name = nameOf(id, 'part');
      expect(name).not.toContain('/');
      expect(parseName(name)).toEqual({ id, kind: 'part' });
    }
    for (const name of ['', 'README', '1-2-3-4-0000000g-5.snap', '1-2-3-4-00000000-5.tmp']) {
      expect(parseName(name)).toBeUndefined();
    }
    for (const bad of [{ sourceId: '' }, { sourceId: 'x'.repeat(41) }, { index: -1 }]) {
      expect(() => nameOf(idOf(bad), 'snap')).toThrow();
    }
  });
});
