/** `flotilla search`: the records nearest to a vector or to a stored record. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type {
  Collection,
  Consistency,
  ExplainResponse,
  Metadata,
  Query,
  SearchResult,
  Where,
} from '../../client/index.js';
import { LIMITS } from '../../shared/limits.js';
import type { CliContext } from '../context.js';
import { EXIT, EXIT_CODES_HELP, type ExitCode, UsageError } from '../exit-codes.js';
import {
  addRecordOptions,
  consistencyOption,
  filterOption,
  integerOption,
  jsonOption,
  numberOption,
  type RecordOptions,
  recordsOf,
  withClient,
} from '../options.js';
import { formatCount, formatDistance, formatMetadata } from '../render/format.js';
import { renderTable } from '../render/table.js';

interface SearchOptions extends RecordOptions {
  readonly vector?: readonly number[];
  readonly id?: string;
  readonly k: number;
  readonly offset: number;
  readonly ef?: number;
  readonly maxDistance?: number;
  readonly filter?: Where<Metadata>;
  readonly values: boolean;
  readonly consistency?: Consistency;
  readonly allowPartial: boolean;
  readonly explain: boolean;
}

export function addSearchCommand(
  program: Command,
  context: CliContext,
  finish: (code: ExitCode) => void,
): void {
  const search = program
    .command('search')
    .description('find the records nearest to a vector, or to a stored record')
    .argument('<collection>', 'name of the collection')
    .addOption(
      new Option('--vector <json>', 'the vector as a JSON array')
        .argParser(parseVector)
        .conflicts('id'),
    )
    .option('--id <id>', 'search near the vector of this record')
    .option('--k <hits>', 'how many hits to return', integerOption(1, LIMITS.kMax.value), 10)
    .option(
      '--offset <hits>',
      'how many hits to skip first',
      integerOption(0, LIMITS.kMax.value),
      0,
    )
    .option('--ef <candidates>', 'HNSW candidates', integerOption(1, LIMITS.efMax.value))
    .option('--max-distance <distance>', 'leave out hits that are farther away', numberOption)
    .addOption(filterOption())
    .option('--values', 'return the vectors too (with --json)', false)
    .addOption(consistencyOption())
    .option('--allow-partial', 'answer from the shards that can be reached', false)
    .option('--explain', 'show how each shard searches instead of the hits', false)
    .addHelpText(
      'after',
      `
Examples:
  flotilla search docs --vector '[0.1, 0.2, 0.3]' --k 5
  flotilla search docs --id report-7 --json | jq -r '.hits[].id'
  flotilla search docs --id report-7 --filter '{"year": {"$gte": 2020}, "lang": "en"}'
${EXIT_CODES_HELP}`,
    );
  addRecordOptions(search).action(async (collection: string, options: SearchOptions) => {
    const query = queryOf(options);
    const { timeoutMs, allowPartial, consistency, json } = options;
    const ask = <T>(call: (records: Collection<Metadata>) => Promise<T>): Promise<T> =>
      withClient(context, options, (client) => call(recordsOf(client, collection, options)));
    const manner = { timeoutMs, allowPartial, ...(consistency !== undefined && { consistency }) };
    if (options.explain) {
      showExplanation(await ask((records) => records.explain(query, manner)), json, context);
    } else {
      showResult(await ask((records) => records.search(query, manner)), json, context);
    }
    finish(EXIT.ok);
  });
}

function queryOf(options: SearchOptions): Query {
  const { vector, id, k, offset, ef, maxDistance, filter, values } = options;
  const target = vector !== undefined ? { vector } : id !== undefined ? { id } : undefined;
  if (target === undefined) throw new UsageError('one of --vector and --id is needed');
  return {
    ...target,
    k,
    offset,
    includeValues: values,
    ...(ef !== undefined && { ef }),
    ...(maxDistance !== undefined && { scoreThreshold: maxDistance }),
    ...(filter !== undefined && { filter }),
  };
}

function parseVector(text: string): readonly number[] {
  const parsed = jsonOption(text, '[0.1, 0.2]');
  if (!Array.isArray(parsed) || !parsed.every((item) => typeof item === 'number')) {
    throw new InvalidArgumentError('It must be a JSON array of numbers.');
  }
  return parsed;
}

function showResult(result: SearchResult<Metadata>, json: boolean, context: CliContext): void {
  const { hits, shards, degraded } = result;
  if (json) {
    const plain = hits.map(({ values, ...hit }) => ({
      ...hit,
      ...(values !== undefined && { values: Array.from(values) }),
    }));
    context.stdout.write(`${JSON.stringify({ ...result, hits: plain })}\n`);
    return;
  }
  context.stdout.write(
    renderTable(
      [
        { title: '#', align: 'right' },
        { title: 'id' },
        { title: 'distance', align: 'right' },
        { title: 'metadata' },
      ],
      hits.map((hit, index) => [
        String(index + 1),
        hit.id,
        formatDistance(hit.distance),
        formatMetadata(hit.metadata),
      ]),
    ),
  );
  const warning = degraded ? missingText(shards.failed) : '';
  context.stderr.write(
    `${hits.length} hits from ${shards.ok} of ${shards.total} shards${warning}\n`,
  );
}

function missingText(failed: readonly number[]): string {
  return `, shards ${failed.join(', ')} are missing`;
}

function showExplanation(answer: ExplainResponse, json: boolean, context: CliContext): void {
  if (json) {
    context.stdout.write(`${JSON.stringify(answer)}\n`);
    return;
  }
  context.stdout.write(
    renderTable(
      [
        { title: 'shard', align: 'right' },
        { title: 'plan' },
        { title: 'records', align: 'right' },
        { title: 'expected', align: 'right' },
        { title: 'matches', align: 'right' },
        { title: 'asked', align: 'right' },
        { title: 'time', align: 'right' },
        { title: 'not indexed' },
        { title: 'reason' },
      ],
      answer.shards.map((shard) => [
        String(shard.shardId),
        shard.plan,
        formatCount(shard.records),
        formatCount(shard.estimatedMatches),
        shard.matches === undefined ? '' : formatCount(shard.matches),
        formatCount(shard.visited),
        `${shard.durationMs.toFixed(2)} ms`,
        shard.scannedFields.join(', '),
        shard.reason,
      ]),
    ),
  );
  const { shards, failed, degraded } = answer;
  const total = shards.length + failed.length;
  if (!degraded) return;
  context.stderr.write(`${shards.length} of ${total} shards${missingText(failed)}\n`);
}
