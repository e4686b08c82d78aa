// Goal: ranges cover all keys in the order of their bytes, and splits and merges move nothing.
// Method: properties against a search through all ranges; each refusal by its field.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { evenSplitPoints, RangeStrategy } from '../../../src/placement/range-strategy.js';
import {
  type RangeEntry,
  RangeTable,
  rangeTableFault,
} from '../../../src/placement/range-table.js';
import { compareBytes, utf8 } from '../../../src/shared/bytes.js';
import { LIMITS } from '../../../src/shared/limits.js';
import { codePoint } from '../../support/code-point.js';
import { errorOf } from '../../support/error-of.js';

const text = fc.string({ unit: codePoint, maxLength: 6 });
const splitPoints = fc.uniqueArray(
  text.filter((point) => point !== ''),
  { maxLength: 20 },
);

const table = new RangeTable({
  ranges: [
    { rangeId: 1, from: '', shardId: 5 },
    { rangeId: 4, from: 'g', shardId: 6 },
    { rangeId: 2, from: 'p', shardId: 6 },
  ],
  nextRangeId: 5,
});

function rangeSlowly(ranges: readonly RangeEntry[], key: string): RangeEntry | undefined {
  return ranges.filter(({ from }) => compareBytes(utf8(from), utf8(key)) <= 0).at(-1);
}

describe('a range table (M-9)', () => {
  it('finds the range that begins last at or below the key, by UTF-8 bytes', () => {
    fc.assert(
      fc.property(splitPoints, fc.array(text), (points, keys) => {
        const placed = new RangeStrategy(points).place([1, 2, 3]);
        for (const key of [...keys, ...points, '']) {
          expect(placed.rangeOf(key)).toBe(rangeSlowly(placed.state.ranges, key));
        }
      }),
    );
  });

  it('orders by bytes where UTF-16 has another order', () => {
    const placed = new RangeStrategy(['\u{ffff}', '\u{1f6a2}']).place([1]);
    expect(placed.state.ranges.map(({ from }) => from)).toEqual(['', '\u{ffff}', '\u{1f6a2}']);
    expect(placed.unitOf('\u{1f6a2}!')).toEqual({ kind: 'range', rangeId: 3 });
    expect(placed.unitOf('\u{ffff}!')).toEqual({ kind: 'range', rangeId: 2 });
  });

  it('splits a range in place: new ids, the same shard for every key (M-22)', () => {
    fc.assert(
      fc.property(splitPoints, text, fc.array(text), (points, at, keys) => {
        const placed = new RangeStrategy(points).place([1, 2, 3]);
        const range = placed.rangeOf(at);
        fc.pre(range.from !== at);
        const split = placed.split(range.rangeId, at);
        for (const key of [...keys, at]) {
          expect(split.shardOf(key)).toBe(placed.shardOf(key));
          if (placed.rangeOf(key) !== range) expect(split.rangeOf(key)).toBe(placed.rangeOf(key));
        }
        expect(split.unitOf(at)).not.toEqual(split.unitOf(range.from));
        const ids = split.state.ranges.map(({ rangeId }) => rangeId);
        expect(ids).not.toContain(range.rangeId);
        expect(rangeTableFault(split.state)).toBeUndefined();
      }),
    );
  });

  it('merges neighbours into one that holds their keys', () => {
    const merged = table.merge(4, 2);
    expect(merged.state).toEqual({
      ranges: [
        { rangeId: 1, from: '', shardId: 5 },
        { rangeId: 5, from: 'g', shardId: 6 },
      ],
      nextRangeId: 6,
    });
    expect(table.split(4, 'h').merge(5, 6).rangeOf('h')).toEqual({
      rangeId: 7,
      from: 'g',
      shardId: 6,
    });
  });

  it('never uses an id again: the same keys, or none (M8)', () => {
    const once = table.split(1, 'c');
    expect(errorOf(() => once.split(1, 'b'))).toMatchObject({ field: 'unit' });
    expect(errorOf(() => once.ownerOf({ kind: 'range', rangeId: 1 }))).toMatchObject({
      field: 'unit',
    });
  });

  it.each([
    ['at its own beginning', 4, 'g', 'at'],
    ['in another range', 4, 'z', 'at'],
    ['below all others', 1, '', 'at'],
    ['at half a character', 4, 'h\ud800', 'at'],
    ['of an unknown range', 9, 'h', 'unit'],
  ])('refuses a split %s (P-9)', (_, rangeId, at, field) => {
    expect(errorOf(() => table.split(rangeId, at))).toMatchObject({
      reason: 'INVALID_REQUEST',
      field,
    });
  });

  it.each([
    ['that does not exist', 9, 4, 'unit'],
    ['with itself', 4, 4, 'rightRangeId'],
    ['in the wrong order', 2, 4, 'rightRangeId'],
    ['that have one between them', 1, 2, 'rightRangeId'],
    ['after the last one', 2, 1, 'rightRangeId'],
    ['on another shard', 1, 4, 'rightRangeId'],
  ])('refuses to merge a range %s (P-9)', (_, left, right, field) => {
    expect(errorOf(() => table.merge(left, right))).toMatchObject({
      reason: 'INVALID_REQUEST',
      field,
    });
  });

  it('has split points of up to routingKeyBytesMax', () => {
    const longest = 'ä'.repeat(LIMITS.routingKeyBytesMax.value / 2);
    expect(table.split(1, `b${longest.slice(1)}`).state.ranges).toHaveLength(4);
    expect(new RangeStrategy([longest]).place([1]).state.ranges).toHaveLength(2);
    const tooLong = { reason: 'LIMIT_EXCEEDED', limit: { name: 'routingKeyBytesMax' } };
    expect(errorOf(() => table.split(1, `${longest}b`))).toMatchObject(tooLong);
    expect(errorOf(() => new RangeStrategy([`${longest}b`]))).toMatchObject(tooLong);
  });

  it('has up to rangesMax ranges', () => {
    const max = LIMITS.rangesMax.value;
    const points = Array.from({ length: max - 2 }, (_, at) => `k${String(at).padStart(5, '0')}`);
    const full = new RangeStrategy(points).place([1]).split(1, 'a');
    expect(full.state.ranges).toHaveLength(max);
    const tooMany = { reason: 'LIMIT_EXCEEDED', limit: { name: 'rangesMax', value: max } };
    expect(errorOf(() => full.split(full.rangeOf('').rangeId, '!'))).toMatchObject(tooMany);
    expect(new RangeStrategy([...points, 'a']).place([1]).state.ranges).toHaveLength(max);
    expect(errorOf(() => new RangeStrategy([...points, 'a', 'b']))).toMatchObject(tooMany);
  });

  it.each([
    ['no ranges', [], 2],
    ['no first range', [{ rangeId: 1, from: 'a', shardId: 0 }], 2],
    ['an id that comes again', [{ rangeId: 2, from: '', shardId: 0 }], 2],
    [
      'an id twice',
      [
        { rangeId: 1, from: '', shardId: 0 },
        { rangeId: 1, from: 'a', shardId: 0 },
      ],
      2,
    ],
    [
      'a border twice',
      [
        { rangeId: 1, from: '', shardId: 0 },
        { rangeId: 2, from: '', shardId: 0 },
      ],
      3,
    ],
    [
      'a border that is no text',
      [
        { rangeId: 1, from: '', shardId: 0 },
        { rangeId: 2, from: '\udc00', shardId: 0 },
      ],
      3,
    ],
  ])('finds %s in a table', (_, ranges, nextRangeId) => {
    expect(rangeTableFault({ ranges, nextRangeId })).toMatch(/./);
    expect(() => new RangeTable({ ranges, nextRangeId })).toThrow(/not sound/);
  });
});

