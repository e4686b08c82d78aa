// Goal: filters are read as docs/filters.md says, and mean what it says.
// Method: cases for each operator and refusal, properties for parsing, printing and negation.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeFilter, encodeFilter } from '../../../src/shared/codec/filter-bytes.js';
import { encodeStruct, type JsonObject, type JsonValue } from '../../../src/shared/codec/struct.js';
import { type FlotillaError, isFlotillaError } from '../../../src/shared/errors.js';
import { matches, parseFilter } from '../../../src/shared/filter.js';
import { LIMITS } from '../../../src/shared/limits.js';
import type { IndexedField } from '../../../src/shared/types.js';
import { arbitraryFilter, arbitraryMetadata, FIELDS, printFilter } from './filter-arbitraries.js';

function refusal(filter: JsonObject, fields: readonly IndexedField[] = FIELDS): FlotillaError {
  try {
    parseFilter(filter, fields);
  } catch (error) {
    if (isFlotillaError(error)) return error;
    throw error;
  }
  throw new Error(`${JSON.stringify(filter)} was accepted`);
}

function holds(filter: JsonObject, metadata: JsonObject): boolean {
  return matches(parseFilter(filter, FIELDS), metadata, FIELDS);
}

describe('parsing', () => {
  it('reads a bare value as $eq, and several keys and operators as a conjunction', () => {
    expect(parseFilter({ word: 'a' }, FIELDS)).toEqual({
      kind: 'compare',
      path: 'word',
      operator: 'eq',
      value: 'a',
    });
    expect(parseFilter({ count: { $gte: 1, $lt: 5 }, flag: true }, FIELDS)).toEqual({
      kind: 'and',
      filters: [
        { kind: 'compare', path: 'count', operator: 'gte', value: 1 },
        { kind: 'compare', path: 'count', operator: 'lt', value: 5 },
        { kind: 'compare', path: 'flag', operator: 'eq', value: true },
      ],
    });
    expect(parseFilter({}, FIELDS)).toEqual({ kind: 'and', filters: [] });
  });

  it('reads $not on filters and on the operators of a field', () => {
    const inner = { kind: 'compare', path: 'count', operator: 'gt', value: 5 };
    expect(parseFilter({ count: { $not: { $gt: 5 } } }, FIELDS)).toEqual({
      kind: 'not',
      filter: inner,
    });
    expect(parseFilter({ $not: { count: { $gt: 5 } } }, FIELDS)).toEqual({
      kind: 'not',
      filter: inner,
    });
  });

  it('makes the same filter of what was printed, also after a way over the wire', () => {
    fc.assert(
      fc.property(arbitraryFilter, (filter) => {
        const parsed = parseFilter(printFilter(filter), FIELDS);
        expect(parsed).toEqual(filter);
        expect(decodeFilter(encodeFilter(printFilter(filter)), FIELDS)).toEqual(filter);
      }),
    );
  });

  it.each<[string, JsonObject, string]>([
    ['an unknown operator on a field', { count: { $near: 1 } }, 'filter.count.$near'],
    ['an unknown operator on filters', { $nor: [] }, 'filter.$nor'],
    ['an operator without its dollar', { count: { gte: 1 } }, 'filter.count.gte'],
    ['an object without operators', { count: {} }, 'filter.count'],
    ['null', { $and: [{ word: 'a' }, { count: null }] }, 'filter.$and[1].count'],
    ['a list as a value', { free: ['a'] }, 'filter.free'],
    ['$and of an object', { $and: { word: 'a' } }, 'filter.$and'],
    ['$or of values', { $or: ['a'] }, 'filter.$or[0]'],
    ['$not of a list', { $not: [] }, 'filter.$not'],
    ['$not of a value on a field', { count: { $not: 1 } }, 'filter.count.$not'],
    ['a range of booleans', { free: { $gt: true } }, 'filter.free.$gt'],
    ['$exists with a number', { free: { $exists: 1 } }, 'filter.free.$exists'],
    ['$in of mixed types', { free: { $in: ['a', 'b', 3] } }, 'filter.free.$in[2]'],
    ['$in of a value', { free: { $in: 'a' } }, 'filter.free.$in'],
    ['$nin of a list in a list', { free: { $nin: [['a']] } }, 'filter.free.$nin[0]'],
    ['a number for a keyword', { word: 1 }, 'filter.word'],
    ['a string for an integer', { count: { $gt: '1' } }, 'filter.count.$gt'],
    ['a string for a float', { share: { $in: ['1'] } }, 'filter.share.$in[0]'],
    ['a string for a bool', { flag: 'true' }, 'filter.flag'],
    ['a date without a time', { at: { $lt: '2026-01-31' } }, 'filter.at.$lt'],
    ['an empty name in a path', { 'deep..word': 'a' }, 'filter.deep..word'],
    ['an empty path', { '': 'a' }, 'filter.'],
    ['an infinity', { free: Number.POSITIVE_INFINITY }, 'filter.free'],
    ['an integer that no double holds', { free: 2 ** 53 + 2 }, 'filter.free'],
    ['half a surrogate pair', { free: 'x\ud800' }, 'filter.free'],
    ['a function', { free: (() => 1) as unknown as JsonValue }, 'filter.free'],
    ['a date for a value', { at: new Date(0) as unknown as JsonValue }, 'filter.at'],
    [
      'a set for a list',
      { free: { $in: new Set([1]) as unknown as JsonValue } },
      'filter.free.$in',
    ],
    ['a map for a filter', { $and: [new Map() as unknown as JsonValue] }, 'filter.$and[0]'],
    ['a hole for a filter', { $and: new Array<JsonValue>(1) }, 'filter.$and[0]'],
    ['a hole for a value', { free: { $in: new Array<JsonValue>(1) } }, 'filter.free.$in[0]'],
  ])('refuses %s and names the place (P-9)', (_what, filter, field) => {
    const error = refusal(filter);
    expect([error.reason, error.code, error.field]).toEqual([
      'INVALID_REQUEST',
      'INVALID_ARGUMENT',
      field,
    ]);
    expect(error.message.startsWith(`${field} `)).toBe(true);
  });

  it('tells what was forgotten where an operator has no dollar', () => {
    expect(refusal({ count: { gt: 1 } }).message).toMatch(/no operator \(did you mean \$gt\?\);/);
    expect(refusal({ count: { $GT: 1 } }).message).toMatch(/ \(did you mean \$gt\?\)$/);
    expect(refusal({ and: [{ count: 1 }] }).message).toMatch(/ \(did you mean \$and\?\)$/);
    expect(refusal({ $Or: [] }).message).toMatch(/ \(did you mean \$or\?\)$/);
    expect(refusal({ not: { word: 'a' } }).message).toMatch(/ \(did you mean \$not\?\); /);
    expect(refusal({ count: { near: 1 } }).message).toMatch(/objects are "count\.near"$/);
  });

  it('refuses an instance of a class for the whole filter, and names it', () => {
    const map = new Map([['word', 'a']]) as unknown as JsonObject;
    expect(refusal(map)).toMatchObject({
      field: 'filter',
      message: expect.stringContaining('Map'),
    });
  });

  it('begins places where the filter stands', () => {
    const parse = (): unknown => parseFilter({ word: 1 }, FIELDS, 'queries[3].filter');
    expect(parse).toThrow(/^queries\[3\]\.filter\.word /);
  });

  it('refuses bytes that are no Struct', () => {
    const decode = (): unknown => decodeFilter(Uint8Array.of(0x0a, 0x05, 0x0a), FIELDS);
    expect(decode).toThrow(/^filter is malformed, it must be an encoded google.protobuf.Struct/);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 2 ** 60])(
    'names the place of the number %d in bytes, which only another client can send (P-9)',
    (value) => {
      const fault = Number.isFinite(value) ? 'an integer above 2\\^53' : 'not a finite number';
      const alone = encodeUnchecked({ free: { $gt: MARKER } }, value);
      expect(() => decodeFilter(alone, FIELDS)).toThrow(
        RegExp(`^filter\\.free\\.\\$gt is ${fault}`),
      );
      const listed = encodeUnchecked({ $or: [{ free: { $in: [0.5, MARKER] } }] }, value);
      expect(() => decodeFilter(listed, FIELDS)).toThrow(/^filter\.\$or\[0\]\.free\.\$in\[1\] /);
    },
  );
});

