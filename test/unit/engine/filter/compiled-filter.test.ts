// Goal: a compiled filter answers on encoded metadata as the definition does on decoded ones.
// Method: random filters and metadata, metadata encoded in every way that protobuf allows.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileFilter, pathsOf } from '../../../../src/engine/filter/compiled-filter.js';
import { FieldReader } from '../../../../src/engine/filter/field-reader.js';
import {
  decodeStruct,
  encodeStruct,
  type JsonObject,
} from '../../../../src/shared/codec/struct.js';
import { matches, parseFilter } from '../../../../src/shared/filter.js';
import { arbitraryFilter, arbitraryMetadata, FIELDS } from '../../shared/filter-arbitraries.js';

describe('a compiled filter', () => {
  it('answers as the definition does', () => {
    let held = 0;
    fc.assert(
      fc.property(
        arbitraryFilter,
        fc.array(arbitraryMetadata, { minLength: 1, maxLength: 4 }),
        (filter, records) => {
          const test = compileFilter(filter, FIELDS);
          for (const metadata of records) {
            const expected = matches(filter, metadata, FIELDS);
            expect(test(encodeStruct(metadata))).toBe(expected);
            if (expected) held++;
          }
        },
      ),
      { numRuns: 500 },
    );
    expect(held).toBeGreaterThan(50);
  });

  it('takes the last of repeated fields, as protobuf demands', () => {
    fc.assert(
      fc.property(
        arbitraryFilter,
        arbitraryMetadata,
        arbitraryMetadata,
        (filter, first, second) => {
          const bytes = Buffer.concat([encodeStruct(first), encodeStruct(second)]);
          const expected = matches(filter, decodeStruct(bytes), FIELDS);
          expect(compileFilter(filter, FIELDS)(bytes)).toBe(expected);
        },
      ),
    );
  });

  it('takes the last of repeated parts of a field and of a value', () => {
    const test = compileFilter(parseFilter({ b: 'x' }, []), []);
    const value = [0x1a, 1, 0x79, 0x1a, 1, 0x78]; // "y", then "x"
    const entry = [0x0a, 1, 0x61, 0x12, 2, 8, 0, 0x0a, 1, 0x62, 0x12, value.length, ...value];
    const bytes = Uint8Array.from([0x0a, entry.length, ...entry]);
    expect(decodeStruct(bytes)).toEqual({ b: 'x' });
    expect(test(bytes)).toBe(true);
  });

  it('finds nothing in bytes that are no metadata, and never throws', () => {
    const exists = compileFilter(parseFilter({ word: { $exists: true } }, FIELDS), FIELDS);
    const valid = encodeStruct({ word: ['a', { deep: 1 }], count: 1 });
    for (let length = 0; length < valid.length; length++) {
      expect(() => exists(valid.subarray(0, length))).not.toThrow();
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        expect(typeof exists(bytes)).toBe('boolean');
      }),
    );
    expect(exists(new Uint8Array(0))).toBe(false);
  });

  it('finds nothing in lists too deep for metadata, instead of running out of stack', () => {
    let value = Buffer.from([0x20, 1]);
    for (let level = 0; level < 5_000; level++) value = field(50, field(10, value));
    const bytes = field(10, Buffer.concat([field(10, Buffer.from('a')), field(18, value)]));
    const exists = compileFilter(parseFilter({ a: { $exists: true } }, []), []);
    expect(exists(bytes)).toBe(false);
  });

  it('reads metadata as deep as they may be', () => {
    let metadata: JsonObject = { x: 1 };
    for (let level = 1; level < 16; level++) metadata = { x: metadata };
    const path = Array(16).fill('x').join('.');
    expect(compileFilter(parseFilter({ [path]: 1 }, []), [])(encodeStruct(metadata))).toBe(true);
  });
});

describe('a field reader', () => {
  it('reads paths that begin alike, and forgets the record before', () => {
    const reader = new FieldReader(['a', 'a.b', 'a.c']);
    const read = (metadata: JsonObject): unknown =>
      reader.read(encodeStruct(metadata)).map(({ exists, values }) => [exists, [...values]]);
    expect(read({ a: [{ b: 1, c: null }, 'x', { b: true }] })).toEqual([
      [true, ['x']],
      [true, [1, true]],
      [false, []],
    ]);
    expect(read({ other: 1 })).toEqual([
      [false, []],
      [false, []],
      [false, []],
    ]);
  });

  it('is asked for each path of a filter once', () => {
    const filter = parseFilter({ $or: [{ a: 1 }, { $not: { a: 2, 'b.c': 'x' } }] }, []);
    expect([...pathsOf(filter)]).toEqual(['a', 'b.c']);
  });
});

/** A length-delimited field by its tag. */
function field(tag: number, inner: Uint8Array): Buffer<ArrayBuffer> {
  const head = [tag];
  let rest = inner.length;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) head.push((rest % 0x80) | 0x80);
  return Buffer.concat([Buffer.from([...head, rest]), inner]);
}
