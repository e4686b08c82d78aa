/** `flotilla patch` and `delete`: changes of records by id, or by what they hold. */
import { type Command, Option } from 'commander';
import type {
  Collection,
  Metadata,
  RecordOutcome,
  Where,
  WriteResult,
} from '../../client/index.js';
import type { CliContext } from '../context.js';
import { EXIT, EXIT_CODES_HELP, type ExitCode, UsageError } from '../exit-codes.js';
import {
  addNamedRecordOptions,
  filterOption,
  jsonObjectOption,
  type NamedRecordOptions,
  namesOf,
  recordsOf,
  shardKeysOption,
  withClient,
} from '../options.js';
import { formatCount } from '../render/format.js';
import { type SessionFields, sessionFields, sessionLine } from '../render/session.js';

type Finish = (code: ExitCode) => void;

interface PatchOptions extends NamedRecordOptions {
  readonly id: readonly string[];
  readonly metadata: Metadata;
  readonly ifVersion?: string;
}

interface DeleteOptions extends NamedRecordOptions {
  readonly id?: readonly string[];
  readonly ifVersion?: string;
  readonly filter?: Where<Metadata>;
  readonly shardKeys?: readonly string[];
}

export function addRecordChangeCommands(
  program: Command,
  context: CliContext,
  finish: Finish,
): void {
  addPatch(program, context, finish);
  addDelete(program, context, finish);
}

function addPatch(program: Command, context: CliContext, finish: Finish): void {
  const patch = program
    .command('patch')
    .description('change the metadata of records, and nothing else of them')
    .argument('<collection>', 'name of the collection')
    .requiredOption('--id <ids...>', 'ids of the records')
    .requiredOption(
      '--metadata <json>',
      'merged into what is there; null removes a field (docs/writes.md)',
      jsonObjectOption,
    )
    .option('--if-version <version>', 'only if the record has this version (with one --id)')
    .addHelpText(
      'after',
      `
Ends with 1 where a record was not changed, and says why on stderr.

Examples:
  flotilla patch docs --id report-7 report-8 --metadata '{"reviewed": true}'
  flotilla patch docs --id report-7 --metadata '{"draft": null}' --if-version 117655329490403328
${EXIT_CODES_HELP}`,
    );
  addNamedRecordOptions(patch).action(async (collection: string, options: PatchOptions) => {
    const { id: ids, metadata, ifVersion, shardKey, timeoutMs, json } = options;
    checkVersion(options);
    const same = {
      metadata,
      ...(ifVersion !== undefined && { ifVersion }),
      ...(shardKey !== undefined && { shardKey }),
    };
    const result = await withClient(context, options, async (client) => {
      const patches = ids.map((id) => ({ id, ...same }));
      const written = await recordsOf(client, collection, options).patch(patches, { timeoutMs });
      return { ...written, ...sessionFields(client) };
    });
    finish(showPatched(result, json, context));
  });
}

function checkVersion({ id = [], ifVersion }: Pick<DeleteOptions, 'id' | 'ifVersion'>): void {
  if (ifVersion === undefined || id.length === 1) return;
  throw new UsageError('--if-version is the version of one record: give one --id');
}

function showPatched(
  result: WriteResult & SessionFields,
  json: boolean,
  context: CliContext,
): ExitCode {
  if (json) context.stdout.write(`${JSON.stringify(result)}\n`);
  else {
    for (const outcome of result.outcomes) {
      if (outcome.kind !== 'applied') context.stderr.write(`error: ${faultOf(outcome)}\n`);
    }
    context.stdout.write(`patched ${formatCount(result.appliedCount)} records\n`);
    context.stderr.write(sessionLine(result));
  }
  return result.appliedCount === result.outcomes.length ? EXIT.ok : EXIT.failed;
}

type Failed = Exclude<RecordOutcome, { readonly kind: 'applied' }>;

function faultOf({ id, kind, message, reason }: Failed): string {
  const what = kind === 'unknown' ? 'may be changed or not' : 'is not changed';
  return `${id} ${what}: ${message} (${reason})`;
}

function addDelete(program: Command, context: CliContext, finish: Finish): void {
  const remove = program
    .command('delete')
    .description('delete records by id, or those that match a filter')
    .argument('<collection>', 'name of the collection')
    .addOption(new Option('--id <ids...>', 'ids of the records').conflicts('filter'))
    .addOption(
      new Option(
        '--if-version <version>',
        'only if the record has this version (with one --id)',
      ).conflicts('filter'),
    )
    .addOption(filterOption())
    .addOption(shardKeysOption().conflicts('id'))
    .addHelpText(
      'after',
      `
A filter of {} matches every record. After an error some records may have been deleted; doing it
again is safe.

Examples:
  flotilla delete docs --id report-7 report-8
  flotilla delete docs --id report-7 --if-version 117655329490403328
  flotilla delete lines --id line-1 --shard-key order-7
  flotilla delete lines --filter '{"paid": true}' --shard-keys order-7 order-8
  flotilla delete docs --filter '{"expires": {"$lt": "2026-01-01T00:00:00Z"}}'
${EXIT_CODES_HELP}`,
    );
  addNamedRecordOptions(remove).action(async (collection: string, options: DeleteOptions) => {
    const result = await withClient(context, options, async (client) => {
      const records = recordsOf(client, collection, options);
      const deletedCount = await deleteRecords(records, options, context);
      return { deletedCount, ...sessionFields(client) };
    });
    if (options.json) context.stdout.write(`${JSON.stringify(result)}\n`);
    else {
      context.stdout.write(`deleted ${formatCount(result.deletedCount)} records\n`);
      context.stderr.write(sessionLine(result));
    }
    finish(EXIT.ok);
  });
}

async function deleteRecords(
  records: Collection<Metadata>,
  options: DeleteOptions,
  context: CliContext,
): Promise<number> {
  const { id: ids, ifVersion, filter, shardKey, shardKeys, timeoutMs } = options;
  if (filter !== undefined) {
    if (shardKey !== undefined) {
      throw new UsageError('--shard-key is for --id, --shard-keys is for --filter');
    }
    const onProgress = ({ deletedCount }: { readonly deletedCount: number }): void => {
      if (context.stderr.isTerminal) context.stderr.write(`\r${formatCount(deletedCount)} deleted`);
    };
    const { deletedCount } = await records.deleteByFilter(filter, {
      timeoutMs,
      onProgress,
      ...(shardKeys !== undefined && { shardKey: shardKeys }),
    });
    if (context.stderr.isTerminal) context.stderr.write('\n');
    return deletedCount;
  }
  if (ids === undefined) throw new UsageError('one of --id and --filter is needed');
  checkVersion(options);
  const key = shardKey === undefined ? {} : { shardKey };
  const targets =
    ifVersion === undefined ? namesOf(ids, options) : ids.map((id) => ({ id, ifVersion, ...key }));
  const { outcomes } = await records.delete(targets, { timeoutMs });
  const failed = outcomes.find((outcome) => outcome.kind !== 'applied');
  if (failed !== undefined) throw new Error(`${failed.id} is not deleted: ${failed.message}`);
  return outcomes.filter((outcome) => outcome.kind === 'applied' && outcome.existed).length;
}
