/**
 * How much of a load may be repeats, so that a cluster in trouble is not buried under them.
 *
 * Which repeats count: those that may have the cluster do again what it is doing, or has done. A
 * call that went to the wrong place, found nobody there, or came before an election was over has
 * had no work done for it; to send it on is its first attempt still, held back by pauses alone.
 */
import { isTooSlow } from './consistency.js';
import type { ErrorReason } from './error-codes.js';
import { FlotillaError } from './errors.js';

export interface RetryBudgetOptions {
  /** Repeats that each first attempt allows for, such as 0.2: one in five. */
  readonly share: number;
  /** Repeats that each second allows for, whatever is asked. */
  readonly perSecond: number;
}

/** At most a fifth more than was asked for; ten a second where little is. */
export const RETRY_BUDGET: RetryBudgetOptions = { share: 0.2, perSecond: 10 };

/** What is not used within so long is lost, so that a calm hour does not pay for a storm. */
const MEMORY_MS = 10_000;

/** Shares of a token do not add up to it exactly. */
const WHOLE_TOKEN = 1 - 1e-6;

/**
 * A token bucket. First attempts and time bring tokens, a repeat takes one. It begins with, and
 * never holds more than, what ten seconds at the present rate bring: over any time there are at
 * most `share` repeats for each first attempt, `perSecond` for each second, and that once.
 *
 * As Finagle's RetryBudget and gRPC's retry throttling have it. Costs one exponential per
 * millisecond in which it is used.
 */
export class RetryBudget {
  readonly #nowMs: () => number;
  readonly #options: RetryBudgetOptions;
  #tokens: number;
  /** First attempts of late, fading: at a steady rate, those of `MEMORY_MS`. */
  #recent = 0;
  #atMs: number;

  /** `nowMs` is a clock that never goes backwards. */
  constructor(nowMs: () => number, options: RetryBudgetOptions) {
    this.#nowMs = nowMs;
    this.#options = options;
    this.#tokens = this.#savings;
    this.#atMs = nowMs();
  }

  /** Notes a first attempt. */
  earn(): void {
    this.#catchUp();
    this.#recent += 1;
    this.#add(this.#options.share);
  }

  get isSpent(): boolean {
    this.#catchUp();
    return this.#tokens < WHOLE_TOKEN;
  }

  /** Takes a token, for one repeat. Answers false where there is none. */
  take(): boolean {
    if (this.isSpent) return false;
    this.#tokens -= 1;
    return true;
  }

  #catchUp(): void {
    const nowMs = this.#nowMs();
    const elapsedMs = nowMs - this.#atMs;
    if (elapsedMs <= 0) return;
    this.#atMs = nowMs;
    this.#recent *= Math.exp(-elapsedMs / MEMORY_MS);
    this.#add((this.#options.perSecond * elapsedMs) / 1_000);
  }

  #add(tokens: number): void {
    const most = Math.max(1, this.#options.share * this.#recent + this.#savings);
    this.#tokens = Math.min(this.#tokens + tokens, most);
  }

  get #savings(): number {
    return (this.#options.perSecond * MEMORY_MS) / 1_000;
  }
}

/** What those answer who have done nothing for a call, and were not too busy to. */
const REFUSALS: ReadonlySet<ErrorReason> = new Set<ErrorReason>([
  'COLLECTION_NOT_READY',
  'LOG_DAMAGED',
  'NODE_NOT_READY',
  'NOT_LEADER',
  'NO_LEADER',
  'REPLICA_BEHIND',
  'STALE_TOPOLOGY',
  'TENANT_CHANGE_IN_PROGRESS',
  'WRONG_CLUSTER',
  'WRONG_STORE',
]);

/** Whether a repeat after this error is no load, and costs no token. */
export function isRefusal({ reason, body }: FlotillaError): boolean {
  return REFUSALS.has(reason) && !isTooSlow(body);
}

/** The last error of a call that is not repeated for want of a token; as retryable as it was. */
export function retryBudgetSpent(last: FlotillaError): FlotillaError {
  const { message, details } = last.body;
  if (details?.retryBudget === 'spent') return last;
  return FlotillaError.fromBody(
    {
      ...last.body,
      message: `${message} (not tried again: the retry budget is spent)`,
      details: { ...details, retryBudget: 'spent' },
    },
    last,
  );
}
