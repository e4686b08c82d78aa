/** `flotilla cluster init`: makes one cluster of nodes that wait for it. */
import type { Command } from 'commander';
import { loadClusterConfig } from '../../node/config.js';
import { createLogger } from '../../node/pino-logger.js';
import type { CliContext } from '../context.js';
import { EXIT, EXIT_CODES_HELP, type ExitCode } from '../exit-codes.js';
import { addSettingOptions, configSourcesOf, integerOption, SETTINGS_HELP } from '../options.js';
import { renderTable } from '../render/table.js';

const EXAMPLES = `
Examples:
  flotilla cluster init --cluster-nodes 1=10.0.0.1:7701,2=10.0.0.2:7701,3=10.0.0.3:7701
  flotilla cluster init --config cluster.json --json

All nodes must run, configured alike. Running it again changes nothing.`;

interface InitOptions {
  readonly timeoutMs: number;
  readonly json: boolean;
}

export function addClusterCommand(
  program: Command,
  context: CliContext,
  finish: (code: ExitCode) => void,
): void {
  const cluster = program.command('cluster').description('look after a cluster');
  const init = cluster
    .command('init')
    .description('make one cluster of nodes that run and have none')
    .option(
      '--timeout-ms <ms>',
      'how long to wait for all nodes',
      integerOption(1, 3_600_000),
      30_000,
    )
    .option('--json', 'print JSON for scripts', false)
    .addHelpText('after', SETTINGS_HELP + EXAMPLES + EXIT_CODES_HELP);
  addSettingOptions(init, [
    'cluster.nodes',
    'cluster.shards',
    'cluster.replicationFactor',
    'cluster.virtualNodes',
    'cluster.electionTimeoutMs',
    'cluster.leases',
    'log.level',
  ]).action(async (options: InitOptions, command: Command) => {
    await runInit(options, command, context);
    finish(EXIT.ok);
  });
}

async function runInit(options: InitOptions, command: Command, context: CliContext): Promise<void> {
  const { nodes, settings } = loadClusterConfig(await configSourcesOf(command, context));
  const { bootstrapCluster } = await import('../../node/bootstrap.js');
  const { grpcEnvironment } = await import('../../node/start-node.js');
  const stopping = new AbortController();
  const ignoreSignals = context.onStopSignal(() => stopping.abort());
  try {
    const document = await bootstrapCluster({
      environment: grpcEnvironment(),
      logger: createLogger({ level: 'silent' }),
      nodes,
      settings,
      timeoutMs: options.timeoutMs,
      signal: stopping.signal,
    });
    const { clusterId, shards } = document;
    if (options.json) {
      context.stdout.write(`${JSON.stringify({ clusterId, nodes: document.nodes, settings })}\n`);
      return;
    }
    context.stdout.write(
      `${renderTable(
        [
          { title: 'node', align: 'right' },
          { title: 'client' },
          { title: 'zone' },
          { title: 'store' },
        ],
        document.nodes.map((node) => [
          String(node.nodeId),
          node.clientAddress,
          node.zone ?? '-',
          node.storeId,
        ]),
      )}\nCluster ${clusterId} has ${shards.length} shards on ${nodes.length} nodes.\n`,
    );
  } finally {
    ignoreSignals();
  }
}
