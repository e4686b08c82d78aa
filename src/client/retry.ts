/**
 * The one place that sends a call again. Waits have full jitter: a random time up to a bound that
 * doubles, so that clients that failed together do not come back together.
 */
import { isConditionReason } from '../shared/error-codes.js';
import { type FlotillaError, isFlotillaError } from '../shared/errors.js';
import { asUnknown } from '../shared/write-outcomes.js';
import type { RetryOptions } from './options.js';

export interface RetryBudget extends Required<RetryOptions> {
  /** Attempts that follow one another without a wait: each asks another address. */
  readonly addresses: number;
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
}

export const DEFAULT_RETRY: Required<RetryOptions> = {
  attemptsMax: 10,
  waitMinMs: 25,
  waitMaxMs: 1_000,
};

/** An attempt that has as much time is not cut short for the sake of the next. */
const ATTEMPT_MIN_MS = 1_000;

/**
 * When attempt number `made` ends at the latest: half of what is left is kept for the next one, as
 * long as there is an address that has not been asked. So a node that stands still costs time, and
 * never the call.
 */
export function attemptDeadlineMs(budget: RetryBudget, made: number): number {
  if (made >= Math.min(budget.addresses, budget.attemptsMax)) return budget.deadlineMs;
  const nowMs = Date.now();
  const shareMs = Math.max(ATTEMPT_MIN_MS, (budget.deadlineMs - nowMs) / 2);
  return Math.min(budget.deadlineMs, nowMs + shareMs);
}

/** What can be done about a failed attempt. */
export type Verdict = 'again' | 'give-up';

/**
 * Calls `attempt`, with its number from 1 on, until it resolves, `judge` gives up, or the budget is
 * spent. When an earlier attempt may have been applied, the error says so whatever the last one
 * says; that a condition did not hold was decided under the one key of all attempts.
 */
export async function withRetries<T>(
  budget: RetryBudget,
  judge: (error: FlotillaError) => Verdict,
  attempt: (made: number) => Promise<T>,
): Promise<T> {
  let unknown = false;
  for (let made = 1; ; made++) {
    try {
      return await attempt(made);
    } catch (thrown) {
      if (!isFlotillaError(thrown)) throw thrown;
      unknown ||= thrown.outcome === 'unknown';
      const waitMs = waitBefore(made, budget);
      const hopeless = made >= budget.attemptsMax || Date.now() + waitMs >= budget.deadlineMs;
      if (hopeless || budget.signal?.aborted || judge(thrown) === 'give-up') {
        throw unknown && !isConditionReason(thrown.reason) ? asUnknown(thrown) : thrown;
      }
      await pause(waitMs, budget.signal);
    }
  }
}

function waitBefore(made: number, budget: RetryBudget): number {
  const round = made - budget.addresses;
  if (round < 0) return 0;
  return Math.random() * Math.min(budget.waitMaxMs, budget.waitMinMs * 2 ** round);
}

/** Resolves after `waitMs`, or as soon as `signal` is aborted. */
function pause(waitMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const finish = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, waitMs);
    signal?.addEventListener('abort', finish, { once: true });
  });
}
