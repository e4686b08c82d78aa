/** Checks for what the program itself must guarantee. What a caller sends is checked elsewhere. */

/** A broken invariant: a bug. The part that finds it stops; it is never turned into an answer. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError';
}

/** Throws an `InvariantError` unless `condition` holds. Give the numbers in `message`. */
export function assert(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw new InvariantError(typeof message === 'string' ? message : message());
}

/** The value, which must be there. */
export function defined<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) throw new InvariantError(`${what} is missing`);
  return value;
}

/** For the default branch of an exhaustive switch: does not compile while a case is missing. */
export function unreachable(value: never, what = 'case'): never {
  throw new InvariantError(`unexpected ${what}: ${JSON.stringify(value)}`);
}
