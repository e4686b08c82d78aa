/** `flotilla dev`: a whole cluster in one process, to try things with. */
import type { Command } from 'commander';
import { LIMITS } from '../../shared/limits.js';
import type { CliContext } from '../context.js';
import { EXIT, EXIT_CODES_HELP, type ExitCode, UsageError } from '../exit-codes.js';
import { integerOption } from '../options.js';
import { renderTable } from '../render/table.js';

const EXAMPLES = `
Examples:
  flotilla dev
  flotilla dev --nodes 5 --shards 8 --dir ./data
  flotilla dev --port 8800

Without --dir all data is gone when the command ends. With it --port has to stay the same: a cluster
keeps the addresses that it was made with.`;

const PORT_MAX = 65_535;
const PORTS_PER_NODE = 10;
/** From the port for clients to that for HTTP. */
const HTTP_PORT_OFFSET = 2;

interface DevOptions {
  readonly nodes: number;
  readonly shards: number;
  readonly replicationFactor?: number;
  readonly port: number;
  readonly dir?: string;
  readonly json: boolean;
}

export function addDevCommand(
  program: Command,
  context: CliContext,
  finish: (code: ExitCode) => void,
): void {
  program
    .command('dev')
    .description('run a cluster in one process, for development')
    .option('--nodes <count>', 'nodes', integerOption(1, LIMITS.nodesMax.value), 3)
    .option('--shards <count>', 'shards', integerOption(1, LIMITS.shardsMax.value), 4)
    .option(
      '--replication-factor <count>',
      'replicas of each shard (default: 3, or one per node where there are fewer)',
      integerOption(1, LIMITS.replicationFactorMax.value),
    )
    .option(
      '--port <port>',
      'where node 1 serves clients, HTTP two above; each further node 10 above the one before',
      integerOption(1, PORT_MAX),
      7_700,
    )
    .option('--dir <directory>', 'keep the data here')
    .option('--json', 'print JSON for scripts', false)
    .addHelpText('after', EXAMPLES + EXIT_CODES_HELP)
    .action(async (options: DevOptions) => {
      await runDev(options, context);
      finish(EXIT.ok);
    });
}

async function runDev(options: DevOptions, context: CliContext): Promise<void> {
  const { nodes, shards, replicationFactor, port, dir } = options;
  if (replicationFactor !== undefined && replicationFactor > nodes) {
    throw new UsageError(`--replication-factor ${replicationFactor} is more than --nodes ${nodes}`);
  }
  if (port + (nodes - 1) * PORTS_PER_NODE + HTTP_PORT_OFFSET > PORT_MAX) {
    throw new UsageError(`--port ${port} leaves no room for the ports of ${nodes} nodes`);
  }
  const { Cluster } = await import('../../cluster/cluster.js');
  const stopping = new AbortController();
  const ignoreSignals = context.onStopSignal(() => stopping.abort());
  try {
    const cluster = await Cluster.start({
      nodes,
      shards,
      listen: true,
      port,
      ...(replicationFactor !== undefined && { replicationFactor }),
      ...(dir !== undefined && { dir }),
    });
    try {
      showAddresses(cluster.addresses, options.json, context);
      await stopped(stopping.signal);
    } finally {
      await cluster.stop();
    }
  } finally {
    ignoreSignals();
  }
}

function showAddresses(
  addresses: readonly { nodeId: number; client: string; http: string }[],
  json: boolean,
  context: CliContext,
): void {
  if (json) {
    context.stdout.write(`${JSON.stringify({ addresses })}\n`);
    return;
  }
  const url = addresses.map((node) => node.client).join(',');
  context.stdout.write(
    `${renderTable(
      [{ title: 'node', align: 'right' }, { title: 'client' }, { title: 'http' }],
      addresses.map((node) => [String(node.nodeId), node.client, node.http]),
    )}
The cluster is ready. In another terminal:
  export FLOTILLA_URL=${url}
  flotilla status
Stop it with Ctrl-C.
`,
  );
}

function stopped(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
