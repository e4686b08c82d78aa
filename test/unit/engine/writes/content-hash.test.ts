// Goal: the content hash tells equal replicas from others, and damage that no checksum sees.
// Method: engines in memory over the same and other logs; stores changed behind their backs.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ContentReport } from '../../../../src/engine/engine.js';
import { PointStore } from '../../../../src/engine/point-store.js';
import {
  openRecordValue,
  type RecordValue,
  sealRecordValue,
} from '../../../../src/engine/record-value.js';
import { Slices } from '../../../../src/engine/slices.js';
import { CONTENT_FORMAT_KEY, recordKey, slotSumKey } from '../../../../src/engine/store-keys.js';
import { ContentHash } from '../../../../src/engine/writes/content-hash.js';
import { deepCheck } from '../../../../src/engine/writes/deep-check.js';
import { HASH_WORDS, RecordHasher } from '../../../../src/engine/writes/record-hash.js';
import { SlotSums } from '../../../../src/engine/writes/slot-sums.js';
import { defined } from '../../../../src/shared/assert.js';
import type { Kv } from '../../../../src/shared/kv.js';
import { codePoint } from '../../../support/code-point.js';
import { engineEnvironment, type MemoryHarness, memoryHarness, openShard } from '../harness.js';
import { patch, remove, ShardDriver, sendSnapshot, slotOf, upsert } from '../shard-driver.js';

const bytes = fc.uint8Array({ maxLength: 80 });
interface HashedRecord {
  readonly tenant: string;
  readonly id: string;
  readonly value: RecordValue & { readonly expiresAtMs: number };
}
const record: fc.Arbitrary<HashedRecord> = fc.record({
  tenant: fc.string({ unit: codePoint, maxLength: 10 }),
  id: fc.string({ unit: codePoint, maxLength: 20 }),
  value: fc.record({
    version: fc.bigInt(0n, 2n ** 64n - 1n),
    expiresAtMs: fc.nat(),
    metadata: bytes,
    values: bytes,
  }),
});

function hashOf({ tenant, id, value }: HashedRecord): string {
  const hash = new Uint32Array(HASH_WORDS);
  new RecordHasher().hash(tenant, id, value, hash, 0);
  return Buffer.from(hash.buffer).toString('hex');
}

async function contents(shard: ShardDriver, deep = false): Promise<ContentReport> {
  return shard.engine.contents({ deep });
}

/** Changes what is stored while no engine looks. */
async function tamper(
  shard: ShardDriver,
  { disk, storePath }: MemoryHarness,
  change: (kv: Kv) => Promise<void>,
): Promise<void> {
  await shard.engine.close();
  const kv = await disk.openKv(storePath);
  await change(kv);
  await kv.close();
}

describe('the hash of a record', () => {
  it('is that of format 1: a change of it needs another format', () => {
    const values = new Uint8Array(Float32Array.of(1, 2, 3).buffer);
    const value = { version: 7n << 16n, metadata: Uint8Array.of(1, 2, 3), values };
    expect(
      hashOf({ tenant: 't', id: 'id', value: { ...value, expiresAtMs: 0 } }),
    ).toMatchInlineSnapshot(`"ca4688b2db6add34bafcdc6baec83260"`);
    expect(
      hashOf({ tenant: '', id: 'ä', value: { ...value, expiresAtMs: 9 } }),
    ).toMatchInlineSnapshot(`"8a41323ba99a01a5a71fe9f704188f5e"`);
  });

  it('changes with every part of it, and with where one part ends', () => {
    fc.assert(
      fc.property(record, fc.nat(), (one, seed) => {
        const { value } = one;
        const flipped = (part: Uint8Array): Uint8Array => {
          const copy = Uint8Array.from(part);
          const at = seed % Math.max(1, copy.length);
          if (copy.length > 0) copy[at] = (copy[at] as number) ^ (1 << (seed % 8));
          return part.length > 0 ? copy : Uint8Array.of(1);
        };
        const others: HashedRecord[] = [
          { ...one, id: `${one.id}x` },
          { ...one, tenant: `${one.tenant}x` },
          { ...one, value: { ...value, version: value.version ^ 1n } },
          { ...one, value: { ...value, expiresAtMs: value.expiresAtMs + 1 } },
          { ...one, value: { ...value, metadata: flipped(value.metadata) } },
          { ...one, value: { ...value, values: flipped(value.values) } },
          { ...one, value: { ...value, values: Uint8Array.of(...value.values, 0) } },
          { ...one, tenant: `${one.tenant}${one.id}y`, id: '' },
        ];
        const hashes = [one, ...others].map(hashOf);
        expect(new Set(hashes).size).toBe(hashes.length);
      }),
    );
  });

  it('does not depend on what was hashed before', () => {
    fc.assert(
      fc.property(record, record, (one, other) => {
        const hasher = new RecordHasher();
        const hash = new Uint32Array(2 * HASH_WORDS);
        hasher.hash(other.tenant, other.id, other.value, hash, 0);
        hasher.hash(one.tenant, one.id, one.value, hash, HASH_WORDS);
        expect(Buffer.from(hash.slice(HASH_WORDS).buffer).toString('hex')).toBe(hashOf(one));
      }),
    );
  });
});

