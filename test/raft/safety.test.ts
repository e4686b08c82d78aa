// Goal: Raft's five safety properties, and linearizable ReadIndex, under any order of events.
// Method: seeded random clusters, to which anything may happen; see RandomCluster.
import { describe, expect, it } from 'vitest';
import { RandomCluster } from './random-cluster.js';

describe('random clusters', () => {
  it.each([
    { size: 3, seeds: 100, steps: 8_000 },
    { size: 5, seeds: 60, steps: 15_000 },
  ])(
    '$size replicas stay safe and converge: $seeds seeds of $steps steps (P-1, P-4, P-5)',
    (run) => {
      const total = { leaders: 0, crashes: 0, snapshots: 0, reads: 0, committed: 0 };
      for (let seed = 1; seed <= run.seeds; seed += 1) {
        const cluster = new RandomCluster(seed, run.size);
        try {
          for (let step = 0; step < run.steps; step += 1) cluster.step();
          cluster.converge();
        } catch (error) {
          throw new Error(`size=${run.size} seed=${seed}`, { cause: error });
        }
        for (const [name, count] of Object.entries(cluster.seen)) {
          total[name as keyof typeof total] += count;
        }
      }
      // The runs were worth something: all that could go wrong did happen, and work got done.
      expect(total.leaders).toBeGreaterThan(2 * run.seeds);
      expect(total.crashes).toBeGreaterThan(run.seeds);
      expect(total.snapshots).toBeGreaterThan(run.seeds / 2);
      expect(total.reads).toBeGreaterThan(run.seeds);
      expect(total.committed).toBeGreaterThan(25 * run.seeds);
    },
  );
});
