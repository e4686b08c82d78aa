// Goal: no record is lost, moved or too large for an entry when a write is cut.
// Method: properties over random operations, and sizes against the real encoder.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { slotOfKey } from '../../../src/placement/slot-table.js';
import {
  cutIntoCommands,
  type RecordTarget,
  splitByShard,
} from '../../../src/router/write-split.js';
import { encodeCommand, type WriteOperation } from '../../../src/shared/codec/command.js';
import { LIMITS } from '../../../src/shared/limits.js';
import { codePoint } from '../../support/code-point.js';

const targetOf = (ordinal: number, id: string): RecordTarget => {
  return { ordinal, slot: slotOfKey(id), tenant: '', id };
};

const longestClientId = 'c'.repeat(LIMITS.idempotencyKeyBytesMax.value);

function encodedSize(operations: readonly WriteOperation[]): number {
  const largest = Number.MAX_SAFE_INTEGER;
  return encodeCommand({
    kind: 'write',
    collectionId: largest,
    ownershipVersion: largest,
    requestKey: {
      clientId: longestClientId,
      clientStampMs: largest,
      sequence: largest,
      lowestUnanswered: largest,
    },
    operations,
  }).length;
}

const operations = (maxLength: number): fc.Arbitrary<WriteOperation[]> =>
  fc
    .array(
      fc.record({
        id: fc.string({ unit: codePoint, minLength: 1, maxLength: 40 }),
        isDelete: fc.boolean(),
        valuesBytes: fc.integer({ min: 4, max: 16_384 }),
        metadataBytes: fc.integer({ min: 0, max: 65_536 }),
      }),
      { maxLength },
    )
    .map((list) =>
      list.map(({ id, isDelete, valuesBytes, metadataBytes }, at): WriteOperation => {
        if (isDelete) return { kind: 'delete', ...targetOf(at, id) };
        const values = new Uint8Array(valuesBytes);
        const metadata = new Uint8Array(metadataBytes);
        return { kind: 'upsert', ...targetOf(at, id), values, metadata };
      }),
    );

describe('splitting a write', () => {
  it('gives each operation to the shard that owns its slot, in order (M-11)', () => {
    const route = { shardOf: ({ slot }: { readonly slot: number }) => slot % 5 };
    fc.assert(
      fc.property(operations(30), (all) => {
        const parts = splitByShard(route, all);
        for (const [shardId, part] of parts) {
          for (const { id } of part) expect(slotOfKey(id) % 5).toBe(shardId);
          const ordinals = part.map(({ ordinal }) => ordinal);
          expect(ordinals).toEqual([...ordinals].sort((a, b) => a - b));
        }
        const count = [...parts.values()].reduce((sum, part) => sum + part.length, 0);
        expect(count).toBe(all.length);
      }),
    );
  });

  it('cuts into commands that fit an entry, keeping every operation in order', () => {
    fc.assert(
      fc.property(operations(60), (all) => {
        const commands = cutIntoCommands(all);
        expect(commands.flat()).toEqual(all);
        for (const command of commands) {
          expect(command.length).toBeGreaterThan(0);
          expect(encodedSize(command)).toBeLessThanOrEqual(LIMITS.entryBytesMax.value);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('fits the largest record that the limits allow', () => {
    const largest: WriteOperation = {
      kind: 'upsert',
      ...targetOf(LIMITS.upsertRecordsMax.value - 1, 'i'.repeat(LIMITS.idBytesMax.value)),
      values: new Uint8Array(4 * LIMITS.dimensionMax.value),
      metadata: new Uint8Array(LIMITS.metadataBytesMax.value),
    };
    expect(cutIntoCommands([largest])).toEqual([[largest]]);
  });

  it('refuses an operation that no entry can hold', () => {
    const operation: WriteOperation = {
      kind: 'upsert',
      ...targetOf(0, 'a'),
      values: new Uint8Array(1_000),
      metadata: new Uint8Array(0),
    };
    expect(() => cutIntoCommands([operation], 1_000)).toThrow(/does not fit/);
  });

  it('makes no commands of no operations', () => {
    expect(cutIntoCommands([])).toEqual([]);
  });
});
