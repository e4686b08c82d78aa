/** The values that filters compare: which of them can be compared at all, and in what order. */
import type { JsonValue } from './codec/struct.js';
import type { FieldType } from './types.js';

/** What a condition compares with. Values of different types are never equal and have no order. */
export type FilterValue = string | number | boolean;

/**
 * What a value counts as in comparisons; `undefined` where it takes no part in any. In a declared
 * field only values of the field's type take part, and datetimes count as instants; in all others
 * every string, number and boolean does. Equal keys stand for equal values.
 */
export function comparisonKey(
  value: JsonValue | undefined,
  declared: FieldType | undefined,
): FilterValue | undefined {
  switch (typeof value) {
    case 'string':
      if (declared === 'datetime') return parseInstant(value);
      return declared === undefined || declared === 'keyword' ? value : undefined;
    case 'number':
      return declared === undefined || isNumeric(declared) ? value : undefined;
    case 'boolean':
      return declared === undefined || declared === 'bool' ? value : undefined;
    default:
      return undefined;
  }
}

function isNumeric(type: FieldType): boolean {
  return type === 'integer' || type === 'float';
}

/**
 * Negative, zero or positive, as in sorting; NaN where the two are of different types, so that no
 * comparison with the result holds. Strings are in the order of their UTF-8 bytes.
 */
export function compareKeys(a: FilterValue, b: FilterValue): number {
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b);
  if (typeof a !== typeof b) return Number.NaN;
  return Number(a) - Number(b);
}

/** The order of two well-formed strings by their UTF-8 bytes, which is that of code points. */
export function compareText(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const left = a.charCodeAt(at);
    const right = b.charCodeAt(at);
    if (left !== right) return codePointRank(left) - codePointRank(right);
  }
  return a.length - b.length;
}

/** Halves of surrogate pairs stand for the highest code points, and are not the highest units. */
function codePointRank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

const RFC_3339 =
  /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;
const DAYS_BEFORE_MONTH = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];
const DAYS_TO_1970 = 719_528;
const MICROSECONDS = 1e6;

/**
 * Microseconds from 1970 to the date-time of RFC 3339, section 5.6; `undefined` where the text is
 * none. Further digits are dropped, and a leap second is the first second of the next minute.
 * Exact from 1684 to 2255, where doubles hold every microsecond; to 32 microseconds elsewhere.
 */
export function parseInstant(text: string): number | undefined {
  const parts = RFC_3339.exec(text);
  if (parts === null) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts
    .slice(1, 7)
    .map(Number);
  const [fraction = '', sign, offsetHour, offsetMinute] = parts.slice(7);
  const isTime = hour < 24 && minute < 60 && second <= 60;
  const isOffset = Number(offsetHour ?? 0) < 24 && Number(offsetMinute ?? 0) < 60;
  if (!isTime || !isOffset || !isDate(year, month, day)) return undefined;
  const offset = Number(offsetHour ?? 0) * 60 + Number(offsetMinute ?? 0);
  const minutes = hour * 60 + minute - (sign === '-' ? -offset : offset);
  const seconds = (daysFrom1970(year, month, day) * 1_440 + minutes) * 60 + second;
  return seconds * MICROSECONDS + Number(fraction.slice(0, 6).padEnd(6, '0'));
}

function isDate(year: number, month: number, day: number): boolean {
  if (month < 1 || month > 12 || day < 1) return false;
  const length = (DAYS_BEFORE_MONTH[month] as number) - (DAYS_BEFORE_MONTH[month - 1] as number);
  return day <= length + (month === 2 && isLeap(year) ? 1 : 0);
}

function isLeap(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
}

/** By the Gregorian calendar, also before there was one. */
function daysFrom1970(year: number, month: number, day: number): number {
  const before = year - 1;
  const leapDays = Math.floor(before / 4) - Math.floor(before / 100) + Math.floor(before / 400);
  // Year 0 has a leap day too, which counts from year 1 on.
  const yearDays = 365 * year + leapDays + 1;
  const leapDay = month > 2 && isLeap(year) ? 1 : 0;
  return yearDays + (DAYS_BEFORE_MONTH[month - 1] as number) + leapDay + day - 1 - DAYS_TO_1970;
}
