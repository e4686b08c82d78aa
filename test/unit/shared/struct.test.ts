// Goal: the Struct codec speaks protobuf exactly, and refuses what metadata must not hold.
// Method: properties against protobufjs both ways, hand-made bytes for every refusal.
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import {
  decodeStruct,
  encodeStruct,
  type JsonObject,
  type JsonValue,
  validateStruct,
} from '../../../src/shared/codec/struct.js';
import { type FlotillaError, isFlotillaError } from '../../../src/shared/errors.js';
import { codePoint } from '../../support/code-point.js';

const SCHEMA = `
  syntax = "proto3";
  message Struct { map<string, Value> fields = 1; }
  message Value {
    oneof kind {
      NullValue null_value = 1;
      double number_value = 2;
      string string_value = 3;
      bool bool_value = 4;
      Struct struct_value = 5;
      ListValue list_value = 6;
    }
  }
  enum NullValue { NULL_VALUE = 0; }
  message ListValue { repeated Value values = 1; }
`;
const StructType = protobuf.parse(SCHEMA).root.lookupType('Struct');

function toProto(value: JsonValue): object {
  if (value === null) return { nullValue: 0 };
  if (typeof value === 'number') return { numberValue: value };
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (Array.isArray(value)) return { listValue: { values: value.map(toProto) } };
  return { structValue: structToProto(value as JsonObject) };
}

function structToProto(object: JsonObject): { fields: Record<string, object> } {
  const fields: Record<string, object> = {};
  for (const [name, value] of Object.entries(object)) fields[name] = toProto(value);
  return { fields };
}

// protobufjs itself loses a field named __proto__; ours is tested apart.
const name = fc.string({ unit: codePoint }).filter((text) => text !== '__proto__');
const number = fc
  .double({ noNaN: true, noDefaultInfinity: true })
  .filter((value) => !Number.isInteger(value) || Math.abs(value) <= 2 ** 53);
const { object: metadata } = fc.letrec<{ value: JsonValue; object: JsonObject }>((tie) => ({
  object: fc.dictionary(name, tie('value'), { maxKeys: 5, noNullPrototype: true }),
  value: fc.oneof(
    { depthSize: 'small', maxDepth: 5 },
    fc.constant(null),
    fc.boolean(),
    number,
    fc.string({ unit: codePoint }),
    fc.array(tie('value'), { maxLength: 5 }),
    tie('object'),
  ),
}));

function refusal(action: () => unknown): FlotillaError {
  try {
    action();
  } catch (error) {
    if (isFlotillaError(error)) return error;
    throw error;
  }
  throw new Error('was accepted');
}

function nested(levels: number): JsonObject {
  let object: JsonObject = {};
  for (let level = 1; level < levels; level++) object = { in: object };
  return object;
}

