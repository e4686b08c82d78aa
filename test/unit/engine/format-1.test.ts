// Goal: point stores that version 0.1 has written stay readable, sessions included (F-15).
// Method: golden keys and values against what is written here, by way of a memory database.
import { describe, expect, it } from 'vitest';
import { Generations } from '../../../src/engine/generations.js';
import { PointStore, putCollection, putLastVersion } from '../../../src/engine/point-store.js';
import { recordName } from '../../../src/engine/record-name.js';
import { openValue, sealValue } from '../../../src/engine/sealed-value.js';
import {
  decodeOutcomes,
  encodeOutcomes,
  type RecordedOutcome,
  readClient,
  writeClient,
} from '../../../src/engine/session-codec.js';
import {
  type CollectionState,
  readCollectionState,
  readShardState,
  type ShardState,
  writeCollectionState,
  writeShardState,
} from '../../../src/engine/state-codec.js';
import {
  collectionKey,
  SESSION_WATERMARK_KEY,
  SHARD_KEY,
  sessionClientKey,
  sessionOutcomesKey,
} from '../../../src/engine/store-keys.js';
import { WriteBatch } from '../../../src/engine/write-batch.js';
import type { KvEntry } from '../../../src/shared/kv.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { MemoryKv } from '../../../src/shared/memory-kv.js';
import { GoldenFile } from '../../fixtures/golden.js';

const golden = new GoldenFile('format-1', 'engine');

const STATE: ShardState = {
  shardId: 3,
  ownershipVersion: 2,
  slots: [0, 5, 1_023],
  sessionLimits: { clientsMax: 4_096, requestsMax: 1_024, bytesMax: 2 ** 26 },
};
const CONFIG = {
  name: 'items',
  dimension: 2,
  metric: 'dot',
  m: 16,
  efConstruction: 200,
  indexedFields: [{ path: 'a.b', type: 'keyword' }],
} as const;
const KEY = { slot: 1_023, tenant: 'ten\0ant', id: 'id-ä' };
const RECORD = {
  version: 0x0123_4567_89ab_cdefn,
  metadata: Uint8Array.of(10, 0),
  values: new Uint8Array(Float32Array.of(1, -0.5).buffer),
};
/** In the order of their keys. */
const NAMES = [
  'shard',
  'applied index',
  'active collection',
  'dropping collection',
  'dropped collection',
  'last version',
  'content format',
  'record',
];

async function entriesOf(kv: MemoryKv): Promise<KvEntry[]> {
  const entries: KvEntry[] = [];
  const all = { gte: new Uint8Array(0), lt: new Uint8Array(64).fill(255) };
  for await (const page of kv.scan(all)) entries.push(...page);
  return entries;
}

describe('the point store in format 1 (F-15)', () => {
  it('writes what it wrote', async () => {
    const kv = new MemoryKv();
    const store = new PointStore(kv);
    await store.initialize(STATE);
    const batch = new WriteBatch();
    putCollection(batch, 1, { kind: 'active', config: CONFIG });
    putCollection(batch, 2, { kind: 'dropping' });
    putCollection(batch, 3, { kind: 'dropped' });
    putLastVersion(batch, RECORD.version);
    batch.putRecord(1, recordName(KEY), RECORD);
    await store.commit(batch, 70_000);
    const entries = await entriesOf(kv);
    expect(entries).toHaveLength(NAMES.length);
    entries.forEach(({ key, value }, at) => {
      golden.isWritten(`key of ${NAMES[at]}`, key);
      golden.isWritten(`value of ${NAMES[at]}`, value);
    });
  });

  it('reads what it wrote', async () => {
    const kv = new MemoryKv();
    const operations = NAMES.map((name) => ({
      type: 'put' as const,
      key: golden.bytes(`key of ${name}`),
      value: golden.bytes(`value of ${name}`),
    }));
    await kv.batch(operations, { sync: true });
    const store = new PointStore(kv);
    expect(store.shardState()).toEqual(STATE);
    expect(store.appliedIndex()).toBe(70_000);
    expect(store.lastVersion()).toBe(RECORD.version);
    expect([...(await store.collections())]).toEqual([
      [1, { kind: 'active', config: CONFIG }],
      [2, { kind: 'dropping' }],
      [3, { kind: 'dropped' }],
    ]);
    expect(await store.records(1, [KEY])).toEqual([RECORD]);
    for await (const page of store.allRecords(1)) {
      expect(page).toEqual([{ key: KEY, value: RECORD }]);
    }
  });

  it('has the state of a shard that owns parts of other placements, and is fenced', () => {
    const placements = [
      { placementId: 1, units: [1, 300] },
      { placementId: 2, units: [5], tenants: { here: ['acme'], elsewhere: ['ä', 'b'] } },
    ];
    const fence = { changeId: 8, ownership: { placementId: 2, units: [5] } };
    golden.holds<ShardState>(
      'placed shard',
      { ...STATE, placed: { placements, lastChangeId: 7, fence } },
      {
        encode: (value) => sealValue(SHARD_KEY, (body) => writeShardState(body, value)),
        decode: (bytes) => openValue(SHARD_KEY, bytes, readShardState),
      },
    );
  });

  it('has a collection on another placement', () => {
    const config = { ...CONFIG, routing: 'tenant' } as const;
    const key = collectionKey(1);
    golden.holds<CollectionState>(
      'placed collection',
      { kind: 'active', config, placementId: 300 },
      {
        encode: (value) => sealValue(key, (body) => writeCollectionState(body, value)),
        decode: (bytes) => openValue(key, bytes, readCollectionState),
      },
    );
  });

  it('has the file that says which database counts', async () => {
    const disk = new MemoryDisk();
    await new Generations(disk, 'd').commit(7);
    golden.isWritten('generation', (await disk.readFile('d/GENERATION')) ?? new Uint8Array());
    const again = new MemoryDisk();
    await again.writeFile('d/GENERATION', golden.bytes('generation'));
    const { mayBeNew } = await new Generations(again, 'd').open();
    expect(mayBeNew).toBe(false);
    expect(await again.list('d')).toContain('points-7');
  });
});

