// Goal: the whole product keeps its promises while everything around it goes wrong.
// Method: production nodes and clients on virtual time, faults drawn from seeds, oracles on top.
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { World } from './kit/world.js';
import { shrink } from './shrink.js';
import { simulatorOf } from './simulators.js';
import { bannedRealTime } from './stack/banned.js';
import { describeReport } from './stack/describe-report.js';
import type { FaultProfile } from './stack/faults.js';
import { drawParameters, type StackParameters } from './stack/parameters.js';
import { runStack } from './stack/run-stack.js';

const SEEDS = 60;
const SEEDS_PER_TEST = 10;
const STEPS = 12_000;

/** Of virtual work: only a machine that is busy with something else comes near it. */
const TIMEOUT_MS = 300_000;

describe('the full stack (P-1 to P-6, P-10)', () => {
  for (let first = 1; first <= SEEDS; first += SEEDS_PER_TEST) {
    const last = first + SEEDS_PER_TEST - 1;
    const name = `keeps its promises from seed ${first} to ${last}, ${STEPS} steps each`;
    it(name, { timeout: TIMEOUT_MS }, async () => {
      for (let seed = first; seed <= last; seed++) {
        const report = await runStack(seed, { steps: STEPS });
        if (report.finding !== undefined) expect.fail(await explained(seed));
      }
    });
  }

  it('ends on equal replicas, in whichever way disks fail (P-8, F-10, F-11)', async () => {
    const totals = new Map<string, number>();
    for (let seed = 1; seed <= 8; seed++) {
      const report = await runStack(seed, { steps: 4_000, parameters: badDisks(seed) });
      expect(report.finding).toBeUndefined();
      add(totals, report.disks);
    }
    expect([...totals].filter(([, count]) => count === 0)).toEqual([]);
  });

  it('makes graphs anew from whatever has become of their files (H5, H6)', async () => {
    const totals = new Map<string, number>();
    for (let seed = 1; seed <= 10; seed++) {
      const report = await runStack(seed, { steps: 4_000, parameters: badGraphs(seed) });
      expect(report.finding).toBeUndefined();
      add(totals, report.graphs);
    }
    expect([...totals].filter(([, count]) => count === 0)).toEqual([]);
  });

  it('meets conditions that hold and that do not, and what expires goes (W1, W3)', async () => {
    const totals = new Map<string, number>();
    for (let seed = 1; seed <= 6; seed++) {
      const report = await runStack(seed, { steps: 4_000, parameters: manyWrites(seed) });
      expect(report.finding).toBeUndefined();
      add(totals, { ...report.operations, expired: report.expired, swept: report.swept });
    }
    expect([...totals].filter(([, count]) => count === 0)).toEqual([]);
  });

  it('keeps tenants apart while shards gain and lose them (U1, U2, O1 to O4)', async () => {
    const totals = new Map<string, number>();
    for (let seed = 1; seed <= 4; seed++) {
      const report = await runStack(seed, { steps: 5_000, parameters: movingTenants(seed) });
      expect(report.finding).toBeUndefined();
      add(totals, report.tenants);
    }
    expect([...totals].filter(([, count]) => count === 0)).toEqual([]);
  });

  it('answers searches again from what nodes keep, as far as that may be (V1 to V4)', async () => {
    const totals = new Map<string, number>();
    for (let seed = 1; seed <= 6; seed++) {
      const report = await runStack(seed, { steps: 8_000, parameters: keptSearches(seed) });
      expect(report.finding).toBeUndefined();
      add(totals, report.cache);
    }
    expect([...totals].filter(([, count]) => count === 0)).toEqual([]);
  });

  it('answers without shards where it may, and says so (M-53, F-20)', async () => {
    const totals = new Map<string, number>();
    for (let seed = 1; seed <= 4; seed++) {
      const report = await runStack(seed, { steps: 6_000, parameters: partialSearches(seed) });
      expect(report.finding).toBeUndefined();
      add(totals, report.partial);
    }
    expect([...totals].filter(([, count]) => count === 0)).toEqual([]);
  });

  it('uses the memory of frames again, without any run being another one for that', async () => {
    for (const seed of [1, 2]) {
      const { network } = drawn(seed);
      const [byReference, copied] = [
        await runStack(seed, { steps: 4_000, parameters: { network: copying(network, false) } }),
        await runStack(seed, { steps: 4_000, parameters: { network: copying(network, true) } }),
      ];
      expect(copied.finding).toBeUndefined();
      expect([byReference.framesGivenBack, copied.framesGivenBack > 1_000]).toEqual([0, true]);
      expect(copied.traceHash).toBe(byReference.traceHash);
    }
  });

  it('brings replicas up by snapshots out of memory that is used again (P3)', async () => {
    let installs = 0;
    let framesGivenBack = 0;
    for (let seed = 1; seed <= 4; seed++) {
      const report = await runStack(seed, { steps: 6_000, parameters: manyPieces(seed) });
      expect(report.finding).toBeUndefined();
      installs += report.installs;
      framesGivenBack += report.framesGivenBack;
    }
    expect(installs).toBeGreaterThan(0);
    expect(framesGivenBack).toBeGreaterThan(0);
  });

  it('does the same again from the same seed, and something else from another', async () => {
    const [one, again, other] = [
      await runStack(7, { steps: 4_000 }),
      await runStack(7, { steps: 4_000 }),
      await runStack(8, { steps: 4_000 }),
    ];
    expect(again.traceHash).toBe(one.traceHash);
    expect(again.operations).toEqual(one.operations);
    expect(other.traceHash).not.toBe(one.traceHash);
  });

  it('takes no time and no randomness from outside', async () => {
    const report = await bannedRealTime(() => runStack(11, { steps: 4_000 }));
    expect(report.finding).toBeUndefined();
    expect(report.operations.ok).toBeGreaterThan(0);
  });

  it('leaves out a fault without changing what the others are', async () => {
    const whole = await runStack(9, { steps: 6_000 });
    const [first] = whole.faults;
    expect(first).toBeDefined();
    const without = await runStack(9, { steps: 6_000, without: [first?.index ?? 0] });
    expect(without.faults.map(({ index }) => index)).not.toContain(first?.index);
    const plan = new Map(whole.faults.map(({ index, fault }) => [index, fault]));
    for (const { index, fault } of without.faults) {
      if (plan.has(index)) expect(fault).toEqual(plan.get(index));
    }
  });
});

