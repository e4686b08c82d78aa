// Goal: every vector index keeps the contract of VectorIndex, and bad use cannot break it.
// Method: one suite for all implementations; the guards are tested by abuse.
import { describe, expect, it } from 'vitest';
import {
  LABEL_MAX,
  type VectorIndexFactory,
  type VectorIndexOptions,
} from '../../src/engine/index/vector-index.js';
import { distanceTo } from '../../src/engine/index/vector-math.js';
import { InvariantError } from '../../src/shared/assert.js';
import { METRICS } from '../../src/shared/types.js';
import { addAll, clusteredVectors, seededRandom } from '../unit/engine/vectors.js';

const OPTIONS: VectorIndexOptions = { dimension: 3, metric: 'l2', m: 16, efConstruction: 100 };

const vector = (...values: number[]): Float32Array => Float32Array.from(values);

export function vectorIndexSuite(name: string, create: VectorIndexFactory): void {
  describe(`${name}: VectorIndex`, () => {
    describe.each(METRICS)('under %s', (metric) => {
      it('finds the nearest in order, with the distance that the metric defines', () => {
        const index = create({ ...OPTIONS, dimension: 8, metric });
        const random = seededRandom(7);
        const points = clusteredVectors(random, 200, 8);
        addAll(index, points);
        const query = points[17] as Float32Array;
        const distance = distanceTo(metric, query);

        const { labels, distances } = index.search(query, 10, 200);

        const exact = points
          .map((point, label) => ({ label, distance: distance(point) }))
          .sort((a, b) => a.distance - b.distance)
          .slice(0, 10);
        expect(labels).toEqual(exact.map((hit) => hit.label));
        for (const [rank, hit] of exact.entries()) {
          expect(distances[rank]).toBeCloseTo(hit.distance, 4);
        }
      });

      it('orders vectors that are very short or very long', () => {
        for (const scale of [1e-5, 1, 1e5]) {
          const index = create({ ...OPTIONS, metric });
          index.add(0, vector(scale, 0, 0));
          index.add(1, vector(scale, scale * 0.1, 0));
          index.add(2, vector(scale * 0.9, -scale, 0));
          const query = vector(scale, scale * 0.1, 0);
          expect(index.search(query, 3, 10).labels, `scale ${scale}`).toEqual([1, 0, 2]);
        }
      });
    });

    it('finds nothing in an empty index', () => {
      expect(create(OPTIONS).search(vector(1, 2, 3), 10, 10)).toEqual({
        labels: [],
        distances: [],
      });
    });

    it('gives all points for a k above the size, and for an ef below k', () => {
      const index = create(OPTIONS);
      for (let label = 0; label < 30; label++) index.add(label, vector(label, 0, 0));
      const all = Array.from({ length: 30 }, (_, label) => label);
      expect(index.search(vector(0, 0, 0), 1_000_000, 100).labels).toEqual(all);
      expect(index.search(vector(0, 0, 0), 30, 1).labels).toEqual(all);
    });

    it('leaves removed points out and counts them', () => {
      const index = create(OPTIONS);
      for (let label = 0; label < 20; label++) index.add(label, vector(label, 0, 0));
      for (let label = 0; label < 15; label++) index.remove(label);
      expect(index.search(vector(0, 0, 0), 5, 5).labels).toEqual([15, 16, 17, 18, 19]);
      expect([index.size, index.removedCount]).toEqual([20, 15]);
    });

    it('finds nothing when all points are removed, and new points afterwards', () => {
      const index = create(OPTIONS);
      for (let label = 0; label < 10; label++) index.add(label, vector(label, 0, 0));
      for (let label = 0; label < 10; label++) index.remove(label);
      expect(index.search(vector(0, 0, 0), 10, 10).labels).toEqual([]);
      index.add(10, vector(5, 5, 5));
      expect(index.search(vector(0, 0, 0), 10, 10).labels).toEqual([10]);
    });

    it('asks the filter for each point, and gives none that it rejects', () => {
      const index = create(OPTIONS);
      for (let label = 0; label < 50; label++) index.add(label, vector(label, 0, 0));
      const isEven = (label: number): boolean => label % 2 === 0;
      expect(index.search(vector(0, 0, 0), 3, 50, isEven).labels).toEqual([0, 2, 4]);
      expect(index.search(vector(0, 0, 0), 3, 50, () => false).labels).toEqual([]);
    });

    it('throws what the filter throws, and lives on', () => {
      const index = create(OPTIONS);
      for (let label = 0; label < 50; label++) index.add(label, vector(label, 0, 0));
      const failing = (): boolean => {
        throw new TypeError('filter failed');
      };
      expect(() => index.search(vector(0, 0, 0), 3, 10, failing)).toThrow('filter failed');
      expect(index.search(vector(0, 0, 0), 1, 10).labels).toEqual([0]);
    });

    it.each([
      ['NaN', vector(Number.NaN, 0, 0)],
      ['an infinity', vector(0, Number.POSITIVE_INFINITY, 0)],
      ['a length that overflows', vector(3e38, 3e38, 3e38)],
      ['too few floats', vector(1, 2)],
      ['too many floats', vector(1, 2, 3, 4)],
      ['no floats', vector()],
    ])('refuses a vector with %s, and is unchanged', (_what, wrong) => {
      const index = create(OPTIONS);
      index.add(0, vector(1, 1, 1));
      expect(() => index.add(1, wrong)).toThrow(InvariantError);
      expect(() => index.search(wrong, 1, 10)).toThrow(InvariantError);
      expect(index.size).toBe(1);
      expect(index.search(vector(1, 1, 1), 5, 10).labels).toEqual([0]);
    });

    it('refuses a zero vector under cosine only', () => {
      const zero = vector(0, 0, 0);
      expect(() => create({ ...OPTIONS, metric: 'cosine' }).add(0, zero)).toThrow(InvariantError);
      create({ ...OPTIONS, metric: 'dot' }).add(0, zero);
      create({ ...OPTIONS, metric: 'l2' }).add(0, zero);
    });

    it('takes the largest label and refuses those that would wrap', () => {
      const index = create(OPTIONS);
      for (const label of [-1, 0.5, Number.NaN, LABEL_MAX + 1, 2 ** 40]) {
        expect(() => index.add(label, vector(1, 1, 1)), `label ${label}`).toThrow(InvariantError);
      }
      index.add(LABEL_MAX, vector(1, 1, 1));
      expect(index.search(vector(1, 1, 1), 1, 1).labels).toEqual([LABEL_MAX]);
    });

    it('refuses a label that was used before, also after its removal', () => {
      const index = create(OPTIONS);
      index.add(4, vector(1, 1, 1));
      expect(() => index.add(4, vector(2, 2, 2))).toThrow(InvariantError);
      index.remove(4);
      expect(() => index.add(4, vector(2, 2, 2))).toThrow(InvariantError);
      expect(() => index.remove(4)).toThrow();
      expect(() => index.remove(5)).toThrow();
      expect([index.size, index.removedCount]).toEqual([1, 1]);
    });

    it('refuses a k or ef that is not a count', () => {
      const index = create(OPTIONS);
      index.add(0, vector(1, 1, 1));
      for (const k of [0, -1, 1.5, Number.NaN]) {
        expect(() => index.search(vector(1, 1, 1), k, 10), `k ${k}`).toThrow(InvariantError);
      }
      expect(() => index.search(vector(1, 1, 1), 1, -1)).toThrow(InvariantError);
    });

    it('grows far beyond its first capacity', () => {
      const index = create(OPTIONS);
      const random = seededRandom(3);
      const points = clusteredVectors(random, 1_000, 3);
      addAll(index, points);
      expect(index.size).toBe(1_000);
      for (const label of [0, 63, 64, 65, 999]) {
        expect(index.search(points[label] as Float32Array, 1, 50).labels).toEqual([label]);
      }
    });

    it('does not keep the array that it was given', () => {
      const index = create(OPTIONS);
      const reused = vector(1, 1, 1);
      index.add(0, reused);
      reused.fill(9);
      expect(index.search(vector(1, 1, 1), 1, 1).distances).toEqual([0]);
    });

    it('frees its memory, and refuses to be used afterwards', () => {
      const index = create(OPTIONS);
      index.add(0, vector(1, 1, 1));
      index.dispose();
      index.dispose();
      expect(() => index.add(1, vector(1, 1, 1))).toThrow(InvariantError);
      expect(() => index.remove(0)).toThrow(InvariantError);
      expect(() => index.search(vector(1, 1, 1), 1, 1)).toThrow(InvariantError);
    });
  });
}
