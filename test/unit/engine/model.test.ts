// Goal: whatever happens and whenever the machine dies, a shard holds what its log says, and every
// read finds exactly that (S-43, A3, P-6). Method: random steps, deaths between any two disk
// operations, and a naive model in memory that every answer is compared with.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import { HnswIndex } from '../../../src/engine/index/hnsw-index.js';
import type { VectorIndexFactory } from '../../../src/engine/index/vector-index.js';
import { memoryHarness } from './harness.js';
import { deathsInRandomRuns, mortalSettings, operationsOf } from './model/mortal-runs.js';
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

function write(collectionId: number, kind: Change['kind'], ids: readonly string[]): Step {
  const contents = { vector: [3, 4], metadata: { word: 'a', count: 1 }, ttlMs: undefined } as const;
  const writes = ids.map((id) => {
    return { id, tenant: 'x', demand: undefined, change: { kind, ...contents } };
  });
  const whole = { entries: 1, isStale: false, meanwhile: undefined };
  return { kind: 'write', collectionId, writes, ...whole };
}

describe('a shard against a naive model', () => {
  it.each<[string, VectorIndexFactory]>([
    ['HNSW', (options) => new HnswIndex(options)],
    ['the exact index', (options) => new FlatIndex(options)],
  ])('holds what its log says over %s, wherever it dies (S-43)', async (_name, createIndex) => {
    const settings = fc.record({ ...mortalSettings, createIndex: fc.constant(createIndex) });
    expect(await deathsInRandomRuns(settings)).toBeGreaterThan(5);
  });

  it('holds what its log says, whichever operation of a story it dies in (S-43)', async () => {
    const createIndex: VectorIndexFactory = (options) => new FlatIndex(options);
    expect(await operationsOf(STORY, { createIndex })).toBeGreaterThan(20);
  });

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
