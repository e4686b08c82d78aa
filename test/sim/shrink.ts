import { removableFaults, type Simulator, type SimulatorReport } from './simulators.js';

const STEPS_MIN = 100;

/**
 * The smallest run found of the same seed that breaks the same invariant: half the steps as long as
 * that works, then without each fault that it does not need. Costs up to `runsMax` runs.
 */
export async function shrink(
  simulator: Simulator,
  report: SimulatorReport,
  runsMax = 60,
): Promise<SimulatorReport> {
  const { seed, failure } = report;
  let smallest = report;
  let runs = 0;
  const attempt = async (steps: number, without: readonly string[]): Promise<boolean> => {
    if (runs >= runsMax) return false;
    runs += 1;
    const smaller = await simulator.run(seed, { steps, without });
    if (smaller.failure?.invariant !== failure?.invariant) return false;
    smallest = smaller;
    return true;
  };
  const halve = async (): Promise<void> => {
    for (let steps = Math.floor(smallest.steps / 2); steps >= STEPS_MIN; steps = half(steps)) {
      if (!(await attempt(steps, smallest.without))) return;
    }
  };
  await halve();
  for (const fault of removableFaults(simulator.name, smallest)) {
    await attempt(smallest.steps, [...smallest.without, fault]);
  }
  await halve();
  return smallest;
}

function half(steps: number): number {
  return Math.floor(steps / 2);
}
