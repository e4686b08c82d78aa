/** Goal: the smallest run that still breaks the same promise. Method: less time, fewer faults. */
import { runStack, type StackReport } from './run-stack.js';

export interface ShrinkOptions {
  /** Runs that may be spent on it. @default 60 */
  readonly runsMax?: number;
}

/**
 * A report of the same seed with the same invariant broken, after fewer steps and with fewer
 * faults; the given one where nothing can go. Each attempt costs a run.
 */
export async function shrinkStack(
  report: StackReport,
  { runsMax = 60 }: ShrinkOptions = {},
): Promise<StackReport> {
  let smallest = report;
  let runs = 0;
  const attempt = async (steps: number, without: readonly number[]): Promise<boolean> => {
    if (runs >= runsMax) return false;
    runs++;
    const shrunk = await runStack(report.seed, { steps, without });
    if (shrunk.finding?.invariant !== report.finding?.invariant) return false;
    smallest = shrunk;
    return true;
  };
  for (let steps = smallest.steps; steps >= 200; ) {
    const half = Math.floor(steps / 2);
    if (!(await attempt(half, smallest.without))) break;
    steps = half;
  }
  for (const { index } of report.faults.toReversed()) {
    const isThere = smallest.faults.some((fault) => fault.index === index);
    if (isThere) await attempt(smallest.steps, [...smallest.without, index]);
  }
  return smallest;
}
