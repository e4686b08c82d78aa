// Goal: large numbers and sizes are taken as people mean them, and nothing else is.
// Method: each form; what looks like one; properties of what is written and read back.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  countOption,
  countText,
  parseCount,
  parseSize,
  sizeOption,
  sizeText,
} from '../../../src/cli/quantities.js';

describe('counts', () => {
  it.each([
    ['0', 0],
    ['7', 7],
    ['300k', 300_000],
    ['50M', 50_000_000],
    ['1.5B', 1_500_000_000],
    ['1.1M', 1_100_000],
    ['0.5k', 500],
    ['2.50k', 2_500],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ])('reads %s', (text, value) => {
    expect(parseCount(text)).toBe(value);
  });

  it.each([
    '',
    ' ',
    '1.5',
    '1.2345k',
    '-1',
    '+1',
    '1e6',
    '1_000',
    '1,000',
    '50m',
    '50K',
    '50 M',
    'M',
    '.5M',
    '5.M',
    '1GB',
    '0x10',
    'NaN',
    '9007199254740992',
    '10000000B',
  ])('does not read "%s"', (text) => {
    expect(parseCount(text)).toBeUndefined();
  });

  it('reads what it writes', () => {
    const some = fc.oneof(
      fc.nat(),
      fc.integer({ min: 1, max: 999 }).map((value) => value * 1e6),
      fc.integer({ min: 0, max: 2 ** 50 }),
    );
    fc.assert(
      fc.property(some, (value) => {
        expect(parseCount(countText(value))).toBe(value);
      }),
    );
    expect([300_000, 1_500_000_000, 1, 1_234].map(countText)).toEqual([
      '300k',
      '1.5B',
      '1',
      '1.234k',
    ]);
  });

  it('says what was expected where it is something else (P-9)', () => {
    const parse = countOption({ min: 1, max: 1e9 });
    expect([parse('1'), parse('1B')]).toEqual([1, 1e9]);
    const expected = 'It must be a whole number from 1 to 1B, such as 20000, 300k, 50M or 1.5B.';
    for (const text of ['0', '1.1B', 'many']) expect(() => parse(text)).toThrow(expected);
  });
});

describe('sizes', () => {
  it.each([
    ['4096', 4_096],
    ['4096B', 4_096],
    ['1KiB', 1_024],
    ['32GiB', 32 * 1024 ** 3],
    ['1.5TiB', 1.5 * 1024 ** 4],
    ['0.1MiB', 104_858],
  ])('reads %s', (text, value) => {
    expect(parseSize(text)).toBe(value);
  });

  it.each([
    '',
    '32GB',
    '32G',
    '32gib',
    '32 GiB',
    '-1GiB',
    '1e3MiB',
    '1.5',
    '1.5B',
    'GiB',
    '1PiB',
    '9999999TiB',
  ])('does not read "%s"', (text) => {
    expect(parseSize(text)).toBeUndefined();
  });

  it('reads what it writes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 50 }), (value) => {
        expect(parseSize(sizeText(value))).toBe(value);
      }),
    );
    expect([1024 ** 4, 1536 * 1024 ** 2, 1].map(sizeText)).toEqual(['1TiB', '1536MiB', '1B']);
  });

  it('says what was expected where it is something else (P-9)', () => {
    const parse = sizeOption({ min: 1024 ** 2, max: 1024 ** 4 });
    expect(parse('1MiB')).toBe(1024 ** 2);
    for (const text of ['1KiB', '2TiB', '32GB']) {
      expect(() => parse(text)).toThrow(/from 1MiB to 1TiB, in KiB, MiB, GiB or TiB/);
    }
  });
});
