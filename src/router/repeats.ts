/** Whether this node may ask replicas again: one budget for all its calls. */
import type { ErrorReason } from '../shared/error-codes.js';
import type { FlotillaError } from '../shared/errors.js';
import { isRefusal, type RetryBudget } from '../shared/retry-budget.js';
import type { RouterHooks, RouterOperation } from './hooks.js';

export interface RepeatedCall {
  readonly operation: RouterOperation;
  readonly shardId: number;
}

export class Repeats {
  readonly #budget: RetryBudget;
  readonly #hooks: RouterHooks;

  constructor(budget: RetryBudget, hooks: RouterHooks) {
    this.#budget = budget;
    this.#hooks = hooks;
  }

  /** A call asks a shard for the first time. */
  noteFirst(): void {
    this.#budget.earn();
  }

  /** Whether the call may be repeated after this error. Takes a token where work was done. */
  mayFollow(call: RepeatedCall, error: FlotillaError): boolean {
    return this.#decide(call, error.reason, isUntouched(error));
  }

  /** Whether another replica may be asked beside one that has not answered for long. */
  mayFollowSilence(call: RepeatedCall): boolean {
    return this.#decide(call, 'SILENT', false);
  }

  #decide(call: RepeatedCall, reason: ErrorReason | 'SILENT', isFree: boolean): boolean {
    const { operation, shardId } = call;
    const budget = isFree ? 'free' : this.#budget.take() ? 'paid' : 'spent';
    this.#hooks.onRetry?.({ operation, shardId, reason, budget });
    return budget !== 'spent';
  }
}

/** Whether nobody has begun to work on the attempt: the replica refused, or no link leads to it. */
export function isUntouched(error: FlotillaError): boolean {
  if (error.reason !== 'SHARD_UNAVAILABLE') return isRefusal(error);
  return error.body.details?.silent === undefined;
}
