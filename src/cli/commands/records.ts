/** `flotilla count`, `fetch` and `scroll`: records by what they hold, or by id. */
import { type Command, InvalidArgumentError } from 'commander';
import type { Collection, Consistency, Metadata, StoredRecord, Where } from '../../client/index.js';
import { LIMITS } from '../../shared/limits.js';
import type { CliContext } from '../context.js';
import { EXIT, EXIT_CODES_HELP, type ExitCode, UsageError } from '../exit-codes.js';
import {
  addManyRecordOptions,
  addNamedRecordOptions,
  consistencyOption,
  filterOption,
  integerOption,
  type ManyRecordOptions,
  type NamedRecordOptions,
  namesOf,
  recordsOf,
  scopeOf,
  withClient,
} from '../options.js';
import { formatCount, formatInstant, formatMetadata } from '../render/format.js';
import { ownerColumns } from '../render/owners.js';
import { ServedShards } from '../render/served.js';
import { type Column, renderTable } from '../render/table.js';

type Finish = (code: ExitCode) => void;

interface Freshness {
  readonly consistency?: Consistency;
}

interface CountOptions extends ManyRecordOptions, Freshness {
  readonly filter?: Where<Metadata>;
}

interface FetchOptions extends NamedRecordOptions, Freshness {
  readonly id: readonly string[];
  readonly values: boolean;
}

interface ScrollOptions extends ManyRecordOptions, Freshness {
  readonly filter?: Where<Metadata>;
  readonly cursor?: string;
  readonly limit: number;
  readonly all: boolean;
  readonly values: boolean;
}

export function addRecordCommands(program: Command, context: CliContext, finish: Finish): void {
  addCount(program, context, finish);
  addFetch(program, context, finish);
  addScroll(program, context, finish);
}

function addCount(program: Command, context: CliContext, finish: Finish): void {
  const count = program
    .command('count')
    .description('count the records of a collection, or those that match a filter')
    .argument('<collection>', 'name of the collection')
    .addOption(filterOption())
    .addOption(consistencyOption())
    .addHelpText(
      'after',
      `
Examples:
  flotilla count docs
  flotilla count docs --filter '{"lang": {"$in": ["en", "fr"]}}'
  flotilla count docs --all-tenants
${EXIT_CODES_HELP}`,
    );
  addManyRecordOptions(count).action(async (collection: string, options: CountOptions) => {
    const { filter, timeoutMs, consistency, json } = options;
    const served = new ServedShards();
    const manner = { timeoutMs, ...scopeOf(options), ...freshnessOf(options) };
    const found = await withClient(context, options, (client) =>
      recordsOf(client, collection, options).count({
        ...manner,
        onServed: served.note,
        ...(filter !== undefined && { filter }),
      }),
    );
    const whole = { count: found, served: served.list };
    context.stdout.write(json ? `${JSON.stringify(whole)}\n` : `${found}\n`);
    if (!json) context.stderr.write(served.lineFor(consistency));
    finish(EXIT.ok);
  });
}

function freshnessOf({ consistency }: Freshness): Freshness {
  return consistency === undefined ? {} : { consistency };
}

function addFetch(program: Command, context: CliContext, finish: Finish): void {
  const fetch = program
    .command('fetch')
    .description('show records by id, with their versions and when they expire')
    .argument('<collection>', 'name of the collection')
    .requiredOption('--id <ids...>', 'ids of the records')
    .option('--values', 'show the vectors too (with --json)', false)
    .addOption(consistencyOption())
    .addHelpText(
      'after',
      `
Ends with 1 where a record does not exist, and names it on stderr. With --json each record is a line
of its own, and {"missing": ["report-8"], "served": [...]} goes to stderr: served says which replica
answered for each shard, and how old that is.

Examples:
  flotilla fetch docs --id report-7 report-8
  flotilla fetch docs --id report-7 --json | jq -r .version
  flotilla fetch lines --id line-1 line-2 --shard-key order-7
${EXIT_CODES_HELP}`,
    );
  addNamedRecordOptions(fetch).action(async (collection: string, options: FetchOptions) => {
    const { id: ids, values, timeoutMs, consistency, json } = options;
    const served = new ServedShards();
    const records = await withClient(context, options, (client) =>
      recordsOf(client, collection, options).fetch(namesOf(ids, options), {
        timeoutMs,
        ...freshnessOf(options),
        onServed: served.note,
        includeValues: values && json,
      }),
    );
    showRecords(records, json, context);
    const found = new Set(records.map(({ id }) => id));
    const missing = ids.filter((id) => !found.has(id));
    if (json) context.stderr.write(`${JSON.stringify({ missing, served: served.list })}\n`);
    else {
      for (const id of missing) context.stderr.write(`error: there is no record ${id}\n`);
      context.stderr.write(served.lineFor(consistency));
    }
    finish(missing.length > 0 ? EXIT.failed : EXIT.ok);
  });
}

