/** How the process ends: documented in every help text, for scripts to test. */
import { ConfigError } from '../node/config.js';
import { isFlotillaError } from '../shared/errors.js';

export const EXIT = {
  ok: 0,
  /** The command was understood and did not succeed. */
  failed: 1,
  /** Wrong arguments or configuration; nothing was done. */
  usage: 2,
  /** No node answered in time, or the cluster is not healthy. */
  unavailable: 3,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_CODES_HELP = `
Exit codes:
  0  done
  1  failed
  2  wrong arguments or configuration
  3  the cluster cannot be reached or is not healthy`;

/** The arguments fit the options' form but make no sense. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The exit code for what a command threw. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof UsageError || error instanceof ConfigError) return EXIT.usage;
  if (!isFlotillaError(error)) return EXIT.failed;
  const unreachable = error.code === 'UNAVAILABLE' || error.code === 'DEADLINE_EXCEEDED';
  return unreachable ? EXIT.unavailable : EXIT.failed;
}
