// Goal: everything that the log store of version 0.1 leaves on a disk stays readable (F-15).
// Method: golden bytes against values that are written here; files by way of a memory disk.
import { describe, expect, it } from 'vitest';
import type { Entry, EntryType } from '../../../src/raft/types.js';
import { defined } from '../../../src/shared/assert.js';
import { utf8 } from '../../../src/shared/bytes.js';
import { crc32c } from '../../../src/shared/crc32c.js';
import type { KvOperation } from '../../../src/shared/kv.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { BlobFiles } from '../../../src/storage/blob-files.js';
import {
  decodeConfiguration,
  encodeConfiguration,
} from '../../../src/storage/configuration-record.js';
import { decodeEntry, encodeEntries } from '../../../src/storage/entry-codec.js';
import { decodeGenesis, encodeGenesis } from '../../../src/storage/genesis-record.js';
import { IdentityFile, type IdentityRecord } from '../../../src/storage/identity-file.js';
import { configurationKey, entryKey, genesisKey, metaKey } from '../../../src/storage/keys.js';
import type { GroupConfiguration, GroupGenesis } from '../../../src/storage/log-store.js';
import { LowWaterFile, type LowWaterMark } from '../../../src/storage/low-water-file.js';
import { decodeMeta, encodeMeta, type GroupMeta } from '../../../src/storage/meta-record.js';
import { OpeningMark } from '../../../src/storage/opening-mark.js';
import { nameOf, parseName, type SnapshotId } from '../../../src/storage/snapshot-name.js';
import { openStaging, SnapshotStaging } from '../../../src/storage/staged-snapshot.js';
import { GoldenFile } from '../../fixtures/golden.js';

const golden = new GoldenFile('format-1', 'storage');
const GROUP = 3;
const INDEX = 2 ** 33 + 5;

const ENTRIES: { readonly [Type in EntryType]: Entry } = {
  EntryNormal: { type: 'EntryNormal', term: 2 ** 34 + 1, index: INDEX, data: utf8('command') },
  EntryConfChange: { type: 'EntryConfChange', term: 2, index: INDEX, data: Uint8Array.of(1) },
  EntryConfChangeV2: { type: 'EntryConfChangeV2', term: 2, index: INDEX, data: new Uint8Array() },
};

const CONF_STATE = {
  voters: [1, 2, 3],
  votersOutgoing: [1, 2, 300],
  learners: [4],
  learnersNext: [5],
  autoLeave: true,
};
const MEMBERS = [
  { replicaId: 1, nodeId: 1, storeId: 'store-1' },
  { replicaId: 300, nodeId: 2, storeId: 'store-2' },
];
const META: GroupMeta = {
  term: 9,
  vote: 2,
  commit: 1_000,
  firstIndex: 900,
  previousTerm: 7,
  lastIndex: 1_001,
  lastTerm: 9,
  configurationIndex: 0,
  batchSequence: 123_456,
};
const SNAPSHOT: SnapshotId = {
  groupId: GROUP,
  index: 1_000,
  term: 9,
  sourceId: 'node 2/7',
  sizeBytes: 6,
  crc32c: 0x00ab_cdef,
};
const IDENTITY: IdentityRecord = {
  storeId: 'store-1',
  incarnation: 12,
  groups: new Map([
    [0, { replicaId: 1, isRemoved: false }],
    [GROUP, { replicaId: 300, isRemoved: true }],
  ]),
  quarantined: new Map([
    [0, { reason: 'entry-missing', message: 'entry 7 of 1 to 9 is not in the database' }],
    [1, { reason: 'database-log', message: 'dropping 7 bytes' }],
    [2, { reason: 'entry-checksum', message: '' }],
    [3, { reason: 'entry-terms', message: '' }],
    [4, { reason: 'meta-checksum', message: '' }],
    [5, { reason: 'meta-mismatch', message: '' }],
    [6, { reason: 'unsupported-version', message: '' }],
  ]),
};
const MARKS: readonly (readonly [number, LowWaterMark])[] = [
  [0, { term: 1, vote: 0, lastIndex: 0, batchSequence: 2 }],
  [GROUP, { term: 9, vote: 2, lastIndex: 1_001, batchSequence: 123_456 }],
];

/** A disk that has one file, with the bytes of a record. */
async function diskWith(path: string, record: string): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  await disk.writeFile(path, golden.bytes(record));
  return disk;
}

async function writtenTo(path: string, write: (disk: MemoryDisk) => Promise<unknown>) {
  const disk = new MemoryDisk();
  await write(disk);
  return (await disk.readFile(path)) ?? new Uint8Array();
}

