/** Runs a command line without a process, a terminal or a cluster, and keeps what it prints. */
import type { CliContext } from '../../../src/cli/context.js';
import { runCli } from '../../../src/cli/program.js';

export interface CommandRun {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export async function runCommand(
  words: readonly string[],
  overrides: Partial<CliContext> = {},
): Promise<CommandRun> {
  const out: string[] = [];
  const err: string[] = [];
  const context: CliContext = {
    stdout: { isTerminal: false, columns: 80, isClosed: false, write: (text) => out.push(text) },
    stderr: { isTerminal: false, columns: 80, isClosed: false, write: (text) => err.push(text) },
    environment: {},
    monotonicMs: () => 0,
    wallMs: () => 1_000,
    sleep: () => Promise.resolve(),
    connect: () => Promise.reject(new Error('the command asks a cluster')),
    onStopSignal: () => () => undefined,
    ...overrides,
  };
  const code = await runCli([...words], context);
  return { code, out: out.join(''), err: err.join('') };
}
