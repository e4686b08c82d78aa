// Goal: what a writer wrote a reader reads, and nothing beyond it.
// Method: round-trip properties, edges, and truncation at every byte.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ByteReader,
  ByteWriter,
  compareBytes,
  equalBytes,
  floatBytes,
  floatsOf,
  MalformedBytesError,
  memberAt,
  utf8,
  utf8Length,
} from '../../../src/shared/bytes.js';
import { codePoint } from '../../support/code-point.js';

type Field =
  | { readonly type: 'u8' | 'u32' | 'f32' | 'f64' | 'varint'; readonly value: number }
  | { readonly type: 'u64'; readonly value: bigint }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'bytes'; readonly value: Uint8Array }
  | { readonly type: 'string'; readonly value: string };

const of = <T, F>(type: T, values: fc.Arbitrary<F>) => values.map((value) => ({ type, value }));

const field: fc.Arbitrary<Field> = fc.oneof(
  of('u8' as const, fc.integer({ min: 0, max: 255 })),
  of('u32' as const, fc.integer({ min: 0, max: 2 ** 32 - 1 })),
  of('u64' as const, fc.bigInt(0n, 2n ** 64n - 1n)),
  of('f32' as const, fc.float()),
  of('f64' as const, fc.double()),
  of('varint' as const, fc.nat({ max: Number.MAX_SAFE_INTEGER })),
  of('bool' as const, fc.boolean()),
  of('bytes' as const, fc.uint8Array({ maxLength: 300 })),
  of('string' as const, fc.string({ unit: codePoint, maxLength: 60 })),
);

function write(fields: readonly Field[], initialSizeBytes?: number): Uint8Array {
  const writer = new ByteWriter(initialSizeBytes);
  for (const one of fields) {
    if (one.type === 'u64') writer.u64(one.value);
    else if (one.type === 'bool') writer.bool(one.value);
    else if (one.type === 'bytes') writer.bytes(one.value);
    else if (one.type === 'string') writer.string(one.value);
    else writer[one.type](one.value);
  }
  return writer.finish();
}

function readAll(bytes: Uint8Array, fields: readonly Field[]): void {
  const reader = new ByteReader(bytes);
  for (const { type, value } of fields) expect(reader[type]()).toEqual(value);
  reader.end();
}

describe('ByteWriter and ByteReader', () => {
  it('bring any sequence of fields back, however small the first buffer was', () => {
    fc.assert(
      fc.property(fc.array(field), fc.nat({ max: 64 }), (fields, size) => {
        readAll(write(fields, size), fields);
      }),
    );
  });

  it('read from the middle of a larger buffer', () => {
    const fields: Field[] = [
      { type: 'u32', value: 7 },
      { type: 'f64', value: 0.5 },
      { type: 'string', value: 'ключ' },
    ];
    const bytes = write(fields);
    const larger = new Uint8Array(bytes.length + 10);
    larger.set(bytes, 3);
    readAll(larger.subarray(3, 3 + bytes.length), fields);
  });

  it('refuse what was cut off, at every byte (P-8)', () => {
    fc.assert(
      fc.property(fc.array(field, { minLength: 1, maxLength: 6 }), (fields) => {
        const bytes = write(fields);
        for (let length = 0; length < bytes.length; length++) {
          expect(() => readAll(bytes.subarray(0, length), fields)).toThrow(MalformedBytesError);
        }
      }),
      { numRuns: 50 },
    );
  });

  it.each([0, 1, 127, 128, 16_383, 16_384, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER])(
    'write %i as a varint of 7 bits a byte',
    (value) => {
      const bytes = new ByteWriter().varint(value).finish();
      expect(bytes.length).toBe(Math.max(1, Math.ceil(value.toString(2).length / 7)));
      expect(new ByteReader(bytes).varint()).toBe(value);
    },
  );

  it('refuse numbers that are no varint, and varints that are no safe integer', () => {
    for (const value of [-1, 0.5, Number.NaN, 2 ** 53]) {
      expect(() => new ByteWriter().varint(value)).toThrow(RangeError);
    }
    const long = new Uint8Array(9).fill(0x80);
    expect(() => new ByteReader(long).varint()).toThrow(MalformedBytesError);
    const large = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f);
    expect(() => new ByteReader(large).varint()).toThrow(/53 bits/);
  });

  it('keep every character of a string, a byte order mark at its start included', () => {
    const marks = ['\ufeff', '\ufeffid', '\ufffd', 'a\ufffdb'];
    for (const text of [...marks, '', '\0', 'é'.repeat(24), '🚢'.repeat(40)]) {
      const bytes = new ByteWriter().string(text).finish();
      expect(new ByteReader(bytes).string()).toBe(text);
    }
  });

  it('refuse strings that are not UTF-8, booleans that are not 0 or 1, and a rest', () => {
    const notUtf8 = new ByteWriter().bytes(Uint8Array.of(0xff, 0xfe)).finish();
    expect(() => new ByteReader(notUtf8).string()).toThrow(MalformedBytesError);
    expect(() => new ByteReader(Uint8Array.of(2)).bool()).toThrow(MalformedBytesError);
    expect(() => new ByteReader(Uint8Array.of(1)).end()).toThrow(/1 bytes too many/);
  });

  it('do not read lengths that go beyond the end', () => {
    const bytes = new ByteWriter().varint(Number.MAX_SAFE_INTEGER).u8(1).finish();
    expect(() => new ByteReader(bytes).bytes()).toThrow(MalformedBytesError);
  });

  it('tell members of lists by their positions, and no others', () => {
    const words = ['a', 'b'] as const;
    expect([0, 1].map((index) => memberAt(words, index, 'word'))).toEqual(words);
    const beyond = (): string => memberAt(words, 2, 'word');
    expect(beyond).toThrow(MalformedBytesError);
    expect(beyond).toThrow('word 2');
  });
});

describe('helpers', () => {
  it('know the UTF-8 length of a string without encoding it', () => {
    fc.assert(
      fc.property(fc.string({ unit: codePoint }), (text) => {
        expect(utf8Length(text)).toBe(utf8(text).length);
      }),
    );
  });

  it('compare bytes by value, shorter first', () => {
    expect(compareBytes(Uint8Array.of(1), Uint8Array.of(1, 0))).toBeLessThan(0);
    expect(compareBytes(Uint8Array.of(2), Uint8Array.of(1, 0))).toBeGreaterThan(0);
    expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(true);
    expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2, 3))).toBe(false);
  });

  it('turn vectors into little-endian bytes and back, from any offset', () => {
    fc.assert(
      fc.property(fc.float32Array({ maxLength: 40 }), (values) => {
        const bytes = floatBytes(values);
        const shifted = Uint8Array.of(9, ...bytes).subarray(1);
        expect(floatsOf(shifted)).toEqual(values);
        const view = new DataView(bytes.buffer, bytes.byteOffset);
        const read = Array.from(values, (_, at) => view.getFloat32(4 * at, true));
        expect(read).toEqual([...values]);
      }),
    );
  });
});
