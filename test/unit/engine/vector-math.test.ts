// Goal: distances are right for every length of vector, wherever it lies among others.
// Method: random vectors against the definitions, in double precision.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { distanceTo } from '../../../src/engine/index/vector-math.js';
import { METRICS, type Metric } from '../../../src/shared/types.js';

function definition(metric: Metric, a: readonly number[], b: readonly number[]): number {
  const dot = (one: readonly number[], other: readonly number[]): number =>
    one.reduce((sum, value, at) => sum + value * (other[at] as number), 0);
  if (metric === 'dot') return -dot(a, b);
  if (metric === 'cosine') return 1 - dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  const difference = a.map((value, at) => value - (b[at] as number));
  return dot(difference, difference);
}

const component = fc.integer({ min: -1_000, max: 1_000 }).map((value) => value / 64);
const vectors = fc
  .integer({ min: 1, max: 40 })
  .chain((length) =>
    fc.tuple(
      fc.array(component, { minLength: length, maxLength: length }),
      fc.array(component, { minLength: length, maxLength: length }),
    ),
  )
  .filter((pair) => pair.every((vector) => vector.some((value) => value !== 0)));

describe('distanceTo', () => {
  it.each(METRICS)('measures %s, at any place of a longer array', (metric) => {
    fc.assert(
      fc.property(vectors, fc.nat(9), ([query, vector], before) => {
        const distance = distanceTo(metric, Float32Array.from(query));
        const expected = definition(metric, query, vector);
        const alone = distance(Float32Array.from(vector));
        expect(Math.abs(alone - expected)).toBeLessThanOrEqual(
          1e-6 * Math.max(1, Math.abs(expected)),
        );
        const among = [...new Array(before).fill(7), ...vector, 7, 7];
        expect(distance(Float32Array.from(among), before)).toBe(alone);
      }),
    );
  });
});
