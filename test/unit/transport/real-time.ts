/** Clock, timers and randomness of the platform, and waiting for conditions. */
import type { Clock, Random, Scheduler } from '../../../src/shared/environment.js';

export const realClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

export const realScheduler: Scheduler = {
  after: (delayMs, task) => {
    const timer = setTimeout(task, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  every: (periodMs, task) => {
    const timer = setInterval(task, periodMs);
    return { cancel: () => clearInterval(timer) };
  },
  soon: (task) => void setImmediate(task),
};

export const realRandom: Random = {
  next: () => Math.random(),
  uuid: () => crypto.randomUUID(),
};

/** Resolves once the condition holds. The test's own time limit is the bound. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}
