/** How whatever checks input says what is wrong with it: the field, the fault, the limit. */
import { utf8Length } from './bytes.js';
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

/** The same for text in UTF-8. Three bytes a UTF-16 unit at most: most texts need no counting. */
export function checkBytesAtMost(limit: LimitName, text: string, field: string): void {
  if (3 * text.length > LIMITS[limit].value) checkAtMost(limit, utf8Length(text), field);
}
