// Goal: whenever graphs are saved, loaded and lost with the machine, a shard holds what its log
// says (H1, H5, H6, S-43). Method: random steps against a naive model, with a checkpoint after
// every insert.
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { FlatIndex } from '../../../../src/engine/index/flat-index.js';
import type { VectorIndexFactory } from '../../../../src/engine/index/vector-index.js';
import { churningRuns, deathsInRandomRuns, mortalSettings, outlive } from '../model/mortal-runs.js';
import type { Step } from '../model/shard-steps.js';
import { ALWAYS, AT_CLOSE } from './checkpoint-rig.js';

const createIndex: VectorIndexFactory = (options) => new FlatIndex(options);
const settings = fc.record({
  ...mortalSettings,
  createIndex: fc.constant(createIndex),
  checkpoints: fc.constantFrom(ALWAYS, ALWAYS, AT_CLOSE),
});

const SETTLE: Step = { kind: 'settle' };
const REOPEN: Step = { kind: 'reopen' };

function upserts(vector: readonly [number, number], ...ids: string[]): Step {
  const change = { kind: 'upsert', vector, metadata: {}, ttlMs: undefined } as const;
  return {
    kind: 'write',
    collectionId: 1,
    writes: ids.map((id) => ({ id, tenant: '', demand: undefined, change })),
    entries: 1,
    isStale: false,
    meanwhile: undefined,
  };
}

/** Each step has a checkpoint to write, to load or to be rid of. */
const STORY: readonly Step[] = [
  upserts([1, 1], 'a', 'b', 'c', 'd'),
  SETTLE,
  upserts([2, 2], 'b', 'e'),
  REOPEN,
  upserts([3, 3], 'c'),
  SETTLE,
  { kind: 'snapshot' },
  { kind: 'create', collectionId: 2 },
  REOPEN,
  { kind: 'install' },
  SETTLE,
  upserts([4, 4], 'a', 'f'),
  { kind: 'drop', collectionId: 2 },
  REOPEN,
  { kind: 'check' },
];

afterEach(() => {
  vi.restoreAllMocks();
});

describe('a shard with checkpoints against a naive model', () => {
  it('holds what its log says, wherever it dies (H5, H6, S-43)', async () => {
    expect(await deathsInRandomRuns(settings)).toBeGreaterThan(5);
  });

  it('holds what its log says while graphs are renewed, wherever it dies (H3, S-43)', async () => {
    const { deaths, renewals } = await churningRuns(settings);
    expect(deaths).toBeGreaterThan(5);
    expect(renewals).toBeGreaterThan(20);
  });

  it('holds what its log says, whichever operation of a story it dies in (H5, S-43)', async () => {
    const chosen = { createIndex, checkpoints: ALWAYS, renewalTombstonesMin: 1 };
    const { operations } = await outlive(STORY, chosen);
    expect(operations).toBeGreaterThan(60);
  });
});
