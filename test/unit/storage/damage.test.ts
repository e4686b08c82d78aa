// Goal: damage never loses acknowledged entries in silence: whole, damaged or refused (S5).
// Method: records changed under a memory database; files of a real LevelDB damaged on disk (P-8).
import {
  closeSync,
  cpSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RealDisk } from '../../../src/node/real-disk.js';
import { crc32c } from '../../../src/shared/crc32c.js';
import type { Disk } from '../../../src/shared/environment.js';
import { isFlotillaError } from '../../../src/shared/errors.js';
import type { KvOperation } from '../../../src/shared/kv.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { encodeConfiguration } from '../../../src/storage/configuration-record.js';
import { encodeEntries } from '../../../src/storage/entry-codec.js';
import {
  configurationKey,
  entryKey,
  genesisKey,
  groupRange,
  metaKey,
} from '../../../src/storage/keys.js';
import type { GroupDamage, LogStore } from '../../../src/storage/log-store.js';
import { encodeMeta } from '../../../src/storage/meta-record.js';
import { openLogStore } from '../../../src/storage/open-log-store.js';
import {
  configurationOf,
  entriesOf,
  entry,
  environmentOn,
  genesisOf,
  hardStateOf,
  temporaryDirectory,
  writeOf,
} from './harness.js';

function open(disk: Disk, directory: string): Promise<LogStore> {
  return openLogStore({ environment: environmentOn(disk), directory, logger: silentLogger });
}

/** The record with a version that this node does not know, and a checksum that holds. */
function ofVersion9(key: Uint8Array, record: Uint8Array): Uint8Array {
  const changed = Uint8Array.from(record);
  changed[0] = 9;
  const checksum = crc32c(changed.subarray(5), crc32c(key, crc32c(Uint8Array.of(9))));
  new DataView(changed.buffer).setUint32(1, checksum, true);
  return changed;
}

function flipped(record: Uint8Array): Uint8Array {
  const changed = Uint8Array.from(record);
  const at = changed.length - 1;
  changed[at] = (changed[at] as number) ^ 1;
  return changed;
}

