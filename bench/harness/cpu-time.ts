/** CPU time of this process and of those that it started, as Linux tells it. */
import { readdirSync, readFileSync } from 'node:fs';

/**
 * Milliseconds of all threads of this process and of its direct children that still run. Undefined
 * where the system has no /proc.
 */
export function familyCpuMs(): number | undefined {
  try {
    const threads = readdirSync('/proc/self/task');
    const children = threads.flatMap((thread) =>
      readFileSync(`/proc/self/task/${thread}/children`, 'utf8').split(' ').filter(Boolean),
    );
    return ['self', ...children].reduce((sum, process) => sum + processCpuMs(process), 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function processCpuMs(process: string): number {
  let totalNs = 0;
  for (const thread of readdirSync(`/proc/${process}/task`)) {
    // Time on a CPU, time spent waiting for one, slices.
    const [runNs] = readFileSync(`/proc/${process}/task/${thread}/schedstat`, 'utf8').split(' ');
    totalNs += Number(runNs);
  }
  return totalNs / 1e6;
}
