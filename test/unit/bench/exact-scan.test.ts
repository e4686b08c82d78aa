// Goal: what recall is counted against is right.
// Method: random vectors, few of them alike; every order compared with a sort of all distances.
import { describe, expect, it } from 'vitest';
import { ExactScan } from '../../../bench/harness/exact-scan.js';
import { clusteredVectors, exactNeighbours } from '../../support/vectors.js';

describe('an exact scan', () => {
  const vectors = clusteredVectors({ count: 300, dimension: 7, seed: 3, clusters: 4 });
  const scan = new ExactScan(vectors, 7);
  const queries = clusteredVectors({ count: 20, dimension: 7, seed: 4, clusters: 4 });

  it('finds what a sort of all distances finds', () => {
    for (const query of queries) {
      expect(scan.nearest(query, 10)).toEqual(exactNeighbours(vectors, query, 10));
    }
  });

  it('finds the nearest of the given rows alone', () => {
    const rows = Uint32Array.from({ length: 60 }, (_, at) => 5 * at);
    const some = [...rows].map((row) => vectors[row] as Float32Array);
    for (const query of queries) {
      const expected = exactNeighbours(some, query, 10).map((at) => rows[at]);
      expect(scan.nearest(query, 10, rows)).toEqual(expected);
    }
  });

  it('orders equal distances by row, and finds all of fewer than it was asked for', () => {
    const same = new ExactScan([Float32Array.of(1), Float32Array.of(0), Float32Array.of(1)], 1);
    expect(same.nearest(Float32Array.of(1), 5)).toEqual([0, 2, 1]);
    expect(same.nearest(Float32Array.of(1), 5, new Uint32Array())).toEqual([]);
  });
});