describe('a group whose records were changed', () => {
  const META = {
    ...hardStateOf(2, 3, 4),
    firstIndex: 1,
    previousTerm: 0,
    configurationIndex: undefined,
  };

  /** Group 1 with entries 1 to 6 of terms 1 and 2 beside group 2, closed in good order. */
  async function closedStore(): Promise<MemoryDisk> {
    const disk = new MemoryDisk();
    const store = await open(disk, 'd');
    for (const groupId of [1, 2]) {
      await store.createGroup(genesisOf(groupId));
      const entries = [...entriesOf(1, 3, 1), ...entriesOf(4, 6, 2)];
      await store.write(writeOf(groupId, entries, hardStateOf(2, 3, 4)));
    }
    await store.close();
    return disk;
  }

  type Change = (get: (key: Uint8Array) => Uint8Array) => KvOperation[];
  const put = (key: Uint8Array, value: Uint8Array): KvOperation => ({ type: 'put', key, value });
  const changed =
    (key: Uint8Array, change: (record: Uint8Array) => Uint8Array): Change =>
    (get) => [put(key, change(get(key)))];
  const encoded = (index: number, term: number): KvOperation[] => {
    const operations: KvOperation[] = [];
    encodeEntries(1, [entry(index, term)], operations);
    return operations;
  };
  const meta = (more: Partial<Parameters<typeof encodeMeta>[1]>): Change => {
    const record = { ...META, lastIndex: 6, lastTerm: 2, batchSequence: 9, ...more };
    return () => [put(metaKey(1), encodeMeta(1, record))];
  };

  const cases: [string, string, Change][] = [
    ['an entry with a flipped bit', 'entry-checksum', changed(entryKey(1, 3), flipped)],
    ['an entry cut short', 'entry-checksum', changed(entryKey(1, 3), (r) => r.subarray(0, 3))],
    [
      "another entry in an entry's place",
      'entry-checksum',
      (get) => [put(entryKey(1, 3), get(entryKey(1, 2)))],
    ],
    [
      "another group's entry",
      'entry-checksum',
      (get) => [put(entryKey(1, 3), get(entryKey(2, 3)))],
    ],
    ['a gap', 'entry-missing', () => [{ type: 'del', key: entryKey(1, 3) }]],
    ['no first entry', 'entry-missing', () => [{ type: 'del', key: entryKey(1, 1) }]],
    ['no last entry', 'entry-missing', () => [{ type: 'del', key: entryKey(1, 6) }]],
    ['a term that decreases', 'entry-terms', () => encoded(5, 1)],
    ['a last term of another write', 'entry-terms', () => encoded(6, 3)],
    [
      'an entry of a newer version',
      'unsupported-version',
      changed(entryKey(1, 3), (r) => ofVersion9(entryKey(1, 3), r)),
    ],
    ['a flipped bit in its meta record', 'meta-checksum', changed(metaKey(1), flipped)],
    ['a flipped bit in its genesis', 'meta-checksum', changed(genesisKey(1), flipped)],
    ["another group's meta record", 'meta-checksum', (get) => [put(metaKey(1), get(metaKey(2)))]],
    [
      'a meta record of a newer version',
      'unsupported-version',
      changed(metaKey(1), (r) => ofVersion9(metaKey(1), r)),
    ],
    ['no meta record', 'meta-mismatch', () => [{ type: 'del', key: metaKey(1) }]],
    ['no genesis', 'meta-mismatch', () => [{ type: 'del', key: genesisKey(1) }]],
    ['an older batch', 'meta-mismatch', meta({ batchSequence: 1 })],
    ['an older term', 'meta-mismatch', meta({ term: 1, lastTerm: 1 })],
    ['another vote', 'meta-mismatch', meta({ vote: 1 })],
    ['no vote', 'meta-mismatch', meta({ vote: 0 })],
    ['a commit beyond its log', 'meta-mismatch', meta({ commit: 7 })],
  ];

  it.each(cases)('with %s is damaged: %s', async (_, reason, change) => {
    const disk = await closedStore();
    const kv = await disk.openKv('d/log');
    await kv.batch(
      change((key) => kv.getSync(key) ?? Uint8Array.of()),
      { sync: true },
    );
    await kv.close();
    for (let opens = 0; opens < 2; opens++) {
      const store = await open(disk, 'd');
      expect(store.damaged()).toMatchObject([{ groupId: 1, reason }]);
      expect(store.groups()).toEqual([genesisOf(2)]);
      expect(store.reader(2).lastIndex()).toBe(6 + opens);
      expect(() => store.reader(1)).toThrow(expect.objectContaining({ reason: 'LOG_DAMAGED' }));
      for (const refused of [store.write(writeOf(1, [])), store.createGroup(genesisOf(1))]) {
        await expect(refused).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
      }
      await store.write(writeOf(2, entriesOf(7 + opens, 7 + opens, 2)));
      await store.close();
    }
  });

  it('ignores left-overs behind the last index', async () => {
    const disk = await closedStore();
    const kv = await disk.openKv('d/log');
    await kv.batch([put(entryKey(1, 7), Uint8Array.of(1)), ...encoded(8, 1)], { sync: true });
    await kv.close();
    const store = await open(disk, 'd');
    expect(store.damaged()).toEqual([]);
    expect(store.reader(1).lastIndex()).toBe(6);
    await store.close();
  });

  it('tells of an entry that goes bad while the store is open', async () => {
    const disk = await closedStore();
    const options = { environment: environmentOn(disk), directory: 'd', logger: silentLogger };
    const store = await openLogStore({ ...options, cacheSizeBytes: 0 });
    const kv = disk.kv('d/log');
    await kv.batch(
      changed(entryKey(1, 3), flipped)((key) => kv.getSync(key) as Uint8Array),
      {
        sync: true,
      },
    );
    const damaged = expect.objectContaining({ reason: 'LOG_DAMAGED' });
    expect(() => store.reader(1).entries(1, 7, 1e9)).toThrow(damaged);
    await kv.batch([{ type: 'del', key: entryKey(1, 3) }], { sync: true });
    expect(() => store.reader(1).entries(1, 7, 1e9)).toThrow(damaged);
    expect(store.reader(1).entries(4, 7, 1e9)).toHaveLength(3);
    await store.close();
  });

  it('stays damaged when what was found is no longer to be seen', async () => {
    const disk = await closedStore();
    const kv = await disk.openKv('d/log');
    const good = kv.getSync(entryKey(1, 3)) as Uint8Array;
    await kv.batch([put(entryKey(1, 3), flipped(good))], { sync: true });
    await kv.close();
    await (await open(disk, 'd')).close();
    const healed = await disk.openKv('d/log');
    await healed.batch([put(entryKey(1, 3), good)], { sync: true });
    await healed.close();
    const store = await open(disk, 'd');
    expect(store.damaged()).toMatchObject([{ groupId: 1, replicaId: 1, reason: 'entry-checksum' }]);
    await store.close();
  });

  it('of a newer version is read again as soon as it can be', async () => {
    const disk = await closedStore();
    const kv = await disk.openKv('d/log');
    const good = kv.getSync(metaKey(1)) as Uint8Array;
    await kv.batch([put(metaKey(1), ofVersion9(metaKey(1), good))], { sync: true });
    await kv.close();
    await (await open(disk, 'd')).close();
    const upgraded = await disk.openKv('d/log');
    await upgraded.batch([put(metaKey(1), good)], { sync: true });
    await upgraded.close();
    const store = await open(disk, 'd');
    expect(store.damaged()).toEqual([]);
    await store.close();
  });

  it.each([
    ['replaced', (store: LogStore) => store.replaceGroup(genesisOf(1, 8)), [genesisOf(1, 8)]],
    ['removed', (store: LogStore) => store.removeGroup(1), []],
  ])(
    'is well for good once it is %s, and its replica never comes back (M8, S-44)',
    async (_, mend, left) => {
      const disk = await closedStore();
      await disk.remove('d/log');
      for (let opens = 0; opens < 2; opens++) {
        const store = await open(disk, 'd');
        if (opens === 0) {
          expect(store.damaged()).toHaveLength(2);
          await expect(store.replaceGroup(genesisOf(1, 1))).rejects.toMatchObject({
            reason: 'SETTINGS_MISMATCH',
          });
          await mend(store);
        }
        expect(store.damaged()).toMatchObject([{ groupId: 2, reason: 'meta-mismatch' }]);
        expect(store.groups()).toEqual(left);
        await expect(store.createGroup(genesisOf(1, 1))).rejects.toMatchObject({
          reason: 'SETTINGS_MISMATCH',
        });
        await store.close();
      }
    },
  );

  it('has its old replica in the database again, and is damaged (M8)', async () => {
    const disk = await closedStore();
    const before = await disk.openKv('d/log');
    const records: KvOperation[] = [];
    for await (const page of before.scan(groupRange(1))) {
      for (const { key, value } of page) records.push(put(key, value));
    }
    await before.close();
    const store = await open(disk, 'd');
    await store.replaceGroup(genesisOf(1, 8));
    await store.close();
    const kv = await disk.openKv('d/log');
    await kv.batch(records, { sync: true });
    await kv.close();
    const back = await open(disk, 'd');
    expect(back.damaged()).toMatchObject([{ groupId: 1, replicaId: 8, reason: 'meta-mismatch' }]);
    await back.close();
  });

  it('whose configuration was lost, or is another one, is damaged', async () => {
    const key = configurationKey(1);
    const cases: [GroupDamage['reason'], KvOperation][] = [
      ['meta-mismatch', { type: 'del', key }],
      ['meta-mismatch', put(key, encodeConfiguration(1, configurationOf(2)))],
      ['meta-checksum', put(key, encodeConfiguration(2, configurationOf(3)))],
    ];
    for (const [reason, change] of cases) {
      const disk = await closedStore();
      const store = await open(disk, 'd');
      await store.write({ ...writeOf(1, []), configuration: configurationOf(3) });
      await store.close();
      const kv = await disk.openKv('d/log');
      await kv.batch([change], { sync: true });
      await kv.close();
      const damaged = await open(disk, 'd');
      expect(damaged.damaged()).toMatchObject([{ groupId: 1, reason }]);
      await damaged.close();
    }
  });

  it('whose log is from before a compaction, or a snapshot, is damaged', async () => {
    const snapshot = { index: 9, term: 2, configuration: configurationOf(0) };
    for (const more of [{ compactedIndex: 3 }, { snapshot }]) {
      const disk = await closedStore();
      const kv = await disk.openKv('d/log');
      const old = kv.getSync(metaKey(1)) as Uint8Array;
      await kv.close();
      const store = await open(disk, 'd');
      await store.write({ ...writeOf(1, []), ...more });
      // No close in good order: LOW-WATER has it from the write itself.
      disk.crash();
      const damaged = await disk.openKv('d/log');
      await damaged.batch([put(metaKey(1), old)], { sync: true });
      await damaged.close();
      const again = await open(disk, 'd');
      expect(again.damaged()).toMatchObject([{ groupId: 1, reason: 'meta-mismatch' }]);
      await again.close();
    }
  });

  it.each(['IDENTITY', 'LOW-WATER'])('a %s file that is damaged refuses the open', async (name) => {
    const disk = await closedStore();
    const bytes = (await disk.readFile(`d/${name}`)) as Uint8Array;
    await disk.writeFile(`d/${name}`, flipped(bytes));
    await expect(open(disk, 'd')).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
    await disk.writeFile(`d/${name}`, ofVersion9(new TextEncoder().encode(name), bytes));
    await expect(open(disk, 'd')).rejects.toMatchObject({ reason: 'UNSUPPORTED_VERSION' });
    await disk.writeFile(`d/${name}`, bytes);
    const store = await open(disk, 'd');
    expect(store.damaged()).toEqual([]);
    await store.close();
  });

  it('without its IDENTITY is not taken for a new directory (S-44)', async () => {
    const disk = await closedStore();
    await disk.remove('d/IDENTITY');
    await expect(open(disk, 'd')).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
    await disk.remove('d/log');
    await expect(open(disk, 'd')).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
  });

  it('without its LOW-WATER file has nothing to be checked against', async () => {
    const disk = await closedStore();
    await disk.remove('d/LOW-WATER');
    const store = await open(disk, 'd');
    expect(store.damaged().map((damage) => damage.reason)).toEqual(Array(2).fill('meta-mismatch'));
    await store.close();
  });

  it('does not vote from an emptied database, nor under its old identity (S-44)', async () => {
    const disk = await closedStore();
    const before = await open(disk, 'd');
    await before.putBlob('bootstrap', Uint8Array.of(7));
    await before.close();
    await disk.remove('d/log');
    const emptied = await open(disk, 'd');
    expect(emptied.groups()).toEqual([]);
    expect(emptied.damaged()).toMatchObject([
      { groupId: 1, reason: 'meta-mismatch' },
      { groupId: 2, reason: 'meta-mismatch' },
    ]);
    expect(emptied.identity.storeId).toBe(before.identity.storeId);
    expect(await emptied.getBlob('bootstrap')).toEqual(Uint8Array.of(7));
    await emptied.close();
    await disk.remove('d');
    const wiped = await open(disk, 'd');
    expect(wiped.identity.storeId).not.toBe(before.identity.storeId);
    await wiped.close();
  });

  it('names a damaged blob instead of giving it out', async () => {
    const disk = await closedStore();
    const store = await open(disk, 'd');
    await store.putBlob('bootstrap', Uint8Array.of(7));
    await disk.writeFile('d/blobs/bootstrap', Uint8Array.of(1, 2, 3, 4, 5, 6, 7));
    await expect(store.getBlob('bootstrap')).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
    await store.close();
  });
});

