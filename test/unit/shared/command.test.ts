// Goal: log entries are read as they were written, by every replica.
// Method: round-trip properties, stamping in place, and damaged bytes.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MalformedBytesError } from '../../../src/shared/bytes.js';
import {
  type Command,
  commandVersion,
  decodeCommand,
  encodeCommand,
  operationSizeBytes,
  stampCommand,
  type WriteCommand,
  type WriteOperation,
} from '../../../src/shared/codec/command.js';
import { FIELD_TYPES, METRICS } from '../../../src/shared/types.js';

const whole = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const text = fc.string({ unit: 'binary', maxLength: 60 });
const version = fc.bigInt(0n, 2n ** 64n - 1n);

const target = { ordinal: whole, slot: fc.nat({ max: 1_023 }), tenant: text, id: text };
const operation: fc.Arbitrary<WriteOperation> = fc.oneof(
  fc.record({
    kind: fc.constant('upsert' as const),
    ...target,
    values: fc.uint8Array({ maxLength: 64 }),
    metadata: fc.uint8Array({ maxLength: 64 }),
  }),
  fc.record({ kind: fc.constant('delete' as const), ...target }),
);

const write: fc.Arbitrary<WriteCommand> = fc.record({
  kind: fc.constant('write' as const),
  collectionId: whole,
  ownershipVersion: whole,
  requestKey: fc.record({
    clientId: text,
    clientStampMs: whole,
    sequence: whole,
    lowestUnanswered: whole,
  }),
  operations: fc.array(operation, { maxLength: 20 }),
});

const command: fc.Arbitrary<Command> = fc.oneof(
  write,
  fc.record({
    kind: fc.constant('createCollection' as const),
    collectionId: whole,
    config: fc.record({
      name: text,
      dimension: whole,
      metric: fc.constantFrom(...METRICS),
      m: whole,
      efConstruction: whole,
      indexedFields: fc.array(fc.record({ path: text, type: fc.constantFrom(...FIELD_TYPES) })),
    }),
  }),
  fc.record({ kind: fc.constant('dropCollection' as const), collectionId: whole }),
);

describe('the command codec', () => {
  it('brings commands back, with a version of zero until stamped', () => {
    fc.assert(
      fc.property(command, (one) => {
        expect(decodeCommand(encodeCommand(one))).toEqual({ command: one, version: 0n });
      }),
    );
  });

  it('carries the leader’s stamp, in place, and changes nothing else', () => {
    fc.assert(
      fc.property(command, version, version, (one, first, second) => {
        const larger = Uint8Array.of(1, 2, 3, ...encodeCommand(one));
        const bytes = larger.subarray(3);
        stampCommand(bytes, first);
        expect(commandVersion(bytes)).toBe(first);
        stampCommand(bytes, second);
        expect(decodeCommand(bytes)).toEqual({ command: one, version: second });
        expect([...larger.subarray(0, 3)]).toEqual([1, 2, 3]);
      }),
    );
  });

  it('knows no version in an empty entry', () => {
    expect(commandVersion(new Uint8Array(0))).toBe(0n);
  });

  it('never counts an operation as smaller than it is', () => {
    fc.assert(
      fc.property(write, (one) => {
        const empty = encodeCommand({ ...one, operations: [] }).length;
        // The operations and their count, which alone takes up to 8 bytes.
        const size = encodeCommand(one).length - empty;
        const counted = one.operations.reduce((sum, next) => sum + operationSizeBytes(next), 0);
        expect(size).toBeLessThanOrEqual(counted + 8);
      }),
    );
  });

  it('refuses bytes that are cut off or too many, by name (P-8)', () => {
    fc.assert(
      fc.property(command, fc.nat(), (one, cut) => {
        const bytes = encodeCommand(one);
        const short = bytes.subarray(0, cut % bytes.length);
        expect(() => decodeCommand(short)).toThrow(MalformedBytesError);
        expect(() => decodeCommand(Uint8Array.of(...bytes, 0))).toThrow(MalformedBytesError);
      }),
    );
  });

  it('refuses formats, kinds, metrics and field types that it does not know', () => {
    const bytes = encodeCommand({ kind: 'dropCollection', collectionId: 1 });
    expect(() => decodeCommand(Uint8Array.of(2, ...bytes.subarray(1)))).toThrow(/format 2/);
    expect(() => decodeCommand(Uint8Array.of(1, 9, ...bytes.subarray(2)))).toThrow(/kind 9/);
  });

  it('fails by name on any bytes at all', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat({ max: 3 }), (body, kind) => {
        const bytes = Uint8Array.of(1, kind, 0, 0, 0, 0, 0, 0, 0, 0, ...body);
        try {
          decodeCommand(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedBytesError);
        }
      }),
    );
  });
});
