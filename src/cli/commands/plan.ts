/** `flotilla plan`: how large a cluster has to be, without any cluster. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  type CapacityAlternative,
  capacityAlternatives,
} from '../../placement/capacity-alternatives.js';
import {
  CAPACITY_BOUNDS,
  CAPACITY_DEFAULTS,
  type CapacityInput,
} from '../../placement/capacity-input.js';
import { type CapacityPlan, planCapacity } from '../../placement/capacity-plan.js';
import { type CapacityWarning, capacityWarnings } from '../../placement/capacity-warnings.js';
import { SLOT_STRATEGIES } from '../../placement/slot-layout.js';
import type { CliContext } from '../context.js';
import { EXIT, EXIT_CODES_HELP, type ExitCode } from '../exit-codes.js';
import { integerOption, numberOption } from '../options.js';
import { countOption, countText, sizeOption, sizeText } from '../quantities.js';
import { reasonsOf, renderPlan, warningText } from '../render/plan.js';

interface PlanOptions {
  readonly vectors: number;
  readonly dimension: number;
  readonly rf: number;
  readonly metadataBytes: number;
  readonly idBytes: number;
  readonly indexedFields: number;
  readonly m: number;
  readonly exactCopy: 'true' | 'false';
  readonly nodeMemory: number;
  readonly nodeDisk: number;
  readonly growth: number;
  readonly shardVectors: number;
  readonly strategy?: NonNullable<CapacityInput['strategy']>;
  readonly tenants?: number;
  readonly shards?: number;
  readonly nodes?: number;
  readonly json: boolean;
}

const HELP = `
Nothing is asked of a cluster. Where the numbers come from is in docs/capacity.md. Counts may end in
k, M or B (thousands, millions, billions), sizes in KiB, MiB, GiB or TiB (powers of 1,024). A node
should use 70 % of its memory and 80 % of its disk at most; warnings do not change the exit code.

Examples:
  flotilla plan --vectors 50M --dimension 768 --rf 3
  flotilla plan --vectors 1.5B --dimension 128 --node-memory 256GiB --shard-vectors 10M
  flotilla plan --vectors 2M --dimension 384 --tenants 100 --strategy virtual-shards
  flotilla plan --vectors 10M --dimension 768 --shards 8 --nodes 6 --json | jq '.warnings'
${EXIT_CODES_HELP}`;

export function addPlanCommand(
  program: Command,
  context: CliContext,
  finish: (code: ExitCode) => void,
): void {
  const plan = program
    .command('plan')
    .description('plan shards, nodes, memory and disk for a number of vectors')
    .requiredOption(
      '--vectors <count>',
      'records, without replicas',
      countOption(bounds('vectors')),
    )
    .requiredOption('--dimension <floats>', 'of all vectors', integer('dimension'))
    .option(
      '--rf <count>',
      'replicas of each shard',
      integer('replicationFactor'),
      CAPACITY_DEFAULTS.replicationFactor,
    )
    .option('--json', 'print JSON for scripts', false)
    .addHelpText('after', HELP);
  addRecordOptions(plan);
  addClusterOptions(plan);
  plan.action((options: PlanOptions) => {
    const input = inputOf(options);
    const made = planCapacity(input);
    const alternatives = capacityAlternatives(made);
    const warnings = capacityWarnings(made);
    context.stdout.write(
      options.json
        ? `${jsonOf(made, alternatives, warnings)}\n`
        : renderPlan(made, alternatives, warnings),
    );
    finish(EXIT.ok);
  });
}

function jsonOf(
  plan: CapacityPlan,
  alternatives: readonly CapacityAlternative[],
  warnings: readonly CapacityWarning[],
): string {
  return JSON.stringify({
    ...plan,
    alternatives,
    reasons: reasonsOf(plan, alternatives),
    warnings: warnings.map((warning) => ({ ...warning, message: warningText(warning) })),
  });
}

function addRecordOptions(plan: Command): void {
  const { metadataBytes, idBytes, indexedFields, m, exactCopy } = CAPACITY_DEFAULTS;
  plan
    .option('--metadata-bytes <bytes>', 'of a record', integer('metadataBytes'), metadataBytes)
    .option('--id-bytes <bytes>', 'of a record', integer('idBytes'), idBytes)
    .option('--indexed-fields <count>', 'declared fields', integer('indexedFields'), indexedFields)
    .option('--m <links>', 'HNSW parameter m', integer('m'), m)
    .addOption(
      new Option('--exact-copy <boolean>', 'setting engine.exactCopy')
        .choices(['true', 'false'])
        .default(String(exactCopy)),
    );
}

function addClusterOptions(plan: Command): void {
  const { nodeMemoryBytes, nodeDiskBytes, growth, shardVectorsMax } = CAPACITY_DEFAULTS;
  const size = (value: number) => [value, sizeText(value)] as const;
  plan
    .addOption(
      new Option('--node-memory <size>', 'memory of a node')
        .argParser(sizeOption(bounds('nodeMemoryBytes')))
        .default(...size(nodeMemoryBytes)),
    )
    .addOption(
      new Option('--node-disk <size>', 'disk of a node')
        .argParser(sizeOption(bounds('nodeDiskBytes')))
        .default(...size(nodeDiskBytes)),
    )
    .option('--growth <factor>', 'plan for so many times the vectors', parseGrowth, growth)
    .addOption(
      new Option('--shard-vectors <count>', 'records that a shard should have at most')
        .argParser(countOption(bounds('shardVectorsMax')))
        .default(shardVectorsMax, countText(shardVectorsMax)),
    )
    .addOption(
      new Option(
        '--strategy <name>',
        'how slots are laid out (default: ring, or virtual-shards where that is uneven)',
      ).choices(SLOT_STRATEGIES),
    )
    .option('--tenants <count>', 'tenants that share the shards', countOption(bounds('tenants')))
    .option('--shards <count>', 'shards (default: as many as needed)', integer('shards'))
    .option('--nodes <count>', 'nodes (default: as many as needed)', integer('nodes'));
}

function inputOf(options: PlanOptions): CapacityInput {
  const { rf, exactCopy, nodeMemory, nodeDisk, shardVectors, json: _, ...same } = options;
  return {
    ...same,
    replicationFactor: rf,
    exactCopy: exactCopy === 'true',
    nodeMemoryBytes: nodeMemory,
    nodeDiskBytes: nodeDisk,
    shardVectorsMax: shardVectors,
  };
}

function parseGrowth(text: string): number {
  const value = numberOption(text);
  const { min, max } = bounds('growth');
  if (value >= min && value <= max) return value;
  throw new InvalidArgumentError(`It must be a number from ${min} to ${max}.`);
}

function bounds(field: keyof typeof CAPACITY_BOUNDS) {
  return CAPACITY_BOUNDS[field];
}

function integer(field: keyof typeof CAPACITY_BOUNDS): (text: string) => number {
  const { min, max } = bounds(field);
  return integerOption(min, max);
}
