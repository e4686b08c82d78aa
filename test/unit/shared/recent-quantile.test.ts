// Goal: the quantile is that of the latest values, and there is none before there are enough.
// Method: random streams against a sorted copy of their end.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RecentQuantile } from '../../../src/shared/recent-quantile.js';

describe('a recent quantile', () => {
  it('is one of the latest values, with the right share of them at or below it', () => {
    const values = fc.array(fc.double({ min: 0, max: 1_000, noNaN: true }), { maxLength: 300 });
    fc.assert(
      fc.property(values, (stream) => {
        const recent = new RecentQuantile({ quantile: 0.95, windowSize: 64, valuesMin: 20 });
        for (const value of stream) recent.add(value);
        const sorted = stream.slice(-64).sort((a, b) => a - b);
        const p95 = sorted[Math.ceil(0.95 * sorted.length) - 1];
        expect(recent.value).toBe(stream.length < 20 ? undefined : p95);
      }),
    );
  });

  it('follows a stream that changes', () => {
    const recent = new RecentQuantile({ quantile: 0.95, windowSize: 32, valuesMin: 1 });
    for (let at = 0; at < 100; at++) recent.add(1);
    expect(recent.value).toBe(1);
    for (let at = 0; at < 32; at++) recent.add(50);
    expect(recent.value).toBe(50);
    for (let at = 0; at < 32; at++) recent.add(2);
    expect(recent.value).toBe(2);
  });
});
