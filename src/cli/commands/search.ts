/** `flotilla search` and `explain`: the records nearest to a vector or to a stored record. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type {
  Consistency,
  Metadata,
  Query,
  SearchOptions as ReadManner,
  SearchResult,
  Where,
} from '../../client/index.js';
import { LIMITS } from '../../shared/limits.js';
import type { CliContext } from '../context.js';
import { EXIT, EXIT_CODES_HELP, type ExitCode, UsageError } from '../exit-codes.js';
import {
  addManyRecordOptions,
  consistencyOption,
  filterOption,
  integerOption,
  jsonOption,
  type ManyRecordOptions,
  numberOption,
  recordsOf,
  scopeOf,
  withClient,
} from '../options.js';
import { renderExplanation } from '../render/explain.js';
import { formatDistance, formatMetadata } from '../render/format.js';
import { ownerColumns } from '../render/owners.js';
import { ServedShards } from '../render/served.js';
import { renderTable } from '../render/table.js';

interface QueryOptions extends ManyRecordOptions {
  readonly vector?: readonly number[];
  readonly id?: string;
  readonly shardKey?: string;
  readonly k: number;
  readonly offset: number;
  readonly ef?: number;
  readonly shardK?: number;
  readonly maxDistance?: number;
  readonly filter?: Where<Metadata>;
  readonly values?: boolean;
  readonly consistency?: Consistency;
  readonly allowPartial: boolean;
}

interface SearchOptions extends QueryOptions {
  readonly explain: boolean;
}

type Finish = (code: ExitCode) => void;

export function addSearchCommands(program: Command, context: CliContext, finish: Finish): void {
  addSearch(program, context, finish);
  addExplain(program, context, finish);
}

function addSearch(program: Command, context: CliContext, finish: Finish): void {
  const search = program
    .command('search')
    .description('find the records nearest to a vector, or to a stored record')
    .argument('<collection>', 'name of the collection');
  addQueryOptions(search)
    .option('--values', 'return the vectors too (with --json)', false)
    .option('--explain', 'show what flotilla explain shows instead of the hits', false)
    .addHelpText(
      'after',
      `
Examples:
  flotilla search docs --vector '[0.1, 0.2, 0.3]' --k 5
  flotilla search docs --id report-7 --json | jq -r '.hits[].id'
  flotilla search docs --id report-7 --filter '{"year": {"$gte": 2020}, "lang": "en"}'
${EXIT_CODES_HELP}`,
    );
  addManyRecordOptions(search).action(async (collection: string, options: SearchOptions) => {
    if (options.explain) await explain(collection, options, context);
    else {
      const query = queryOf(options);
      const result = await withClient(context, options, (client) =>
        recordsOf(client, collection, options).search(query, mannerOf(options)),
      );
      showResult(result, options, context);
    }
    finish(EXIT.ok);
  });
}

function addExplain(program: Command, context: CliContext, finish: Finish): void {
  const command = program
    .command('explain')
    .description('show how a search is carried out: shards, replicas, plans and times')
    .argument('<collection>', 'name of the collection');
  addQueryOptions(command).addHelpText(
    'after',
    `
The columns waited, network and engine of a shard are its whole time: what came before the attempt
that was answered, what that took beside the engine, and the engine. docs/fan-out.md explains more.

Examples:
  flotilla explain docs --id report-7 --filter '{"year": {"$gte": 2020}}'
  flotilla explain lines --vector '[0.1, 0.2, 0.3]' --shard-keys order-7 order-8
  flotilla explain docs --id report-7 --consistency bounded:500 --json | jq .cache
${EXIT_CODES_HELP}`,
  );
  addManyRecordOptions(command).action(async (collection: string, options: QueryOptions) => {
    await explain(collection, options, context);
    finish(EXIT.ok);
  });
}

function addQueryOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--vector <json>', 'the vector as a JSON array')
        .argParser(parseVector)
        .conflicts('id'),
    )
    .option('--id <id>', 'search near the vector of this record')
    .addOption(
      new Option(
        '--shard-key <key>',
        'of that record, where records are routed by shard key',
      ).conflicts('vector'),
    )
    .option('--k <hits>', 'how many hits to return', integerOption(1, LIMITS.kMax.value), 10)
    .option(
      '--offset <hits>',
      'how many hits to skip first',
      integerOption(0, LIMITS.kMax.value),
      0,
    )
    .option('--ef <candidates>', 'HNSW candidates', integerOption(1, LIMITS.efMax.value))
    .option(
      '--shard-k <hits>',
      'how many hits to ask each shard for (default: k and the offset)',
      integerOption(1, LIMITS.shardKMax.value),
    )
    .option('--max-distance <distance>', 'leave out hits that are farther away', numberOption)
    .addOption(filterOption())
    .addOption(consistencyOption())
    .option('--allow-partial', 'answer from the shards that can be reached', false);
}

async function explain(
  collection: string,
  options: QueryOptions,
  context: CliContext,
): Promise<void> {
  const query = queryOf(options);
  const answer = await withClient(context, options, (client) =>
    recordsOf(client, collection, options).explain(query, mannerOf(options)),
  );
  const { shards, failed, degraded } = answer;
  context.stdout.write(options.json ? `${JSON.stringify(answer)}\n` : renderExplanation(answer));
  if (!degraded || options.json) return;
  const total = shards.length + failed.length;
  context.stderr.write(`${shards.length} of ${total} shards${missingText(failed)}\n`);
}

function mannerOf(options: QueryOptions): ReadManner {
  const { timeoutMs, allowPartial, consistency } = options;
  return {
    timeoutMs,
    allowPartial,
    ...scopeOf(options),
    ...(consistency !== undefined && { consistency }),
  };
}

function queryOf(options: QueryOptions): Query {
  const { k, offset, ef, shardK, maxDistance, filter, values = false } = options;
  return {
    ...targetOf(options),
    k,
    offset,
    includeValues: values,
    ...(ef !== undefined && { ef }),
    ...(shardK !== undefined && { shardK }),
    ...(maxDistance !== undefined && { scoreThreshold: maxDistance }),
    ...(filter !== undefined && { filter }),
  };
}

function targetOf({ vector, id, shardKey }: QueryOptions) {
  if (vector !== undefined) return { vector };
  if (id === undefined) throw new UsageError('one of --vector and --id is needed');
  return { id, ...(shardKey !== undefined && { shardKey }) };
}

function parseVector(text: string): readonly number[] {
  const parsed = jsonOption(text, '[0.1, 0.2]');
  if (!Array.isArray(parsed) || !parsed.every((item) => typeof item === 'number')) {
    throw new InvalidArgumentError('It must be a JSON array of numbers.');
  }
  return parsed;
}

function showResult(
  result: SearchResult<Metadata>,
  { json, consistency }: SearchOptions,
  context: CliContext,
): void {
  const { hits, shards, degraded, cut } = result;
  if (json) {
    const plain = hits.map(({ values, ...hit }) => ({
      ...hit,
      ...(values !== undefined && { values: Array.from(values) }),
    }));
    context.stdout.write(`${JSON.stringify({ ...result, hits: plain })}\n`);
    return;
  }
  const owners = ownerColumns(hits);
  context.stdout.write(
    renderTable(
      [
        { title: '#', align: 'right' },
        { title: 'id' },
        ...owners,
        { title: 'distance', align: 'right' },
        { title: 'metadata' },
      ],
      hits.map((hit, index) => [
        String(index + 1),
        hit.id,
        ...owners.map(({ of }) => of(hit)),
        formatDistance(hit.distance),
        formatMetadata(hit.metadata),
      ]),
    ),
  );
  const missing = degraded ? missingText(shards.failed) : '';
  const warning = `${missing}${cut ? ', nearer ones may be missing: raise --shard-k' : ''}`;
  context.stderr.write(
    `${hits.length} hits from ${shards.ok} of ${shards.total} shards${warning}\n`,
  );
  const served = new ServedShards();
  served.note(result.served);
  context.stderr.write(served.lineFor(consistency));
}

function missingText(failed: readonly number[]): string {
  return `, shards ${failed.join(', ')} are missing`;
}
