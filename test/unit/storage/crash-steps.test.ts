// Goal: between any two operations of the disk a crash loses nothing that was promised (S-41).
// Method: one script of all that a store does, crashed at each operation, verified, and finished.
import { describe, expect, it } from 'vitest';
import { crc32c } from '../../../src/shared/crc32c.js';
import type { Disk } from '../../../src/shared/environment.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { entryRange } from '../../../src/storage/keys.js';
import type { GroupWrite, LogStore } from '../../../src/storage/log-store.js';
import { openLogStore } from '../../../src/storage/open-log-store.js';
import { SnapshotFiles } from '../../../src/storage/snapshot-files.js';
import {
  configurationOf,
  described,
  entriesOf,
  environmentOn,
  genesisOf,
  hardStateOf,
  writeOf,
} from './harness.js';
import { type CrashPoint, NEVER, StepDisk } from './step-disk.js';

const GROUPS = [1, 2];

interface Storage {
  readonly store: LogStore;
  readonly files: SnapshotFiles;
}

interface Step {
  readonly name: string;
  readonly run: (storage: Storage) => Promise<unknown>;
  /** Whether nothing of it is lost once it has resolved. */
  readonly isDurable: boolean;
  /** Whether a crash in between may leave a group that is not there. */
  readonly mayLeaveNone?: boolean;
}

const FILE = new Uint8Array(2_500).map((_, at) => at % 251);

function written(name: string, write: GroupWrite): Step {
  return { name, run: ({ store }) => store.write(write), isDurable: write.mustSync };
}

/** What a replica does with a snapshot that it is sent: the file first, then the log (S3). */
async function install({ store, files }: Storage): Promise<void> {
  const id = { groupId: 1, index: 40, term: 3, sourceId: '2' };
  const whole = { ...id, sizeBytes: FILE.length, crc32c: crc32c(FILE) };
  const staged = await files.stage(whole);
  while (staged.nextOffset < FILE.length) {
    const from = staged.nextOffset;
    const piece = FILE.subarray(from, from + 1_000);
    await staged.write(from, piece, crc32c(piece));
  }
  await staged.finish();
  const snapshot = { index: 40, term: 3, configuration: configurationOf(33) };
  await store.write({ ...writeOf(1, [], hardStateOf(3, 0, 40)), snapshot });
}

async function makeFile({ files }: Storage, disk: Disk): Promise<void> {
  const file = files.newFile(1, { index: 42, term: 3, replicaId: 1 });
  const opened = await disk.openFile(file.path, 'write');
  await opened.write(0, FILE.subarray(0, 700));
  await opened.close();
  await file.publish({ sizeBytes: 700, crc32c: crc32c(FILE.subarray(0, 700)) });
}

function scriptOn(disk: Disk): Step[] {
  return [
    {
      name: 'create both',
      run: ({ store }) => Promise.all(GROUPS.map((id) => store.createGroup(genesisOf(id)))),
      isDurable: true,
      mayLeaveNone: true,
    },
    written('append to 1', writeOf(1, entriesOf(1, 9, 1), hardStateOf(1, 1, 0))),
    written('append to 2', writeOf(2, entriesOf(1, 5, 1), hardStateOf(1, 2, 3))),
    written('commit', writeOf(1, [], hardStateOf(1, 1, 7), false)),
    written('vote', writeOf(1, [], hardStateOf(2, 3, 7))),
    written('replace a suffix', writeOf(1, entriesOf(8, 12, 2), hardStateOf(2, 3, 10))),
    written('configure', { ...writeOf(1, []), configuration: configurationOf(9) }),
    {
      name: 'compact',
      run: ({ store }) => store.write({ ...writeOf(1, [], undefined, false), compactedIndex: 6 }),
      isDurable: true,
    },
    written('append after it', writeOf(1, entriesOf(13, 14, 2))),
    { name: 'install a snapshot', run: install, isDurable: true },
    written('append after that', writeOf(1, entriesOf(41, 44, 3), hardStateOf(3, 2, 43))),
    { name: 'make a file', run: (storage) => makeFile(storage, disk), isDurable: true },
    written('compact behind it', { ...writeOf(1, []), compactedIndex: 42 }),
    { name: 'replace 2', run: replaceSecond, isDurable: true, mayLeaveNone: true },
    written('append to the new 2', writeOf(2, entriesOf(1, 2, 7), hardStateOf(7, 1, 1))),
    { name: 'remove 2', run: ({ store }) => store.removeGroup(2), isDurable: true },
    written('append once more', writeOf(1, entriesOf(45, 46, 3))),
  ];
}

function replaceSecond({ store }: Storage): Promise<void> {
  return store.replaceGroup(genesisOf(2, 9));
}

async function open(disk: Disk): Promise<Storage> {
  const environment = environmentOn(disk);
  const options = { environment, directory: 'd', logger: silentLogger, cacheSizeBytes: 200 };
  const store = await openLogStore(options);
  return { store, files: await SnapshotFiles.open(disk, 'd/snapshots') };
}

function groupState(store: LogStore, groupId: number): string {
  const genesis = store.groups().find((one) => one.groupId === groupId);
  if (!genesis) return 'none';
  const reader = store.reader(groupId);
  const [first, last] = [reader.firstIndex(), reader.lastIndex()];
  return JSON.stringify({
    replicaId: genesis.replicaId,
    first,
    before: reader.term(first - 1),
    hardState: reader.initialState().hardState,
    entries: described(reader.entries(first, last + 1, 1e9)),
    configuration: store.configuration(groupId).index,
  });
}

