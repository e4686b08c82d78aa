/** Distances of vectors to a query. Smaller is closer (ARCHITECTURE.md, "Words"). */
import { unreachable } from '../../shared/assert.js';
import type { Metric } from '../../shared/types.js';
import { squaredLengthOf } from './vector-math.js';

/** Measures vectors by their distance to one query, rounded to float32. */
export interface Meter {
  /** The vector begins at `at` of the floats, 0 where that is left out. */
  readonly one: (floats: Float32Array, at?: number) => number;
  /**
   * Of two vectors at once, which takes little longer than of one: what is asked of the processor
   * for the one does not wait for the other. Writes to `place` of `distances` and the place behind.
   * Infinity may stand for what is above `bound`: where both are, it need not be told exactly.
   */
  readonly two: (
    floats: Float32Array,
    at: number,
    others: Float32Array,
    otherAt: number,
    distances: Float64Array,
    place: number,
    bound: number,
  ) => void;
}

/** Linear in the dimension. The same vector has the same distance, whatever it is measured with. */
export function meterTo(metric: Metric, query: Float32Array): Meter {
  const two = measureTwo(metric, query);
  const alone = new Float64Array(2);
  return {
    two,
    one: (floats, at = 0) => {
      two(floats, at, floats, at, alone, 0, Number.POSITIVE_INFINITY);
      return alone[0] as number;
    },
  };
}

/** The `one` of a meter. */
export function distanceTo(metric: Metric, query: Float32Array): Meter['one'] {
  return meterTo(metric, query).one;
}

function measureTwo(metric: Metric, query: Float32Array): Meter['two'] {
  switch (metric) {
    case 'l2':
      return (floats, at, others, otherAt, distances, place, bound) =>
        squaredDistances(query, floats, at, others, otherAt, distances, place, bound);
    case 'dot':
      return (floats, at, others, otherAt, distances, place) =>
        negatedProducts(query, floats, at, others, otherAt, distances, place);
    case 'cosine': {
      const length = Math.sqrt(squaredLengthOf(query));
      return (floats, at, others, otherAt, distances, place) =>
        cosineDistances(query, length, floats, at, others, otherAt, distances, place);
    }
    default:
      return unreachable(metric);
  }
}

/** Numbers of a vector between two looks at whether it is too far already. */
const STRIDE = 64;

/** Above it a sum of squares is no distance within `bound`, whatever rounding does. */
function sumWithin(bound: number): number {
  return bound * (1 + 2 ** -20) + 2 ** -120;
}

// Two vectors, and some sums for each: one alone would wait for every addition before the next, and
// for the memory of one vector before that of the next. The sums are declared one by one: from a
// destructured array they take three times as long.

function squaredDistances(
  query: Float32Array,
  floats: Float32Array,
  at: number,
  others: Float32Array,
  otherAt: number,
  distances: Float64Array,
  place: number,
  bound: number,
): void {
  const { length } = query;
  const whole = length - (length % 4);
  const sumMax = sumWithin(bound);
  let first = 0;
  let second = 0;
  let third = 0;
  let fourth = 0;
  let otherFirst = 0;
  let otherSecond = 0;
  let otherThird = 0;
  let otherFourth = 0;
  let i = 0;
  while (i < whole) {
    const end = Math.min(i + STRIDE, whole);
    for (; i < end; i += 4) {
      const p = query[i] as number;
      const q = query[i + 1] as number;
      const r = query[i + 2] as number;
      const s = query[i + 3] as number;
      const a = p - (floats[at + i] as number);
      const b = q - (floats[at + i + 1] as number);
      const c = r - (floats[at + i + 2] as number);
      const d = s - (floats[at + i + 3] as number);
      first += a * a;
      second += b * b;
      third += c * c;
      fourth += d * d;
      const k = p - (others[otherAt + i] as number);
      const l = q - (others[otherAt + i + 1] as number);
      const m = r - (others[otherAt + i + 2] as number);
      const n = s - (others[otherAt + i + 3] as number);
      otherFirst += k * k;
      otherSecond += l * l;
      otherThird += m * m;
      otherFourth += n * n;
    }
    const sum = first + second + (third + fourth);
    const otherSum = otherFirst + otherSecond + (otherThird + otherFourth);
    // What is added is never less than 0.
    if (sum > sumMax && otherSum > sumMax) {
      distances[place] = Number.POSITIVE_INFINITY;
      distances[place + 1] = Number.POSITIVE_INFINITY;
      return;
    }
  }
  for (; i < length; i++) {
    const difference = (query[i] as number) - (floats[at + i] as number);
    first += difference * difference;
    const other = (query[i] as number) - (others[otherAt + i] as number);
    otherFirst += other * other;
  }
  distances[place] = Math.fround(first + second + (third + fourth));
  distances[place + 1] = Math.fround(otherFirst + otherSecond + (otherThird + otherFourth));
}

