/** What the outcomes of a write's records say about the write as a whole. */
import { isConditionReason } from './error-codes.js';
import { FlotillaError } from './errors.js';
import type { WriteOutcome } from './types.js';

type FailedOutcome = Exclude<WriteOutcome, { readonly kind: 'applied' }>;

/**
 * The error that answers a write none of whose records is known to be applied: an unknown outcome
 * if there is one, else an error that the caller can mend, else one that trying again can. That a
 * condition did not hold is the answer only where it is so for every record: it is final.
 *
 * SESSION_EXPIRED is the last of the unknown ones. Who gets it may send the write again under a new
 * key, unless an earlier attempt can count: no record of this one had a better chance.
 */
export function errorOfOutcomes(outcomes: readonly WriteOutcome[]): FlotillaError {
  const failed = outcomes.filter((one): one is FailedOutcome => one.kind !== 'applied');
  const unknown = failed.filter((one) => one.kind === 'unknown');
  const unclear = unknown.find((one) => one.error.reason !== 'SESSION_EXPIRED') ?? unknown[0];
  if (unclear !== undefined) return asUnknown(FlotillaError.fromBody(unclear.error));
  const errors = failed.map((one) => FlotillaError.fromBody(one.error));
  const open = errors.filter((error) => !isConditionReason(error.reason));
  const first = open.find((error) => !error.retryable) ?? open[0] ?? errors[0];
  return first ?? new FlotillaError('INTERNAL', 'A write without outcomes');
}

/** The error, or OUTCOME_UNKNOWN in its place where it says that nothing has happened. */
export function asUnknown(error: FlotillaError): FlotillaError {
  if (error.outcome === 'unknown') return error;
  const message = `The write may have been applied before this: ${error.message}`;
  const details = { ...error.body.details, reason: error.reason };
  return new FlotillaError('OUTCOME_UNKNOWN', message, { details, cause: error });
}
