// Goal: calls that failed together come back apart, and ever later (D2).
// Method: waits drawn with randomness of the test's own.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FullJitter } from '../../../src/shared/full-jitter.js';

describe('waits', () => {
  it('have bounds that double up to the longest', () => {
    const jitter = new FullJitter({ minMs: 10, maxMs: 100, random: () => 0.999_999 });
    const waits = Array.from({ length: 6 }, () => Math.round(jitter.nextMs()));
    expect(waits).toEqual([10, 20, 40, 80, 100, 100]);
  });

  it('grow from nothing too, for repeats without a pause would bury who is starting', () => {
    const jitter = new FullJitter({ minMs: 0, maxMs: 10, random: () => 0.999_999 });
    const waits = Array.from({ length: 7 }, () => Math.round(jitter.nextMs()));
    expect(waits).toEqual([0, 1, 2, 4, 8, 10, 10]);
  });

  it('are drawn from all of the time up to their bound (D2)', () => {
    const jitter = new FullJitter({ minMs: 100, maxMs: 100, random: Math.random });
    const quarters = Array.from({ length: 400 }, () => Math.floor(jitter.nextMs() / 25));
    expect(new Set(quarters)).toEqual(new Set([0, 1, 2, 3]));
  });

  it('are at least nothing and at most the longest, however odd the bounds', () => {
    const bounds = fc.tuple(fc.nat(10_000), fc.nat(10_000));
    fc.assert(
      fc.property(bounds, fc.nat(100), ([minMs, maxMs], count) => {
        const jitter = new FullJitter({ minMs, maxMs, random: Math.random });
        for (let at = 0; at < count; at++) {
          const waitMs = jitter.nextMs();
          expect(waitMs).toBeGreaterThanOrEqual(0);
          expect(waitMs).toBeLessThanOrEqual(maxMs);
        }
      }),
    );
  });
});
