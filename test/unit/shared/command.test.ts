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
import { FIELD_TYPES, METRICS, type WriteCondition } from '../../../src/shared/types.js';
import { codePoint } from '../../support/code-point.js';

const whole = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const text = fc.string({ unit: codePoint, maxLength: 60 });
const version = fc.bigInt(0n, 2n ** 64n - 1n);

const target = { ordinal: whole, slot: fc.nat({ max: 1_023 }), tenant: text, id: text };
const condition: fc.Arbitrary<WriteCondition> = fc.oneof(
  fc.constant({ kind: 'absent' as const }),
  fc.constant({ kind: 'exists' as const }),
  fc.record({ kind: fc.constant('version' as const), version }),
);
/** Parts that an operation may have, or not. */
const parts = fc.record({ condition, ttlMs: whole }, { requiredKeys: [] });
const someBytes = fc.uint8Array({ maxLength: 64 });
const operation: fc.Arbitrary<WriteOperation> = fc.oneof(
  fc
    .tuple(
      fc.record({
        kind: fc.constant('upsert' as const),
        ...target,
        values: someBytes,
        metadata: someBytes,
      }),
      parts,
    )
    .map(([one, more]) => ({ ...one, ...more })),
  fc
    .tuple(fc.record({ kind: fc.constant('delete' as const), ...target }), parts)
    .map(([one, { condition: demand }]) => (demand ? { ...one, condition: demand } : one)),
  fc
    .tuple(
      fc.record({ kind: fc.constant('patch' as const), ...target, metadata: someBytes }),
      parts,
    )
    .map(([one, { condition: demand }]) => (demand ? { ...one, condition: demand } : one)),
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

const listChange = <T>(one: fc.Arbitrary<T>) =>
  fc.record({ added: fc.array(one, { maxLength: 4 }), removed: fc.array(one, { maxLength: 4 }) });
const change = {
  changeId: whole,
  placementId: whole,
  change: fc.record({
    units: listChange(whole),
    here: listChange(text),
    elsewhere: listChange(text),
  }),
};
const reach = fc.record({
  watermarkMs: fc.integer({ min: -1, max: Number.MAX_SAFE_INTEGER - 1 }),
  lastVersion: version,
  clients: fc.array(fc.record({ clientId: text, clientStampMs: whole, sequence: whole }), {
    maxLength: 4,
  }),
});

const command: fc.Arbitrary<Command> = fc.oneof(
  write,
  fc.record({
    kind: fc.constant('createCollection' as const),
    collectionId: whole,
    config: fc.record(
      {
        name: text,
        dimension: whole,
        metric: fc.constantFrom(...METRICS),
        m: whole,
        efConstruction: whole,
        indexedFields: fc.array(fc.record({ path: text, type: fc.constantFrom(...FIELD_TYPES) })),
        ttlMs: whole,
      },
      { requiredKeys: ['name', 'dimension', 'metric', 'm', 'efConstruction', 'indexedFields'] },
    ),
  }),
  fc.record({ kind: fc.constant('dropCollection' as const), collectionId: whole }),
  fc.record({
    kind: fc.constant('expire' as const),
    collectionId: whole,
    records: fc.array(
      fc.record({ slot: fc.nat({ max: 1_023 }), tenant: text, id: text, version }),
      { maxLength: 8 },
    ),
  }),
  fc.record({ kind: fc.constant('mark' as const) }),
  fc.record({ kind: fc.constant('fenceUnits' as const), ...change }),
  fc.record(
    { kind: fc.constant('changeOwnership' as const), ...change, ownershipVersion: whole, reach },
    { requiredKeys: ['kind', 'changeId', 'placementId', 'change', 'ownershipVersion'] },
  ),
);

describe('the command codec', () => {
  it('brings commands back, until stamped with the version that they have to be above (O6)', () => {
    fc.assert(
      fc.property(command, (one) => {
        const above = one.kind === 'changeOwnership' ? (one.reach?.lastVersion ?? 0n) : 0n;
        expect(decodeCommand(encodeCommand(one))).toEqual({ command: one, version: above });
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
    expect(() => decodeCommand(Uint8Array.of(1, 99, ...bytes.subarray(2)))).toThrow(/kind 99/);
  });

  it('gives what it always could say the bytes that it always had', () => {
    const target = { ordinal: 3, slot: 5, tenant: 't', id: 'id' };
    const values = Uint8Array.of(0, 0, 128, 63);
    const hex = (one: Command): string => Buffer.from(encodeCommand(one)).toString('hex');
    const requestKey = { clientId: 'c', clientStampMs: 9, sequence: 2, lowestUnanswered: 1 };
    const operations: WriteOperation[] = [
      { kind: 'upsert', ...target, values, metadata: Uint8Array.of(10) },
      { kind: 'delete', ...target },
    ];
    const write: Command = {
      kind: 'write',
      collectionId: 1,
      ownershipVersion: 7,
      requestKey,
      operations,
    };
    const head = '01010000000000000000' + '0107' + '0163' + '090201' + '02';
    const upsert = '01' + '0305' + '0174' + '026964' + '040000803f' + '010a';
    expect(hex(write)).toBe(`${head}${upsert}0003050174026964`);
    const config = {
      name: 'n',
      dimension: 4,
      metric: 'dot' as const,
      m: 16,
      efConstruction: 10,
      indexedFields: [{ path: 'p', type: 'bool' as const }],
    };
    const create: Command = { kind: 'createCollection', collectionId: 1, config };
    const created = '01020000000000000000' + '01' + '016e' + '04' + '02' + '100a' + '01017003';
    expect(hex(create)).toBe(created);
    const short = { ...create, config: { ...config, ttlMs: 5 } };
    expect(hex(short)).toBe(created.replace('016e0402', '016e0482').concat('05'));
  });

  it('refuses operations that it does not know', () => {
    const command = { kind: 'expire', collectionId: 1, records: [] } as const;
    expect(decodeCommand(encodeCommand(command)).command).toEqual(command);
    for (const head of [3, 8, 10, 16, 255]) {
      const bytes = encodeCommand({
        kind: 'write',
        collectionId: 1,
        ownershipVersion: 1,
        requestKey: { clientId: '', clientStampMs: 0, sequence: 1, lowestUnanswered: 0 },
        operations: [{ kind: 'delete', ordinal: 0, slot: 0, tenant: '', id: '' }],
      });
      const at = bytes.length - 5;
      const changed = Uint8Array.of(...bytes.subarray(0, at), head, ...bytes.subarray(at + 1), 0);
      expect(() => decodeCommand(changed)).toThrow(MalformedBytesError);
    }
  });

  it('fails by name on any bytes at all', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat({ max: 5 }), (body, kind) => {
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
