/** How whatever checks input says what is wrong with it: the field, the fault, the limit. */
import { FlotillaError, limitExceeded } from './errors.js';
import { LIMITS, type LimitName } from './limits.js';

/** INVALID_REQUEST for a field; `fault` goes on where the field's name ends: "is empty, ...". */
export function invalidField(field: string, fault: string, cause?: unknown): FlotillaError {
  return new FlotillaError('INVALID_REQUEST', `${field} ${fault}`, { field, cause });
}

/** Throws LIMIT_EXCEEDED where `actual` is above the limit. */
export function checkAtMost(limit: LimitName, actual: number, field: string): void {
  if (actual > LIMITS[limit].value) throw limitExceeded(limit, field, actual);
}
