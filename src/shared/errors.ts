import { ERRORS, type ErrorCode, type ErrorOutcome, type ErrorReason } from './error-codes.js';
import { LIMITS, type LimitName } from './limits.js';
import type { ErrorBody } from './types.js';

const BRAND = Symbol.for('flotilla.error');

export interface ErrorOptions {
  readonly field?: string | undefined;
  readonly limit?: LimitName | undefined;
  readonly details?: Readonly<Record<string, string>> | undefined;
  readonly cause?: unknown;
}

/**
 * The one error that leaves Flotilla. `reason` is stable and listed in docs/errors.md; the message
 * is for people and may change. Test with `isFlotillaError`, which also works across two copies
 * of the package.
 */
export class FlotillaError extends Error {
  override readonly name = 'FlotillaError';
  readonly body: ErrorBody;

  constructor(reason: ErrorReason, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    Object.defineProperty(this, BRAND, { value: true });
    this.body = {
      reason,
      message,
      ...(options.field !== undefined && { field: options.field }),
      ...(options.limit !== undefined && {
        limit: { name: options.limit, value: LIMITS[options.limit].value },
      }),
      ...(options.details !== undefined && { details: options.details }),
    };
  }

  /** Rebuilds an error that crossed a thread or a connection. */
  static fromBody(body: ErrorBody, cause?: unknown): FlotillaError {
    const error = new FlotillaError(body.reason, body.message, { cause });
    Object.assign(error, { body });
    return error;
  }

  get reason(): ErrorReason {
    return this.body.reason;
  }

  get code(): ErrorCode {
    return ERRORS[this.body.reason].code;
  }

  /** Whether the same request may succeed when sent again unchanged. */
  get retryable(): boolean {
    return ERRORS[this.body.reason].retryable;
  }

  /** Whether a write that this error answers can have happened. */
  get outcome(): ErrorOutcome {
    return ERRORS[this.body.reason].outcome;
  }

  get field(): string | undefined {
    return this.body.field;
  }

  /** The shard that has failed: the first one where there are several. */
  get shard(): number | undefined {
    const shards = this.body.details?.shards;
    return shards === undefined ? undefined : Number.parseInt(shards, 10);
  }

  get limit(): { readonly name: string; readonly value: number } | undefined {
    return this.body.limit;
  }
}

/**
 * LIMIT_EXCEEDED, in the words that all limits share. Without `actual` nobody counted further than
 * the limit.
 */
export function limitExceeded(limit: LimitName, field: string, actual?: number): FlotillaError {
  const { value, unit, what } = LIMITS[limit];
  const message =
    actual === undefined
      ? `${field} has more than ${value} ${unit}, which is the limit (${what})`
      : `${field} is at ${actual} ${unit}, the limit is ${value} (${what})`;
  return new FlotillaError('LIMIT_EXCEEDED', message, { field, limit });
}

export function isFlotillaError(value: unknown): value is FlotillaError {
  return typeof value === 'object' && value !== null && BRAND in value;
}

/** Any thrown value as a `FlotillaError`; what is not one already is INTERNAL. */
export function toFlotillaError(thrown: unknown): FlotillaError {
  if (isFlotillaError(thrown)) return thrown;
  return new FlotillaError('INTERNAL', messageOf(thrown), { cause: thrown });
}

/** What any thrown value says. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
