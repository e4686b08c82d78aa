/** Asking many shards at once, and what to make of it when some fail. */
import { defined } from '../shared/assert.js';
import { isTooSlow, TOO_SLOW } from '../shared/consistency.js';
import type { ErrorCode } from '../shared/error-codes.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import type { FailedShard, ShardsSummary } from './requests.js';

export interface Gathered<T> {
  /** What the shards answered that did, in the order asked. */
  readonly values: readonly T[];
  readonly shards: ShardsSummary;
}

/** Errors that are about the request: every shard would say the same, sooner or later. */
const REQUEST_ERRORS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'CANCELLED',
  'INVALID_ARGUMENT',
  'NOT_FOUND',
  'UNIMPLEMENTED',
]);

/**
 * Asks all shards in parallel; as slow as the slowest of them. Errors that are about the request,
 * and STALE_TOPOLOGY, are thrown as they are. Other failures throw SHARD_UNAVAILABLE, which names
 * the shards, unless `allowPartial` is set and some shard answered.
 */
export async function scatter<T>(
  shardIds: readonly number[],
  options: { readonly allowPartial: boolean },
  ask: (shardId: number) => Promise<T>,
): Promise<Gathered<T>> {
  const settled = await Promise.allSettled(shardIds.map(ask));
  const values: T[] = [];
  const failures: { shardId: number; error: FlotillaError }[] = [];
  settled.forEach((result, at) => {
    if (result.status === 'fulfilled') values.push(result.value);
    else failures.push({ shardId: shardIds[at] as number, error: toFlotillaError(result.reason) });
  });
  const stale = failures.find(({ error }) => error.reason === 'STALE_TOPOLOGY');
  const refused = stale ?? failures.find(({ error }) => REQUEST_ERRORS.has(error.code));
  if (refused !== undefined) throw refused.error;
  const failed = failures.map(({ shardId, error }) => ({ shardId, error: error.body }));
  const isEnough = failed.length === 0 || (options.allowPartial && values.length > 0);
  if (!isEnough) throw shardsFailed(failed, values.length > 0);
  return { values, shards: { total: shardIds.length, ok: values.length, failed } };
}

function shardsFailed(failed: readonly FailedShard[], hasAnswers: boolean): FlotillaError {
  const first = FlotillaError.fromBody(defined(failed[0], 'a failed shard').error);
  const shards = failed.map(({ shardId }) => shardId).join(',');
  // Each once: errors travel in headers, which are small, and there may be hundreds of shards.
  const reasons = [...new Set(failed.map(({ error }) => error.reason))].join(',');
  const isOverload = failed.every(({ error }) => error.reason === 'TOO_MANY_REQUESTS');
  const isBudgetSpent = failed.some(({ error }) => error.details?.retryBudget !== undefined);
  const isUntouched =
    !hasAnswers && failed.every(({ error }) => error.details?.untouched !== undefined);
  const details = {
    shards,
    reasons,
    ...(isBudgetSpent && { retryBudget: 'spent' }),
    ...(isUntouched && { untouched: 'true' }),
    ...(failed.some(({ error }) => isTooSlow(error)) && TOO_SLOW),
  };
  return new FlotillaError(
    isOverload ? 'TOO_MANY_REQUESTS' : 'SHARD_UNAVAILABLE',
    `No answer from shard ${shards}: ${first.message}`,
    { details, cause: first },
  );
}
