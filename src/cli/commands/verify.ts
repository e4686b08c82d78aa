/** `flotilla verify`: whether all replicas hold the same records. */
import type { Command } from 'commander';
import type { CliContext } from '../context.js';
import { EXIT, EXIT_CODES_HELP, type ExitCode } from '../exit-codes.js';
import { addClientOptions, type ClientOptions, withClient } from '../options.js';
import { findingsOf, gapsOf, renderVerification } from '../render/verify.js';

interface VerifyOptions extends ClientOptions {
  readonly collection?: string;
  readonly deep: boolean;
}

export function addVerifyCommand(
  program: Command,
  context: CliContext,
  finish: (code: ExitCode) => void,
): void {
  const verify = program
    .command('verify')
    .description('compare what all replicas hold, each shard at one position of its log')
    .option('--collection <name>', 'only this collection (default: all)')
    .option('--deep', 'also read all stored records and compare them with their hashes', false)
    .addHelpText(
      'after',
      `
Ends with 1 where replicas differ or hold what nobody wrote, and with 3 where some of them could not
be compared.

Examples:
  flotilla verify
  flotilla verify --collection docs --deep --timeout-ms 600000
  flotilla verify --json | jq '.findings'
${EXIT_CODES_HELP}`,
    );
  addClientOptions(verify).action(async (options: VerifyOptions) => {
    const { collection, deep, timeoutMs } = options;
    const shards = await withClient(context, options, (client) =>
      client.verify({ deep, timeoutMs, ...(collection !== undefined && { collection }) }),
    );
    const [findings, gaps] = [findingsOf(shards), gapsOf(shards)];
    context.stdout.write(
      options.json
        ? `${JSON.stringify({ shards, findings, gaps })}\n`
        : renderVerification(shards, findings, gaps),
    );
    if (findings.length > 0) finish(EXIT.failed);
    else finish(gaps.length > 0 ? EXIT.unavailable : EXIT.ok);
  });
}