describe('Struct codec', () => {
  it('reads what it wrote, and what protobufjs wrote, as the same object', () => {
    fc.assert(
      fc.property(metadata, (object) => {
        const encoded = encodeStruct(object);
        expect(decodeStruct(encoded)).toEqual(object);
        const theirs = StructType.encode(StructType.fromObject(structToProto(object))).finish();
        expect(decodeStruct(theirs)).toEqual(object);
        validateStruct(theirs);
      }),
    );
  });

  it('writes what protobufjs reads as the same object', () => {
    fc.assert(
      fc.property(metadata, (object) => {
        const message = StructType.decode(encodeStruct(object));
        const plain = StructType.toObject(message, { objects: true, arrays: true });
        const expected = StructType.toObject(StructType.fromObject(structToProto(object)), {
          objects: true,
          arrays: true,
        });
        expect(plain).toEqual(expected);
      }),
    );
  });

  it('validates exactly the bytes that it decodes, and never fails otherwise (P-9)', () => {
    const mutated = fc
      .tuple(metadata, fc.nat(), fc.integer({ min: 0, max: 255 }), fc.nat())
      .map(([object, at, byte, cut]) => {
        const bytes = Uint8Array.from(encodeStruct(object));
        if (bytes.length > 0) bytes[at % bytes.length] = byte;
        return bytes.subarray(0, bytes.length - (cut % 3));
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 40 }), mutated), (bytes) => {
        const reasonOf = (read: (bytes: Uint8Array) => unknown): string => {
          try {
            read(bytes);
            return 'accepted';
          } catch (error) {
            return isFlotillaError(error) ? error.reason : `a bug: ${error}`;
          }
        };
        const validated = reasonOf(validateStruct);
        expect(validated).toMatch(/^(accepted|INVALID_REQUEST|LIMIT_EXCEEDED)$/);
        expect(reasonOf(decodeStruct)).toBe(validated);
      }),
      { numRuns: 500 },
    );
  });

  it('keeps a field named __proto__ a plain field', () => {
    const object = JSON.parse('{"__proto__": {"admin": true}, "a": 1}') as JsonObject;
    const decoded = decodeStruct(encodeStruct(object));
    expect(Object.keys(decoded)).toEqual(['__proto__', 'a']);
    expect(Object.getPrototypeOf(decoded)).toBe(Object.prototype);
    expect('admin' in decoded).toBe(false);
  });

  it('accepts nesting at the limit and refuses one level more, both ways', () => {
    const atLimit = encodeStruct(nested(16));
    validateStruct(atLimit);
    expect(refusal(() => encodeStruct(nested(17))).reason).toBe('LIMIT_EXCEEDED');
    const deeper = encodeStruct(nested(17), { maxDepth: 17 });
    expect(refusal(() => validateStruct(deeper)).limit).toEqual({
      name: 'metadataDepthMax',
      value: 16,
    });
    expect(refusal(() => decodeStruct(deeper)).reason).toBe('LIMIT_EXCEEDED');
    const list = { list: [[[1]]] };
    validateStruct(encodeStruct(list), { maxDepth: 4 });
    expect(refusal(() => validateStruct(encodeStruct(list), { maxDepth: 3 })).reason).toBe(
      'LIMIT_EXCEEDED',
    );
  });

  it('survives nesting that would overflow a stack', () => {
    let bytes: Uint8Array = new Uint8Array();
    for (let level = 0; level < 2_000; level++) {
      bytes = lengthField(1, lengthField(2, lengthField(5, bytes)));
    }
    expect(refusal(() => validateStruct(bytes)).reason).toBe('LIMIT_EXCEEDED');
    const cycle: Record<string, JsonValue> = {};
    cycle.self = cycle;
    expect(refusal(() => encodeStruct(cycle)).reason).toBe('LIMIT_EXCEEDED');
  });

  it('holds integers up to 2^53 and advises strings above', () => {
    for (const value of [2 ** 53, -(2 ** 53), 2 ** 53 - 1]) {
      expect(decodeStruct(encodeStruct({ value }))).toEqual({ value });
    }
    for (const value of [2 ** 53 + 2, -(2 ** 53) - 2, 1e300]) {
      expect(refusal(() => encodeStruct({ value })).message).toContain('use a string');
      const theirs = StructType.encode(StructType.fromObject(structToProto({ value }))).finish();
      expect(refusal(() => validateStruct(theirs)).message).toContain('use a string');
    }
  });

  it('refuses numbers that are not finite', () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      expect(refusal(() => encodeStruct({ deep: [value] })).message).toContain('deep[0]');
      const theirs = StructType.encode(StructType.fromObject(structToProto({ value }))).finish();
      expect(refusal(() => validateStruct(theirs)).reason).toBe('INVALID_REQUEST');
    }
  });

  it('leaves out undefined properties and refuses what JSON cannot hold', () => {
    const loose = { kept: 1, gone: undefined } as unknown as JsonObject;
    expect(decodeStruct(encodeStruct(loose))).toEqual({ kept: 1 });
    class Point {}
    const nested = [{ at: new Date(0) }];
    const lists = [[undefined], new Array(1)];
    for (const value of [1n, () => 1, Symbol('s'), ...lists, new Map(), new Point(), nested]) {
      const wrong = { value } as unknown as JsonObject;
      expect(refusal(() => encodeStruct(wrong)).reason).toBe('INVALID_REQUEST');
    }
  });

  it('names the class instance that would have been stored as an empty object', () => {
    const wrong = { made: { at: new Date(0) } } as unknown as JsonObject;
    expect(refusal(() => encodeStruct(wrong)).message).toContain('made.at is a Date');
    for (const wrongWhole of [new Map(), [], null, 'text']) {
      const { reason } = refusal(() => encodeStruct(wrongWhole as unknown as JsonObject));
      expect(reason).toBe('INVALID_REQUEST');
    }
    const bare = Object.assign(Object.create(null), { a: 1 }) as JsonObject;
    const ofAnotherRealm = runInNewContext('({ a: 1 })') as JsonObject;
    for (const plain of [bare, ofAnotherRealm]) {
      expect(decodeStruct(encodeStruct(plain))).toEqual({ a: 1 });
    }
  });

  it('refuses half surrogate pairs, which would be stored as another string', () => {
    for (const wrong of [{ a: 'x\ud800' }, { '\udc00': 1 }]) {
      expect(refusal(() => encodeStruct(wrong)).reason).toBe('INVALID_REQUEST');
    }
    const pair = { '\u{1f600}': '\u{1f600}' };
    expect(decodeStruct(encodeStruct(pair))).toEqual(pair);
  });

  it.each([
    ['a length past the end', [0x0a, 0x05, 0x0a]],
    ['a cut tag', [0x8a]],
    ['a string that is not UTF-8', [0x0a, 0x07, 0x0a, 0x01, 0xff, 0x12, 0x02, 0x08, 0x00]],
    ['a field without a value', [0x0a, 0x03, 0x0a, 0x01, 0x61]],
    ['a value without a kind', [0x0a, 0x05, 0x0a, 0x01, 0x61, 0x12, 0x00]],
    ['a group', [0x0b, 0x0c]],
    ['a field of number 0', [0x02, 0x00]],
    ['a varint that does not end', [0x10, ...new Array(11).fill(0x80), 0x01]],
    ['a cut double', [0x0a, 0x07, 0x0a, 0x01, 0x61, 0x12, 0x02, 0x11, 0x00]],
  ])('refuses %s', (_what, bytes) => {
    expect(refusal(() => validateStruct(Uint8Array.from(bytes))).reason).toBe('INVALID_REQUEST');
  });

  it('skips unknown fields and takes the last of repeated ones, as protobuf demands', () => {
    const known = encodeStruct({ a: 1 });
    const unknown = [
      0x10, 0x96, 0x01, 0x19, 0, 0, 0, 0, 0, 0, 0, 0, 0x22, 0x01, 0x61, 0x2d, 0, 0, 0, 0,
    ];
    const bytes = Uint8Array.from([...unknown, ...known, ...encodeStruct({ a: 'later' })]);
    expect(decodeStruct(bytes)).toEqual({ a: 'later' });
  });
});

/** A length-delimited field. */
function lengthField(field: number, inner: Uint8Array): Uint8Array {
  const length: number[] = [];
  let rest = inner.length;
  while (rest >= 0x80) {
    length.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  return Uint8Array.from([(field << 3) | 2, ...length, rest, ...inner]);
}
