/**
 * Watches the main thread: counts the stretches in which it was busy for too long. By Linux's own
 * account of the thread's CPU time, so that what other processes take does not count; and by the
 * wall clock, because that account lags behind a thread that never sleeps, by a tick of the kernel.
 */
import { readFileSync } from 'node:fs';

/** A main thread that is busy for longer sends its heartbeats late. */
export const BUSY_MAX_MS = 5;

/** Plain data, to be sent between processes. */
export interface Busyness {
  /** Stretches of more than `BUSY_MAX_MS`. */
  readonly count: number;
  readonly longestMs: number;
}

export class MainThreadWatch {
  #count = 0;
  #longestMs = 0;

  /** Of all work so far. */
  get seen(): Busyness {
    return { count: this.#count, longestMs: this.#longestMs };
  }

  async during<T>(work: () => Promise<T>): Promise<T> {
    let before = clocks();
    const timer = setInterval(() => {
      const now = clocks();
      const busyMs = Math.min(now.cpuMs - before.cpuMs, now.wallMs - before.wallMs);
      before = now;
      if (busyMs > BUSY_MAX_MS) this.#count += 1;
      this.#longestMs = Math.max(this.#longestMs, busyMs);
    }, 1);
    try {
      return await work();
    } finally {
      clearInterval(timer);
    }
  }
}

export function together(all: readonly Busyness[]): Busyness {
  return {
    count: all.reduce((sum, { count }) => sum + count, 0),
    longestMs: Math.max(0, ...all.map(({ longestMs }) => longestMs)),
  };
}

function clocks(): { readonly cpuMs: number; readonly wallMs: number } {
  return { cpuMs: mainThreadCpuMs(), wallMs: performance.now() };
}

/** The first field of schedstat is the time on a CPU in nanoseconds. */
function mainThreadCpuMs(): number {
  const text = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1');
  return Number(text.split(' ', 1)[0]) / 1e6;
}
