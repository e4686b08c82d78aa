// Goal: an index whose distances are only about right fits behind the engine as it is: planner,
// head and checkpoints. Method: int8 vectors in the graph, the exact copy beside it, brute force.
import { describe, expect, it } from 'vitest';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import { distanceTo } from '../../../src/engine/index/meter.js';
import type { VectorIndexFactory } from '../../../src/engine/index/vector-index.js';
import { defined } from '../../../src/shared/assert.js';
import { encodeFilter } from '../../../src/shared/codec/filter-bytes.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { METRICS } from '../../../src/shared/types.js';
import { CheckpointRig, LOADED, names, RECORDS, REMOVED } from './checkpoint/checkpoint-rig.js';
import { memoryHarness, openShard } from './harness.js';
import { QuantizedIndex } from './quantized-index.js';
import { query, SCOPE, type ShardDriver, upsert } from './shard-driver.js';
import { addAll, clusteredVectors, seededRandom } from './vectors.js';

const quantized: VectorIndexFactory = (options) => new QuantizedIndex(options);
const DIMENSION = 32;
const POINTS = 2_000;
const RECORDS_PER_ENTRY = 100;
const K = 10;
const RECALL_MIN = 0.99;

const points = clusteredVectors(seededRandom(31), POINTS, DIMENSION);
const queries = clusteredVectors(seededRandom(32), 100, DIMENSION);

/** Every other record is even. */
async function fill(shard: ShardDriver): Promise<void> {
  const operations = points.map((point, at) =>
    upsert(`${at}`, point, { metadata: { even: at % 2 === 0 } }),
  );
  for (let at = 0; at < POINTS; at += RECORDS_PER_ENTRY) {
    await shard.write(operations.slice(at, at + RECORDS_PER_ENTRY));
  }
  await shard.settled();
}

describe('an engine over an index of int8 vectors', () => {
  it.each(METRICS)('finds 99 in 100 of the nearest 10, at exact distances (%s)', async (metric) => {
    const indexedFields = [{ path: 'even', type: 'bool' as const }];
    const config = { dimension: DIMENSION, metric, indexedFields };
    const shard = await openShard(config, await memoryHarness(quantized));
    await fill(shard);
    expect(await shard.stats()).toMatchObject({ headRows: 0, graphPoints: POINTS });
    for (const even of [undefined, true]) {
      const filter = even === undefined ? {} : { filter: encodeFilter({ even }) };
      const wanted = points.filter((_, at) => even === undefined || at % 2 === 0);
      let found = 0;
      for (const vector of queries) {
        const distance = distanceTo(metric, vector);
        const hits = await shard.search(query(vector, K, filter));
        const told = hits.map((hit) => hit.distance);
        expect(told).toEqual(hits.map(({ id }) => distance(defined(points[Number(id)], id))));
        const nearest = wanted.map((point) => distance(point)).sort((a, b) => a - b);
        const bound = defined(nearest[K - 1], 'the last of the nearest');
        found += told.filter((one) => one <= bound).length;
      }
      expect(found / (K * queries.length)).toBeGreaterThanOrEqual(RECALL_MIN);
    }
    const explained = await shard.engine.explain(SCOPE, query(defined(queries[0], 'one'), K));
    expect(explained.plan).toBe('graph');
    await shard.engine.close();
  });

  it('has the exact distances of the copy, not those of the index', () => {
    const index = new QuantizedIndex({
      dimension: DIMENSION,
      metric: 'l2',
      m: 16,
      efConstruction: 100,
    });
    addAll(index, points);
    const vector = defined(queries[0], 'a query');
    const { labels, distances } = index.search(vector, K, K);
    const exact = labels.map((label) => distanceTo('l2', vector)(defined(points[label], 'one')));
    expect(distances).not.toEqual(exact);
  });

  it('comes back from its checkpoint, and is made anew from that of another kind', async () => {
    const rig = new CheckpointRig(new MemoryDisk(), { createIndex: quantized });
    await rig.fill();
    const before = await rig.allIds();
    expect(before).toEqual(names(RECORDS));
    await rig.restart();
    expect([rig.diary.count(LOADED), rig.diary.count(REMOVED)]).toEqual([1, 0]);
    expect(await rig.allIds()).toEqual(before);
    rig.options = { createIndex: (options) => new FlatIndex(options) };
    await rig.restart();
    expect([rig.diary.count(LOADED), rig.diary.count(REMOVED)]).toEqual([1, 1]);
    expect(await rig.allIds()).toEqual(before);
    await rig.shard.engine.close();
  });
});
