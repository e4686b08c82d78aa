/** When a graph is worth a checkpoint. */
import type { Collection } from '../collection.js';

/** Inserts that a checkpoint has to spare the next open, at the least. */
export interface CheckpointPolicy {
  readonly insertsMin: number;
  /** When the engine is closed, which waits for it. */
  readonly closingInsertsMin: number;
  /** Before a snapshot is written, which waits for it. @default snapshots take what there is */
  readonly snapshotInsertsMin?: number;
  /** How long a graph has to rest to be saved as it would be at a close. @default it is not */
  readonly idleMs?: number;
}

export const CHECKPOINT_POLICY: CheckpointPolicy = {
  insertsMin: 10_000,
  closingInsertsMin: 1_000,
  snapshotInsertsMin: 1_000,
  idleMs: 30_000,
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

/** As many as a snapshot must not leave to who installs it. */
export function insertsDueBeforeSnapshot(
  { index }: Collection,
  { snapshotInsertsMin = Number.POSITIVE_INFINITY }: CheckpointPolicy,
): number {
  // Where most rows wait for the graph the snapshot goes without it, however new its file is.
  if (index.waitingRows > index.size / 2) return Number.POSITIVE_INFINITY;
  return Math.max(snapshotInsertsMin, QUIET_SHARE * index.size);
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
