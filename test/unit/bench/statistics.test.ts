// Goal: the numbers that benchmarks report are computed as their names say.
// Method: small inputs whose medians, ratios, quantiles and recall are known by hand.
import { createHistogram } from 'node:perf_hooks';
import { describe, expect, it } from 'vitest';
import { median, pairedRatio, quantilesMs, recallOf } from '../../../bench/harness/statistics.js';

describe('median', () => {
  it('is the middle value, in whatever order the values come', () => {
    expect(median([9, 1, 5])).toBe(5);
  });

  it('is the mean of the two middle values of an even number', () => {
    expect(median([4, 1, 3, 100])).toBe(3.5);
  });

  it('of nothing is an error', () => {
    expect(() => median([])).toThrow(RangeError);
  });
});

describe('a ratio of paired slices', () => {
  it('is not moved by a phase that slows both sides down', () => {
    expect(pairedRatio([50, 5, 50], [100, 10, 100])).toBe(0.5);
  });

  it('needs as many slices on both sides', () => {
    expect(() => pairedRatio([1], [1, 2])).toThrow('1 slices beside 2');
  });
});

describe('quantiles', () => {
  it('are in milliseconds, of a histogram in microseconds', () => {
    const histogram = createHistogram();
    for (let us = 1; us <= 1_000; us++) histogram.record(us);
    const { p50, p90, p99, p999 } = quantilesMs(histogram);
    expect([p50, p90, p99, p999]).toEqual([0.5, 0.9, 0.99, 0.999]);
  });
});

describe('recall', () => {
  it('is the share of the true neighbours that were found, whatever else was', () => {
    const found = [
      [3, 1, 9],
      [4, 5],
    ];
    const truth = [
      [1, 2],
      [4, 5],
    ];
    expect(recallOf(found, truth)).toBe(0.75);
  });

  it('is whole where there was nothing to find', () => {
    expect(recallOf([[7]], [[]])).toBe(1);
  });

  it('counts queries without an answer as misses', () => {
    expect(recallOf([], [[1, 2]])).toBe(0);
  });
});
