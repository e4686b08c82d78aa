/** When a graph is worth a checkpoint. */
import type { Collection } from '../collection.js';

/** Inserts that a checkpoint has to spare the next open, at the least. */
export interface CheckpointPolicy {
  readonly insertsMin: number;
  /** When the engine is closed, which waits for it. */
  readonly closingInsertsMin: number;
}

export const CHECKPOINT_POLICY: CheckpointPolicy = {
  insertsMin: 10_000,
  closingInsertsMin: 1_000,
};

/**
 * The same, as shares of the rows in the graph. All of it is written each time: while rows wait for
 * it, what is written until a graph of any size is built is three times its size.
 */
const QUIET_SHARE = 0.1;
const BUSY_SHARE = 0.5;
/** A point is written about thirty times as fast as it is inserted. */
const CLOSING_SHARE = 0.03;

/** Bytes of a point beside its vector and its links: label, and entry in the label table. */
const POINT_BYTES = 80;
const LINK_BYTES = 4;

export function insertsDue({ index }: Collection, { insertsMin }: CheckpointPolicy): number {
  const share = index.waitingRows === 0 ? QUIET_SHARE : BUSY_SHARE;
  return Math.max(insertsMin, share * index.coveredRows);
}

export function insertsDueAtClose(
  { index }: Collection,
  { closingInsertsMin }: CheckpointPolicy,
): number {
  return Math.max(closingInsertsMin, CLOSING_SHARE * index.coveredRows);
}

/** Whether most records would be found in the collection's checkpoint by who loads it. */
export function isFresh({ index }: Collection): boolean {
  return index.unsavedInserts + index.waitingRows <= index.size / 2;
}

/** About what the files of a checkpoint take. */
export function estimatedBytes({ index, config }: Collection): number {
  const { dimension, m } = config;
  return index.stats().graphPoints * (4 * dimension + 2 * m * LINK_BYTES + POINT_BYTES);
}
