import { FatalRaftError } from './types.js';

/**
 * Throws a `FatalRaftError` unless `condition` holds: the replica must stop, because going on could
 * lose or fork the log. The message is only built when it is needed; give all numbers in it.
 */
export function invariant(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new FatalRaftError(message());
}
