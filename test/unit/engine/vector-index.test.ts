// Goal: the HNSW index and its exact twin keep one contract, whatever is done to them.
// Method: the shared suite, and the recall of one against the other.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import { HnswIndex } from '../../../src/engine/index/hnsw-index.js';
import { RealDisk } from '../../../src/node/real-disk.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { METRICS } from '../../../src/shared/types.js';
import { type SuiteDisk, vectorIndexSuite } from '../../conformance/vector-index-suite.js';
import { addAll, clusteredVectors, seededRandom } from './vectors.js';

vectorIndexSuite('FlatIndex', (options) => new FlatIndex(options), memoryDisk);
vectorIndexSuite('HnswIndex', (options) => new HnswIndex(options), realDisk);

async function memoryDisk(): Promise<SuiteDisk> {
  return { disk: new MemoryDisk(), directory: 'files', remove: async () => undefined };
}

async function realDisk(): Promise<SuiteDisk> {
  const directory = await mkdtemp(join(tmpdir(), 'flotilla-index-'));
  return { disk: new RealDisk(), directory, remove: () => rm(directory, { recursive: true }) };
}

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