describe('the records of the log database in format 1 (F-15)', () => {
  it('has keys', () => {
    golden.isWritten('key of an entry', entryKey(GROUP, INDEX));
    golden.isWritten('key of the genesis', genesisKey(GROUP));
    golden.isWritten('key of the meta record', metaKey(GROUP));
    golden.isWritten('key of the configuration', configurationKey(GROUP));
  });

  it.each(Object.values(ENTRIES))('has entries of type $type', (entry) => {
    golden.holds(`entry ${entry.type}`, entry, {
      encode: (value) => {
        const operations: KvOperation[] = [];
        encodeEntries(GROUP, [value], operations);
        const [put] = operations;
        if (put?.type !== 'put') throw new Error('an entry is put');
        return put.value;
      },
      decode: (bytes) => decodeEntry(entryKey(GROUP, INDEX), bytes),
    });
  });

  it('has meta records, with and without a configuration', () => {
    const codec = {
      encode: (meta: GroupMeta) => encodeMeta(GROUP, meta),
      decode: (bytes: Uint8Array) => decodeMeta(metaKey(GROUP), bytes),
    };
    golden.holds('meta record', META, codec);
    const without = { ...META, configurationIndex: undefined };
    golden.holds('meta record without configuration', without, codec);
    golden.isRead('meta record of record version 1, only read', without, codec.decode);
  });

  it('has the genesis and the configuration', () => {
    const genesis: GroupGenesis = {
      groupId: GROUP,
      replicaId: 300,
      confState: CONF_STATE,
      members: MEMBERS,
    };
    golden.holds('genesis', genesis, {
      encode: encodeGenesis,
      decode: (bytes) => decodeGenesis(genesisKey(GROUP), bytes),
    });
    const configuration = { index: 77, confState: CONF_STATE, members: MEMBERS };
    golden.holds<GroupConfiguration>('configuration', configuration, {
      encode: (value) => encodeConfiguration(GROUP, value),
      decode: (bytes) => decodeConfiguration(configurationKey(GROUP), bytes),
    });
  });
});

describe('the files beside it in format 1 (F-15)', () => {
  it('has IDENTITY', async () => {
    const write = (disk: MemoryDisk) => new IdentityFile(disk, 'd').write(IDENTITY);
    golden.isWritten('IDENTITY', await writtenTo('d/IDENTITY', write));
    const disk = await diskWith('d/IDENTITY', 'IDENTITY');
    expect(await new IdentityFile(disk, 'd').read()).toEqual(IDENTITY);
  });

  it('reads IDENTITY of record version 1', async () => {
    const disk = await diskWith('d/IDENTITY', 'IDENTITY of record version 1, only read');
    expect(await new IdentityFile(disk, 'd').read()).toEqual({
      storeId: 'an-old-store',
      incarnation: 4,
      groups: new Map([
        [0, { replicaId: 0, isRemoved: false }],
        [3, { replicaId: 0, isRemoved: false }],
      ]),
      quarantined: new Map([[3, { reason: 'database-log', message: 'dropping 7 bytes' }]]),
    });
  });

  it('has LOW-WATER', async () => {
    const write = async (disk: MemoryDisk): Promise<void> => {
      const file = new LowWaterFile(disk, 'd');
      for (const [groupId, mark] of MARKS) file.note(groupId, mark);
      await file.save();
    };
    golden.isWritten('LOW-WATER', await writtenTo('d/LOW-WATER', write));
    const file = new LowWaterFile(await diskWith('d/LOW-WATER', 'LOW-WATER'), 'd');
    await file.load();
    expect(file.groups().map((groupId) => [groupId, file.get(groupId)])).toEqual(MARKS);
  });

  it('has OPENING, with what an open that was cut short has found', async () => {
    const found = await diskWith('d/OPENING', 'OPENING');
    const line = await (await OpeningMark.set(found, 'd')).droppedLine();
    expect(line).toBe('dropping 7 bytes');
    golden.isWritten('OPENING', (await found.readFile('d/OPENING')) ?? new Uint8Array());
  });

  it('has blobs', async () => {
    const write = (disk: MemoryDisk) => new BlobFiles(disk, 'd').write('genesis', utf8('bytes'));
    golden.isWritten('blob genesis', await writtenTo('d/blobs/genesis', write));
    const disk = await diskWith('d/blobs/genesis', 'blob genesis');
    expect(await new BlobFiles(disk, 'd').read('genesis')).toEqual(utf8('bytes'));
  });

  it('has names of snapshot files', () => {
    for (const kind of ['snap', 'part', 'mark'] as const) {
      golden.holds(
        `name of a ${kind} file`,
        { id: SNAPSHOT, kind },
        {
          encode: (name) => utf8(nameOf(name.id, name.kind)),
          decode: (bytes) => defined(parseName(Buffer.from(bytes).toString()), 'a name'),
        },
      );
    }
  });

  it('has the marks of a snapshot that arrives, and goes on from them', async () => {
    const path = `d/${nameOf(SNAPSHOT, 'mark')}`;
    const write = async (disk: MemoryDisk): Promise<void> => {
      const staging = await SnapshotStaging.resume(
        SNAPSHOT,
        await openStaging(disk, 'd', SNAPSHOT),
      );
      await staging.write(0, utf8('abc'), crc32c(utf8('abc')));
      await staging.write(3, utf8('de'), crc32c(utf8('de')));
      await staging.close();
    };
    golden.isWritten('marks of a snapshot', await writtenTo(path, write));
    const disk = await diskWith(path, 'marks of a snapshot');
    await disk.writeFile(`d/${nameOf(SNAPSHOT, 'part')}`, utf8('abcde'));
    const files = await openStaging(disk, 'd', SNAPSHOT);
    expect((await SnapshotStaging.resume(SNAPSHOT, files)).nextOffset).toBe(5);
  });

  it('has no record that is not looked at', () => {
    expect(golden.unread).toEqual([]);
  });
});
