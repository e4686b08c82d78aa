/** Goal: have shards die everywhere. Method: random runs; a story that dies at each operation. */
import fc from 'fast-check';
import type { ShardSettings } from './mortal-shard.js';
import { RenewalWatch } from './renewal-watch.js';
import { ShardRun } from './shard-run.js';
import { churningSteps, type Step, steps } from './shard-steps.js';

const RUNS = 40;
const CHURNING_RUNS = 25;

/**
 * So few floats that entries wait for room, or many. Graphs of so few records have few tombstones:
 * a fifth of them is enough, whatever it is, or there have to be some.
 */
export const mortalSettings = {
  exactCopy: fc.boolean(),
  headFloatsMax: fc.constantFrom(4, 24, 4_096),
  renewalTombstonesMin: fc.constantFrom(1, 1, 4),
};

/** What happened in all runs. */
export interface Happened {
  readonly deaths: number;
  /** Graphs that were made anew, to the end. */
  readonly renewals: number;
}

/** Runs random steps against the model. */
export async function deathsInRandomRuns(settings: fc.Arbitrary<ShardSettings>): Promise<number> {
  const { deaths } = await randomRuns(steps, settings, { numRuns: RUNS });
  return deaths;
}

/** The same of steps that wear graphs out. `parameters` may ask for certain ones. */
export function churningRuns(
  settings: fc.Arbitrary<ShardSettings>,
  parameters: { readonly seed?: number; readonly endOnFailure?: boolean } = {},
): Promise<Happened> {
  return randomRuns(churningSteps, settings, { numRuns: CHURNING_RUNS, ...parameters });
}

async function randomRuns(
  arbitrary: fc.Arbitrary<Step[]>,
  settings: fc.Arbitrary<ShardSettings>,
  parameters: fc.Parameters<[Step[], ShardSettings]>,
): Promise<Happened> {
  const watch = new RenewalWatch();
  let deaths = 0;
  const property = fc.asyncProperty(arbitrary, settings, async (all, chosen) => {
    const run = new ShardRun(chosen, watch);
    await run.run(all);
    deaths += run.deaths;
  });
  try {
    await fc.assert(property, parameters);
  } finally {
    watch.end();
  }
  return { deaths, renewals: watch.finished };
}

/** What became of a story. */
export interface Outlived {
  /** Disk operations that it has. */
  readonly operations: number;
  /** How many of the deaths, one before each of them, met a renewal that was under way. */
  readonly deathsInRenewals: number;
}

/** Runs the story until it outlives its doom, once for each disk operation that it has. */
export async function outlive(story: readonly Step[], settings: ShardSettings): Promise<Outlived> {
  const watch = new RenewalWatch();
  let deathsInRenewals = 0;
  try {
    for (let operations = 0; ; operations++) {
      const run = new ShardRun(settings, watch);
      await run.run([{ kind: 'doom', steps: operations, again: [] }, ...story]);
      if (run.deaths === 0) return { operations, deathsInRenewals };
      deathsInRenewals += run.deathsInRenewals;
    }
  } finally {
    watch.end();
  }
}
