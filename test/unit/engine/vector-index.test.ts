// Goal: the HNSW index, its exact twin and one that rounds keep one contract, whatever is done to
// them. Method: the shared suite, with a tolerance for what rounds; recall of one against another.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import { HnswIndex } from '../../../src/engine/index/hnsw-index.js';
import { RealDisk } from '../../../src/node/real-disk.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { METRICS } from '../../../src/shared/types.js';
import { EXACT, expectNearest, type Tolerance } from '../../conformance/index-tolerance.js';
import { type SuiteDisk, vectorIndexSuite } from '../../conformance/vector-index-suite.js';
import { INT8, QuantizedIndex } from './quantized-index.js';
import { addAll, clusteredVectors, seededRandom } from './vectors.js';

vectorIndexSuite('FlatIndex', (options) => new FlatIndex(options), memoryDisk);
vectorIndexSuite('HnswIndex', (options) => new HnswIndex(options), realDisk);
vectorIndexSuite('QuantizedIndex', (options) => new QuantizedIndex(options), memoryDisk, INT8);

async function memoryDisk(): Promise<SuiteDisk> {
  return { disk: new MemoryDisk(), directory: 'files', remove: async () => undefined };
}

async function realDisk(): Promise<SuiteDisk> {
  const directory = await mkdtemp(join(tmpdir(), 'flotilla-index-'));
  return { disk: new RealDisk(), directory, remove: () => rm(directory, { recursive: true }) };
}

describe('the tolerance of the suite', () => {
  const [near, far] = [Float32Array.of(1, 0), Float32Array.of(2, 0)];
  const asked = {
    query: Float32Array.of(0, 0),
    k: 1,
    points: [[0, near] as const, [1, far] as const],
  };

  it('takes nothing that is not so from an exact index', () => {
    expectNearest({ labels: [0], distances: [1] }, asked, EXACT);
    for (const wrong of [
      { labels: [0], distances: [1.01] },
      { labels: [1], distances: [4] },
      { labels: [], distances: [] },
      { labels: [7], distances: [1] },
    ]) {
      expect(() => expectNearest(wrong, asked, EXACT)).toThrow();
    }
  });

  it('bounds what a rounding one may be wrong by, and nothing else', () => {
    const places: Tolerance = { told: 0.03, place: 0.75 };
    expectNearest({ labels: [1], distances: [4.1] }, asked, places);
    expect(() => expectNearest({ labels: [1], distances: [4.2] }, asked, places)).toThrow();
    expect(() => expectNearest({ labels: [1], distances: [4] }, asked, INT8)).toThrow();
    const both = { ...asked, k: 2 };
    expectNearest({ labels: [1, 0], distances: [1, 1] }, both, { told: 0.75, place: 0.75 });
    expect(() => expectNearest({ labels: [0, 0], distances: [1, 1] }, both, places)).toThrow();
    expect(() => expectNearest({ labels: [1, 0], distances: [4, 1] }, both, places)).toThrow();
  });
});

describe('HnswIndex', () => {
  it.each(METRICS)(
    'recalls 19 in 20 of the exact top 10 under %s, half of it removed',
    (metric) => {
      const options = { dimension: 16, metric, m: 16, efConstruction: 100 };
      const [graph, exact] = [new HnswIndex(options), new FlatIndex(options)];
      const points = clusteredVectors(seededRandom(1), 1_000, 16);
      for (const index of [graph, exact]) {
        addAll(index, points);
        for (let label = 0; label < 1_000; label += 2) index.remove(label);
      }
      let found = 0;
      for (const query of points.slice(0, 100)) {
        const wanted = new Set(exact.search(query, 10, 10).labels);
        found += graph.search(query, 10, 64).labels.filter((label) => wanted.has(label)).length;
      }
      expect(found / 1_000).toBeGreaterThanOrEqual(0.95);
    },
  );

  it('makes the same graph of the same inserts', () => {
    const options = { dimension: 8, metric: 'l2', m: 4, efConstruction: 10 } as const;
    const [one, other] = [new HnswIndex(options), new HnswIndex(options)];
    const points = clusteredVectors(seededRandom(2), 500, 8);
    for (const index of [one, other]) addAll(index, points);
    for (const query of points.slice(0, 50)) {
      expect(one.search(query, 20, 20)).toEqual(other.search(query, 20, 20));
    }
  });
});
