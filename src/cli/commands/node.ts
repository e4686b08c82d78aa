/** `flotilla node`: one node of a cluster, until it is told to stop. */
import type { Command } from 'commander';
import { loadConfig, type NodeConfig } from '../../node/config.js';
import { createLogger } from '../../node/pino-logger.js';
import { isFlotillaError } from '../../shared/errors.js';
import type { CliContext } from '../context.js';
import { EXIT, EXIT_CODES_HELP, type ExitCode } from '../exit-codes.js';
import { addSettingOptions, configSourcesOf, SETTINGS_HELP } from '../options.js';

const EXAMPLES = `
Examples:
  flotilla node --node-id 1 --cluster-bootstrap --cluster-replication-factor 1
  flotilla node --config /etc/flotilla/node-1.json
  FLOTILLA_NODE__ID=2 FLOTILLA_CLUSTER__NODES=1=a:7701,2=b:7701,3=c:7701 flotilla node

SIGTERM and SIGINT stop the node in order: requests under way are finished first. A second signal
ends the process at once.`;

export function addNodeCommand(
  program: Command,
  context: CliContext,
  finish: (code: ExitCode) => void,
): void {
  const node = program
    .command('node')
    .description('run one node of a cluster until it is stopped')
    .addHelpText('after', SETTINGS_HELP + EXAMPLES + EXIT_CODES_HELP);
  addSettingOptions(node).action(async (_options: unknown, command: Command) => {
    const { config, warnings } = loadConfig(await configSourcesOf(command, context));
    finish(await runNode(config, warnings, context));
  });
}

async function runNode(
  config: NodeConfig,
  warnings: readonly string[],
  context: CliContext,
): Promise<ExitCode> {
  const logger = createLogger({ level: config.logLevel, pretty: config.logPretty });
  for (const warning of warnings) logger.warn({}, warning);
  // Loaded here, so that the other commands need neither the index nor the database.
  const { startNode } = await import('../../node/start-node.js');
  const stopping = new AbortController();
  const ignoreSignals = context.onStopSignal((signal) => stopping.abort(signal));
  try {
    const node = await startNode({ config, logger });
    logger.info({ nodeId: config.nodeId, ...node.addresses }, 'node listens');
    const stop = (): void => {
      logger.info({ signal: stopping.signal.reason }, 'node stops');
      void node.stop();
    };
    if (stopping.signal.aborted) stop();
    else stopping.signal.addEventListener('abort', stop, { once: true });
    await node.closed;
    return EXIT.ok;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const reason = isFlotillaError(error) ? ` (${error.reason})` : '';
    context.stderr.write(`error: node ${config.nodeId} cannot run: ${message}${reason}\n`);
    return EXIT.failed;
  } finally {
    ignoreSignals();
  }
}
