// Goal: a filter that throws inside the addon ends its search soon, instead of the process.
// Method: a graph whose addon is watched: how often it asks, for filters that throw early or late.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadAddon, type SearchResult } from '../../../src/engine/index/addon.js';
import { HnswIndex } from '../../../src/engine/index/hnsw-index.js';
import { addAll, clusteredVectors, seededRandom } from './vectors.js';

const POINTS = 4_000;
const DIMENSION = 8;

const addon = loadAddon();
const { HierarchicalNSW } = addon;
let askedPoints = 0;

class Watched extends HierarchicalNSW {
  override searchKnn(
    query: number[],
    k: number,
    filter?: (label: number) => boolean,
  ): SearchResult {
    return super.searchKnn(query, k, (label) => {
      askedPoints++;
      return filter === undefined || filter(label);
    });
  }
}

beforeAll(() => {
  Object.assign(addon, { HierarchicalNSW: Watched });
});
afterAll(() => {
  Object.assign(addon, { HierarchicalNSW });
});

let index: HnswIndex;
let query: Float32Array;
beforeEach(() => {
  const points = clusteredVectors(seededRandom(3), POINTS, DIMENSION);
  index = new HnswIndex({ dimension: DIMENSION, metric: 'l2', m: 8, efConstruction: 40 });
  addAll(index, points);
  query = points[7] ?? new Float32Array(DIMENSION);
});
afterEach(() => index.dispose());

/** How many points the addon asks about, up to the end of the search. */
function askedBy(search: () => void): number {
  askedPoints = 0;
  search();
  return askedPoints;
}

describe('a filter that throws', () => {
  it.each([0, 1, 100, 1_000])('after %i points ends the search soon', (calls) => {
    const rejecting = askedBy(() => index.search(query, 10, 20, () => false));
    expect(rejecting).toBe(POINTS);
    const unfiltered = askedBy(() => index.search(query, 10, 20, () => true));
    let left = calls;
    let callsAfterwards = 0;
    const failing = (): boolean => {
      if (left-- > 0) return false;
      callsAfterwards++;
      throw new TypeError('filter failed');
    };
    const asked = askedBy(() => {
      expect(() => index.search(query, 10, 20, failing)).toThrow('filter failed');
    });
    expect(callsAfterwards).toBe(1);
    // What was rejected before lies around, and is gone through to its end.
    expect(asked).toBeLessThan(calls + 4 * unfiltered);
    expect(index.search(query, 1, 20).distances).toEqual([0]);
  });
});
