/** What the outcomes of a write's records say about the write as a whole. */
import { ERRORS, isConditionReason } from './error-codes.js';
import { FlotillaError } from './errors.js';
import type { WriteOutcome } from './types.js';

type FailedOutcome = Exclude<WriteOutcome, { readonly kind: 'applied' }>;

/** Which record of a request it is, for an error: `records[3]`, and its id. */
export interface RecordPlace {
  readonly field: string;
  readonly id: string;
}

/**
 * The error that answers a write none of whose records is known to be applied: an unknown outcome
 * if there is one, else an error that the caller can mend, else one that trying again can. That a
 * condition did not hold is the answer only where it is so for every record: it is final.
 *
 * SESSION_EXPIRED is the last of the unknown ones. Who gets it may send the write again under a new
 * key, unless an earlier attempt can count: no record of this one had a better chance.
 *
 * With `placeOf` an error that is a record's own names the record.
 */
export function errorOfOutcomes(
  outcomes: readonly WriteOutcome[],
  placeOf?: (at: number) => RecordPlace,
): FlotillaError {
  const failed = outcomes.flatMap((one, at): FailedOutcome[] => {
    if (one.kind === 'applied') return [];
    return [placeOf === undefined ? one : located(one, () => placeOf(at))];
  });
  const error = chosen(failed);
  const isUntouched = failed.every((one) => one.error.details?.untouched !== undefined);
  return isUntouched ? error : touched(error);
}

function chosen(failed: readonly FailedOutcome[]): FlotillaError {
  const unknown = failed.filter((one) => one.kind === 'unknown');
  const unclear = unknown.find((one) => one.error.reason !== 'SESSION_EXPIRED') ?? unknown[0];
  if (unclear !== undefined) return asUnknown(FlotillaError.fromBody(unclear.error));
  const errors = failed.map((one) => FlotillaError.fromBody(one.error));
  const open = errors.filter((error) => !isConditionReason(error.reason));
  const first = open.find((error) => !error.retryable) ?? open[0] ?? errors[0];
  return first ?? new FlotillaError('INTERNAL', 'A write without outcomes');
}

/** Of one shard only it may be true that nobody has worked on its part (D1). */
function touched(error: FlotillaError): FlotillaError {
  if (error.body.details?.untouched === undefined) return error;
  const { untouched: _, ...details } = error.body.details;
  return FlotillaError.fromBody({ ...error.body, details }, error.cause);
}

/** A record's own are errors of its condition, and of what it holds; all others are the shard's. */
function located(outcome: FailedOutcome, place: () => RecordPlace): FailedOutcome {
  const { reason, field: known } = outcome.error;
  const isOwn = isConditionReason(reason) || ERRORS[reason].code === 'INVALID_ARGUMENT';
  if (!isOwn || known !== undefined) return outcome;
  const { field, id } = place();
  const message = `${field} (id ${JSON.stringify(id)}): ${outcome.error.message}`;
  return { ...outcome, error: { ...outcome.error, field, message } };
}

/** The error, or OUTCOME_UNKNOWN in its place where it says that nothing has happened. */
export function asUnknown(error: FlotillaError): FlotillaError {
  if (error.outcome === 'unknown') return error;
  const message = `The write may have been applied before this: ${error.message}`;
  const details = { ...error.body.details, reason: error.reason };
  return new FlotillaError('OUTCOME_UNKNOWN', message, { details, cause: error });
}