describe('limits', () => {
  const nested = (levels: number): JsonObject => {
    let filter: JsonObject = { word: 'a' };
    for (let level = 1; level < levels; level++) filter = { $and: [filter] };
    return filter;
  };

  it.each([-1, 0])('allow filterDepthMax%i levels, over the wire too', (difference) => {
    const filter = nested(LIMITS.filterDepthMax.value + difference);
    expect(decodeFilter(encodeFilter(filter), FIELDS)).toEqual(parseFilter(filter, FIELDS));
    const list = { ...nested(LIMITS.filterDepthMax.value + difference - 1) };
    expect(() => encodeFilter({ $or: [list] })).not.toThrow();
  });

  it('allow a list of values on the last level', () => {
    let filter: JsonObject = { word: { $in: ['a'] } };
    for (let level = 1; level < LIMITS.filterDepthMax.value; level++) filter = { $or: [filter] };
    expect(decodeFilter(encodeFilter(filter), FIELDS)).toEqual(parseFilter(filter, FIELDS));
  });

  it.each([
    ['groups', nested(LIMITS.filterDepthMax.value + 1)],
    ['several keys', { $and: [nested(LIMITS.filterDepthMax.value - 1)], word: 'a', flag: true }],
    ['far too many', nested(5_000)],
    ['$not of filters', negated(LIMITS.filterDepthMax.value)],
    ['$not of operators', { word: deepOperators(LIMITS.filterDepthMax.value) }],
  ])('refuse one level more: %s', (_what, filter) => {
    const error = refusal(filter);
    expect([error.reason, error.limit?.name]).toEqual(['LIMIT_EXCEEDED', 'filterDepthMax']);
  });

  it('refuse encoded levels beyond any filter before they are taken apart', () => {
    const bytes = encodeStruct(nested(200), { maxDepth: 1_000 });
    expect(() => decodeFilter(bytes, FIELDS)).toThrow(/^filter has more than 16 levels/);
  });

  it.each([-1, 0, 1])('filterConditionsMax: %i from it', (difference) => {
    const count = LIMITS.filterConditionsMax.value + difference;
    const filters = Array.from({ length: count }, (_, at) => (at % 2 ? {} : { free: at }));
    if (difference <= 0) expect(() => parseFilter({ $or: filters }, [])).not.toThrow();
    else expect(refusal({ $or: filters }).limit?.name).toBe('filterConditionsMax');
  });

  it.each([-1, 0, 1])('filterInValuesMax: %i from it', (difference) => {
    const values = Array.from({ length: LIMITS.filterInValuesMax.value + difference }, Number);
    const filter = { free: { $in: values.map((_, at) => at) } };
    if (difference <= 0) expect(() => parseFilter(filter, [])).not.toThrow();
    else expect(refusal(filter).limit?.name).toBe('filterInValuesMax');
  });

  it.each([-1, 0, 1])('filterBytesMax: %i from it', (difference) => {
    const emptyBytes = encodeFilter({ free: 'x'.repeat(60_000) }).length - 60_000;
    const length = LIMITS.filterBytesMax.value + difference - emptyBytes;
    const bytes = encodeFilter({ free: 'x'.repeat(length) });
    expect(bytes.length).toBe(LIMITS.filterBytesMax.value + difference);
    if (difference <= 0) expect(() => decodeFilter(bytes, [])).not.toThrow();
    else expect(() => decodeFilter(bytes, [])).toThrow(/^filter is at 65537 bytes/);
  });

  it('bound paths as those of declared fields', () => {
    const { fieldPathBytesMax: bytesMax, metadataDepthMax: namesMax } = LIMITS;
    const ofBytes = (count: number): JsonObject => ({ ['x'.repeat(count)]: 1 });
    const ofNames = (count: number): JsonObject => ({ [Array(count).fill('x').join('.')]: 1 });
    expect(() => parseFilter(ofBytes(bytesMax.value), [])).not.toThrow();
    expect(refusal(ofBytes(bytesMax.value + 1)).limit?.name).toBe('fieldPathBytesMax');
    expect(() => parseFilter(ofNames(namesMax.value), [])).not.toThrow();
    expect(refusal(ofNames(namesMax.value + 1)).limit?.name).toBe('metadataDepthMax');
  });
});