describe('the sum of a slot', () => {
  it('is that modulo 2^128, and comes back when records go', () => {
    const words = fc.array(fc.bigInt(0n, 2n ** 128n - 1n), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(words, fc.nat(), (hashes, seed) => {
        const sums = new SlotSums();
        const store = new Uint32Array(HASH_WORDS * hashes.length);
        for (const [at, hash] of hashes.entries()) {
          for (let word = 0; word < HASH_WORDS; word++) {
            store[HASH_WORDS * at + word] = Number((hash >> BigInt(32 * word)) & 0xffff_ffffn);
          }
          sums.add(3, store, HASH_WORDS * at);
        }
        const hex = (sum: bigint): string => (sum % 2n ** 128n).toString(16).padStart(32, '0');
        const all = hashes.reduce((sum, hash) => sum + hash, 0n);
        const records = hashes.length;
        expect(sums.contents()).toEqual([{ slot: 3, records, hash: hex(all) }]);
        expect(sums.total()).toBe(hex(all));
        const gone = seed % hashes.length;
        sums.subtract(3, store, HASH_WORDS * gone);
        const rest = hex(all - (hashes[gone] as bigint));
        const left = records === 1 ? [] : [{ slot: 3, records: records - 1, hash: rest }];
        expect(sums.contents()).toEqual(left);
      }),
    );
  });

  it('follows records through updates and deletes, in any order', () => {
    const [one, other] = [new ContentHash(), new ContentHash()];
    const key = (id: string) => ({ slot: 1, tenant: '', id });
    const value = (version: bigint) => ({
      version,
      metadata: new Uint8Array(0),
      values: Uint8Array.of(1, 2, 3, 4),
    });
    one.put(0, key('a'), value(1n), false);
    one.put(200, key('b'), value(2n), false);
    one.put(0, key('a'), value(3n), true);
    one.put(1, key('c'), value(4n), false);
    one.remove(1, key('c'));
    other.put(5, key('a'), value(3n), false);
    other.put(4, key('b'), value(2n), false);
    expect(one.sums.contents()).toEqual(other.sums.contents());
    expect([...one.takeChanged()]).toEqual([1]);
    expect([...one.takeChanged()]).toEqual([]);
  });
});