function negatedProducts(
  query: Float32Array,
  floats: Float32Array,
  at: number,
  others: Float32Array,
  otherAt: number,
  distances: Float64Array,
  place: number,
): void {
  const { length } = query;
  const whole = length - (length % 4);
  let first = 0;
  let second = 0;
  let third = 0;
  let fourth = 0;
  let otherFirst = 0;
  let otherSecond = 0;
  let otherThird = 0;
  let otherFourth = 0;
  let i = 0;
  for (; i < whole; i += 4) {
    const p = query[i] as number;
    const q = query[i + 1] as number;
    const r = query[i + 2] as number;
    const s = query[i + 3] as number;
    first += p * (floats[at + i] as number);
    second += q * (floats[at + i + 1] as number);
    third += r * (floats[at + i + 2] as number);
    fourth += s * (floats[at + i + 3] as number);
    otherFirst += p * (others[otherAt + i] as number);
    otherSecond += q * (others[otherAt + i + 1] as number);
    otherThird += r * (others[otherAt + i + 2] as number);
    otherFourth += s * (others[otherAt + i + 3] as number);
  }
  for (; i < length; i++) {
    first += (query[i] as number) * (floats[at + i] as number);
    otherFirst += (query[i] as number) * (others[otherAt + i] as number);
  }
  distances[place] = Math.fround(-(first + second + (third + fourth)));
  distances[place + 1] = Math.fround(-(otherFirst + otherSecond + (otherThird + otherFourth)));
}

function cosineDistances(
  query: Float32Array,
  queryLength: number,
  floats: Float32Array,
  at: number,
  others: Float32Array,
  otherAt: number,
  distances: Float64Array,
  place: number,
): void {
  const { length } = query;
  const whole = length - (length % 2);
  let first = 0;
  let second = 0;
  let firstSquares = 0;
  let secondSquares = 0;
  let otherFirst = 0;
  let otherSecond = 0;
  let otherFirstSquares = 0;
  let otherSecondSquares = 0;
  let i = 0;
  for (; i < whole; i += 2) {
    const p = query[i] as number;
    const q = query[i + 1] as number;
    const a = floats[at + i] as number;
    const b = floats[at + i + 1] as number;
    first += p * a;
    second += q * b;
    firstSquares += a * a;
    secondSquares += b * b;
    const k = others[otherAt + i] as number;
    const l = others[otherAt + i + 1] as number;
    otherFirst += p * k;
    otherSecond += q * l;
    otherFirstSquares += k * k;
    otherSecondSquares += l * l;
  }
  if (i < length) {
    const p = query[i] as number;
    const a = floats[at + i] as number;
    first += p * a;
    firstSquares += a * a;
    const k = others[otherAt + i] as number;
    otherFirst += p * k;
    otherFirstSquares += k * k;
  }
  const lengths = queryLength * Math.sqrt(firstSquares + secondSquares);
  const otherLengths = queryLength * Math.sqrt(otherFirstSquares + otherSecondSquares);
  distances[place] = Math.fround(1 - (first + second) / lengths);
  distances[place + 1] = Math.fround(1 - (otherFirst + otherSecond) / otherLengths);
}
