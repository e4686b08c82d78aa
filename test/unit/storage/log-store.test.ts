// Goal: the log store is one thing, whether it lives in memory, on a memory disk or on a real one.
// Method: the conformance suite against all three, then what only the database-backed store has.
import { beforeEach, describe, expect, it } from 'vitest';
import { RealDisk } from '../../../src/node/real-disk.js';
import type { Disk } from '../../../src/shared/environment.js';
import type { Kv } from '../../../src/shared/kv.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { entryRange } from '../../../src/storage/keys.js';
import type { LogStore } from '../../../src/storage/log-store.js';
import { MemoryLogStore } from '../../../src/storage/memory-log-store.js';
import { openLogStore } from '../../../src/storage/open-log-store.js';
import { type LogStorePlace, logStoreSuite } from '../../conformance/log-store-suite.js';
import {
  configurationOf,
  described,
  entriesOf,
  environmentOn,
  genesisOf,
  hardStateOf,
  ManualScheduler,
  temporaryDirectory,
  writeOf,
} from './harness.js';

async function memoryPlace(): Promise<LogStorePlace> {
  let store: MemoryLogStore | undefined;
  return {
    open: async () => {
      store = store?.reopen() ?? new MemoryLogStore();
      return store;
    },
    failNextWrite: (error) => store?.failNextWrite(error),
    remove: async () => undefined,
  };
}

async function memoryDiskPlace(): Promise<LogStorePlace> {
  const disk = new MemoryDisk();
  const environment = environmentOn(disk);
  return {
    // A cache of nothing: every read goes to the database.
    open: () =>
      openLogStore({ environment, directory: '/d', logger: silentLogger, cacheSizeBytes: 0 }),
    failNextWrite: (error) => disk.kv('/d/log').failNextBatch(error),
    remove: async () => undefined,
  };
}

/** The real disk with a batch that fails on demand before it reaches the database. */
function failingDisk(): { disk: Disk; fail: (error: Error) => void } {
  const disk = new RealDisk();
  let failure: Error | undefined;
  const openKv = disk.openKv.bind(disk);
  disk.openKv = async (path, options) => {
    const kv = await openKv(path, options);
    const batch = kv.batch.bind(kv);
    kv.batch = (operations, how) => {
      const error = failure;
      failure = undefined;
      return error ? Promise.reject(error) : batch(operations, how);
    };
    return kv;
  };
  return {
    disk,
    fail: (error) => {
      failure = error;
    },
  };
}

async function realDiskPlace(): Promise<LogStorePlace> {
  const directory = temporaryDirectory();
  const { disk, fail } = failingDisk();
  const environment = environmentOn(disk);
  return {
    open: () => openLogStore({ environment, directory: directory.path, logger: silentLogger }),
    failNextWrite: fail,
    remove: async () => directory.remove(),
  };
}

logStoreSuite('MemoryLogStore', memoryPlace);
logStoreSuite('the log store on a memory disk', memoryDiskPlace);
logStoreSuite('the log store on the real disk', realDiskPlace);