/** Each group, and the complete snapshots of group 1. */
function stateOf({ store, files }: Storage): string[] {
  const groups = GROUPS.map((groupId) => groupState(store, groupId));
  return [
    ...groups,
    files
      .list(1)
      .map(({ index }) => index)
      .join(),
  ];
}

/** The states before each step and after the last, and how many operations there are. */
async function withoutCrash(): Promise<{ states: string[][]; operations: number }> {
  const disk = new StepDisk(new MemoryDisk());
  const storage = await open(disk);
  const states = [stateOf(storage)];
  for (const step of scriptOn(disk)) {
    await step.run(storage);
    states.push(stateOf(storage));
  }
  await storage.store.close();
  return { states, operations: disk.steps };
}

/** Runs until the crash. Returns how many steps were acknowledged. */
async function runUntilCrash(disk: StepDisk): Promise<number> {
  let done = 0;
  try {
    const storage = await open(disk);
    for (const step of scriptOn(disk)) {
      await step.run(storage);
      done += 1;
    }
    await storage.store.close();
  } catch (thrown) {
    if (!disk.hasCrashed) throw thrown;
  }
  return done;
}

/** The step that a recovered state stands before: the first of those that may be. */
function positionOf(found: readonly string[], states: readonly string[][], done: number): number {
  const script = scriptOn(new MemoryDisk());
  let durable = done;
  while (durable > 0 && script[durable - 1]?.isDurable === false) durable -= 1;
  const underWay = script[done];
  const allowed = (position: number, part: number): boolean =>
    found[part] === states[position]?.[part] ||
    (part < GROUPS.length && underWay?.mayLeaveNone === true && found[part] === 'none');
  for (const [part] of found.entries()) {
    const positions = Array.from({ length: done + 2 - durable }, (_, at) => durable + at);
    expect(
      positions.some((position) => allowed(position, part)),
      `after ${done} steps: ${found[part]}`,
    ).toBe(true);
  }
  const whole = [done + 1, done].find((at) => found.every((part, of) => part === states[at]?.[of]));
  return whole ?? -1;
}

describe('a crash at any operation of the disk', () => {
  const kinds: Omit<CrashPoint, 'step'>[] = [
    { isUnderWay: false, keepWrites: 0 },
    { isUnderWay: true, keepWrites: 0 },
    { isUnderWay: true, keepWrites: 1 },
    { isUnderWay: true, keepWrites: 1_000 },
  ];

  it.each(kinds)('leaves all that was promised: %o (S-40, S-41, S3, S4)', async (kind) => {
    const { states, operations } = await withoutCrash();
    expect(operations).toBeGreaterThan(60);
    for (let step = 1; step <= operations; step++) {
      const machine = new MemoryDisk();
      const done = await runUntilCrash(new StepDisk(machine, { ...kind, step }));
      // The machine may stop again while the store is being opened.
      await open(new StepDisk(machine, { ...kind, step: 1 + (step % 3) })).catch(() => undefined);
      machine.crash(kind.keepWrites);
      const disk = new StepDisk(machine, NEVER);
      const storage = await open(disk);
      expect(storage.store.damaged()).toEqual([]);
      const found = stateOf(storage);
      const position = positionOf(found, states, done);
      const { store, files } = storage;
      if (store.groups().some(({ groupId }) => groupId === 1)) {
        const reader = store.reader(1);
        const { commit } = reader.initialState().hardState;
        expect(commit).toBeLessThanOrEqual(reader.lastIndex());
        const before = reader.firstIndex() - 1;
        // The state that a log without its beginning stands on is always there as a file.
        if (before >= 40) expect(files.list(1).map(({ index }) => index)).toContain(before);
      }
      if (position >= 0) {
        for (const next of scriptOn(disk).slice(position)) await next.run(storage);
        expect(stateOf(storage)).toEqual(states.at(-1));
      }
      await store.close();
      const again = await open(disk);
      expect(again.store.damaged()).toEqual([]);
      if (position >= 0) expect(stateOf(again)).toEqual(states.at(-1));
      await again.store.close();
    }
  });

  it('is followed by the deletes that it cut short', async () => {
    const { operations } = await withoutCrash();
    for (let step = 1; step <= operations + 1; step++) {
      const machine = new MemoryDisk();
      await runUntilCrash(new StepDisk(machine, { step, isUnderWay: true, keepWrites: 0 }));
      const disk = new StepDisk(machine);
      const { store } = await open(disk);
      const firsts = store.groups().map(({ groupId }) => [groupId, store.reader(groupId)] as const);
      // A removed group's id is free for a new one as soon as its keys are gone.
      if (store.groups().every(({ groupId }) => groupId !== 2)) {
        await store.createGroup(genesisOf(2, 20));
      }
      await new Promise((resolve) => setImmediate(resolve));
      await store.close();
      const kv = await machine.openKv('d/log');
      for (const [groupId, reader] of firsts) {
        const range = entryRange(groupId, 0, reader.firstIndex());
        for await (const page of kv.scan(range)) expect(page).toEqual([]);
      }
      await kv.close();
    }
  });
});