describe('sessions in format 1 (F-15)', () => {
  it('have a client', () => {
    const key = sessionClientKey('client-a');
    const used = { stampMs: 1_700_000_000_000, lastUsedIndex: 70_000, lowestKnown: 300 };
    const client = { ...used, reach: 0 };
    golden.isWritten('key of a client', key);
    golden.holds('value of a client', client, {
      encode: (value) => sealValue(key, (body) => writeClient(body, value)),
      decode: (bytes) => openValue(key, bytes, readClient),
    });
  });

  it('have outcomes', () => {
    const { version } = RECORD;
    const key = sessionOutcomesKey('client-a', 300, 70_000);
    const outcomes: RecordedOutcome[] = [
      { ordinal: 0, slot: 5, outcome: { kind: 'applied', version, existed: false } },
      { ordinal: 200, slot: 1_023, outcome: { kind: 'applied', version, existed: true } },
      {
        ordinal: 201,
        slot: 0,
        outcome: { kind: 'not-applied', error: { reason: 'NO_LEADER', message: 'why' } },
      },
    ];
    golden.isWritten('key of outcomes', key);
    golden.holds('value of outcomes', outcomes, {
      encode: (value) => sealValue(key, (body) => body.raw(encodeOutcomes(version, value))),
      decode: (bytes) => openValue(key, bytes, decodeOutcomes),
    });
  });

  it('have a client that other shards may have served', () => {
    const key = sessionClientKey('client-a');
    const used = { stampMs: 1_700_000_000_000, lastUsedIndex: 70_000, lowestKnown: 300 };
    golden.holds(
      'value of a client that moved',
      { ...used, reach: 301 },
      {
        encode: (value) => sealValue(key, (body) => writeClient(body, value)),
        decode: (bytes) => openValue(key, bytes, readClient),
      },
    );
  });

  it('have outcomes of tenants, each by whose they are', () => {
    const { version } = RECORD;
    const key = sessionOutcomesKey('client-a', 300, 70_000);
    const outcome = { kind: 'applied', version, existed: false } as const;
    const owner = { collectionId: 300, tenant: 'ä' };
    const outcomes: RecordedOutcome[] = [
      { ordinal: 0, slot: 5, outcome },
      { ordinal: 1, slot: 5, outcome, owner },
      { ordinal: 2, slot: 5, outcome, owner },
    ];
    golden.holds('value of outcomes of tenants', outcomes, {
      encode: (value) => sealValue(key, (body) => body.raw(encodeOutcomes(version, value))),
      decode: (bytes) => openValue(key, bytes, decodeOutcomes),
    });
  });

  it('have a watermark', () => {
    const key = SESSION_WATERMARK_KEY;
    golden.isWritten('key of the watermark', key);
    golden.holds('value of the watermark', 1_700_000_000_000, {
      encode: (value) => sealValue(key, (body) => body.varint(value)),
      decode: (bytes) => openValue(key, bytes, (body) => body.varint()),
    });
  });

  it('have no record that is not looked at', () => {
    expect(golden.unread).toEqual([]);
  });
});