describe('the log store over a database', () => {
  let scheduler = new ManualScheduler();

  beforeEach(() => {
    scheduler = new ManualScheduler();
  });

  function openOn(disk: Disk): Promise<LogStore> {
    const environment = environmentOn(disk, scheduler);
    return openLogStore({ environment, directory: '/d', logger: silentLogger });
  }

  async function newStore(disk: MemoryDisk): Promise<LogStore> {
    const store = await openOn(disk);
    await store.createGroup(genesisOf(1));
    return store;
  }

  it('puts what all groups submitted in one turn into one batch', async () => {
    const disk = new MemoryDisk();
    const store = await openOn(disk);
    const groups = Array.from({ length: 32 }, (_, groupId) => groupId);
    await Promise.all(groups.map((groupId) => store.createGroup(genesisOf(groupId))));
    const kv = disk.kv('/d/log');
    const batches: { size: number; sync: boolean }[] = [];
    const batch = kv.batch.bind(kv);
    kv.batch = (operations, options) => {
      batches.push({ size: operations.length, sync: options.sync });
      return batch(operations, options);
    };
    await Promise.all(
      groups.map((groupId) =>
        store.write(writeOf(groupId, entriesOf(1, 1, 1), hardStateOf(1), groupId === 5)),
      ),
    );
    // An entry and a meta record for each group.
    expect(batches).toEqual([{ size: 64, sync: true }]);
    await store.close();
  });

  it('survives a crash of the machine with all that was acknowledged as synced', async () => {
    const disk = new MemoryDisk();
    const store = await newStore(disk);
    await store.write(writeOf(1, entriesOf(1, 3, 1), hardStateOf(1, 2)));
    await store.write(writeOf(1, [], hardStateOf(1, 2, 3), false));
    disk.crash();
    const again = await openOn(disk);
    expect(again.damaged()).toEqual([]);
    expect(again.reader(1).lastIndex()).toBe(3);
    expect(again.reader(1).initialState().hardState).toEqual(hardStateOf(1, 2, 0));
    await again.close();
  });

  it('has term and vote in LOW-WATER before it acknowledges them (E1)', async () => {
    const disk = new MemoryDisk();
    const store = await newStore(disk);
    await store.write(writeOf(1, entriesOf(1, 3, 1), hardStateOf(1)));
    const writing = store.write(writeOf(1, [], hardStateOf(2, 3)));
    disk.failNextFileWrite(new Error('EIO'));
    await expect(writing).rejects.toMatchObject({ reason: 'STORE_POISONED' });
    await store.close();
  });

  it('writes new last indexes down once a period, not with each write', async () => {
    const disk = new MemoryDisk();
    const store = await newStore(disk);
    await store.write(writeOf(1, entriesOf(1, 1, 1), hardStateOf(1)));
    const before = await disk.readFile('/d/LOW-WATER');
    await store.write(writeOf(1, entriesOf(2, 9, 1)));
    expect(await disk.readFile('/d/LOW-WATER')).toEqual(before);
    scheduler.fire();
    await expect.poll(() => disk.readFile('/d/LOW-WATER')).not.toEqual(before);
    await store.close();
    expect(scheduler.pending).toBe(0);
  });

  it('is poisoned by a failing low-water file as well', async () => {
    const disk = new MemoryDisk();
    const store = await newStore(disk);
    await store.write(writeOf(1, entriesOf(1, 1, 1), hardStateOf(1)));
    await store.write(writeOf(1, entriesOf(2, 9, 1)));
    disk.failNextFileWrite(new Error('EIO'));
    scheduler.fire();
    await expect.poll(() => store.poisoned?.message).toContain('EIO');
    await store.close();
  });

  it('adopts a group whose creation was cut short, and lets it be created again', async () => {
    for (let fileWrites = 0; fileWrites < 3; fileWrites++) {
      const disk = new MemoryDisk();
      const store = await openOn(disk);
      const writeFile = disk.writeFile.bind(disk);
      let left = fileWrites;
      disk.writeFile = (path, bytes) => {
        const writing = writeFile(path, bytes);
        left -= 1;
        if (left < 0) disk.crash();
        return writing;
      };
      const created = await store.createGroup(genesisOf(1)).then(
        () => true,
        () => false,
      );
      expect(created).toBe(fileWrites === 2);
      disk.crash();
      disk.writeFile = writeFile;
      const again = await openOn(disk);
      expect(again.damaged()).toEqual([]);
      await again.createGroup(genesisOf(1));
      await again.write(writeOf(1, entriesOf(1, 2, 1), hardStateOf(1)));
      expect(again.reader(1).lastIndex()).toBe(2);
      await again.close();
    }
  });

  /** Keys of entries in the database, whatever the meta record says of them. */
  async function entryKeys(kv: Kv): Promise<number> {
    let count = 0;
    for await (const page of kv.scan(entryRange(1, 0, 2 ** 50))) count += page.length;
    return count;
  }

  it('deletes what was compacted in small unsynced batches, once that is durable', async () => {
    const disk = new MemoryDisk();
    const store = await newStore(disk);
    await store.write(writeOf(1, entriesOf(1, 1_000, 1), hardStateOf(1, 0, 1_000)));
    const kv = disk.kv('d/log');
    const batches: string[] = [];
    const batch = kv.batch.bind(kv);
    kv.batch = (operations, options) => {
      const deletes = operations.filter(({ type }) => type === 'del').length;
      batches.push(`${operations.length - deletes} put, ${deletes} deleted, ${options.sync}`);
      return batch(operations, options);
    };
    await store.write({ ...writeOf(1, [], undefined, false), compactedIndex: 700 });
    await expect.poll(() => entryKeys(kv)).toBe(300);
    expect(batches).toEqual([
      '1 put, 0 deleted, true',
      '0 put, 256 deleted, false',
      '0 put, 256 deleted, false',
      '0 put, 188 deleted, false',
    ]);
    expect(store.reader(1).firstIndex()).toBe(701);
    await store.close();
  });

  it('goes on with the deletes at the next open', async () => {
    const disk = new MemoryDisk();
    const store = await newStore(disk);
    await store.write(writeOf(1, entriesOf(1, 1_000, 1), hardStateOf(1, 0, 1_000)));
    await store.write({ ...writeOf(1, []), compactedIndex: 900 });
    disk.crash();
    await store.close();
    const kv = await disk.openKv('d/log');
    expect(await entryKeys(kv)).toBe(1_000);
    await kv.close();
    const again = await openOn(disk);
    expect(again.reader(1).firstIndex()).toBe(901);
    await expect.poll(() => entryKeys(disk.kv('d/log'))).toBe(100);
    await again.close();
  });

  it('replaces a group whose old log cannot be read any more', async () => {
    const disk = new MemoryDisk();
    const store = await newStore(disk);
    await store.write(writeOf(1, entriesOf(1, 600, 1), hardStateOf(1, 0, 600)));
    const kv = disk.kv('/d/log');
    kv.scan = () => {
      throw new Error('Corruption: bad block');
    };
    await store.replaceGroup(genesisOf(1, 2));
    await store.write(writeOf(1, entriesOf(1, 3, 2), hardStateOf(2)));
    expect(store.poisoned).toBeUndefined();
    await store.close();
    const again = await openOn(disk);
    expect(described(again.reader(1).entries(1, 4, 1e9))).toEqual(['1@2', '2@2', '3@2']);
    await again.close();
  });

  it('refuses a configuration that no record can hold, alone', async () => {
    const disk = new MemoryDisk();
    const store = await newStore(disk);
    const good = store.write(writeOf(1, entriesOf(1, 3, 1), hardStateOf(1)));
    const { confState } = configurationOf(1);
    const configuration = { index: 1, confState: { ...confState, voters: [-1] }, members: [] };
    await expect(store.write({ ...writeOf(1, []), configuration })).rejects.toThrow(RangeError);
    await good;
    await store.write(writeOf(1, entriesOf(4, 4, 1)));
    expect(store.configuration(1).index).toBe(0);
    await store.close();
  });

  it('is poisoned by a delete that fails', async () => {
    const disk = new MemoryDisk();
    const store = await newStore(disk);
    await store.write(writeOf(1, entriesOf(1, 10, 1), hardStateOf(1, 0, 10)));
    const kv = disk.kv('d/log');
    const batch = kv.batch.bind(kv);
    kv.batch = (operations, options) => {
      const isSweep = operations.some(({ type }) => type === 'del');
      return isSweep ? Promise.reject(new Error('EIO')) : batch(operations, options);
    };
    await store.write({ ...writeOf(1, []), compactedIndex: 9 });
    await expect.poll(() => store.poisoned?.message ?? '').toContain('EIO');
    await store.close();
  });

  it('reads what is being replaced from memory, and never the half of a new suffix', async () => {
    const disk = new MemoryDisk();
    const store = await newStore(disk);
    await store.write(writeOf(1, entriesOf(1, 5, 1), hardStateOf(1)));
    const writing = store.write(writeOf(1, entriesOf(3, 4, 2), hardStateOf(2)));
    await Promise.resolve();
    await Promise.resolve();
    expect(described(store.reader(1).entries(1, 6, 1e9))).toEqual(described(entriesOf(1, 5, 1)));
    await writing;
    expect(described(store.reader(1).entries(1, 5, 1e9))).toEqual(['1@1', '2@1', '3@2', '4@2']);
    await store.close();
  });
});