describe('matching', () => {
  it.each<[string, JsonObject, JsonObject, boolean]>([
    ['equal values', { word: 'a' }, { word: 'a' }, true],
    ['other values', { word: 'a' }, { word: 'b' }, false],
    ['values of another type', { free: 1 }, { free: '1' }, false],
    ['numbers across integer and float', { count: 1 }, { count: 1.0 }, true],
    ['ranges of numbers', { count: { $gt: 1, $lte: 3 } }, { count: 3 }, true],
    ['ranges and values of another type', { free: { $gt: 1 } }, { free: 'z' }, false],
    ['strings by UTF-8', { free: { $gt: '\uffee' } }, { free: '\u{1f600}' }, true],
    ['any element of a list', { word: 'b' }, { word: ['a', 'b'] }, true],
    ['no element of a list', { word: 'c' }, { word: ['a', 'b'] }, false],
    ['$ne as no element', { word: { $ne: 'b' } }, { word: ['a', 'b'] }, false],
    ['each bound by any element', { count: { $gt: 4, $lt: 2 } }, { count: [1, 5] }, true],
    ['objects in lists', { 'deep.word': 'a' }, { deep: [{ word: 'b' }, { word: 'a' }] }, true],
    ['lists in lists', { free: 1 }, { free: [[1], 2] }, true],
    ['no name with a dot in it', { 'deep.word': 'a' }, { 'deep.word': 'a' }, false],
    ['no inherited names', { 'free.constructor': { $exists: true } }, { free: {} }, false],
    ['a missing field under $eq', { word: 'a' }, {}, false],
    ['a missing field under $ne', { word: { $ne: 'a' } }, {}, true],
    ['a missing field under $nin', { word: { $nin: ['a'] } }, {}, true],
    ['a missing field under $not', { count: { $not: { $gt: 1 } } }, {}, true],
    ['a missing field under $exists', { word: { $exists: false } }, {}, true],
    ['null as missing', { word: { $exists: true } }, { word: null }, false],
    ['null among others', { free: { $exists: true } }, { free: [null, 1] }, true],
    ['an empty list as missing', { free: { $exists: false } }, { free: [] }, true],
    ['an object as existing', { deep: { $exists: true } }, { deep: {} }, true],
    [
      'a value of a type that is not declared as existing',
      { at: { $exists: true } },
      { at: 1 },
      true,
    ],
    ['a value of such a type as none', { word: { $ne: 'a' } }, { word: 1 }, true],
    ['instants', { at: '2026-01-31T12:00:00Z' }, { at: '2026-01-31T13:00:00+01:00' }, true],
    [
      'instants in $in',
      { at: { $in: ['2026-01-31t12:00:00z'] } },
      { at: '2026-01-31T12:00:00.0Z' },
      true,
    ],
    ['what is no instant', { at: { $lt: '9999-12-31T00:00:00Z' } }, { at: 'soon' }, false],
    [
      'strings of other fields as text',
      { free: '2026-01-31T12:00:00Z' },
      { free: '2026-01-31T13:00:00+01:00' },
      false,
    ],
    ['$in of nothing', { word: { $in: [] } }, { word: 'a' }, false],
    ['$nin of nothing', { word: { $nin: [] } }, {}, true],
    ['$and of nothing', { $and: [] }, {}, true],
    ['$or of nothing', { $or: [] }, { word: 'a' }, false],
    ['an empty filter', {}, {}, true],
  ])('%s', (_what, filter, metadata, expected) => {
    expect(holds(filter, metadata)).toBe(expected);
  });

  it('is the opposite under $not, and in negated operators', () => {
    fc.assert(
      fc.property(arbitraryFilter, arbitraryMetadata, (filter, metadata) => {
        const plain = matches(filter, metadata, FIELDS);
        expect(matches({ kind: 'not', filter }, metadata, FIELDS)).toBe(!plain);
        if (filter.kind !== 'compare' || filter.operator !== 'eq') return;
        expect(matches({ ...filter, operator: 'ne' }, metadata, FIELDS)).toBe(!plain);
      }),
    );
  });
});

/** Stands for the number that `encodeStruct` would refuse. */
const MARKER = 0.123_456_789;

/** The Struct with another number in the place of the marker, unchecked. */
function encodeUnchecked(filter: JsonObject, value: number): Uint8Array {
  const bytes = Buffer.from(encodeStruct(filter));
  const marker = Buffer.alloc(8);
  marker.writeDoubleLE(MARKER);
  bytes.writeDoubleLE(value, bytes.indexOf(marker));
  return bytes;
}

function negated(times: number): JsonObject {
  return times === 0 ? { word: 'a' } : { $not: negated(times - 1) };
}

function deepOperators(times: number): JsonObject {
  return times === 0 ? { $eq: 'a' } : { $not: deepOperators(times - 1) };
}
