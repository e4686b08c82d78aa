// Goal: the consensus core keeps every promise of raft.md under anything that can happen to it.
// Method: seeded runs of a whole group with faults, checked at each step, then in peace (C.4).
import { describe, expect, it } from 'vitest';
import { main } from '../../scripts/sim.js';
import { type CoreReport, runCore } from './core/core-run.js';
import { drawSwarm, FAULTS, focusOnReads } from './core/swarm.js';
import { shrink } from './shrink.js';
import { type Simulator, simulatorOf } from './simulators.js';

const SEEDS = 200;
const STEPS = 20_000;
const CHUNK = 25;

function runOk(seed: number): CoreReport {
  const report = runCore(seed, { steps: STEPS });
  const { failure } = report;
  const reproduction = `npm run sim -- --seed ${seed} --steps ${STEPS}`;
  expect(failure, `${failure?.message}\n${reproduction}`).toBeUndefined();
  return report;
}

describe('the core simulator', () => {
  const totals: Record<string, number> = {};
  const chunks = Array.from({ length: SEEDS / CHUNK }, (_, at) => 1 + at * CHUNK);

  it.each(chunks)(
    `finds nothing in ${CHUNK} seeds from %i, ${STEPS} steps each (P-1, P-4, P-5, P-6)`,
    (first) => {
      for (let seed = first; seed < first + CHUNK; seed += 1) {
        for (const [name, count] of Object.entries(runOk(seed).seen)) {
          totals[name] = (totals[name] ?? 0) + count;
        }
      }
    },
  );

  it('seed 6142: a vote request of an old term still tells what is committed (E13)', () => {
    runOk(6142);
  });

  it('has seen everything go wrong that it knows of, and work get done', () => {
    expect(totals.leaders).toBeGreaterThan(5 * SEEDS);
    expect(totals.crashes).toBeGreaterThan(5 * SEEDS);
    expect(totals.pauses).toBeGreaterThan(SEEDS);
    expect(totals.partitions).toBeGreaterThan(5 * SEEDS);
    expect(totals.wipes).toBeGreaterThan(10);
    expect(totals.compactions).toBeGreaterThan(2 * SEEDS);
    expect(totals.installs).toBeGreaterThan(SEEDS / 2);
    expect(totals.configurations).toBeGreaterThan(2 * SEEDS);
    expect(totals.transfers).toBeGreaterThan(SEEDS);
    expect(totals.acknowledged).toBeGreaterThan(100 * SEEDS);
    expect(totals.reads).toBeGreaterThan(100 * SEEDS);
    expect(totals.leasedReads).toBeGreaterThan(10 * SEEDS);
    expect(totals.unknown).toBeGreaterThan(5 * SEEDS);
  });

  it('does the same again for the same seed, and something else for another', () => {
    const trace = (seed: number): string => runCore(seed, { steps: 5_000 }).trace;
    for (const seed of [3, 14, 15]) expect(trace(seed)).toBe(trace(seed));
    expect(trace(3)).not.toBe(trace(14));
  });

  it('draws parameters that another fault left out does not change', () => {
    const whole = drawSwarm(9, new Set());
    for (const fault of FAULTS) {
      const part = drawSwarm(9, new Set([fault]));
      expect(part.workload).toEqual(whole.workload);
      expect(part.voters).toBe(whole.voters);
    }
    expect(drawSwarm(9, new Set(FAULTS)).process.crashEveryMs).toBe(0);
  });

  it('reports stale reads where clocks drift more than leases allow (S-30)', () => {
    const found = (driftFraction: number): Set<string> => {
      const names = new Set<string>();
      for (let seed = 1; seed <= 30; seed += 1) {
        const drawn = focusOnReads(drawSwarm(seed, new Set()));
        const workload = { ...drawn.workload, leasedShare: 1 };
        const swarm = { ...drawn, workload, leases: true, driftFraction };
        const { failure } = runCore(seed, { steps: STEPS, swarm });
        if (failure !== undefined) names.add(failure.invariant);
      }
      return names;
    };
    expect(found(0.35)).toEqual(new Set(['LeaseSafety']));
    expect(found(0.05)).toEqual(new Set());
  });
});

describe('the command', () => {
  const runMain = async (...words: string[]): Promise<{ code: number; text: string }> => {
    let text = '';
    const code = await main(words, (more) => {
      text += more;
    });
    return { code, text };
  };

  it('runs seeds and says what happened', async () => {
    const { code, text } = await runMain('--seed', '5', '--seeds', '2', '--steps', '2000');
    expect(code).toBe(0);
    expect(text).toContain('core: 2 seeds from 5, 2000 steps each: all promises held');
  });

  it('speaks JSON', async () => {
    const { text } = await runMain('--steps', '1000', '--json');
    expect(JSON.parse(text)).toMatchObject({ simulator: 'core', seeds: 1, failures: [] });
  });

  it('names what it does not understand, and shows the help', async () => {
    for (const words of [['--seeds', 'x'], ['--stack', 'half'], ['--colour'], ['--seed', '-1']]) {
      const { code, text } = await runMain(...words);
      expect(code).toBe(2);
      expect(text).toContain('usage: npm run sim');
    }
    expect(await runMain('--without', 'gravity')).toMatchObject({ code: 2 });
    expect(await runMain('--help')).toMatchObject({ code: 0 });
  });

  it('shrinks a failure to the steps and faults that it needs', async () => {
    const core = simulatorOf('core');
    const broken: Simulator = {
      ...core,
      run: async (seed, { steps, without }) => {
        const report = await core.run(seed, { steps: 200, without: [] });
        const fails = steps >= 300 && !without.includes('crash') && !without.includes('loss');
        const failure = fails ? { invariant: 'Made up', message: 'as asked' } : undefined;
        return { ...report, steps, without, failure };
      },
    };
    const report = await broken.run(1, { steps: 20_000, without: [] });
    const { steps, without } = await shrink(broken, report);
    expect(steps).toBe(312);
    expect(new Set(without)).toEqual(
      new Set(FAULTS.filter((fault) => fault !== 'crash' && fault !== 'loss')),
    );
  });
});
