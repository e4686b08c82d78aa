/** `flotilla config print`: the settings that count, and where each comes from. */
import type { Command } from 'commander';
import { describeOrigin, loadConfig } from '../../node/config.js';
import type { CliContext } from '../context.js';
import { EXIT, EXIT_CODES_HELP, type ExitCode } from '../exit-codes.js';
import { addSettingOptions, configSourcesOf, SETTINGS_HELP } from '../options.js';
import { renderTable } from '../render/table.js';

const EXAMPLES = `
Examples:
  flotilla config print --config node-1.json
  FLOTILLA_CLUSTER__SHARDS=8 flotilla config print --node-id 1 --json`;

export function addConfigCommand(
  program: Command,
  context: CliContext,
  finish: (code: ExitCode) => void,
): void {
  const config = program.command('config').description('look at the configuration of a node');
  const print = config
    .command('print')
    .description('print the settings that count, with their origin')
    .option('--json', 'print JSON for scripts', false)
    .addHelpText('after', SETTINGS_HELP + EXAMPLES + EXIT_CODES_HELP);
  addSettingOptions(print).action(async (options: { json: boolean }, command: Command) => {
    const { effective, warnings } = loadConfig(await configSourcesOf(command, context));
    for (const warning of warnings) context.stderr.write(`warning: ${warning}\n`);
    const settings = effective.map(({ key, value, origin }) => ({
      key,
      value,
      origin: describeOrigin(origin),
    }));
    context.stdout.write(
      options.json
        ? `${JSON.stringify(settings, undefined, 2)}\n`
        : renderTable(
            [{ title: 'setting' }, { title: 'value' }, { title: 'origin' }],
            settings.map(({ key, value, origin }) => [key, value, origin]),
          ),
    );
    finish(EXIT.ok);
  });
}
