/** Goal: what the answers to a write add up to. Method: the rules of the SDK. */
import { unreachable } from '../../../src/shared/assert.js';
import { ERRORS } from '../../../src/shared/error-codes.js';
import { type FlotillaError, isFlotillaError } from '../../../src/shared/errors.js';
import type { WriteOutcome } from '../../../src/shared/types.js';
import type { Findings } from './findings.js';
import type { WriteEnd } from './register-oracle.js';

export const UNKNOWN: WriteOutcome = {
  kind: 'unknown',
  error: { reason: 'OUTCOME_UNKNOWN', message: 'the client gave up' },
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

export function failedOutcome(thrown: unknown, findings: Findings): WriteOutcome {
  const error = asError(thrown, findings);
  if (error === undefined) return UNKNOWN;
  return { kind: error.outcome, error: error.body };
}

export function isWorthRetrying(outcome: WriteOutcome): boolean {
  return outcome.kind !== 'applied' && ERRORS[outcome.error.reason].retryable;
}

/** After a lost answer, what this attempt has not applied the lost one may have. */
export function doubted(outcome: WriteOutcome): WriteOutcome {
  return outcome.kind === 'not-applied' ? { kind: 'unknown', error: outcome.error } : outcome;
}

/** What is known after one more answer: applied stays applied, and unknown is never unlearnt. */
export function merged(
  before: readonly WriteOutcome[],
  latest: readonly WriteOutcome[],
): readonly WriteOutcome[] {
  return latest.map((now, at) => {
    const old = before[at];
    if (old === undefined || now.kind === 'applied') return old?.kind === 'applied' ? old : now;
    return old.kind === 'not-applied' ? now : old;
  });
}

export function endOf(outcome: WriteOutcome): WriteEnd {
  switch (outcome.kind) {
    case 'applied':
      return { kind: 'applied', version: outcome.version };
    case 'not-applied':
      return { kind: 'not-applied' };
    case 'unknown':
      return { kind: 'unknown' };
    default:
      return unreachable(outcome);
  }
}

export function existedOf(outcome: WriteOutcome): boolean | undefined {
  return outcome.kind === 'applied' ? outcome.existed : undefined;
}
