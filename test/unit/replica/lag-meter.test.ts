// Goal: the time that a follower is behind is the age of the oldest commit that it lacks.
// Method: sample commit indexes at chosen times and ask for different followers.
import { describe, expect, it } from 'vitest';
import { LagMeter } from '../../../src/replica/lag-meter.js';

describe('LagMeter', () => {
  it('tells no lag for a follower that has everything', () => {
    const meter = new LagMeter();
    meter.sample(100, 5);
    expect(meter.lagMs(900, 5)).toBe(0);
    expect(meter.lagMs(900, 8)).toBe(0);
  });

  it('tells the age of the oldest commit that the follower lacks', () => {
    const meter = new LagMeter();
    meter.sample(100, 5);
    meter.sample(200, 5);
    meter.sample(300, 9);
    expect(meter.lagMs(1_000, 4)).toBe(900);
    expect(meter.lagMs(1_000, 7)).toBe(700);
  });

  it('keeps a bounded number of samples', () => {
    const meter = new LagMeter();
    for (let at = 0; at < 5_000; at++) meter.sample(at, at + 1);
    expect(meter.lagMs(5_000, 0)).toBe(1_024);
  });
});
