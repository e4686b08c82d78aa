/** Goal: hold what an index finds against the truth. Method: all distances, sorted; a share. */
import { expect } from 'vitest';
import { distanceTo } from '../../src/engine/index/meter.js';
import type { VectorHits } from '../../src/engine/index/vector-index.js';
import { squaredLengthOf } from '../../src/engine/index/vector-math.js';
import { defined, unreachable } from '../../src/shared/assert.js';
import type { Metric } from '../../src/shared/types.js';

/** How far from exact an index may be, in shares of the longest distance that there could be. */
export interface Tolerance {
  /** By which the distance that is told of a hit may be wrong. */
  readonly told: number;
  /** By which a hit may be farther than what belongs in its place. */
  readonly place: number;
}

/** The right points in the right order, at distances that float32 sums give. */
export const EXACT: Tolerance = { told: 1e-5, place: 0 };

export interface Asked {
  readonly query: Float32Array;
  readonly k: number;
  /** All that may be found, by label. */
  readonly points: Iterable<readonly [number, Float32Array]>;
  /** @default l2 */
  readonly metric?: Metric;
}

/** As many as there are up to `k`, none twice, ascending, and all of it within the tolerance. */
export function expectNearest(
  { labels, distances }: VectorHits,
  { query, k, points, metric = 'l2' }: Asked,
  { told, place }: Tolerance,
): void {
  const byLabel = new Map(points);
  const distance = distanceTo(metric, query);
  const nearest = [...byLabel.values()].map((point) => distance(point)).sort((a, b) => a - b);
  const reach = reachOf(metric, query, byLabel.values());
  expect(labels).toHaveLength(Math.min(k, byLabel.size));
  expect(new Set(labels).size).toBe(labels.length);
  expect(distances).toEqual([...distances].sort((a, b) => a - b));
  for (const [rank, label] of labels.entries()) {
    const found = distance(defined(byLabel.get(label), `the point ${label}`));
    const [here, wanted] = [distances[rank] ?? Number.NaN, nearest[rank] ?? Number.NaN];
    expect(Math.abs(here - found), `told of label ${label}`).toBeLessThanOrEqual(told * reach);
    expect(found - wanted, `label ${label} at ${rank}`).toBeLessThanOrEqual(place * reach);
  }
}

/** No distance of the query to any vector that is as long as a point is longer. */
function reachOf(metric: Metric, query: Float32Array, points: Iterable<Float32Array>): number {
  const length = (vector: Float32Array): number => Math.sqrt(squaredLengthOf(vector));
  const longest = Math.max(0, ...[...points].map(length));
  switch (metric) {
    case 'l2':
      return (length(query) + longest) ** 2;
    case 'dot':
      return length(query) * longest;
    case 'cosine':
      return 2;
    default:
      return unreachable(metric);
  }
}
