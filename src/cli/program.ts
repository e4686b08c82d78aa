/** The `flotilla` command: its subcommands, and how what they throw becomes an exit code. */
import { Command, CommanderError } from 'commander';
import { VERSION } from '../node/version.js';
import { addClusterCommand } from './commands/cluster.js';
import { addCollectionCommand } from './commands/collection.js';
import { addConfigCommand } from './commands/config.js';
import { addDemoCommand } from './commands/demo.js';
import { addDevCommand } from './commands/dev.js';
import { addImportCommand } from './commands/import.js';
import { addLeaderCommand } from './commands/leader.js';
import { addNodeCommand } from './commands/node.js';
import { addPlanCommand } from './commands/plan.js';
import { addRecordChangeCommands } from './commands/record-changes.js';
import { addRecordCommands } from './commands/records.js';
import { addReplicaCommand } from './commands/replica.js';
import { addRingCommand } from './commands/ring.js';
import { addSearchCommands } from './commands/search.js';
import { addStatusCommand } from './commands/status.js';
import { addTenantCommand } from './commands/tenant.js';
import { addVerifyCommand } from './commands/verify.js';
import type { CliContext } from './context.js';
import { EXIT, EXIT_CODES_HELP, type ExitCode, exitCodeOf } from './exit-codes.js';
import { reportError } from './report-error.js';

const EXAMPLES = `
Examples:
  flotilla dev                                      three nodes in one process
  flotilla node --node-id 1 --cluster-nodes 1=10.0.0.1:7701,2=10.0.0.2:7701,3=10.0.0.3:7701
  flotilla import vectors.fvecs --collection docs --create
  flotilla status`;

/** Runs one command. Never rejects: whatever goes wrong is shown and becomes the exit code. */
export async function runCli(args: readonly string[], context: CliContext): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.ok;
  const program = createProgram(context, (code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    // Commander has shown its own errors, and help, already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    reportError(context.stderr, error, args.includes('--json'));
    return exitCodeOf(error);
  }
}

/** The whole command tree. `finish` receives the exit code of the command that ran. */
export function createProgram(context: CliContext, finish: (code: ExitCode) => void): Command {
  const program = new Command('flotilla')
    .description('Flotilla, a self-hosted distributed vector store.')
    .version(VERSION, '-V, --version')
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
      getOutHelpWidth: () => context.stdout.columns,
      getErrHelpWidth: () => context.stderr.columns,
    })
    .exitOverride()
    .showHelpAfterError('(run it with --help for all options)')
    .addHelpText('after', EXAMPLES + EXIT_CODES_HELP);
  addDemoCommand(program, context, finish);
  addNodeCommand(program, context, finish);
  addDevCommand(program, context, finish);
  addClusterCommand(program, context, finish);
  addStatusCommand(program, context, finish);
  addVerifyCommand(program, context, finish);
  addReplicaCommand(program, context, finish);
  addLeaderCommand(program, context, finish);
  addCollectionCommand(program, context, finish);
  addTenantCommand(program, context, finish);
  addImportCommand(program, context, finish);
  addSearchCommands(program, context, finish);
  addRecordCommands(program, context, finish);
  addRingCommand(program, context, finish);
  addPlanCommand(program, context, finish);
  addRecordChangeCommands(program, context, finish);
  addConfigCommand(program, context, finish);
  return program;
}
