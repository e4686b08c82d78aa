/** `flotilla count`, `scroll` and `delete`: records by what they hold. */
import { type Command, Option } from 'commander';
import type { Collection, Metadata, StoredRecord, Where } from '../../client/index.js';
import { LIMITS } from '../../shared/limits.js';
import type { CliContext } from '../context.js';
import { EXIT, EXIT_CODES_HELP, type ExitCode, UsageError } from '../exit-codes.js';
import {
  addClientOptions,
  type ClientOptions,
  filterOption,
  integerOption,
  withClient,
} from '../options.js';
import { formatCount, formatMetadata } from '../render/format.js';
import { renderTable } from '../render/table.js';

type Finish = (code: ExitCode) => void;

interface FilterOptions extends ClientOptions {
  readonly filter?: Where<Metadata>;
}

interface ScrollOptions extends FilterOptions {
  readonly limit: number;
  readonly all: boolean;
  readonly values: boolean;
}

interface DeleteOptions extends FilterOptions {
  readonly id?: readonly string[];
}

export function addRecordCommands(program: Command, context: CliContext, finish: Finish): void {
  addCount(program, context, finish);
  addScroll(program, context, finish);
  addDelete(program, context, finish);
}

function addCount(program: Command, context: CliContext, finish: Finish): void {
  const count = program
    .command('count')
    .description('count the records of a collection, or those that match a filter')
    .argument('<collection>', 'name of the collection')
    .addOption(filterOption())
    .addHelpText(
      'after',
      `
Examples:
  flotilla count docs
  flotilla count docs --filter '{"lang": {"$in": ["en", "fr"]}}'
${EXIT_CODES_HELP}`,
    );
  addClientOptions(count).action(async (collection: string, options: FilterOptions) => {
    const { filter, timeoutMs, json } = options;
    const found = await withClient(context, options, (client) =>
      client.collection(collection).count({ timeoutMs, ...(filter !== undefined && { filter }) }),
    );
    context.stdout.write(json ? `${JSON.stringify({ count: found })}\n` : `${found}\n`);
    finish(EXIT.ok);
  });
}

function addScroll(program: Command, context: CliContext, finish: Finish): void {
  const scroll = program
    .command('scroll')
    .description('list records in the order of their ids')
    .argument('<collection>', 'name of the collection')
    .addOption(filterOption())
    .option('--limit <records>', 'how many to list', integerOption(1, 1_000_000), 100)
    .option('--all', 'list all of them (with --json)', false)
    .option('--values', 'list the vectors too (with --json)', false)
    .addHelpText(
      'after',
      `
With --json each record is a line of its own, as \`flotilla import\` reads it.

Examples:
  flotilla scroll docs --limit 20 --filter '{"author.name": "Ada"}'
  flotilla scroll docs --all --values --json > docs.jsonl
${EXIT_CODES_HELP}`,
    );
  addClientOptions(scroll).action(async (collection: string, options: ScrollOptions) => {
    if (options.all && !options.json) throw new UsageError('--all needs --json');
    await withClient(context, options, (client) =>
      listRecords(client.collection(collection), options, context),
    );
    finish(EXIT.ok);
  });
}

async function listRecords(
  records: Collection<Metadata>,
  options: ScrollOptions,
  context: CliContext,
): Promise<void> {
  const { filter, timeoutMs, values, all, json } = options;
  const limit = all ? Number.POSITIVE_INFINITY : options.limit;
  const listed: StoredRecord<Metadata>[] = [];
  let count = 0;
  for await (const record of records.scroll({
    timeoutMs,
    limit: Math.min(limit, LIMITS.scrollLimitMax.value),
    includeValues: values,
    ...(filter !== undefined && { filter }),
  })) {
    if (json) context.stdout.write(`${JSON.stringify(plainRecord(record))}\n`);
    else listed.push(record);
    count++;
    if (count >= limit || context.stdout.isClosed) break;
  }
  if (!json) context.stdout.write(recordTable(listed));
  context.stderr.write(`${formatCount(count)} records\n`);
}

/** Without typed arrays, which JSON makes objects of. */
function plainRecord({ values, ...record }: StoredRecord<Metadata>): object {
  return { ...record, ...(values !== undefined && { values: Array.from(values) }) };
}

function recordTable(records: readonly StoredRecord<Metadata>[]): string {
  return renderTable(
    [{ title: 'id' }, { title: 'version', align: 'right' }, { title: 'metadata' }],
    records.map(({ id, version, metadata }) => [id, version, formatMetadata(metadata)]),
  );
}

function addDelete(program: Command, context: CliContext, finish: Finish): void {
  const remove = program
    .command('delete')
    .description('delete records by id, or those that match a filter')
    .argument('<collection>', 'name of the collection')
    .addOption(new Option('--id <ids...>', 'ids of the records').conflicts('filter'))
    .addOption(filterOption())
    .addHelpText(
      'after',
      `
A filter of {} matches every record. After an error some records may have been deleted; doing it
again is safe.

Examples:
  flotilla delete docs --id report-7 report-8
  flotilla delete docs --filter '{"expires": {"$lt": "2026-01-01T00:00:00Z"}}'
${EXIT_CODES_HELP}`,
    );
  addClientOptions(remove).action(async (collection: string, options: DeleteOptions) => {
    const deletedCount = await withClient(context, options, (client) =>
      deleteRecords(client.collection(collection), options, context),
    );
    context.stdout.write(
      options.json
        ? `${JSON.stringify({ deletedCount })}\n`
        : `deleted ${formatCount(deletedCount)} records\n`,
    );
    finish(EXIT.ok);
  });
}

async function deleteRecords(
  records: Collection<Metadata>,
  { id, filter, timeoutMs }: DeleteOptions,
  context: CliContext,
): Promise<number> {
  if (filter !== undefined) {
    const onProgress = ({ deletedCount }: { readonly deletedCount: number }): void => {
      if (context.stderr.isTerminal) context.stderr.write(`\r${formatCount(deletedCount)} deleted`);
    };
    const { deletedCount } = await records.deleteByFilter(filter, { timeoutMs, onProgress });
    if (context.stderr.isTerminal) context.stderr.write('\n');
    return deletedCount;
  }
  if (id === undefined) throw new UsageError('one of --id and --filter is needed');
  const { outcomes } = await records.delete(id, { timeoutMs });
  const failed = outcomes.find((outcome) => outcome.kind !== 'applied');
  if (failed !== undefined) throw new Error(`${failed.id} is not deleted: ${failed.message}`);
  return outcomes.filter((outcome) => outcome.kind === 'applied' && outcome.existed).length;
}
