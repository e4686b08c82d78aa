// Goal: a full disk loses no acknowledged write, and the store opens on it by itself (S-48, F-10).
// Method: LevelDB on a small tmpfs that is filled to the last byte, then freed; needs root.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isFlotillaError } from '../../src/shared/errors.js';
import type { LogStore } from '../../src/storage/log-store.js';
import {
  type Acknowledged,
  expectAcknowledged,
  openStore,
  readAcknowledged,
  SilentScheduler,
} from './storage-harness.js';

const CHILD = fileURLToPath(new URL('storage-child.mjs', import.meta.url));
const SIZE = '16m';
const MEBIBYTE = 2 ** 20;
const TERM = 1;

const root = mkdtempSync(join(tmpdir(), 'flotilla-full-'));
const disk = join(root, 'disk');
const directory = join(disk, 'store');
const ballast = join(disk, 'ballast');

function mount(): boolean {
  mkdirSync(disk, { recursive: true });
  try {
    const options = ['-t', 'tmpfs', '-o', `size=${SIZE}`, 'none', disk];
    execFileSync('mount', options, { stdio: 'pipe' });
    return true;
  } catch {
    return false;
  }
}

function unmount(): void {
  execFileSync('umount', ['-l', disk]);
}

const canMount = mount();
if (canMount) unmount();
else console.warn('no test of a full disk: a tmpfs cannot be mounted here, which takes root');

const genesis = {
  groupId: 1,
  replicaId: 1,
  confState: { voters: [1], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
  members: [],
};

/** Writes one entry; resolves to whether it was acknowledged. */
async function writeOne(store: LogStore, sizeBytes: number): Promise<boolean> {
  const index = store.reader(1).lastIndex() + 1;
  const data = Buffer.from(`1/${index}/${TERM}/`.padEnd(sizeBytes, 'x'));
  const hardState = { term: TERM, vote: 1, commit: index - 1 };
  const entries = [{ type: 'EntryNormal' as const, index, term: TERM, data }];
  try {
    await store.write({ groupId: 1, hardState, entries, mustSync: true });
    return true;
  } catch (thrown) {
    expect(isFlotillaError(thrown) && thrown.reason).toBe('STORE_POISONED');
    return false;
  }
}

async function writeMany(store: LogStore, count: number): Promise<void> {
  for (let written = 0; written < count; written++) expect(await writeOne(store, 500)).toBe(true);
}

/** Leaves the disk no byte but what the file system keeps for itself. */
function fillDisk(): void {
  for (let sizeBytes = 8 * MEBIBYTE; sizeBytes >= 4_096; ) {
    try {
      writeFileSync(ballast, Buffer.alloc(sizeBytes, 1), { flag: 'a' });
    } catch {
      sizeBytes /= 2;
    }
  }
}

function sizeOf(path: string): number {
  return existsSync(path) ? statSync(path).size : 0;
}

/** What the store should hold, when as many entries were acknowledged. */
function expected(index: number): Acknowledged {
  return new Map([[1, { index, term: TERM }]]);
}

describe.skipIf(!canMount)('a log store on a full disk', () => {
  let scheduler = new SilentScheduler();

  beforeEach(() => {
    mount();
    scheduler = new SilentScheduler();
  });

  afterEach(unmount);
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  /** A store with 50 entries and its reserve, on a disk that is then filled. */
  async function filledStore(): Promise<LogStore> {
    const store = await openStore(directory, scheduler);
    await store.createGroup(genesis);
    await writeMany(store, 50);
    scheduler.fire();
    await expect.poll(() => sizeOf(`${directory}/RESERVE`)).toBe(4 * MEBIBYTE);
    fillDisk();
    return store;
  }

  async function writeUntilPoisoned(store: LogStore): Promise<number> {
    while (await writeOne(store, 500));
    return store.reader(1).lastIndex();
  }

  it('loses none of 200 writes after space came back and it was opened again (D.4)', async () => {
    const store = await filledStore();
    const acknowledged = await writeUntilPoisoned(store);
    expect(acknowledged).toBeGreaterThanOrEqual(50);
    rmSync(ballast);
    expect(await writeOne(store, 500)).toBe(false);
    await store.close();
    const again = await openStore(directory, scheduler);
    expect(again.damaged()).toEqual([]);
    expect(again.reader(1).lastIndex()).toBeGreaterThanOrEqual(acknowledged);
    await writeMany(again, 200);
    const last = again.reader(1).lastIndex();
    // The crash: what a killed process leaves, opened elsewhere.
    const copy = join(root, 'copy');
    cpSync(directory, copy, { recursive: true });
    await again.close();
    await expectAcknowledged(copy, expected(last));
    rmSync(copy, { recursive: true });
    await expectAcknowledged(directory, expected(last));
  });

  it('opens on the full disk by giving up its reserve, and says that space is low', async () => {
    const store = await filledStore();
    const acknowledged = await writeUntilPoisoned(store);
    await store.close();
    const again = await openStore(directory, scheduler);
    expect(again.damaged()).toEqual([]);
    expect(again.reader(1).lastIndex()).toBeGreaterThanOrEqual(acknowledged);
    expect(again.space).toBe('low');
    await again.close();
    rmSync(ballast);
    const well = await openStore(directory, scheduler);
    expect(well.space).toBe('ok');
    await well.close();
    await expectAcknowledged(directory, expected(acknowledged));
  });

  it('opens after a process that died of the full disk without closing (S-48)', async () => {
    const store = await filledStore();
    await store.close();
    rmSync(ballast);
    rmSync(join(directory, 'log'), { recursive: true });
    rmSync(join(directory, 'IDENTITY'));
    rmSync(join(directory, 'LOW-WATER'));
    const acknowledged: Acknowledged = new Map();
    const path = join(root, 'acknowledged');
    const child = spawn(execPath, [CHILD, directory, 'until-full', path], { stdio: 'pipe' });
    const errors: string[] = [];
    child.stderr.on('data', (chunk) => errors.push(String(chunk)));
    if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
    expect(errors.join('')).toMatch(/no space left/i);
    expect(readAcknowledged(path, acknowledged)).toBeGreaterThan(100);
    await expectAcknowledged(directory, acknowledged);
  });
});
