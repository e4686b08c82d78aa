/** Few, sturdy statistics: medians of slices, quantiles of calls, recall. */
import type { RecordableHistogram } from 'node:perf_hooks';
import type { Quantiles } from './scenario.js';

/** The middle value; the mean of the two middle ones of an even number. Throws on none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.ceil(sorted.length / 2) - 1];
  if (upper === undefined || lower === undefined) throw new RangeError('the median of nothing');
  return (lower + upper) / 2;
}

/**
 * Median of a[i] / b[i]. Slices of one index ran right after one another, so that what slows the
 * machine down for a while slows both, and cancels out.
 */
export function pairedRatio(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length) throw new RangeError(`${a.length} slices beside ${b.length}`);
  return median(a.map((value, at) => value / (b[at] as number)));
}

/** Of a histogram of microseconds. */
export function quantilesMs(histogramUs: RecordableHistogram): Quantiles {
  const at = (percent: number): number => round(histogramUs.percentile(percent) / 1_000, 3);
  return { p50: at(50), p90: at(90), p99: at(99), p999: at(99.9) };
}

export function perSecond(count: number, durationMs: number): number {
  return (1_000 * count) / durationMs;
}

/** Share of the true neighbours among those found, over all queries; 1 where there are none. */
export function recallOf(
  found: readonly (readonly number[])[],
  truth: readonly (readonly number[])[],
): number {
  let hits = 0;
  let wanted = 0;
  for (const [at, neighbours] of truth.entries()) {
    const rows = new Set(found[at]);
    wanted += neighbours.length;
    for (const row of neighbours) if (rows.has(row)) hits++;
  }
  return wanted === 0 ? 1 : hits / wanted;
}

export function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
