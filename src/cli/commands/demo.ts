/** `flotilla demo`: three nodes, a search, a kill -9, and nothing lost. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { CliContext } from '../context.js';
import { NodeProcesses } from '../demo/node-processes.js';
import { Story } from '../demo/story.js';
import { EXIT, EXIT_CODES_HELP, type ExitCode } from '../exit-codes.js';

const EXAMPLES = `
Examples:
  flotilla demo

It uses free ports and a temporary folder, and leaves nothing behind.`;

const NODES = 3;
const SHARDS = 4;

export function addDemoCommand(
  program: Command,
  context: CliContext,
  finish: (code: ExitCode) => void,
): void {
  program
    .command('demo')
    .description('show a cluster that loses a node and no data, in under a minute')
    .addHelpText('after', EXAMPLES + EXIT_CODES_HELP)
    .action(async () => {
      await runDemo(context);
      finish(EXIT.ok);
    });
}

async function runDemo(context: CliContext): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'flotilla-demo-'));
  const nodes = await NodeProcesses.create(directory, NODES, SHARDS);
  const interrupted = new AbortController();
  const ignoreSignals = context.onStopSignal(() => interrupted.abort());
  const client = await context.connect(nodes.clientAddresses);
  context.stdout.write(`A Flotilla cluster on this machine, in ${directory}\n`);
  try {
    const stopped = new Promise<void>((resolve) => {
      interrupted.signal.addEventListener('abort', () => resolve());
    });
    await Promise.race([new Story(context, nodes, client).tell(), stopped]);
    if (!interrupted.signal.aborted) {
      context.stdout.write(
        '\nTry it yourself: `flotilla dev` keeps a cluster running; README.md has the first ' +
          'steps.\n',
      );
    }
    await client.close();
    await nodes.stopAll();
    rmSync(directory, { recursive: true, force: true });
  } finally {
    await client.close();
    await nodes.stopAll();
    ignoreSignals();
  }
}