describe('a real LevelDB', () => {
  const ENTRIES = 200;
  const DATA = 'd'.repeat(1_000);
  const root = temporaryDirectory();
  const disk = new RealDisk();
  /** Closed in good order; its entries are in LevelDB's log. */
  const CLOSED = `${root.path}/closed`;
  /** The same, opened once more: its entries are in a table. */
  const REOPENED = `${root.path}/reopened`;
  /** Copied while open, before LOW-WATER knew the last entries. */
  const LIVE = `${root.path}/live`;

  beforeAll(async () => {
    const store = await open(disk, CLOSED);
    await store.createGroup(genesisOf(1));
    for (let index = 1; index <= ENTRIES; index++) {
      const term = Math.ceil(index / 50);
      const hardState = hardStateOf(term, 2, index - 1);
      await store.write(writeOf(1, [entry(index, term, DATA)], hardState));
    }
    cpSync(CLOSED, LIVE, { recursive: true });
    await store.close();
    cpSync(CLOSED, REOPENED, { recursive: true });
    await (await open(disk, REOPENED)).close();
  });

  afterAll(root.remove);

  let copies = 0;

  function copyOf(directory: string): string {
    const copy = `${root.path}/copy-${++copies}`;
    cpSync(directory, copy, { recursive: true });
    return copy;
  }

  function fileIn(directory: string, ending: string | RegExp): string {
    const names = readdirSync(`${directory}/log`).filter((name) =>
      typeof ending === 'string' ? name.endsWith(ending) : ending.test(name),
    );
    // The one with the data: LevelDB starts an empty log beside a table.
    const paths = names.map((name) => `${directory}/log/${name}`);
    paths.sort((a, b) => statSync(b).size - statSync(a).size);
    return paths[0] as string;
  }

  function flip(path: string, at: number): void {
    const bytes = readFileSync(path);
    bytes[at] = (bytes[at] as number) ^ 0x55;
    writeFileSync(path, bytes);
  }

  function zeroTail(path: string, sizeBytes: number): void {
    const size = statSync(path).size;
    const file = openSync(path, 'r+');
    writeSync(file, new Uint8Array(sizeBytes), 0, sizeBytes, size - sizeBytes);
    closeSync(file);
  }

  /** 'whole', the reason of the damage, or 'refused'; fails on anything silent. */
  async function outcomeOf(directory: string): Promise<string> {
    let store: LogStore;
    try {
      store = await open(disk, directory);
    } catch (thrown) {
      expect(isFlotillaError(thrown) && thrown.reason).toBe('LOG_DAMAGED');
      return 'refused';
    }
    try {
      const [damage] = store.damaged();
      if (damage) {
        expect(damage.message).not.toBe('');
        return damage.reason;
      }
      const reader = store.reader(1);
      expect(reader.lastIndex()).toBe(ENTRIES);
      expect(reader.initialState().hardState).toEqual(hardStateOf(4, 2, ENTRIES - 1));
      const entries = reader.entries(1, ENTRIES + 1, 1e9);
      expect(entries.map(({ index }) => index)).toEqual(
        Array.from({ length: ENTRIES }, (_, at) => at + 1),
      );
      expect(entries.every(({ data }) => Buffer.from(data).toString() === DATA)).toBe(true);
      return 'whole';
    } finally {
      await store.close();
    }
  }

  it.each([
    ['closed', CLOSED],
    ['reopened', REOPENED],
    ['copied while it was open, as a killed process leaves it', LIVE],
  ])('that was %s opens clean with everything', async (_, directory) => {
    expect(await outcomeOf(copyOf(directory))).toBe('whole');
  });

  describe.each([
    ['compaction', { compactedIndex: 150 }, 151],
    ['snapshot', { snapshot: { index: 250, term: 4, configuration: configurationOf(9) } }, 251],
  ])('whose log begins with a %s', (name, more, first) => {
    const from = `${root.path}/begins-with-${name}`;

    beforeAll(async () => {
      cpSync(CLOSED, from, { recursive: true });
      const store = await open(disk, from);
      await store.write({ ...writeOf(1, []), ...more });
      const last = store.reader(1).lastIndex();
      await store.write(writeOf(1, entriesOf(last + 1, last + 20, 4)));
      await store.close();
    });

    async function beginningOf(directory: string): Promise<number | string> {
      let store: LogStore;
      try {
        store = await open(disk, directory);
      } catch (thrown) {
        expect(isFlotillaError(thrown) && thrown.reason).toBe('LOG_DAMAGED');
        return 'refused';
      }
      const [damage] = store.damaged();
      if (!damage) {
        const reader = store.reader(1);
        expect(reader.entries(first, reader.lastIndex() + 1, 1e9)).toHaveLength(
          reader.lastIndex() + 1 - first,
        );
        expect(reader.lastIndex()).toBe(first === 151 ? ENTRIES + 20 : 270);
      }
      await store.close();
      return damage?.reason ?? store.reader(1).firstIndex();
    }

    it('opens clean', async () => {
      expect(await beginningOf(copyOf(from))).toBe(first);
    });

    const changes: [string, (path: string, sizeBytes: number) => void][] = [
      ['flipped at 25 %', (path, size) => flip(path, Math.floor(size * 0.25))],
      ['flipped at 50 %', (path, size) => flip(path, Math.floor(size * 0.5))],
      ['flipped at 90 %', (path, size) => flip(path, Math.floor(size * 0.9))],
      ['cut in half', (path, size) => truncateSync(path, Math.floor(size * 0.5))],
      ['zeroed at its end', (path, size) => zeroTail(path, Math.min(size, 4_096))],
      ['deleted', (path) => rmSync(path)],
    ];

    it.each(changes)('is never silent about a file that is %s', async (what, change) => {
      for (const ending of ['.log', '.ldb', /^MANIFEST/]) {
        const copy = copyOf(from);
        const path = fileIn(copy, ending);
        change(path, statSync(path).size);
        const outcome = await beginningOf(copy);
        // Bytes of a table that hold nothing any more may change without harm, and so may the end
        // of a log that does nothing but erase what was dropped: all the rest was there then.
        const mayBeHarmless = ending === '.ldb' || (ending === '.log' && what === 'cut in half');
        if (!mayBeHarmless) expect(outcome, String(ending)).not.toBe(first);
        else if (typeof outcome === 'number') expect(outcome).toBe(first);
        rmSync(copy, { recursive: true });
      }
    });
  });

  it.each([0.25, 0.5, 0.9])('with a byte of its log flipped at %d is damaged', async (share) => {
    const copy = copyOf(CLOSED);
    const log = fileIn(copy, '.log');
    flip(log, Math.floor(statSync(log).size * share));
    expect(await outcomeOf(copy)).toBe('database-log');
  });

  it('stays damaged at the next open, when its own log no longer tells', async () => {
    const copy = copyOf(LIVE);
    zeroTail(fileIn(copy, '.log'), 4_096);
    expect(await outcomeOf(copy)).toBe('database-log');
    expect(readFileSync(fileIn(copy, /^LOG$/), 'utf8')).toMatch(/dropping/);
    expect(await outcomeOf(copy)).toBe('database-log');
    expect(readFileSync(fileIn(copy, /^LOG$/), 'utf8')).not.toMatch(/dropping/);
    expect(await outcomeOf(copy)).toBe('database-log');
  });

  it.each([1, 2, 3])(
    'is damaged also when %d opens before did not come to their end',
    async (opens) => {
      const copy = copyOf(LIVE);
      zeroTail(fileIn(copy, '.log'), 4_096);
      for (let cut = 0; cut < opens; cut++) {
        // The one that meets the damage, and those after it, stop early, or before IDENTITY.
        const stopped = new RealDisk();
        if (cut % 2 === 0) {
          const openKv = stopped.openKv.bind(stopped);
          stopped.openKv = async (path, options) => {
            await (await openKv(path, options)).close();
            throw new Error('EIO');
          };
        } else {
          stopped.writeFile = (path, bytes) =>
            path.endsWith('IDENTITY')
              ? Promise.reject(new Error('EIO'))
              : disk.writeFile(path, bytes);
        }
        await expect(open(stopped, copy)).rejects.toThrow('EIO');
      }
      expect(await outcomeOf(copy)).toBe('database-log');
      expect(existsSync(`${copy}/OPENING`)).toBe(false);
    },
  );

  it.each([0.1, 0.5, 0.99])('with its log cut off at %d is damaged', async (share) => {
    const copy = copyOf(CLOSED);
    const log = fileIn(copy, '.log');
    truncateSync(log, Math.floor(statSync(log).size * share));
    expect(await outcomeOf(copy)).toBe('meta-mismatch');
  });

  it('without its log is damaged', async () => {
    const copy = copyOf(CLOSED);
    rmSync(fileIn(copy, '.log'));
    expect(await outcomeOf(copy)).toBe('meta-mismatch');
  });

  it('with the last 4 kB of its log zeroed is damaged', async () => {
    const copy = copyOf(CLOSED);
    zeroTail(fileIn(copy, '.log'), 4_096);
    expect(await outcomeOf(copy)).toBe('database-log');
  });

  it('cut off in the window of LOW-WATER has every term and vote, or is damaged', async () => {
    // Terms are durable apart from the database, entries of the last second are not: what may be
    // missing without a trace is a suffix of the newest term, and never a term or a vote.
    const size = statSync(fileIn(LIVE, '.log')).size;
    for (const share of [0.1, 0.3, 0.5, 0.7, 0.9, 0.99]) {
      const copy = copyOf(LIVE);
      truncateSync(fileIn(copy, '.log'), Math.floor(size * share));
      const store = await open(disk, copy);
      const [damage] = store.damaged();
      if (share < 0.75) expect(damage?.reason).toBe('meta-mismatch');
      else {
        expect(damage).toBeUndefined();
        expect(store.reader(1).initialState().hardState).toMatchObject({ term: 4, vote: 2 });
        expect(store.reader(1).lastIndex()).toBeGreaterThan(150);
      }
      await store.close();
    }
  });

  it.each([
    ['log', CLOSED, '.log'],
    ['table', REOPENED, '.ldb'],
    ['manifest', REOPENED, /^MANIFEST/],
    ['CURRENT file', REOPENED, /^CURRENT$/],
  ])('with any byte of its %s flipped is whole, damaged or refused', async (_, from, ending) => {
    await fc.assert(
      fc.asyncProperty(
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        async (at) => {
          const copy = copyOf(from);
          const path = fileIn(copy, ending);
          flip(path, Math.floor(statSync(path).size * at));
          await outcomeOf(copy);
          rmSync(copy, { recursive: true });
        },
      ),
      { numRuns: 20 },
    );
  });

  it.each([
    ['table', '.ldb'],
    ['manifest', /^MANIFEST/],
    ['CURRENT file', /^CURRENT$/],
  ])('without its %s, or with half of it, is damaged or refused', async (_, ending) => {
    const deleted = copyOf(REOPENED);
    rmSync(fileIn(deleted, ending));
    expect(await outcomeOf(deleted)).not.toBe('whole');
    const halved = copyOf(REOPENED);
    const path = fileIn(halved, ending);
    truncateSync(path, Math.floor(statSync(path).size / 2));
    expect(await outcomeOf(halved)).not.toBe('whole');
  });
});
