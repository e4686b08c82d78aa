// Goal: a graph is saved, or taken along, where that spares more than it costs.
// Method: the limits, below and at.
import { describe, expect, it } from 'vitest';
import {
  CHECKPOINT_POLICY,
  estimatedBytes,
  insertsDue,
  insertsDueAtClose,
  insertsDueBeforeSnapshot,
  isFresh,
} from '../../../../src/engine/checkpoint/checkpoint-policy.js';
import type { Collection } from '../../../../src/engine/collection.js';
import { collectionConfig } from '../shard-driver.js';

interface Counts {
  readonly size?: number;
  readonly coveredRows?: number;
  readonly waitingRows?: number;
  readonly unsavedInserts?: number;
}

/** All that is asked of a collection here. */
function collectionOf(counts: Counts): Collection {
  const index = {
    size: 0,
    coveredRows: 0,
    waitingRows: 0,
    unsavedInserts: 0,
    stats: () => ({ graphPoints: counts.coveredRows ?? 0 }),
    ...counts,
  };
  return { index, config: collectionConfig({ dimension: 128, m: 16 }) } as unknown as Collection;
}

describe('a graph', () => {
  it('is saved after 10,000 inserts, or a tenth of what it covers, while it rests', () => {
    const due = (coveredRows: number): number =>
      insertsDue(collectionOf({ coveredRows }), CHECKPOINT_POLICY);
    expect([0, 10_000, 100_000, 250_000].map(due)).toEqual([10_000, 10_000, 10_000, 25_000]);
  });

  it('is saved less often while rows wait for it', () => {
    const counts = { coveredRows: 100_000, waitingRows: 1 };
    expect(insertsDue(collectionOf(counts), CHECKPOINT_POLICY)).toBe(50_000);
    expect(insertsDue(collectionOf({ waitingRows: 1 }), CHECKPOINT_POLICY)).toBe(10_000);
  });

  it('is saved at a close where its inserts take longer than its file', () => {
    const due = (coveredRows: number): number =>
      insertsDueAtClose(collectionOf({ coveredRows }), CHECKPOINT_POLICY);
    expect([10, 10_000, 1_000_000].map(due)).toEqual([1_000, 1_000, 30_000]);
  });

  it('is saved before a snapshot where that would leave more than a tenth to insert', () => {
    const due = (size: number, waitingRows: number): number =>
      insertsDueBeforeSnapshot(collectionOf({ size, waitingRows }), CHECKPOINT_POLICY);
    expect([due(10, 0), due(10_000, 5_000), due(100_000, 0)]).toEqual([1_000, 1_000, 10_000]);
    expect(due(100_000, 50_001)).toBe(Number.POSITIVE_INFINITY);
  });

  it('is taken along by a snapshot while most of its records are in its checkpoint', () => {
    const fresh = (unsavedInserts: number, waitingRows: number): boolean =>
      isFresh(collectionOf({ size: 100, unsavedInserts, waitingRows }));
    expect([fresh(0, 0), fresh(30, 20), fresh(31, 20), fresh(0, 51)]).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  it('takes about as much space as is expected of it', () => {
    // A point of 128 floats and 32 links is 652 bytes in the file of the graph.
    const estimate = estimatedBytes(collectionOf({ coveredRows: 1_000 }));
    expect(estimate).toBeGreaterThan(652_000);
    expect(estimate).toBeLessThan(2 * 652_000);
  });
});