/** What the seed draws, with nothing but failing and damaged disks in its way. */
function badDisks(seed: number): Partial<StackParameters> {
  const { workload } = drawn(seed);
  return {
    faults: only(seed, { 'io-error': 2, damage: 1 }),
    workload: { ...workload, churn: 'none' },
  };
}

/** Graphs that are saved all the time, and nothing in the way but what befalls their files. */
function badGraphs(seed: number): Partial<StackParameters> {
  const { workload } = drawn(seed);
  return {
    faults: only(seed, { 'graph-error': 2, 'graph-damage': 6, stop: 2 }),
    workload: { ...workload, churn: 'none', keys: 10, pauseMs: 50 },
    checkpoints: { insertsMin: 4, closingInsertsMin: 1 },
  };
}

/** Many writes of few records, with conditions and short lives, while leaders die. */
function manyWrites(seed: number): Partial<StackParameters> {
  const { workload } = drawn(seed);
  const shares = { ...workload.shares, delete: 1, patch: 5, sweep: 2 };
  const expiring = { share: 0.5, ttlMs: 250 };
  return {
    faults: only(seed, { crash: 1, pause: 1, 'wall-jump': 1 }),
    workload: { ...workload, keys: 3, pauseMs: 50, shares, conditional: 0.5, expiring },
  };
}

/** Tenants move all the time, past nodes that hear late of it. */
function movingTenants(seed: number): Partial<StackParameters> {
  const { workload, settings } = drawn(seed);
  return {
    settings: { ...settings, shards: 3 },
    faults: only(seed, { 'stale-topology': 4, crash: 1, pause: 1, partition: 1 }),
    workload: { ...workload, keys: 3, pauseMs: 50, churn: 'leaders' },
    tenancy: {
      mixed: 2,
      residents: 2,
      newcomersMax: 1,
      keys: 2,
      shares: { count: 2, scroll: 1 },
      allTenants: 0.2,
      changePauseMs: 20,
    },
  };
}

/** The same few searches, over few records that seldom change, at nodes that keep few answers. */
function keptSearches(seed: number): Partial<StackParameters> {
  const { workload } = drawn(seed);
  return {
    faults: only(seed, { crash: 1, pause: 2, partition: 1, 'wall-jump': 1 }),
    workload: { ...workload, keys: 3, pauseMs: 400, questions: 1, relaxed: 0.7, churn: 'leaders' },
    clientDelayMs: 1,
    readDelayMaxMs: 1,
    searchCacheBytes: 2_000,
  };
}

/** Searches that may do without shards, while nodes are out of reach for longer than they wait. */
function partialSearches(seed: number): Partial<StackParameters> {
  const { workload, settings } = drawn(seed);
  const shares = { ...workload.shares, search: 20 };
  const common = { keys: 10, pauseMs: 50, attemptMs: 400, churn: 'none' } as const;
  return {
    nodes: 5,
    settings: { ...settings, shards: 3, replicationFactor: 3 },
    faults: { ...only(seed, { pause: 1, partition: 3 }), durationMeanMs: 800 },
    workload: { ...workload, ...common, shares, relaxed: 0.7, questions: 1, partial: 0.8 },
    searchCacheBytes: 1_000_000,
  };
}

/** Logs that are soon too short for who was away, and snapshots that take many calls. */
function manyPieces(seed: number): Partial<StackParameters> {
  const { workload, network, compaction } = drawn(seed);
  const faults = only(seed, { crash: 2, partition: 2, reset: 1, stall: 1 });
  return {
    faults: { ...faults, durationMeanMs: 1_000 },
    workload: { ...workload, keys: 10, pauseMs: 50, churn: 'none' },
    network: copying(network, true),
    compaction: { ...compaction, thresholdEntries: 4, trailingEntries: 0 },
    snapshotPieceBytes: 300,
  };
}

function copying(network: StackParameters['network'], copiesFrames: boolean) {
  return { ...network, copiesFrames };
}

function drawn(seed: number): StackParameters {
  return drawParameters(new World(seed).fork('parameters'));
}

/** No faults but these. */
function only(seed: number, weights: Partial<FaultProfile['weights']>): FaultProfile {
  const { faults } = drawn(seed);
  const none = Object.keys(faults.weights).map((kind) => [kind, 0]);
  return {
    meanGapMs: 400,
    durationMeanMs: 150,
    weights: { ...Object.fromEntries(none), ...weights },
  };
}

function add(totals: Map<string, number>, counts: object): void {
  for (const [name, count] of Object.entries(counts)) {
    totals.set(name, (totals.get(name) ?? 0) + Number(count));
  }
}

/** The smallest run of the seed that still fails, and how to see it again. */
async function explained(seed: number): Promise<string> {
  const full = simulatorOf('full');
  const whole = await full.run(seed, { steps: STEPS, without: [] });
  const { steps, without } = await shrink(full, whole);
  return describeReport(await runStack(seed, { steps, without: without.map(Number) }), commit());
}

function commit(): string {
  return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
}
