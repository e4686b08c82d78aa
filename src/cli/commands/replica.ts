/** `flotilla replica`: which nodes hold the replicas of a shard. */
import type { Command } from 'commander';
import type {
  Flotilla,
  GroupPlace,
  ReplicaPlace,
  ReplicaResponse,
  ShardStatus,
} from '../../client/index.js';
import type { CliContext } from '../context.js';
import { EXIT, EXIT_CODES_HELP, type ExitCode, UsageError } from '../exit-codes.js';
import {
  addGroupOptions,
  type GroupOptions,
  groupPlace,
  groupTitle,
  nodeIdOption,
} from '../group-options.js';
import { addClientOptions, type ClientOptions, integerOption, withClient } from '../options.js';
import { describeChange } from '../render/status.js';

interface ReplicaOptions extends ClientOptions, GroupOptions {
  readonly node: number;
  readonly wait: boolean;
  readonly faulty?: boolean;
}

interface CancelOptions extends ClientOptions, GroupOptions {
  readonly change: number;
}

interface Verb {
  readonly name: 'add' | 'remove' | 'reset';
  readonly description: string;
  readonly examples: string;
  readonly run: (
    client: Flotilla,
    where: ReplicaPlace,
    timeoutMs: number,
  ) => Promise<ReplicaResponse>;
}

const VERBS: readonly Verb[] = [
  {
    name: 'add',
    description:
      'give a shard one more replica, on a node that has none of it; of the topology, let that ' +
      'of the node vote',
    examples: `
  flotilla replica add --shard 0 --node 4
  flotilla replica add --shard 0 --node 4 --wait
  flotilla replica add --topology --node 6`,
    run: (client, where, timeoutMs) => client.addReplica(where, { timeoutMs }),
  },
  {
    name: 'remove',
    description:
      "take a shard's replica away from a node, and delete its data there; of the topology, let " +
      'that of the node vote no more',
    examples: `
  flotilla replica remove --shard 0 --node 2
  flotilla replica remove --topology --node 2`,
    run: (client, where, timeoutMs) => client.removeReplica(where, { timeoutMs }),
  },
  {
    name: 'reset',
    description: 'replace a replica whose data are damaged or lost, from the others',
    examples: `
  flotilla replica reset --shard 3 --node 2
  flotilla replica reset --topology --node 2 --wait
  flotilla replica reset --faulty --node 2`,
    run: (client, where, timeoutMs) => client.resetReplica(where, { timeoutMs }),
  },
];

const POLL_PERIOD_MS = 1_000;
/** What the API has room for. */
const changeIdOption = integerOption(1, 2 ** 32 - 1);

export function addReplicaCommand(
  program: Command,
  context: CliContext,
  finish: (code: ExitCode) => void,
): void {
  const replica = program.command('replica').description('change which nodes hold a shard');
  for (const verb of VERBS) addVerb(replica, verb, context, finish);
  addCancel(replica, context, finish);
}

function addVerb(
  replica: Command,
  verb: Verb,
  context: CliContext,
  finish: (code: ExitCode) => void,
): void {
  const command = replica
    .command(verb.name)
    .description(verb.description)
    .requiredOption('--node <id>', 'the node', nodeIdOption)
    .option('--wait', 'end when the change is over, not when it has begun', false)
    .addHelpText(
      'after',
      `
Examples:${verb.examples}

The change goes on by itself, also when this command is stopped: see flotilla status.
${EXIT_CODES_HELP}`,
    );
  if (verb.name === 'reset') {
    command.option('--faulty', 'all replicas of the node that do not take part', false);
  }
  addClientOptions(addGroupOptions(command)).action(async (options: ReplicaOptions) => {
    const { node: nodeId, timeoutMs, wait, faulty = false } = options;
    const named = faulty ? [] : [groupPlace(options)];
    if (faulty && (options.topology || options.shard !== undefined)) {
      throw new UsageError('--faulty is for all groups: leave --shard and --topology out');
    }
    await withClient(context, options, async (client) => {
      const groups = faulty ? await faultyOn(nodeId, client, timeoutMs) : named;
      if (groups.length === 0) context.stderr.write(`node ${nodeId} has no faulty replica\n`);
      for (const group of groups) {
        const answer = await verb.run(client, { ...group, nodeId }, timeoutMs);
        show(answer, group, options.json, context);
        if (wait) await waitForEnd(client, group, { ...answer, timeoutMs }, context);
      }
    });
    finish(EXIT.ok);
  });
}

