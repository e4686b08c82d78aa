/** Which vectors a collection can hold and search; their lengths and scales. */
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
