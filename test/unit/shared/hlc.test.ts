// Goal: versions of a shard grow without end or exception.
// Method: properties over clocks that jump, and versions seen from others.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HybridClock, versionMs } from '../../../src/shared/hlc.js';

describe('HybridClock', () => {
  it('grows whatever the wall clock does and whatever was observed', () => {
    const step = fc.oneof(
      fc.integer({ min: -1_000, max: 2 ** 47 }).map((wallMs) => ({ wallMs })),
      fc.bigInt(0n, 2n ** 63n).map((observed) => ({ observed })),
    );
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const clock = new HybridClock();
        let highest = 0n;
        for (const one of steps) {
          if ('observed' in one) {
            clock.observe(one.observed);
            if (one.observed > highest) highest = one.observed;
          } else {
            const version = clock.next(one.wallMs);
            expect(version).toBeGreaterThan(highest);
            highest = version;
          }
          expect(clock.last).toBe(highest);
        }
      }),
    );
  });

  it('tells the wall-clock milliseconds of a version', () => {
    const clock = new HybridClock();
    expect(versionMs(clock.next(1_800_000_000_123.9))).toBe(1_800_000_000_123);
    expect(versionMs(clock.next(5))).toBe(1_800_000_000_123);
  });

  it('counts on into the next millisecond when the counter is full', () => {
    const clock = new HybridClock();
    clock.observe((7n << 16n) | 0xffffn);
    expect(clock.next(7)).toBe(8n << 16n);
  });
});
