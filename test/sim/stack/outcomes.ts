/** Goal: what the answers to a write add up to. Method: the rules of the SDK. */
import { unreachable } from '../../../src/shared/assert.js';
import { ERRORS, isConditionReason } from '../../../src/shared/error-codes.js';
import { type FlotillaError, isFlotillaError } from '../../../src/shared/errors.js';
import type { ErrorBody, WriteOutcome } from '../../../src/shared/types.js';
import type { Findings } from './findings.js';
import type { Met, WriteEnd } from './register-oracle.js';

export const UNKNOWN: WriteOutcome = {
  kind: 'unknown',
  error: { reason: 'OUTCOME_UNKNOWN', message: 'the client gave up' },
};

/** Some condition did not hold. */
const NOT_HELD: WriteOutcome = {
  kind: 'not-applied',
  error: { reason: 'VERSION_CONFLICT', message: 'as for the first record' },
};

/** Reasons that tell of a bug, whoever gets them. */
const NEVER = new Set(['INTERNAL', 'INVALID_REQUEST', 'DUPLICATE_ID', 'DIMENSION_MISMATCH']);

function asError(thrown: unknown, findings: Findings): FlotillaError | undefined {
  if (!isFlotillaError(thrown)) {
    findings.report('errors are known', String(thrown instanceof Error ? thrown.stack : thrown));
    return undefined;
  }
  if (NEVER.has(thrown.reason)) findings.report('errors are known', String(thrown.stack));
  return thrown;
}

export function isRetryable(thrown: unknown, findings: Findings): boolean {
  return asError(thrown, findings)?.retryable ?? false;
}

/**
 * The outcomes of a call that was answered with an error. Where no condition held it is that of the
 * first record: what the others met, it does not say.
 */
export function failedOutcomes(
  thrown: unknown,
  records: number,
  findings: Findings,
): readonly WriteOutcome[] {
  const error = asError(thrown, findings);
  const first: WriteOutcome =
    error === undefined ? UNKNOWN : { kind: error.outcome, error: error.body };
  const isCondition = error !== undefined && isConditionReason(error.reason);
  const other = isCondition ? NOT_HELD : first;
  return Array.from({ length: records }, (_, at) => (at === 0 ? first : other));
}

export function isWorthRetrying(outcome: WriteOutcome): boolean {
  return outcome.kind !== 'applied' && ERRORS[outcome.error.reason].retryable;
}

/**
 * After a lost answer, what this attempt has not applied the lost one may have. That a condition
 * did not hold was decided under the one key of both.
 */
export function doubted(outcome: WriteOutcome): WriteOutcome {
  if (outcome.kind !== 'not-applied' || isConditionReason(outcome.error.reason)) return outcome;
  return { kind: 'unknown', error: outcome.error };
}

/** What is known after one more answer: what a log has decided stays, so does what is unknown. */
export function merged(
  before: readonly WriteOutcome[],
  latest: readonly WriteOutcome[],
): readonly WriteOutcome[] {
  return latest.map((now, at) => {
    const old = before[at];
    if (old === undefined) return now;
    if (isDecided(old)) return old;
    return isDecided(now) || old.kind === 'not-applied' ? now : old;
  });
}

/** Whether a shard's log has told what became of the record. */
function isDecided(outcome: WriteOutcome): boolean {
  return outcome.kind === 'applied' || isConditionReason(outcome.error.reason);
}

export function endOf(outcome: WriteOutcome): WriteEnd {
  switch (outcome.kind) {
    case 'applied':
      return { kind: 'applied', version: outcome.version };
    case 'not-applied':
      return { kind: 'not-applied', met: metBy(outcome.error) };
    case 'unknown':
      return { kind: 'unknown' };
    default:
      return unreachable(outcome);
  }
}

export function existedOf(outcome: WriteOutcome): boolean | undefined {
  return outcome.kind === 'applied' ? outcome.existed : undefined;
}

/** What a condition was held against; `undefined` where the error does not say. */
function metBy({ reason, details }: ErrorBody): Met | undefined {
  const current = details?.currentVersion;
  if (current !== undefined) return { kind: 'record', version: BigInt(current) };
  const isMissing = reason === 'RECORD_NOT_FOUND' || details?.record === 'missing';
  return isMissing && isConditionReason(reason) ? { kind: 'nothing' } : undefined;
}
