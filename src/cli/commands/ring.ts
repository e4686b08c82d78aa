/** `flotilla ring`: how strategies spread keys over shards, without any cluster. */
import { writeFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { DEFAULT_VIRTUAL_NODES } from '../../placement/hash-ring.js';
import { LIMITS } from '../../shared/limits.js';
import type { CliContext } from '../context.js';
import { EXIT, EXIT_CODES_HELP, type ExitCode, UsageError } from '../exit-codes.js';
import { integerOption } from '../options.js';
import { renderRingDrawing } from '../render/ring-drawing.js';
import { renderRingTable } from '../render/ring-table.js';
import {
  type RingQuestion,
  type RingReport,
  SIMULATED_STRATEGIES,
  type SimulatedStrategy,
  simulateRing,
} from '../ring-report.js';

const KEYS_MAX = 1_000_000;
const SEED_MAX = 2 ** 32 - 1;

interface SimulateOptions {
  readonly strategy: readonly SimulatedStrategy[];
  readonly nodes: number;
  readonly add?: number;
  readonly remove?: number;
  readonly keys: number;
  readonly virtualNodes: number;
  readonly seed: number;
  readonly svg?: string;
  readonly json: boolean;
}

const HELP = `
Asks no cluster: the keys "key-SEED-0", "key-SEED-1" ... are laid out before and after the change.
KEYS MOVED counts those that change their shard; of them NEEDLESS went from a shard that stays to
one that was there before. MAX/MEAN is the fullest shard, STDDEV how far the others are from the
mean. Ranges are cut so that each has as many keys. Tenant directories and shard keys move as
the strategy below them does.

Examples:
  flotilla ring simulate --nodes 3 --add 1 --keys 1000
  flotilla ring simulate --strategy ring,rendezvous --nodes 12 --remove 2 --keys 100000
  flotilla ring simulate --strategy ring --nodes 3 --virtual-nodes 10 --svg ring.svg
  flotilla ring simulate --json | jq '.strategies[] | {strategy, movedShare}'
${EXIT_CODES_HELP}`;

export function addRingCommand(
  program: Command,
  context: CliContext,
  finish: (code: ExitCode) => void,
): void {
  const ring = program.command('ring').description('how strategies spread keys over shards');
  const shards = LIMITS.shardsMax.value;
  ring
    .command('simulate')
    .description('show how many keys move, and how evenly they lie, when shards join or leave')
    .addOption(
      new Option('--strategy <names>', `separated by commas: ${SIMULATED_STRATEGIES.join(', ')}`)
        .argParser(parseStrategies)
        .default(SIMULATED_STRATEGIES, 'all'),
    )
    .option('--nodes <shards>', 'shards before the change', integerOption(1, shards), 3)
    .option(
      '--add <shards>',
      'how many join (default: 1 without --remove)',
      integerOption(0, shards),
    )
    .option('--remove <shards>', 'how many leave (default: 0)', integerOption(0, shards))
    .option('--keys <keys>', 'how many keys are laid out', integerOption(1, KEYS_MAX), 1_000)
    .option(
      '--virtual-nodes <points>',
      'points of a shard on the ring',
      integerOption(1, LIMITS.virtualNodesMax.value),
      DEFAULT_VIRTUAL_NODES,
    )
    .option('--seed <number>', 'other keys for each number', integerOption(0, SEED_MAX), 1)
    .option('--svg <file>', 'draw the circles before and after into this file')
    .option('--json', 'print JSON for scripts', false)
    .addHelpText('after', HELP)
    .action(async (options: SimulateOptions) => {
      const report = simulateRing(questionOf(options));
      if (options.svg !== undefined) await writeFile(options.svg, renderRingDrawing(report));
      context.stdout.write(
        options.json ? `${JSON.stringify(jsonOf(report))}\n` : renderRingTable(report),
      );
      finish(EXIT.ok);
    });
}

function questionOf(options: SimulateOptions): RingQuestion {
  const { strategy, nodes, remove = 0, keys, seed, virtualNodes } = options;
  const add = options.add ?? (options.remove === undefined ? 1 : 0);
  if (remove > nodes) throw new UsageError(`of ${nodes} shards ${remove} cannot leave`);
  const left = nodes - remove + add;
  if (left === 0) throw new UsageError('no shard would be left');
  if (left > LIMITS.shardsMax.value) {
    throw new UsageError(`${left} shards are more than ${LIMITS.shardsMax.value}, the limit`);
  }
  const change = { shards: nodes, added: add, removed: remove };
  return { strategies: strategy, ...change, keys, seed, virtualNodes };
}

function parseStrategies(text: string): SimulatedStrategy[] {
  const names = text.split(',').map((name) => name.trim());
  const wrong = names.find((name) => !isSimulated(name));
  if (wrong !== undefined) {
    const known = SIMULATED_STRATEGIES.join(', ');
    throw new InvalidArgumentError(`There is no strategy "${wrong}", but ${known}.`);
  }
  if (new Set(names).size !== names.length) {
    throw new InvalidArgumentError('A strategy is named twice.');
  }
  return names.filter(isSimulated);
}

function isSimulated(name: string): name is SimulatedStrategy {
  return SIMULATED_STRATEGIES.some((known) => known === name);
}

/** Without where each unit is: that is what the drawing is for. */
function jsonOf({ question, idealShare, simulations }: RingReport): object {
  const { shards, added, removed, keys, seed, virtualNodes } = question;
  return {
    shards,
    added,
    removed,
    keys,
    seed,
    virtualNodes,
    idealShare,
    strategies: simulations.map(({ owners, movedKeys, ...found }) => ({
      ...found,
      movedKeys,
      movedShare: movedKeys / keys,
    })),
  };
}
