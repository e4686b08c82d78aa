// Goal: values compare as RFC 3339 and UTF-8 say.
// Method: properties against Date and Buffer.compare, hand-made texts for every refusal.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareKeys, compareText, parseInstant } from '../../../src/shared/filter-values.js';
import { codePoint } from '../../support/code-point.js';

describe('instants', () => {
  it('are those of Date, in microseconds', () => {
    const dates = fc.date({
      min: new Date('0000-01-01T00:00:00Z'),
      max: new Date('9999-12-31T23:59:59.999Z'),
      noInvalidDate: true,
    });
    fc.assert(
      fc.property(dates, fc.integer({ min: -1_439, max: 1_439 }), (date, offset) => {
        const local = new Date(date.getTime() + offset * 60_000);
        fc.pre(local.getUTCFullYear() >= 0 && local.getUTCFullYear() <= 9_999);
        const zone =
          (offset < 0 ? '-' : '+') +
          `${pad(Math.floor(Math.abs(offset) / 60))}:${pad(Math.abs(offset) % 60)}`;
        const text = local.toISOString().replace('Z', zone);
        expect(parseInstant(text)).toBe(date.getTime() * 1_000);
      }),
    );
  });

  it.each([
    ['1970-01-01T00:00:00Z', 0],
    ['1970-01-01T00:00:00-00:00', 0],
    ['1970-01-01t00:00:00.0000019z', 1],
    ['1969-12-31T23:59:59.999999Z', -1],
    ['1972-06-30T23:59:60Z', Date.parse('1972-07-01T00:00:00Z') * 1_000],
    ['2000-02-29T00:00:00Z', Date.parse('2000-02-29T00:00:00Z') * 1_000],
  ])('%s', (text, microseconds) => {
    expect(parseInstant(text)).toBe(microseconds);
  });

  it.each([
    '2026-01-31',
    '2026-01-31 12:00:00Z',
    '2026-01-31T12:00:00',
    '2026-01-31T12:00Z',
    '2026-1-31T12:00:00Z',
    '2026-00-10T12:00:00Z',
    '2026-13-10T12:00:00Z',
    '2026-04-31T12:00:00Z',
    '2026-02-29T12:00:00Z',
    '1900-02-29T12:00:00Z',
    '2026-01-00T12:00:00Z',
    '2026-01-31T24:00:00Z',
    '2026-01-31T12:60:00Z',
    '2026-01-31T12:00:61Z',
    '2026-01-31T12:00:00.Z',
    '2026-01-31T12:00:00+24:00',
    '2026-01-31T12:00:00+01:60',
    '2026-01-31T12:00:00+0100',
    ' 2026-01-31T12:00:00Z',
    '2026-01-31T12:00:00Z\n',
    '',
  ])('are not read from %j', (text) => {
    expect(parseInstant(text)).toBeUndefined();
  });
});

describe('order', () => {
  it('of strings is that of their UTF-8 bytes', () => {
    const text = fc.string({ unit: codePoint, maxLength: 6 });
    fc.assert(
      fc.property(text, text, (a, b) => {
        const expected = Buffer.compare(Buffer.from(a), Buffer.from(b));
        expect(Math.sign(compareText(a, b))).toBe(expected);
      }),
    );
  });

  it('is only within a type', () => {
    expect(compareKeys(1, 2)).toBeLessThan(0);
    expect(compareKeys('a', 'a')).toBe(0);
    expect(compareKeys('1', 1)).toBeNaN();
    expect(compareKeys(true, 1)).toBeNaN();
  });
});

function pad(value: number): string {
  return String(value).padStart(2, '0');
}
