/** The libraries with native code: optional dependencies, which only nodes need (ADR 20). */
import { FlotillaError, messageOf } from './errors.js';

/** Brings what npm was told to omit, or has left out because it could not compile it. */
export const INSTALL_COMMAND = 'npm install --include=optional';

/** NATIVE_LIBRARY_MISSING, in the words that all of them share. `remedy` is a command. */
export function nativeLibraryMissing(
  name: string,
  why: string,
  remedy: string,
  cause: unknown,
): FlotillaError {
  const [firstLine] = messageOf(cause).split('\n');
  const message =
    `The native library ${name} ${why}; nodes need it, clients do not. With python3, make and a ` +
    `C++ compiler installed, run: ${remedy} (${firstLine})`;
  return new FlotillaError('NATIVE_LIBRARY_MISSING', message, { cause });
}
