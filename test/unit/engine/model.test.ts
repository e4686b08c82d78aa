// Goal: whatever happens and whenever the machine dies, a shard holds what its log says, and every
// read finds exactly that (S-43, A3, P-6). Method: random steps, deaths between any two disk
// operations, and a naive model in memory that every answer is compared with.
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { CollectionGraphs } from '../../../src/engine/collection-graphs.js';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import { HnswIndex } from '../../../src/engine/index/hnsw-index.js';
import type { VectorIndexFactory } from '../../../src/engine/index/vector-index.js';
import { memoryHarness } from './harness.js';
import { churningRuns, deathsInRandomRuns, mortalSettings, outlive } from './model/mortal-runs.js';
import type { Change, Step } from './model/shard-steps.js';
import { SCOPE, ShardDriver, slotOf, upsert } from './shard-driver.js';

/** A step of all kinds that write to the disk, in an order in which each has something to do. */
const STORY: readonly Step[] = [
  write(1, 'upsert', ['a', 'b', 'c']),
  { kind: 'create', collectionId: 2 },
  write(2, 'upsert', ['a', 'b']),
  write(1, 'patch', ['a', 'd']),
  { kind: 'snapshot' },
  write(1, 'delete', ['b']),
  { kind: 'expire', nowMs: 1_000, isStale: false },
  { kind: 'settle' },
  { kind: 'install' },
  write(1, 'upsert', ['b', 'c', 'e']),
  { kind: 'drop', collectionId: 2 },
  { kind: 'reopen' },
  { kind: 'check' },
];

/** What is written meets a graph that is just being made anew. */
const RENEWED: readonly Step[] = [
  write(1, 'upsert', ['a', 'b', 'c', 'd', 'e', 'f', 'p']),
  { kind: 'settle' },
  write(1, 'upsert', ['a', 'b', 'c']),
  { kind: 'turns', count: 1 },
  write(1, 'upsert', ['b', 'd']),
  { kind: 'turns', count: 1 },
  write(1, 'delete', ['e']),
  { kind: 'settle' },
  { kind: 'check' },
];

function write(collectionId: number, kind: Change['kind'], ids: readonly string[]): Step {
  const contents = { vector: [3, 4], metadata: { word: 'a', count: 1 }, ttlMs: undefined } as const;
  const writes = ids.map((id) => {
    return { id, tenant: 'x', demand: undefined, change: { kind, ...contents } };
  });
  const whole = { entries: 1, isStale: false, meanwhile: undefined };
  return { kind: 'write', collectionId, writes, ...whole };
}

const exactIndex: VectorIndexFactory = (options) => new FlatIndex(options);

afterEach(() => {
  vi.restoreAllMocks();
});

describe('a shard against a naive model', () => {
  const indexes: [string, VectorIndexFactory][] = [
    ['HNSW', (options) => new HnswIndex(options)],
    ['the exact index', exactIndex],
  ];

  it.each(indexes)(
    'holds what its log says over %s, wherever it dies (S-43)',
    async (_name, createIndex) => {
      const settings = fc.record({ ...mortalSettings, createIndex: fc.constant(createIndex) });
      expect(await deathsInRandomRuns(settings)).toBeGreaterThan(5);
    },
  );

  it.each(indexes)(
    'holds what its log says over %s while graphs are renewed, wherever it dies (H3, S-43)',
    async (_name, createIndex) => {
      const settings = fc.record({ ...mortalSettings, createIndex: fc.constant(createIndex) });
      const { deaths, renewals } = await churningRuns(settings);
      expect(deaths).toBeGreaterThan(5);
      expect(renewals).toBeGreaterThan(20);
    },
  );

  it('is found out where a renewal misses what is written meanwhile (H3, S-43)', async () => {
    vi.spyOn(CollectionGraphs.prototype, 'drop').mockImplementation(function (
      this: CollectionGraphs,
      row,
    ) {
      this.serving.drop(row);
    });
    const settings = fc.record({ ...mortalSettings, createIndex: fc.constant(exactIndex) });
    const runs = churningRuns(settings, { seed: 1, endOnFailure: true });
    await expect(runs).rejects.toThrow('Property failed');
  });

  it('holds what its log says, whichever operation of a story it dies in (S-43)', async () => {
    const { operations } = await outlive(STORY, { createIndex: exactIndex });
    expect(operations).toBeGreaterThan(20);
  });

  it.each([true, false])(
    'holds what its log says, wherever in a renewal it dies (H3, S-43; exact copy: %s)',
    async (exactCopy) => {
      const settings = { createIndex: exactIndex, renewalTombstonesMin: 1, exactCopy };
      const { deathsInRenewals } = await outlive(RENEWED, settings);
      expect(deathsInRenewals).toBeGreaterThan(0);
    },
  );

  it('comes to the same state when the log is replayed in other batches (S-43)', async () => {
    const shard = new ShardDriver(await memoryHarness());
    await shard.open();
    await shard.createCollection();
    for (let at = 0; at < 40; at++) {
      await shard.write([upsert(`r${at % 7}`, [at, 1], { ordinal: 0 })], { sequence: at + 1 });
    }
    const one = await dump(shard);
    const other = new ShardDriver(await memoryHarness());
    await other.open();
    other.log.push(...shard.log);
    await other.reopen();
    expect(await dump(other)).toEqual(one);
    expect(await other.engine.stats()).toMatchObject({ appliedIndex: 41, sessions: 1 });
  });
});

async function dump(shard: ShardDriver): Promise<unknown> {
  const keys = Array.from({ length: 7 }, (_, at) => `r${at}`).map((id) => {
    return { slot: slotOf(id), tenant: '', id };
  });
  return shard.engine.fetch(SCOPE, keys, { values: true, metadata: true });
}
