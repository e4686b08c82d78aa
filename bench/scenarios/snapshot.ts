/**
 * Snapshots of one shard, with its graph: written by a worker thread's engine, sent over the
 * loopback to another process without a cap, installed there by another engine. Whether the main
 * thread of either is ever kept busy by it is counted. Linux only.
 */
import { joined } from '../engine/findings.js';
import type { BenchContext, Measurement, Scenario } from '../harness/scenario.js';
import { measureSnapshot, type SnapshotSize } from '../snapshot/measure-snapshot.js';

const QUICK: readonly SnapshotSize[] = [
  { dimension: 128, records: 1_500, runs: 1 },
  { dimension: 768, records: 1_500, runs: 1 },
];
const FULL: readonly SnapshotSize[] = [
  { dimension: 128, records: 100_000, runs: 5 },
  { dimension: 768, records: 100_000, runs: 3 },
];

export const snapshot: Scenario = {
  name: 'snapshot',
  description: 'a snapshot with its graph: written, sent to another process, installed there',
  run: runSnapshot,
};

async function runSnapshot({ quick, progress }: BenchContext): Promise<Measurement> {
  const sizes = quick ? QUICK : FULL;
  const parts = [];
  for (const size of sizes) parts.push(await measureSnapshot(size, progress));
  return {
    parameters: {
      vectors: sizes.map(({ records, dimension }) => `${records} x ${dimension}`).join(', '),
      runs: sizes.map(({ runs }) => runs).join(', '),
    },
    ...joined(parts),
  };
}
