// Goal: each record reads back as it was written, and no changed bit of one is ever believed.
// Method: random values through the codecs; random bytes flipped, cut and put in another's place.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Entry, EntryType } from '../../../src/raft/types.js';
import { compareBytes } from '../../../src/shared/bytes.js';
import type { KvOperation } from '../../../src/shared/kv.js';
import { RecordError, seal, unseal } from '../../../src/shared/sealed-record.js';
import { decodeEntry, encodeEntries } from '../../../src/storage/entry-codec.js';
import { decodeGenesis, encodeGenesis } from '../../../src/storage/genesis-record.js';
import { entryKey, genesisKey, indexOfKey, metaKey } from '../../../src/storage/keys.js';
import { decodeMeta, encodeMeta, type GroupMeta } from '../../../src/storage/meta-record.js';
import { genesisOf } from './harness.js';

const safe = fc.maxSafeNat();
const groupId = fc.integer({ min: 0, max: 2 ** 32 - 2 });
const type = fc.constantFrom<EntryType>('EntryNormal', 'EntryConfChange', 'EntryConfChangeV2');
const entryOf: fc.Arbitrary<Entry> = fc.record({
  type,
  term: safe,
  index: safe,
  data: fc.uint8Array({ maxLength: 40 }),
});
const metaOf: fc.Arbitrary<GroupMeta> = fc.record({
  term: safe,
  vote: safe,
  commit: safe,
  firstIndex: safe,
  previousTerm: safe,
  lastIndex: safe,
  lastTerm: safe,
  batchSequence: safe,
  configurationIndex: fc.option(fc.nat(), { nil: undefined }),
});

describe('records', () => {
  it("entries read back as they were written, over the store's own bytes", () => {
    fc.assert(
      fc.property(groupId, fc.array(entryOf, { maxLength: 5 }), (group, entries) => {
        const operations: KvOperation[] = [];
        const stored = encodeEntries(group, entries, operations);
        expect(stored).toEqual(entries);
        const decoded = operations.map((operation, at) => {
          expect(operation.key).toEqual(entryKey(group, entries[at]?.index as number));
          if (operation.type === 'del') throw new Error('an entry is put');
          return decodeEntry(operation.key, operation.value);
        });
        expect(decoded).toEqual(entries);
        stored.forEach(({ data }, at) => {
          expect(data.buffer === entries[at]?.data.buffer).toBe(false);
        });
      }),
    );
  });

  it('meta and genesis records read back as they were written', () => {
    fc.assert(
      fc.property(groupId, metaOf, (group, meta) => {
        expect(decodeMeta(metaKey(group), encodeMeta(group, meta))).toEqual(meta);
        const genesis = genesisOf(group);
        expect(decodeGenesis(genesisKey(group), encodeGenesis(genesis))).toEqual(genesis);
      }),
    );
  });

  it('a record with any bit flipped, cut short or under another context is refused', () => {
    const bytes = fc.uint8Array({ maxLength: 30 });
    fc.assert(
      fc.property(bytes, bytes, fc.nat(), fc.nat({ max: 7 }), (body, context, at, bit) => {
        const record = seal(body, context);
        expect(unseal(record, context)).toEqual(body);
        const flipped = Uint8Array.from(record);
        const position = at % record.length;
        flipped[position] = (flipped[position] as number) ^ (1 << bit);
        expect(() => unseal(flipped, context)).toThrow(RecordError);
        expect(() => unseal(record.subarray(0, position), context)).toThrow(RecordError);
        expect(() => unseal(record, Uint8Array.of(...context, 1))).toThrow(RecordError);
      }),
    );
  });

  it('a sealed record of the wrong form is refused as damaged', () => {
    const key = entryKey(1, 1);
    for (const body of [[], [0], [0, 1, 2, 3], [9, 0, 0, 0, 0, 0, 0, 0, 0]]) {
      expect(() => decodeEntry(key, seal(Uint8Array.from(body), key))).toThrow(RecordError);
    }
    const meta = metaKey(1);
    for (const body of [[], [1, 2, 3], [1, 1, 1, 1, 1, 1, 1, 1, 1]]) {
      expect(() => decodeMeta(meta, seal(Uint8Array.from(body), meta))).toThrow(RecordError);
    }
  });

  it('keys order as groups and indexes do', () => {
    fc.assert(
      fc.property(groupId, safe, groupId, safe, (groupA, indexA, groupB, indexB) => {
        const expected = Math.sign(groupA - groupB) || Math.sign(indexA - indexB);
        const found = compareBytes(entryKey(groupA, indexA), entryKey(groupB, indexB));
        expect(Math.sign(found)).toBe(expected);
        expect(indexOfKey(entryKey(groupA, indexA))).toBe(indexA);
      }),
    );
  });
});