/** The groups whose replica on the node says that it does not take part. */
async function faultyOn(
  nodeId: number,
  client: Flotilla,
  timeoutMs: number,
): Promise<readonly GroupPlace[]> {
  const { topology, shards } = await client.status({ timeoutMs });
  const isFaulty = ({ replicas }: ShardStatus): boolean =>
    replicas.some((one) => one.nodeId === nodeId && one.fault !== '');
  return [
    ...(isFaulty(topology) ? [{ topology: true as const }] : []),
    ...shards.filter(isFaulty).map(({ shardId }) => ({ shardId })),
  ];
}

function addCancel(replica: Command, context: CliContext, finish: (code: ExitCode) => void): void {
  const command = replica
    .command('cancel')
    .description('give up a change whose new replica does not vote yet')
    .requiredOption('--change <id>', 'the change, as flotilla status shows it', changeIdOption)
    .addHelpText(
      'after',
      `
Example:
  flotilla replica cancel --shard 3 --change 7

May be repeated: it never hits another change. One that was given up before is no error, one that
is through, or never was, is.
${EXIT_CODES_HELP}`,
    );
  addClientOptions(addGroupOptions(command)).action(async (options: CancelOptions) => {
    const group = groupPlace(options);
    const { change: changeId, timeoutMs, json } = options;
    const answer = await withClient(context, options, (client) =>
      client.cancelReplicaChange({ ...group, changeId }, { timeoutMs }),
    );
    if (json || answer.change?.id === changeId) show(answer, group, json, context);
    else context.stdout.write(`${groupTitle(group)}: change ${changeId} is not under way\n`);
    finish(EXIT.ok);
  });
}

function show(
  answer: ReplicaResponse,
  group: GroupPlace,
  json: boolean,
  context: CliContext,
): void {
  if (json) {
    context.stdout.write(`${JSON.stringify(answer)}\n`);
    return;
  }
  const { change } = answer;
  const what = change === undefined ? 'nothing to do' : describeChange(change);
  context.stdout.write(`${groupTitle(group)}: ${what}\n`);
}

/**
 * Shows each new state of the change on stderr until it is over; a stop signal ends the wait. Other
 * nodes hear of the change a little later than the one that began it.
 */
async function waitForEnd(
  client: Flotilla,
  place: GroupPlace,
  { epoch, timeoutMs }: { readonly epoch: number; readonly timeoutMs: number },
  context: CliContext,
): Promise<void> {
  const stopping = new AbortController();
  const ignoreSignals = context.onStopSignal(() => stopping.abort());
  let shown = '';
  try {
    while (!stopping.signal.aborted) {
      const status = await client.status({ timeoutMs });
      const isMeant = (shard: ShardStatus): boolean => shard.shardId === place.shardId;
      const group = place.topology ? status.topology : status.shards.find(isMeant);
      if (group?.change === undefined && status.epoch >= epoch) {
        context.stderr.write(`${groupTitle(place)}: the change is over\n`);
        return;
      }
      const state = group?.change === undefined ? shown : describeChange(group.change);
      if (state !== shown) context.stderr.write(`${groupTitle(place)}: ${state}\n`);
      shown = state;
      await context.sleep(POLL_PERIOD_MS, stopping.signal);
    }
  } finally {
    ignoreSignals();
  }
}
