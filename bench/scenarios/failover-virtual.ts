/**
 * How long groups are without a leader when its node dies, from the kill to the first acknowledged
 * write, in virtual time: a property of the protocol and its timers, not of the machine.
 */
import { failoverCases, quantile } from '../../test/unit/replica/failover-cases.js';
import { ELECTION_TIMEOUT_MS } from '../../test/unit/replica/toy-cluster.js';
import type { BenchContext, Figure, Measurement, Scenario } from '../harness/scenario.js';
import { round } from '../harness/statistics.js';

const CASES = 1_000;
const QUICK_CASES = 50;

const PATHS = [
  { name: 'kill, connections reset', isReset: true, leases: false },
  { name: 'kill, silence', isReset: false, leases: false },
  { name: 'kill, connections reset, leases on', isReset: true, leases: true },
];

export const failoverVirtual: Scenario = {
  name: 'failover-virtual',
  description: `from the death of a leader to the next write, ${CASES} cases a path, virtual time`,
  run: runFailover,
};

async function runFailover({ quick, progress }: BenchContext): Promise<Measurement> {
  const cases = quick ? QUICK_CASES : CASES;
  const figures: Figure[] = [];
  for (const [at, { name, isReset, leases }] of PATHS.entries()) {
    progress(name);
    const times = await failoverCases({ cases, seed: 100 + at, isReset, leases });
    const ms = (fraction: number): number =>
      round(quantile(times, fraction) * ELECTION_TIMEOUT_MS, 0);
    const latencyMs = { p50: ms(0.5), p90: ms(0.9), p99: ms(0.99), p999: ms(0.999) };
    figures.push({ name, latencyMs });
  }
  return { parameters: { cases, electionTimeoutMs: ELECTION_TIMEOUT_MS, nodes: 3 }, figures };
}
