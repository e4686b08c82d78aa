// Goal: distances are right for every length of vector, wherever it lies among others.
// Method: random vectors against the definitions, in double precision.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { distanceTo, meterTo } from '../../../src/engine/index/meter.js';
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

describe('meterTo', () => {
  it.each(METRICS)('gives two vectors the %s that each has alone', (metric) => {
    fc.assert(
      fc.property(vectors, vectors, fc.nat(9), ([query, vector], [, longer], before) => {
        const dimension = Math.min(query.length, longer.length);
        const [a, b, c] = [query, vector, longer].map((floats) => floats.slice(0, dimension));
        const meter = meterTo(metric, Float32Array.from(a as number[]));
        const one = Float32Array.from([...new Array(before).fill(7), ...(b as number[]), 7]);
        const other = Float32Array.from([7, ...(c as number[]), 7]);
        const distances = new Float64Array(4).fill(7);
        const alone = [meter.one(one, before), meter.one(other, 1)];
        meter.two(one, before, other, 1, distances, 1, Number.POSITIVE_INFINITY);
        expect([...distances]).toEqual([7, ...alone, 7]);
      }),
    );
  });

  it.each(METRICS)('tells each %s exactly that is within the bound', (metric) => {
    const wide = fc.array(component, { minLength: 300, maxLength: 300 });
    // Also ties with the bound, and differences that are lost in rounding.
    const near = fc.integer({ min: -2, max: 2 }).map((steps) => 1 + steps * 2 ** -24);
    fc.assert(
      fc.property(wide, wide, wide, near, fc.boolean(), (query, one, other, factor, isFirst) => {
        const meter = meterTo(metric, Float32Array.from([1, ...query]));
        const vectors = [one, other].map((floats) => Float32Array.from([2, ...floats]));
        const [first, second] = vectors as [Float32Array, Float32Array];
        const alone = vectors.map((vector) => meter.one(vector));
        const bound = (isFirst ? Math.min : Math.max)(...alone) * factor;
        const distances = new Float64Array(2);
        meter.two(first, 0, second, 0, distances, 0, bound);
        for (const [at, distance] of alone.entries()) {
          if (distance <= bound) expect(distances[at]).toBe(distance);
          else expect([distance, Number.POSITIVE_INFINITY]).toContain(distances[at]);
        }
      }),
    );
  });

  it('does not measure to the end what is far', () => {
    const meter = meterTo('l2', new Float32Array(200));
    const far = new Float32Array(200).fill(1);
    const distances = new Float64Array(2);
    meter.two(far, 0, far, 0, distances, 0, 10);
    expect([...distances]).toEqual([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
    meter.two(far, 0, new Float32Array(200), 0, distances, 0, 0);
    expect([...distances]).toEqual([200, 0]);
  });

  it('keeps ties at a bound of 0, and of less than any normal number', () => {
    for (const value of [2 ** -149, 2 ** -80, 2 ** -75, 2 ** -74]) {
      const meter = meterTo('l2', new Float32Array(70));
      const close = new Float32Array(70).fill(value);
      const distance = meter.one(close);
      const distances = new Float64Array(2);
      meter.two(close, 0, close, 0, distances, 0, distance);
      expect([...distances]).toEqual([distance, distance]);
    }
  });
});