describe('the content hash of a shard (W4)', () => {
  it('is that of every replica of the log, whatever its batches and restarts (P-6)', async () => {
    const one = await openShard();
    for (let at = 0; at < 30; at++) {
      const id = `r${at % 9}`;
      const operation =
        at % 7 === 6 ? remove(id) : at % 5 === 4 ? patch(id, { at }) : upsert(id, [at, 1]);
      await one.write([{ ...operation, ordinal: 0 }]);
    }
    const kept = await contents(one, true);
    expect(kept.faults).toEqual([]);
    const other = new ShardDriver(await memoryHarness());
    other.log.push(...one.log);
    await other.open();
    expect(await contents(other)).toEqual({ ...kept, faults: [] });
    await one.reopen();
    expect(await contents(one)).toEqual(kept);
    expect((await one.stats()).contentHash).toBe((await other.stats()).contentHash);
  });

  it('at a mark is what was there then, whatever came later; the last few are kept', async () => {
    const shard = await openShard();
    await shard.write([upsert('a', [1, 1])]);
    await shard.apply({ kind: 'mark' });
    const mark = shard.log.length;
    const then = (await contents(shard)).contents;
    await shard.write([upsert('a', [2, 2])]);
    expect((await contents(shard)).contents).not.toEqual(then);
    expect((await shard.engine.contents({ mark, deep: false })).contents).toEqual(then);
    expect(await shard.engine.contents({ mark: mark + 1, deep: false })).toEqual({ faults: [] });
    for (let more = 0; more < 4; more++) await shard.apply({ kind: 'mark' });
    expect(await shard.engine.contents({ mark, deep: false })).toEqual({ faults: [] });
  });

  it('travels with snapshots', async () => {
    const [from, to] = [await memoryHarness(), await memoryHarness()];
    const source = await openShard({}, from);
    await source.write(['a', 'b', 'c'].map((id) => upsert(id, [1, 1], { ttlMs: 1_000_000 })));
    await source.engine.writeSnapshot(from.snapshotPath('s'));
    const target = new ShardDriver(to);
    await target.open();
    await target.engine.installSnapshot(await sendSnapshot('s', from, to));
    expect(await contents(target)).toEqual(await contents(source));
    target.follow(source, source.log.length);
    await target.reopen();
    expect(await contents(target, true)).toEqual(await contents(source));
  });

  it('goes with its collection', async () => {
    const shard = await openShard();
    await shard.write([upsert('a', [1, 1])]);
    await shard.apply({ kind: 'dropCollection', collectionId: 1 });
    await shard.reopen();
    expect(await contents(shard, true)).toEqual({ contents: [], faults: [] });
  });
});

describe('a store that is not what was written (W5)', () => {
  const key = recordKey(1, { slot: slotOf('a'), tenant: '', id: 'a' });

  async function written(): Promise<[ShardDriver, MemoryHarness]> {
    const harness = await memoryHarness();
    const shard = await openShard({}, harness);
    await shard.write([upsert('a', [1, 1]), upsert('b', [2, 2])]);
    return [shard, harness];
  }

  it.each<[string, (kv: Kv) => Promise<void>]>([
    ['a record is missing', (kv) => kv.batch([{ type: 'del', key }], { sync: true })],
    [
      'a record is an older one',
      async (kv) => {
        const value = openRecordValue(key, defined(kv.getSync(key), 'a'));
        const old = sealRecordValue(key, { ...value, version: 1n });
        await kv.batch([{ type: 'put', key, value: old }], { sync: true });
      },
    ],
    [
      'the hash of a slot is missing',
      (kv) => kv.batch([{ type: 'del', key: slotSumKey(1, slotOf('b')) }], { sync: true }),
    ],
  ])('is found when it is opened: %s (P-8)', async (_what, change) => {
    const [shard, harness] = await written();
    await tamper(shard, harness, change);
    await expect(shard.open()).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
  });

  it('is found by a deep comparison, and named (P-8)', async () => {
    const [shard, { disk, storePath }] = await written();
    await shard.engine.close();
    const kv = await disk.openKv(storePath);
    await kv.batch([{ type: 'del', key }], { sync: true });
    const pinned = new PointStore(kv).pin();
    const faults = await deepCheck(pinned, new Slices(engineEnvironment(disk)));
    await pinned.close();
    const [kept, found] = [
      { slot: slotOf('a'), records: 1 },
      { slot: slotOf('a'), records: 0 },
    ];
    expect(faults).toMatchObject([{ collectionId: 1, kept, found }]);
  });

  it('gets its hashes where an earlier version wrote it', async () => {
    const [shard, harness] = await written();
    const before = await contents(shard);
    await tamper(shard, harness, async (kv) => {
      const sums = [slotOf('a'), slotOf('b')].map((slot) => slotSumKey(1, slot));
      const keys = [CONTENT_FORMAT_KEY, ...sums];
      await kv.batch(
        keys.map((one) => ({ type: 'del', key: one })),
        { sync: true },
      );
    });
    await shard.open();
    expect(await contents(shard, true)).toEqual(before);
    await shard.write([upsert('a', [3, 3])]);
    await shard.reopen();
    expect((await contents(shard, true)).faults).toEqual([]);
  });
});
