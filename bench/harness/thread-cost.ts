/** What a call costs the thread that makes it, and the one that answers. */
import process from 'node:process';
import { threadCpuMs } from './cpu-time.js';
import { type Load, runInTurns, type Turns } from './load.js';

/** CPU microseconds of a call. Other programs of the machine hardly change them. */
export interface ThreadCost {
  /** Of the main thread, the load's own part of it included. */
  readonly callerUs: number;
  /** Of the busiest other thread of this process. */
  readonly servantUs: number;
}

/** Runs the load again. Undefined where the system does not tell. */
export async function threadCost(load: Load, turns: Turns): Promise<ThreadCost | undefined> {
  let calls = 0;
  const call = (sequence: number): unknown => {
    calls++;
    return load.call(sequence);
  };
  const before = threadCpuMs();
  await runInTurns([{ ...load, call }], { ...turns, warmUpSlices: 0 });
  const after = threadCpuMs();
  if (before === undefined || after === undefined) return undefined;
  let callerUs = 0;
  let servantUs = 0;
  for (const [thread, totalMs] of after) {
    const costUs = (1_000 * (totalMs - (before.get(thread) ?? 0))) / calls;
    if (thread === String(process.pid)) callerUs = costUs;
    else servantUs = Math.max(servantUs, costUs);
  }
  return { callerUs, servantUs };
}
