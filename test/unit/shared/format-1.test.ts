// Goal: commands and snapshot files of version 0.1 stay what they are (F-15).
// Method: golden bytes against values that are written here.
import { describe, expect, it } from 'vitest';
import { ByteWriter, utf8 } from '../../../src/shared/bytes.js';
import {
  type Command,
  decodeCommand,
  encodeCommand,
  stampCommand,
} from '../../../src/shared/codec/command.js';
import type { KvEntry } from '../../../src/shared/kv.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { SnapshotFileReader, writeSnapshotFile } from '../../../src/shared/snapshot-file.js';
import { type Codec, GoldenFile } from '../../fixtures/golden.js';

const golden = new GoldenFile('format-1', 'shared');
const VERSION = 0x0123_4567_89ab_cdefn;
const VALUES = new Uint8Array(Float32Array.of(1, -0.5).buffer);

const OWNERSHIP_CHANGE = {
  units: { added: [1], removed: [1_023, 2] },
  here: { added: ['acme'], removed: [] },
  elsewhere: { added: [], removed: ['ä', 'b'] },
};

const COMMANDS: { readonly [Kind in Command['kind']]: Extract<Command, { kind: Kind }> } = {
  write: {
    kind: 'write',
    collectionId: 7,
    ownershipVersion: 3,
    requestKey: {
      clientId: 'client-a',
      clientStampMs: 1_700_000_000_000,
      sequence: 300,
      lowestUnanswered: 299,
    },
    operations: [
      {
        kind: 'upsert',
        ordinal: 0,
        slot: 1_023,
        tenant: 'tenant',
        id: 'id-ä',
        values: VALUES,
        metadata: Uint8Array.of(10, 0),
      },
      { kind: 'delete', ordinal: 200, slot: 5, tenant: '', id: 'gone' },
    ],
  },
  createCollection: {
    kind: 'createCollection',
    collectionId: 130,
    config: {
      name: 'items',
      dimension: 768,
      metric: 'cosine',
      m: 16,
      efConstruction: 200,
      indexedFields: [
        { path: 'a.b', type: 'keyword' },
        { path: 'n', type: 'integer' },
      ],
    },
  },
  dropCollection: { kind: 'dropCollection', collectionId: 130 },
  expire: {
    kind: 'expire',
    collectionId: 7,
    records: [{ slot: 1_023, tenant: 'tenant', id: 'id-ä', version: VERSION }],
  },
  mark: { kind: 'mark' },
  fenceUnits: { kind: 'fenceUnits', changeId: 300, placementId: 2, change: OWNERSHIP_CHANGE },
  changeOwnership: {
    kind: 'changeOwnership',
    changeId: 300,
    placementId: 2,
    change: OWNERSHIP_CHANGE,
    ownershipVersion: 301,
  },
  liftFence: { kind: 'liftFence', changeId: 300, placementId: 2 },
};

/** With all that a placement adds to a creation. */
const PLACED_CREATION: Command = {
  ...COMMANDS.createCollection,
  config: {
    ...COMMANDS.createCollection.config,
    ttlMs: 60_000,
    routing: 'shardKey',
    placement: 'range',
    splitPoints: ['m', 'ä'],
  },
  ownership: {
    placementId: 2,
    units: [1, 300],
    tenants: { here: ['acme'], elsewhere: ['ä', 'b'] },
  },
};

/** As a shard is told of it that takes keys over. */
const GAIN: Command = {
  ...COMMANDS.changeOwnership,
  reach: {
    watermarkMs: -1,
    lastVersion: VERSION,
    clients: [
      { clientId: 'client-a', clientStampMs: 1_700_000_000_000, sequence: 300 },
      { clientId: 'ä', clientStampMs: 0, sequence: 0 },
    ],
  },
};

const TARGET = { slot: 5, tenant: '', id: 'id' };
const CONDITIONAL_WRITE: Command = {
  ...COMMANDS.write,
  operations: [
    {
      kind: 'upsert',
      ordinal: 0,
      ...TARGET,
      values: VALUES,
      metadata: Uint8Array.of(10, 0),
      condition: { kind: 'absent' },
      ttlMs: 60_000,
    },
    { kind: 'delete', ordinal: 1, ...TARGET, condition: { kind: 'version', version: VERSION } },
    {
      kind: 'patch',
      ordinal: 2,
      ...TARGET,
      metadata: Uint8Array.of(10, 0),
      condition: { kind: 'exists' },
    },
  ],
};

const COMMAND_CODEC: Codec<Command> = {
  encode: (command) => {
    const bytes = encodeCommand(command);
    stampCommand(bytes, VERSION);
    return bytes;
  },
  decode: (bytes) => {
    const { command, version } = decodeCommand(bytes);
    expect(version).toBe(VERSION);
    return command;
  },
};

const SNAPSHOT = { machine: 'shard 3', appliedIndex: 4_711 };
const ENTRIES: readonly KvEntry[] = [
  { key: utf8('a'), value: utf8('first') },
  { key: utf8('b'), value: new Uint8Array() },
];
const PATH = 'snapshot';

describe('what the rooms share, in format 1 (F-15)', () => {
  it.each(Object.values(COMMANDS))('has the command $kind', (command) => {
    golden.holds<Command>(`command ${command.kind}`, command, COMMAND_CODEC);
  });

  it('has a write of every kind, with conditions', () => {
    golden.holds('conditional write', CONDITIONAL_WRITE, COMMAND_CODEC);
  });

  it('has the creation of a collection that names a placement', () => {
    golden.holds('placed creation', PLACED_CREATION, COMMAND_CODEC);
    golden.holds('changed ownership of one that gains', GAIN, COMMAND_CODEC);
  });

  it('has the file of a snapshot: header, pages, footer', async () => {
    const disk = new MemoryDisk();
    const written = await writeSnapshotFile(disk, PATH, SNAPSHOT, [ENTRIES]);
    const bytes = (await disk.readFile(PATH)) ?? new Uint8Array();
    golden.isWritten('snapshot file', bytes);
    const summary = new ByteWriter().varint(written.sizeBytes).u32(written.crc32c).finish();
    golden.isWritten('snapshot size and checksum', summary);

    await disk.writeFile(PATH, golden.bytes('snapshot file'));
    const reader = await SnapshotFileReader.open(disk, PATH, SNAPSHOT.machine);
    expect(reader.header).toEqual(SNAPSHOT);
    const entries: KvEntry[] = [];
    for await (const page of reader.pages()) entries.push(...page);
    expect(entries).toEqual(ENTRIES);
  });

  it('has no record that is not looked at', () => {
    expect(golden.unread).toEqual([]);
  });
});
