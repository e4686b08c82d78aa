/** Waiting no longer than a caller does. */
import type { Scheduler } from './environment.js';
import { FlotillaError } from './errors.js';
import type { GiveUpSignal } from './give-up.js';

/** The longest delay that timers of the platform keep, 25 days; they run out at once on more. */
export const TIMEOUT_MS_MAX = 2 ** 31 - 1;

export interface Deadline {
  readonly timeoutMs: number;
  readonly signal?: GiveUpSignal | undefined;
}

/**
 * Settles as `work` does, or rejects with DEADLINE_EXCEEDED or CANCELLED when that comes first.
 * `work` itself goes on; what it rejects with afterwards is dropped.
 */
export function withDeadline<T>(
  scheduler: Scheduler,
  work: Promise<T>,
  { timeoutMs, signal }: Deadline,
  what: string,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const finish = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', cancelled);
    };
    const cancelled = (): void => {
      finish();
      reject(new FlotillaError('CANCELLED', `${what}: the caller gave up`));
    };
    const timer = scheduler.after(Math.min(Math.max(0, timeoutMs), TIMEOUT_MS_MAX), () => {
      finish();
      const message = `${what}: no answer within ${Math.round(timeoutMs)} ms`;
      reject(new FlotillaError('DEADLINE_EXCEEDED', message));
    });
    signal?.addEventListener('abort', cancelled, { once: true });
    if (signal?.aborted) cancelled();
    work.then(
      (value) => {
        finish();
        resolve(value);
      },
      (error: unknown) => {
        finish();
        reject(error as Error);
      },
    );
  });
}
