/** `flotilla node`: one node of a cluster, until it is told to stop. */
import type { Command } from 'commander';
import { loadConfig, type NodeConfig } from '../../node/config.js';
import { createLogger } from '../../node/pino-logger.js';
import { isFlotillaError, messageOf } from '../../shared/errors.js';
import type { CliContext } from '../context.js';
import { EXIT, EXIT_CODES_HELP, type ExitCode } from '../exit-codes.js';
import { nodeIdOption } from '../group-options.js';
import {
  addClientOptions,
  addSettingOptions,
  type ClientOptions,
  configSourcesOf,
  SETTINGS_HELP,
  withClient,
} from '../options.js';

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
  addReadmit(node, context, finish);
}

interface ReadmitOptions extends ClientOptions {
  readonly node: number;
}

function addReadmit(node: Command, context: CliContext, finish: (code: ExitCode) => void): void {
  const readmit = node
    .command('readmit')
    .description('take a node in again that has lost its data directory')
    .requiredOption('--node <id>', 'the node; it must run, on an empty directory', nodeIdOption)
    .addHelpText(
      'after',
      `
Example:
  flotilla node readmit --node 2 --url 10.0.0.1:7700

Ask a node that is well. All replicas of the node are replaced by new ones, which get their data
from the others; see flotilla status. The old directory is of no use afterwards.
${EXIT_CODES_HELP}`,
    );
  addClientOptions(readmit).action(async (options: ReadmitOptions) => {
    const { node: nodeId, timeoutMs, json } = options;
    const answer = await withClient(context, options, (client) =>
      client.readmitNode(nodeId, { timeoutMs }),
    );
    const text =
      answer.replicas === 0
        ? `the cluster knows node ${nodeId} by store ${answer.storeId} already: nothing to do`
        : `node ${nodeId} is taken in with store ${answer.storeId}; ` +
          `${answer.replicas} replicas are being replaced`;
    context.stdout.write(json ? `${JSON.stringify(answer)}\n` : `${text}\n`);
    finish(EXIT.ok);
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
    const reason = isFlotillaError(error) ? ` (${error.reason})` : '';
    const message = `error: node ${config.nodeId} cannot run: ${messageOf(error)}${reason}`;
    context.stderr.write(`${message}\n`);
    return EXIT.failed;
  } finally {
    ignoreSignals();
  }
}
