/** `flotilla collection`: create, describe, list and drop collections. */
import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import type { CollectionInfo, NewCollection } from '../../client/index.js';
import { LIMITS } from '../../shared/limits.js';
import {
  FIELD_TYPES,
  type FieldType,
  type IndexedField,
  METRICS,
  type Metric,
  PLACEMENT_NAMES,
  type PlacementName,
  ROUTINGS,
  type RoutedBy,
} from '../../shared/types.js';
import type { CliContext } from '../context.js';
import { EXIT, EXIT_CODES_HELP, type ExitCode } from '../exit-codes.js';
import { addClientOptions, type ClientOptions, integerOption, withClient } from '../options.js';
import { formatCount, formatDuration } from '../render/format.js';
import { renderTable } from '../render/table.js';

/** All of them are in the JSON. */
const SPLIT_POINTS_SHOWN_MAX = 8;

interface CreateOptions extends ClientOptions {
  readonly dimension: number;
  readonly metric: Metric;
  readonly m?: number;
  readonly efConstruction?: number;
  readonly ttlMs?: number;
  readonly indexField: readonly IndexedField[];
  readonly routing?: RoutedBy;
  readonly placement?: PlacementName;
  readonly splitPoint: readonly string[];
}

export function addCollectionCommand(
  program: Command,
  context: CliContext,
  finish: (code: ExitCode) => void,
): void {
  const collection = program.command('collection').description('create and look at collections');
  addCreate(collection, context, finish);
  addDescribe(collection, context, finish);
  addList(collection, context, finish);
  addDrop(collection, context, finish);
}

function addCreate(
  collection: Command,
  context: CliContext,
  finish: (code: ExitCode) => void,
): void {
  const { dimensionMax, mMin, mMax, efConstructionMax, ttlMsMax } = LIMITS;
  const create = collection
    .command('create')
    .description('create a collection; creating it again with equal settings succeeds')
    .argument('<name>', 'letters, digits, "_", "-" and "."')
    .requiredOption(
      '--dimension <floats>',
      'floats of each vector',
      integerOption(1, dimensionMax.value),
    )
    .addOption(metricOption())
    .option('--m <links>', 'HNSW links per point', integerOption(mMin.value, mMax.value))
    .option(
      '--ef-construction <candidates>',
      'HNSW candidates kept while inserting',
      integerOption(1, efConstructionMax.value),
    )
    .option(
      '--index-field <path:type>',
      `metadata field to index, may be repeated (${FIELD_TYPES.join(', ')})`,
      collectIndexedField,
      [],
    )
    .option(
      '--ttl-ms <ms>',
      'how long records live that do not say it themselves (default: for ever)',
      integerOption(1, ttlMsMax.value),
    )
    .addHelpText(
      'after',
      `
Examples:
  flotilla collection create docs --dimension 768
  flotilla collection create sessions --dimension 256 --ttl-ms 86400000
  flotilla collection create faces --dimension 128 --metric l2 --index-field year:integer
  flotilla collection create notes --dimension 768 --routing tenant
${EXIT_CODES_HELP}`,
    );
  addClientOptions(addPlacementOptions(create)).action(
    async (name: string, options: CreateOptions) => {
      const { dimension, metric, m, efConstruction, indexField, ttlMs, timeoutMs } = options;
      const { routing, placement, splitPoint } = options;
      const collectionToMake: NewCollection = {
        name,
        dimension,
        metric,
        ...(m !== undefined && { m }),
        ...(efConstruction !== undefined && { efConstruction }),
        ...(indexField.length > 0 && { indexedFields: indexField }),
        ...(ttlMs !== undefined && { ttlMs }),
        ...(routing !== undefined && { routing }),
        ...(placement !== undefined && { placement }),
        ...(splitPoint.length > 0 && { splitPoints: splitPoint }),
      };
      const info = await withClient(context, options, (client) =>
        client.createCollection(collectionToMake, { timeoutMs }),
      );
      showOne(info, options.json, context);
      finish(EXIT.ok);
    },
  );
}

/** Where its records will be. */
function addPlacementOptions(create: Command): Command {
  return create
    .addOption(
      new Option(
        '--routing <part>',
        'part of a record that decides on its shard (default: id)',
      ).choices([...ROUTINGS]),
    )
    .addOption(
      new Option(
        '--placement <name>',
        'how that is spread over shards, see docs/placement.md (default: ring)',
      ).choices([...PLACEMENT_NAMES]),
    )
    .option(
      '--split-point <key>',
      'first key of a range but the first, may be repeated, ascending (placement range)',
      (key: string, before: readonly string[]) => [...before, key],
      [],
    );
}

