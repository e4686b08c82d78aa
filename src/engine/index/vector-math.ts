/** Distances and checks of vectors. Smaller is closer (ARCHITECTURE.md, "Words"). */

import { unreachable } from '../../shared/assert.js';
import { floatsOf } from '../../shared/bytes.js';
import type { ErrorBody, Metric } from '../../shared/types.js';

/**
 * The largest squared length of a vector. Below it no squared distance and no dot product of two
 * vectors, nor any partial sum on the way there, leaves the range of a float32: (2 x 2^62.5)^2 is
 * 2^127. Infinities would meet as NaN in the graph, which orders by them.
 */
const SQUARED_LENGTH_MAX = 2 ** 125;

/**
 * The graph orders by 1 - product in float32, which is the same 1 for all short vectors. Scaled up
 * by a power of two, which is exact, products of vectors as short as 10^-5 keep their digits.
 */
export const DOT_SCALE = 2 ** 20;

/** Why the collection cannot hold or search the vector, or `undefined` where it can. */
export function vectorFault(
  vector: Float32Array,
  dimension: number,
  metric: Metric,
): ErrorBody | undefined {
  if (vector.length !== dimension) {
    return {
      reason: 'DIMENSION_MISMATCH',
      message: `the vector has ${vector.length} floats, the collection ${dimension}`,
    };
  }
  const squaredLength = squaredLengthOf(vector);
  if (Number.isNaN(squaredLength) || squaredLength === Number.POSITIVE_INFINITY) {
    return { reason: 'NOT_FINITE', message: 'the vector holds NaN or an infinity' };
  }
  // Only the direction counts under cosine, so that any length can be used.
  const scale = metric === 'dot' ? DOT_SCALE * DOT_SCALE : 1;
  if (metric !== 'cosine' && squaredLength * scale > SQUARED_LENGTH_MAX) {
    return { reason: 'NOT_FINITE', message: 'distances to the vector overflow a float32' };
  }
  if (metric === 'cosine' && squaredLength === 0) {
    return { reason: 'ZERO_VECTOR', message: 'a vector of zeros has no direction' };
  }
  return undefined;
}

/** The vector of little-endian float32 bytes, or why the collection cannot hold or search it. */
export function checkedVector(
  bytes: Uint8Array,
  { dimension, metric }: { readonly dimension: number; readonly metric: Metric },
): Float32Array | ErrorBody {
  if (bytes.length % Float32Array.BYTES_PER_ELEMENT !== 0) {
    const message = `the vector has ${bytes.length} bytes, no whole number of floats`;
    return { reason: 'DIMENSION_MISMATCH', message };
  }
  const vector = floatsOf(bytes);
  return vectorFault(vector, dimension, metric) ?? vector;
}

/** In double precision: finite for every vector of finite float32. */
export function squaredLengthOf(vector: Float32Array): number {
  let sum = 0;
  for (let at = 0; at < vector.length; at++) {
    const value = vector[at] as number;
    sum += value * value;
  }
  return sum;
}

/**
 * A function that gives the distance of any vector to `query`, rounded to float32. The vector
 * begins at `at` of the floats that it is given, 0 where that is left out.
 */
export function distanceTo(
  metric: Metric,
  query: Float32Array,
): (floats: Float32Array, at?: number) => number {
  switch (metric) {
    case 'l2':
      return (floats, at = 0) => Math.fround(squaredDistance(query, floats, at));
    case 'dot':
      return (floats, at = 0) => Math.fround(-dotProduct(query, floats, at));
    case 'cosine': {
      const length = Math.sqrt(squaredLengthOf(query));
      return (floats, at = 0) => Math.fround(1 - cosineSimilarity(query, length, floats, at));
    }
    default:
      return unreachable(metric);
  }
}

// Four sums each: one alone would wait for every addition before the next. They are declared one by
// one: sums from a destructured array take three times as long.

function dotProduct(query: Float32Array, floats: Float32Array, at: number): number {
  const { length } = query;
  const whole = length - (length % 4);
  let first = 0;
  let second = 0;
  let third = 0;
  let fourth = 0;
  let i = 0;
  for (; i < whole; i += 4) {
    first += (query[i] as number) * (floats[at + i] as number);
    second += (query[i + 1] as number) * (floats[at + i + 1] as number);
    third += (query[i + 2] as number) * (floats[at + i + 2] as number);
    fourth += (query[i + 3] as number) * (floats[at + i + 3] as number);
  }
  for (; i < length; i++) first += (query[i] as number) * (floats[at + i] as number);
  return first + second + (third + fourth);
}

function squaredDistance(query: Float32Array, floats: Float32Array, at: number): number {
  const { length } = query;
  const whole = length - (length % 4);
  let first = 0;
  let second = 0;
  let third = 0;
  let fourth = 0;
  let i = 0;
  for (; i < whole; i += 4) {
    const a = (query[i] as number) - (floats[at + i] as number);
    const b = (query[i + 1] as number) - (floats[at + i + 1] as number);
    const c = (query[i + 2] as number) - (floats[at + i + 2] as number);
    const d = (query[i + 3] as number) - (floats[at + i + 3] as number);
    first += a * a;
    second += b * b;
    third += c * c;
    fourth += d * d;
  }
  for (; i < length; i++) {
    const difference = (query[i] as number) - (floats[at + i] as number);
    first += difference * difference;
  }
  return first + second + (third + fourth);
}

function cosineSimilarity(
  query: Float32Array,
  queryLength: number,
  floats: Float32Array,
  at: number,
): number {
  const { length } = query;
  const whole = length - (length % 2);
  let product = 0;
  let otherProduct = 0;
  let square = 0;
  let otherSquare = 0;
  let i = 0;
  for (; i < whole; i += 2) {
    const a = floats[at + i] as number;
    const b = floats[at + i + 1] as number;
    product += (query[i] as number) * a;
    otherProduct += (query[i + 1] as number) * b;
    square += a * a;
    otherSquare += b * b;
  }
  if (i < length) {
    const last = floats[at + i] as number;
    product += (query[i] as number) * last;
    square += last * last;
  }
  return (product + otherProduct) / (queryLength * Math.sqrt(square + otherSquare));
}
