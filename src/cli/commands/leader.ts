/** `flotilla leader`: which replica of a shard leads. */
import type { Command } from 'commander';
import type { Flotilla, LeaderPlace, LeaderResponse } from '../../client/index.js';
import type { CliContext } from '../context.js';
import { EXIT, EXIT_CODES_HELP, type ExitCode } from '../exit-codes.js';
import {
  addGroupOptions,
  type GroupOptions,
  groupPlace,
  groupTitle,
  nodeIdOption,
} from '../group-options.js';
import { addClientOptions, type ClientOptions, withClient } from '../options.js';

interface LeaderOptions extends ClientOptions, GroupOptions {
  readonly to?: number;
}

interface Verb {
  readonly name: string;
  readonly description: string;
  readonly takesNode: boolean;
  readonly examples: string;
  readonly run: (
    client: Flotilla,
    where: LeaderPlace,
    timeoutMs: number,
  ) => Promise<LeaderResponse>;
}

const VERBS: readonly Verb[] = [
  {
    name: 'transfer',
    description: 'hand the leadership over, to a node or to the replica that is best caught up',
    takesNode: true,
    examples: `
  flotilla leader transfer --shard 0 --to 3
  flotilla leader transfer --topology`,
    run: (client, where, timeoutMs) => client.transferLeadership(where, { timeoutMs }),
  },
  {
    name: 'step-down',
    description: 'make the leader give up its office; the replicas elect one',
    takesNode: false,
    examples: `
  flotilla leader step-down --shard 0`,
    run: (client, where, timeoutMs) => client.stepDown(where, { timeoutMs }),
  },
  {
    name: 'elect',
    description: 'make a replica seek the leadership; a majority has to agree as ever',
    takesNode: true,
    examples: `
  flotilla leader elect --shard 0
  flotilla leader elect --shard 0 --to 2`,
    run: (client, where, timeoutMs) => client.elect(where, { timeoutMs }),
  },
];

export function addLeaderCommand(
  program: Command,
  context: CliContext,
  finish: (code: ExitCode) => void,
): void {
  const leader = program.command('leader').description('change which replica of a shard leads');
  for (const verb of VERBS) {
    const command = leader
      .command(verb.name)
      .description(verb.description)
      .addHelpText('after', `\nExamples:${verb.examples}\n${EXIT_CODES_HELP}`);
    if (verb.takesNode) command.option('--to <node>', 'the node that shall lead', nodeIdOption);
    addClientOptions(addGroupOptions(command)).action(async (options: LeaderOptions) => {
      const where = {
        ...groupPlace(options),
        ...(options.to !== undefined && { nodeId: options.to }),
      };
      const answer = await withClient(context, options, (client) =>
        verb.run(client, where, options.timeoutMs),
      );
      context.stdout.write(
        options.json
          ? `${JSON.stringify(answer)}\n`
          : `${groupTitle(where)}: node ${answer.leaderNodeId} leads\n`,
      );
      finish(EXIT.ok);
    });
  }
}