function addDescribe(
  collection: Command,
  context: CliContext,
  finish: (code: ExitCode) => void,
): void {
  const describe = collection
    .command('describe')
    .description('show the settings and the size of a collection')
    .addArgument(nameArgument())
    .addHelpText('after', `\nExample:\n  flotilla collection describe docs\n${EXIT_CODES_HELP}`);
  addClientOptions(describe).action(async (name: string, options: ClientOptions) => {
    const { timeoutMs } = options;
    const info = await withClient(context, options, (client) =>
      client.describeCollection(name, { timeoutMs }),
    );
    showOne(info, options.json, context);
    finish(EXIT.ok);
  });
}

function addList(collection: Command, context: CliContext, finish: (code: ExitCode) => void): void {
  const list = collection
    .command('list')
    .description('list all collections')
    .addHelpText('after', `\nExample:\n  flotilla collection list --json\n${EXIT_CODES_HELP}`);
  addClientOptions(list).action(async (options: ClientOptions) => {
    const { timeoutMs } = options;
    const infos = await withClient(context, options, (client) =>
      client.listCollections({ timeoutMs }),
    );
    context.stdout.write(
      options.json
        ? `${JSON.stringify(infos, undefined, 2)}\n`
        : renderTable(
            [
              { title: 'name' },
              { title: 'dimension', align: 'right' },
              { title: 'metric' },
              { title: 'state' },
            ],
            infos.map(({ config, state }) => [
              config.name,
              String(config.dimension),
              config.metric,
              state,
            ]),
          ),
    );
    finish(EXIT.ok);
  });
}

function addDrop(collection: Command, context: CliContext, finish: (code: ExitCode) => void): void {
  const drop = collection
    .command('drop')
    .description('drop a collection with all of its records')
    .addArgument(nameArgument())
    .addHelpText('after', `\nExample:\n  flotilla collection drop docs\n${EXIT_CODES_HELP}`);
  addClientOptions(drop).action(async (name: string, options: ClientOptions) => {
    const { timeoutMs } = options;
    await withClient(context, options, (client) => client.dropCollection(name, { timeoutMs }));
    context.stdout.write(
      options.json ? `${JSON.stringify({ dropped: name })}\n` : `dropped ${name}\n`,
    );
    finish(EXIT.ok);
  });
}

export function metricOption(): Option {
  return new Option('--metric <metric>', 'how distance is measured')
    .choices([...METRICS])
    .default('cosine');
}

function nameArgument(): Argument {
  return new Argument('<name>', 'name of the collection');
}

function collectIndexedField(
  text: string,
  before: readonly IndexedField[],
): readonly IndexedField[] {
  const at = text.lastIndexOf(':');
  const type = FIELD_TYPES.find((known): known is FieldType => known === text.slice(at + 1));
  if (at < 1 || type === undefined) {
    throw new InvalidArgumentError(
      `It must be of the form path:type, with a type of ${FIELD_TYPES.join(', ')}.`,
    );
  }
  return [...before, { path: text.slice(0, at), type }];
}

function showOne(info: CollectionInfo, json: boolean, context: CliContext): void {
  if (json) {
    context.stdout.write(`${JSON.stringify(info, undefined, 2)}\n`);
    return;
  }
  const { config, recordCount, state } = info;
  const fields = config.indexedFields.map(({ path, type }) => `${path}:${type}`).join(', ');
  context.stdout.write(
    renderTable(
      [{ title: 'collection' }, { title: config.name }],
      [
        ['state', state],
        ['records', recordCount === undefined ? 'unknown' : formatCount(recordCount)],
        ['dimension', String(config.dimension)],
        ['metric', config.metric],
        ['m', String(config.m)],
        ['ef construction', String(config.efConstruction)],
        ['indexed fields', fields === '' ? 'none' : fields],
        ['routing', config.routing ?? 'id'],
        ['placement', config.placement ?? 'ring'],
        ...splitPointRows(config),
        ['ttl', config.ttlMs === undefined ? 'none' : formatDuration(config.ttlMs)],
      ],
    ),
  );
}

/** The first keys of ranges as they were made; nothing of collections that name none. */
function splitPointRows({ splitPoints = [] }: CollectionInfo['config']): string[][] {
  if (splitPoints.length === 0) return [];
  const shown = splitPoints.slice(0, SPLIT_POINTS_SHOWN_MAX).map((key) => JSON.stringify(key));
  const left = splitPoints.length - shown.length;
  return [['split points', [...shown, ...(left > 0 ? [`${left} more`] : [])].join(', ')]];
}
