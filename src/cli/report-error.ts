/** Errors as the command line shows them: a clear line for people, a JSON object for scripts. */
import { isFlotillaError } from '../shared/errors.js';
import type { TextOutput } from './context.js';

/** Writes the error. A stack is never shown: what needs one is a bug and says INTERNAL. */
export function reportError(output: TextOutput, error: unknown, json: boolean): void {
  const message = messageOf(error);
  if (json) {
    const body = isFlotillaError(error) ? { ...error.body, code: error.code } : { message };
    output.write(`${JSON.stringify({ error: body })}\n`);
    return;
  }
  const reason = isFlotillaError(error) ? ` (${error.reason})` : '';
  const lines = message.split('\n').map((line) => `error: ${line}`);
  output.write(`${lines.join('\n')}${reason}\n`);
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const isTaken = 'code' in error && error.code === 'EADDRINUSE';
  if (!isTaken) return error.message;
  const advice = 'stop what runs there, or take another port (those of flotilla dev are fixed)';
  return `${error.message}; ${advice}`;
}
