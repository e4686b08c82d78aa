/**
 * The one place that sends a call again: after waits with full jitter, by one retry budget for all
 * calls of a client, and until the call's time is over.
 */
import { invalidField } from '../shared/checks.js';
import { isConditionReason } from '../shared/error-codes.js';
import { type FlotillaError, isFlotillaError } from '../shared/errors.js';
import { FullJitter } from '../shared/full-jitter.js';
import {
  isRefusal,
  RETRY_BUDGET,
  type RetryBudget,
  retryBudgetSpent,
} from '../shared/retry-budget.js';
import { asUnknown } from '../shared/write-outcomes.js';
import { onAbort } from './abort.js';
import type { RetryOptions } from './options.js';

/** What one call may do. */
export interface RetryPlan extends Required<RetryOptions> {
  /** Attempts that follow one another without a wait: each asks another address. */
  readonly addresses: number;
  readonly deadlineMs: number;
  /** Of all calls of the client. */
  readonly budget: RetryBudget;
  readonly signal?: AbortSignal | undefined;
}

const DEFAULT_RETRY: Required<RetryOptions> = {
  attemptsMax: Number.POSITIVE_INFINITY,
  waitMinMs: 25,
  waitMaxMs: 1_000,
  budgetShare: RETRY_BUDGET.share,
  budgetPerSecond: RETRY_BUDGET.perSecond,
};

const RETRY_MIN: Required<RetryOptions> = {
  attemptsMax: 1,
  waitMinMs: 0,
  waitMaxMs: 1,
  budgetShare: 0,
  budgetPerSecond: 0,
};

/** The options with their defaults. Throws INVALID_REQUEST, naming the option. */
export function checkedRetry(options: RetryOptions = {}): Required<RetryOptions> {
  const checked = { ...DEFAULT_RETRY };
  for (const key of Object.keys(RETRY_MIN) as (keyof RetryOptions)[]) {
    const value = options[key] ?? DEFAULT_RETRY[key];
    if (typeof value !== 'number' || !(value >= RETRY_MIN[key])) {
      throw invalidField(`retry.${key}`, `is ${value}, it must be at least ${RETRY_MIN[key]}`);
    }
    checked[key] = value;
  }
  return checked;
}

/** An attempt that has as much time is not cut short for the sake of the next, */
const ATTEMPT_MIN_MS = 1_000;
/** as long as so much of the time is left for that. */
const ATTEMPT_SHARE_MAX = 0.6;

/**
 * When attempt number `made` ends at the latest: half of what is left is kept for the next one, as
 * long as there is an address that has not been asked, and a token for asking it. So a node that
 * stands still costs time, and never the call.
 */
export function attemptDeadlineMs(plan: RetryPlan, made: number): number {
  const { addresses, attemptsMax, budget, deadlineMs } = plan;
  if (made >= Math.min(addresses, attemptsMax) || budget.isSpent) return deadlineMs;
  const nowMs = Date.now();
  const leftMs = deadlineMs - nowMs;
  return nowMs + Math.max(leftMs / 2, Math.min(ATTEMPT_MIN_MS, ATTEMPT_SHARE_MAX * leftMs));
}

/**
 * What the last attempt needs at least. One that begins with less could only end with the call's
 * time, and hide what the one before it said: which shards are missing (M-53).
 */
const LAST_ATTEMPT_MIN_MS = 100;
const LAST_ATTEMPT_MIN_SHARE = 0.1;

/** What can be done about a failed attempt. */
export type Verdict = 'again' | 'give-up';

/**
 * Calls `attempt`, with its number from 1 on, until it resolves, `judge` gives up, or the plan ends
 * it. When an earlier attempt may have been applied, the error says so whatever the last one says;
 * that a condition did not hold was decided under the one key of all attempts.
 */
export async function withRetries<T>(
  plan: RetryPlan,
  judge: (error: FlotillaError) => Verdict,
  attempt: (made: number) => Promise<T>,
): Promise<T> {
  const { waitMinMs: minMs, waitMaxMs: maxMs } = plan;
  const jitter = new FullJitter({ minMs, maxMs, random: Math.random });
  plan.budget.earn();
  const shareMs = (plan.deadlineMs - Date.now()) * LAST_ATTEMPT_MIN_SHARE;
  const lastStartMs = plan.deadlineMs - Math.min(LAST_ATTEMPT_MIN_MS, shareMs);
  let unknown = false;
  for (let made = 1; ; made++) {
    try {
      return await attempt(made);
    } catch (thrown) {
      if (!isFlotillaError(thrown)) throw thrown;
      unknown ||= thrown.outcome === 'unknown';
      const waitMs = made < plan.addresses ? 0 : jitter.nextMs();
      const isLast = made >= plan.attemptsMax || Date.now() + waitMs >= lastStartMs;
      const isWanted = !isLast && !plan.signal?.aborted && judge(thrown) === 'again';
      if (!isWanted || !(isNoLoad(thrown) || plan.budget.take())) {
        const error = isWanted ? retryBudgetSpent(thrown) : thrown;
        throw unknown && !isConditionReason(error.reason) ? asUnknown(error) : error;
      }
      await pause(waitMs, plan.signal);
    }
  }
}

/**
 * Whether nobody has begun to work on the call: no node was reached, or that found no replica to do
 * it. Nodes of earlier versions do not say the latter, which costs a token then. One whose
 * connection broke may have.
 */
function isNoLoad(error: FlotillaError): boolean {
  const { unanswered, untouched } = error.body.details ?? {};
  if (unanswered !== undefined) return false;
  return isRefusal(error) || untouched !== undefined;
}

/** Resolves after `waitMs`, or as soon as `signal` is aborted. */
function pause(waitMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const finish = (): void => {
      clearTimeout(timer);
      endWait();
      resolve();
    };
    const timer = setTimeout(finish, waitMs);
    const endWait = onAbort(signal, finish);
  });
}
