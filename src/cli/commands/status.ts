/** `flotilla status`: nodes, shards and replicas, and whether all is well. */
import type { Command } from 'commander';
import type { ClusterStatus, Flotilla } from '../../client/index.js';
import type { CliContext } from '../context.js';
import { EXIT, EXIT_CODES_HELP, type ExitCode } from '../exit-codes.js';
import { addClientOptions, type ClientOptions, integerOption, withClient } from '../options.js';
import { problemsOf, renderStatus } from '../render/status.js';
import { reportError } from '../report-error.js';

const CLEAR_SCREEN = '\x1b[H\x1b[2J';

interface StatusOptions extends ClientOptions {
  readonly watch: boolean;
  readonly intervalMs: number;
}

export function addStatusCommand(
  program: Command,
  context: CliContext,
  finish: (code: ExitCode) => void,
): void {
  const status = program
    .command('status')
    .description('show nodes, shards and replicas, and whether all is well')
    .option('--watch', 'show it again and again until stopped', false)
    .option('--interval-ms <ms>', 'how often, with --watch', integerOption(100, 3_600_000), 2_000)
    .addHelpText(
      'after',
      `
Examples:
  flotilla status
  flotilla status --watch --url 10.0.0.1:7700,10.0.0.2:7700
  flotilla status --json | jq '.shards[] | {shardId, leaderNodeId}'
${EXIT_CODES_HELP}`,
    );
  addClientOptions(status).action(async (options: StatusOptions) => {
    const code = await withClient(context, options, (client) =>
      options.watch ? watch(client, options, context) : showOnce(client, options, context),
    );
    finish(code);
  });
}

async function showOnce(
  client: Flotilla,
  options: StatusOptions,
  context: CliContext,
): Promise<ExitCode> {
  const status = await client.status({ timeoutMs: options.timeoutMs });
  show(status, options.json, context);
  return status.healthy ? EXIT.ok : EXIT.unavailable;
}

/** Goes on when no node answers: that is when somebody watches. */
async function watch(
  client: Flotilla,
  options: StatusOptions,
  context: CliContext,
): Promise<ExitCode> {
  const stopping = new AbortController();
  const ignoreSignals = context.onStopSignal(() => stopping.abort());
  const { signal } = stopping;
  const redraw = context.stdout.isTerminal && !options.json;
  try {
    while (!signal.aborted) {
      try {
        const status = await client.status({ timeoutMs: options.timeoutMs, signal });
        if (redraw) context.stdout.write(CLEAR_SCREEN);
        show(status, options.json, context);
      } catch (error) {
        if (!signal.aborted) reportError(context.stderr, error, options.json);
      }
      await context.sleep(options.intervalMs, signal);
    }
    return EXIT.ok;
  } finally {
    ignoreSignals();
  }
}

function show(status: ClusterStatus, json: boolean, context: CliContext): void {
  context.stdout.write(
    json
      ? `${JSON.stringify({ ...status, problems: problemsOf(status) })}\n`
      : renderStatus(status),
  );
}