function addScroll(program: Command, context: CliContext, finish: Finish): void {
  const scroll = program
    .command('scroll')
    .description('list records in the order of their ids')
    .argument('<collection>', 'name of the collection')
    .addOption(filterOption())
    .option('--limit <records>', 'how many to list', integerOption(1, 1_000_000), 100)
    .option('--cursor <text>', 'go on where an earlier scroll stopped, as it said', cursorOption)
    .option('--all', 'list all of them (with --json)', false)
    .option('--values', 'list the vectors too (with --json)', false)
    .addOption(consistencyOption())
    .addHelpText(
      'after',
      `
With --json each record is a line of its own, as \`flotilla import\` reads it. How many there were,
the cursor of those that come next, and how fresh the answers were go to stderr: with --json as
{"count": 20, "cursor": "...", "served": [...]}, where served has the oldest answer of each shard.

Examples:
  flotilla scroll docs --limit 20 --filter '{"author.name": "Ada"}'
  flotilla scroll docs --limit 20 --cursor AQhyZXBvcnQtNwA
  flotilla scroll docs --all --values --json > docs.jsonl
${EXIT_CODES_HELP}`,
    );
  addManyRecordOptions(scroll).action(async (collection: string, options: ScrollOptions) => {
    if (options.all && !options.json) throw new UsageError('--all needs --json');
    await withClient(context, options, (client) =>
      listRecords(recordsOf(client, collection, options), options, context),
    );
    finish(EXIT.ok);
  });
}

/** Page by page, so that the cursor of the last one says where to go on. */
async function listRecords(
  records: Collection<Metadata>,
  options: ScrollOptions,
  context: CliContext,
): Promise<void> {
  const { filter, timeoutMs, values, all, consistency, json } = options;
  const served = new ServedShards();
  const wanted = all ? Number.POSITIVE_INFINITY : options.limit;
  const listed: StoredRecord<Metadata>[] = [];
  let count = 0;
  let { cursor } = options;
  do {
    const page = await records.scrollPage({
      timeoutMs,
      ...scopeOf(options),
      ...freshnessOf(options),
      onServed: served.note,
      limit: Math.min(wanted - count, LIMITS.scrollLimitMax.value),
      includeValues: values && json,
      ...(filter !== undefined && { filter }),
      ...(cursor !== undefined && { cursor }),
    });
    // A table needs all of its rows first; lines are written as they come.
    if (json) showRecords(page.records, json, context);
    else listed.push(...page.records);
    count += page.records.length;
    cursor = page.cursor;
  } while (cursor !== undefined && count < wanted && !context.stdout.isClosed);
  if (json) {
    const summary = { count, cursor, served: served.list };
    context.stderr.write(`${JSON.stringify(summary)}\n`);
    return;
  }
  showRecords(listed, json, context);
  const more = cursor === undefined ? '' : `, go on with --cursor ${cursor}`;
  context.stderr.write(`${formatCount(count)} records${more}\n`);
  context.stderr.write(served.lineFor(consistency));
}

function showRecords(
  records: readonly StoredRecord<Metadata>[],
  json: boolean,
  context: CliContext,
): void {
  context.stdout.write(
    json
      ? records.map((record) => `${JSON.stringify(plainRecord(record))}\n`).join('')
      : recordTable(records),
  );
}

/** Without typed arrays, which JSON makes objects of. */
function plainRecord({ values, ...record }: StoredRecord<Metadata>): object {
  return { ...record, ...(values !== undefined && { values: Array.from(values) }) };
}

/** What no record has gets no column: a tenant, a shard key, an end of its life. */
function recordTable(records: readonly StoredRecord<Metadata>[]): string {
  const expires = records.some(({ expiresAtMs }) => expiresAtMs !== undefined);
  const owners = ownerColumns(records);
  const columns: Column[] = [{ title: 'id' }, ...owners, { title: 'version', align: 'right' }];
  if (expires) columns.push({ title: 'expires' });
  return renderTable(
    [...columns, { title: 'metadata' }],
    records.map((record) => [
      record.id,
      ...owners.map(({ of }) => of(record)),
      record.version,
      ...(expires ? [formatInstant(record.expiresAtMs)] : []),
      formatMetadata(record.metadata),
    ]),
  );
}

function cursorOption(text: string): string {
  if (text !== '') return text;
  throw new InvalidArgumentError('It is empty; leave it out to begin at the first record.');
}