describe('the range strategy', () => {
  it('begins with one range on one shard, and deals out those that it is given', () => {
    expect(new RangeStrategy().place([4, 2]).state).toEqual({
      ranges: [{ rangeId: 1, from: '', shardId: 2 }],
      nextRangeId: 2,
    });
    const dealt = new RangeStrategy(['m', 'c', 't']).place([4, 2]).state.ranges;
    expect(dealt.map(({ from, shardId }) => [from, shardId])).toEqual([
      ['', 2],
      ['c', 4],
      ['m', 2],
      ['t', 4],
    ]);
  });

  it('refuses split points that make no ranges', () => {
    const refusal = { reason: 'INVALID_REQUEST', field: 'splitPoints' };
    expect(errorOf(() => new RangeStrategy(['a', 'a']))).toMatchObject(refusal);
    expect(errorOf(() => new RangeStrategy(['']))).toMatchObject(refusal);
  });

  it('moves ranges that splits have made, as many as evenness takes', () => {
    const grown = table.split(2, 'r').split(4, 'k');
    const moves = new RangeStrategy().unitMoves(grown, { before: [5, 6], after: [5, 6] });
    expect(moves).toEqual([
      {
        unit: { kind: 'range', rangeId: grown.rangeOf('z').rangeId },
        fromShardId: 6,
        toShardId: 5,
      },
    ]);
  });
});

describe('evenSplitPoints', () => {
  it('cuts a sample into parts that differ by one key at most', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(text, { minLength: 1 }),
        fc.integer({ min: 1, max: 9 }),
        (sample, ranges) => {
          const points = evenSplitPoints(sample, ranges);
          const placed = new RangeStrategy(points).place([1]);
          expect(placed.state.ranges.length).toBeLessThanOrEqual(ranges);
          const counts = placed.state.ranges.map(
            (range) => sample.filter((key) => placed.rangeOf(key) === range).length,
          );
          expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
        },
      ),
    );
  });

  it('has nothing to cut in an empty sample, or one key many times', () => {
    expect(evenSplitPoints([], 4)).toEqual([]);
    expect(evenSplitPoints(['a', 'a', 'a'], 4)).toEqual([]);
  });
});
