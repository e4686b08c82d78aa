// Goal: Raft's five safety properties, and linearizable ReadIndex, under any order of events.
// Method: seeded random clusters, to which anything may happen; see RandomCluster.
import { describe, expect, it } from 'vitest';
import { type ClusterOptions, RandomCluster } from './random-cluster.js';

const LEASES = { durationMs: 300, promiseMs: 400, driftFraction: 0.05 };
const SHORT_LEASES = { durationMs: 75, promiseMs: 100, driftFraction: 0.05 };
/** Leaders that are cut off and replaced while they hold a lease, and asked for reads meanwhile. */
const AGAINST_LEASES = {
  lease: 60,
  suspect: 1,
  isolate: 1.5,
  heal: 1,
  crash: 0.2,
  stepDown: 0,
  change: 0.3,
  deliver: 90,
};

const RUNS: readonly { options: ClusterOptions; seeds: number; steps: number; what: string }[] = [
  { what: '3 replicas', options: { size: 3 }, seeds: 100, steps: 8_000 },
  { what: '5 replicas', options: { size: 5, leases: SHORT_LEASES }, seeds: 60, steps: 15_000 },
  {
    what: '3 replicas and 2 that come and go',
    options: { size: 3, strangers: 2, leases: SHORT_LEASES },
    seeds: 100,
    steps: 15_000,
  },
  {
    what: '3 replicas with leases',
    options: { size: 3, leases: LEASES, weights: AGAINST_LEASES },
    seeds: 100,
    steps: 10_000,
  },
];

describe('random clusters', () => {
  it.each(RUNS)(
    '$what stay safe and converge: $seeds seeds of $steps steps (P-1, P-4, P-5)',
    ({ options, seeds, steps, what }) => {
      const total = new Map<string, number>();
      for (let seed = 1; seed <= seeds; seed += 1) {
        const cluster = new RandomCluster(seed, { ...options, clockDrift: 0.05 });
        try {
          for (let step = 0; step < steps; step += 1) cluster.step();
          cluster.converge();
        } catch (error) {
          throw new Error(`${what}: seed=${seed}`, { cause: error });
        }
        for (const [name, count] of Object.entries(cluster.seen)) {
          total.set(name, (total.get(name) ?? 0) + count);
        }
      }
      // The runs were worth something: all that could go wrong did happen, and work got done.
      expect(total.get('leaders')).toBeGreaterThan(2 * seeds);
      expect(total.get('crashes')).toBeGreaterThan(seeds);
      expect(total.get('snapshots')).toBeGreaterThan(seeds / 2);
      expect(total.get('reads')).toBeGreaterThan(seeds);
      expect(total.get('transfers')).toBeGreaterThan(seeds / 2);
      expect(total.get('configurations')).toBeGreaterThan(seeds / 4);
      expect(total.get('committed')).toBeGreaterThan(15 * seeds);
      if (options.leases === undefined) return;
      expect(total.get('leasedReads')).toBeGreaterThan(seeds / 2);
    },
  );
});
