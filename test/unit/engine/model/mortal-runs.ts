/** Goal: have shards die everywhere. Method: random runs; a story that dies at each operation. */
import fc from 'fast-check';
import type { ShardSettings } from './mortal-shard.js';
import { ShardRun } from './shard-run.js';
import { type Step, steps } from './shard-steps.js';

const RUNS = 40;

/** So few floats that entries wait for room, or many. */
export const mortalSettings = {
  exactCopy: fc.boolean(),
  headFloatsMax: fc.constantFrom(4, 24, 4_096),
};

/** Runs random steps against the model; the deaths of all runs. */
export async function deathsInRandomRuns(settings: fc.Arbitrary<ShardSettings>): Promise<number> {
  let deaths = 0;
  await fc.assert(
    fc.asyncProperty(steps, settings, async (all, chosen) => {
      const run = new ShardRun(chosen);
      await run.run(all);
      deaths += run.deaths;
    }),
    { numRuns: RUNS },
  );
  return deaths;
}

/** Runs the story until it outlives its doom, once for each disk operation that it has. */
export async function operationsOf(
  story: readonly Step[],
  settings: ShardSettings,
): Promise<number> {
  for (let operations = 0; ; operations++) {
    const run = new ShardRun(settings);
    await run.run([{ kind: 'doom', steps: operations, again: [] }, ...story]);
    if (run.deaths === 0) return operations;
  }
}
