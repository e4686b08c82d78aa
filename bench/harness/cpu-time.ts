/** CPU time of this process and of those that it started, as Linux tells it. */
import { readdirSync, readFileSync } from 'node:fs';

/**
 * Milliseconds of all threads of this process and of its direct children that still run. Undefined
 * where the system has no /proc.
 */
export function familyCpuMs(): number | undefined {
  return whereTold(() => {
    const threads = readdirSync('/proc/self/task');
    const children = threads.flatMap((thread) =>
      readFileSync(`/proc/self/task/${thread}/children`, 'utf8').split(' ').filter(Boolean),
    );
    return ['self', ...children].reduce((sum, process) => sum + processCpuMs(process), 0);
  });
}

/** Milliseconds by thread of this process; the main one has the number of the process. */
export function threadCpuMs(): ReadonlyMap<string, number> | undefined {
  return whereTold(() => threadTimesMs('self'));
}

function processCpuMs(process: string): number {
  let totalMs = 0;
  for (const threadMs of threadTimesMs(process).values()) totalMs += threadMs;
  return totalMs;
}

function threadTimesMs(process: string): Map<string, number> {
  const timesMs = new Map<string, number>();
  for (const thread of readdirSync(`/proc/${process}/task`)) {
    // Time on a CPU, time spent waiting for one, slices.
    const [runNs] = readFileSync(`/proc/${process}/task/${thread}/schedstat`, 'utf8').split(' ');
    timesMs.set(thread, Number(runNs) / 1e6);
  }
  return timesMs;
}

function whereTold<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
