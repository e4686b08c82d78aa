/** `flotilla import`: writes the vectors of a file into a collection, and can be gone on with. */
import { stat } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import type { Flotilla } from '../../client/index.js';
import { WRITE_MODES, type WriteMode } from '../../shared/codec/api-messages.js';
import { FlotillaError, isFlotillaError } from '../../shared/errors.js';
import { LIMITS } from '../../shared/limits.js';
import type { Metric } from '../../shared/types.js';
import type { CliContext } from '../context.js';
import { EXIT, EXIT_CODES_HELP, type ExitCode, exitCodeOf, UsageError } from '../exit-codes.js';
import { type ImportResult, runImport } from '../import-job.js';
import { ImportState } from '../import-state.js';
import { importWriter } from '../import-writer.js';
import { addRecordOptions, integerOption, type RecordOptions, withClient } from '../options.js';
import { formatCount, formatDuration } from '../render/format.js';
import { Progress } from '../render/progress.js';
import { type SessionFields, sessionFields, sessionLine } from '../render/session.js';
import { reportError } from '../report-error.js';
import {
  FILE_START,
  type FilePosition,
  formatOf,
  readVectorFile,
  VECTOR_FORMATS,
  VectorFileError,
  type VectorFormat,
} from '../vector-files.js';
import { metricOption } from './collection.js';

const CONCURRENCY_MAX = 256;
/** A batch waits behind all others in flight, and may have to outlast a change of leaders. */
const DEFAULT_TIMEOUT_MS = 60_000;

interface CommandOptions extends RecordOptions {
  readonly collection: string;
  readonly create: boolean;
  readonly metric: Metric;
  readonly format?: VectorFormat;
  readonly batch: number;
  readonly concurrency: number;
  readonly idPrefix: string;
  readonly shardKeyField?: string;
  readonly mode?: WriteMode;
  readonly ttlMs?: number;
  readonly resume: boolean;
  readonly state?: string;
}

export function addImportCommand(
  program: Command,
  context: CliContext,
  finish: (code: ExitCode) => void,
): void {
  const command = program
    .command('import')
    .description('write the vectors of a file into a collection')
    .argument('<file>', 'a file of vectors: .fvecs, .bvecs or .jsonl')
    .requiredOption('--collection <name>', 'where to write to')
    .option('--create', "create the collection, with the dimension of the file's vectors", false)
    .addOption(metricOption())
    .addOption(
      new Option('--format <format>', "the file's format, where its name does not say it").choices([
        ...VECTOR_FORMATS,
      ]),
    )
    .option(
      '--batch <records>',
      'records of one request',
      integerOption(1, LIMITS.upsertRecordsMax.value),
      256,
    )
    .option('--concurrency <n>', 'requests at once', integerOption(1, CONCURRENCY_MAX), 4)
    .option('--id-prefix <text>', 'put before each id (fvecs, bvecs: the row number)', '')
    .option(
      '--shard-key-field <path>',
      'metadata field that is the shard key of records that name none (jsonl)',
    )
    .addOption(
      new Option('--mode <mode>', 'write only what does not exist yet, or only what does').choices([
        ...WRITE_MODES,
      ]),
    )
    .option(
      '--ttl-ms <ms>',
      'how long records live that do not say it, 0 for ever (default: what the collection says)',
      integerOption(0, LIMITS.ttlMsMax.value),
    )
    .option('--resume', 'go on where an earlier import of the file stopped', false)
    .option('--state <file>', 'where to keep how far it got (default: beside the file)')
    .addHelpText(
      'after',
      `
A line of a .jsonl file is {"id": "a", "values": [0.1, 0.2], "metadata": {"year": 2020}}; with
"expiresAtMs" the record expires then, with "tenant" it is that tenant's, unless --tenant says whose
all are, and "shardKey" is its shard key. So \`flotilla scroll --all --values --json\` writes them.
--create makes a collection that is routed by id: make others with flotilla collection create.

Examples:
  flotilla import sift.fvecs --collection sift --create --metric l2
  flotilla import docs.jsonl --collection docs --batch 500 --concurrency 16
  flotilla import docs.jsonl --collection docs --resume
  flotilla import docs.jsonl --collection docs --mode insert-only --ttl-ms 86400000
  flotilla import notes.jsonl --collection notes --tenant acme
  flotilla import lines.jsonl --collection lines --shard-key-field order.id
${EXIT_CODES_HELP}`,
    );
  addRecordOptions(command, DEFAULT_TIMEOUT_MS).action(
    async (path: string, options: CommandOptions) => {
      const code = await withClient(context, options, (client) =>
        importFile(path, options, client, context),
      );
      finish(code);
    },
  );
}

async function importFile(
  path: string,
  options: CommandOptions,
  client: Flotilla,
  context: CliContext,
): Promise<ExitCode> {
  const format = options.format ?? formatOf(path);
  if (format === undefined) {
    throw new UsageError(`${path}: the name does not say the format; give it with --format`);
  }
  const totalBytes = await sizeOf(path);
  const { collection, idPrefix, tenant, shardKeyField, ttlMs } = options;
  const statePath = options.state ?? `${path}.import-state.json`;
  const target = { input: path, collection, idPrefix, tenant, shardKeyField };
  const state = new ImportState(statePath, target);
  const start = await startOf(state, options, context);
  if (options.create) await createCollection(path, format, options, client);

  const progress = new Progress({
    output: context.stderr,
    monotonicMs: () => context.monotonicMs(),
    doneBefore: start.offset,
  });
  const stopping = new AbortController();
  const ignoreSignals = context.onStopSignal((signal) => {
    stopping.abort(new Error(`stopped by ${signal}`));
  });
  try {
    const result = await runImport({
      path,
      format,
      idPrefix,
      ...(tenant !== undefined && { tenant }),
      ...(shardKeyField !== undefined && { shardKeyField }),
      ...(ttlMs !== undefined && { ttlMs }),
      batchSize: options.batch,
      concurrency: options.concurrency,
      start,
      state,
      write: importWriter(client, options),
      monotonicMs: () => context.monotonicMs(),
      wallMs: () => context.wallMs(),
      onProgress: ({ offset, records }) => {
        progress.update({ done: offset, total: totalBytes, records });
      },
      signal: stopping.signal,
    });
    progress.finish({ done: result.offset, total: totalBytes, records: result.records });
    return await summarize({ ...result, ...sessionFields(client) }, state, options, context);
  } finally {
    ignoreSignals();
  }
}

async function sizeOf(path: string): Promise<number> {
  const found = await stat(path).catch((error: Error) => {
    throw new VectorFileError(`the file cannot be read: ${error.message}`);
  });
  if (!found.isFile()) throw new VectorFileError(`${path} is no file`);
  return found.size;
}

/** An earlier import is gone on with, or its state removed by hand: never forgotten by accident. */
async function startOf(
  state: ImportState,
  options: CommandOptions,
  context: CliContext,
): Promise<FilePosition> {
  if (!options.resume) {
    if (!(await state.exists())) return FILE_START;
    throw new UsageError(
      `${state.path} is left of an import that stopped; go on with --resume, or remove the file`,
    );
  }
  const position = await state.load();
  if (position === undefined) {
    context.stderr.write(`${state.path} does not exist: the import starts at the beginning\n`);
    return FILE_START;
  }
  context.stderr.write(`going on after record ${formatCount(position.row)}\n`);
  return position;
}

async function createCollection(
  path: string,
  format: VectorFormat,
  options: CommandOptions,
  client: Flotilla,
): Promise<void> {
  for await (const { values } of readVectorFile(path, format)) {
    const { collection: name, metric, timeoutMs } = options;
    const config = { name, dimension: values.length, metric };
    await client.createCollection(config, { timeoutMs }).catch((error: unknown) => {
      throw isFlotillaError(error) && error.reason === 'COLLECTION_EXISTS'
        ? leaveItAsItIs(error)
        : error;
    });
    return;
  }
  throw new UsageError(`${path} is empty: its dimension is not known`);
}

/** Nobody who imports into a collection wants to drop it. */
function leaveItAsItIs(error: FlotillaError): FlotillaError {
  const message = `${error.message}; or leave out --create to write into it as it is`;
  return FlotillaError.fromBody({ ...error.body, message }, error);
}

async function summarize(
  result: ImportResult & SessionFields,
  state: ImportState,
  options: CommandOptions,
  context: CliContext,
): Promise<ExitCode> {
  const { records, failures, firstFailures, durationMs, stoppedBy, sessionToken } = result;
  const seconds = durationMs / 1_000;
  const recordsPerSecond = seconds > 0 ? records / seconds : 0;
  const complete = stoppedBy === undefined && failures === 0;
  if (options.json) {
    const counts = { complete, records, failures, seconds, recordsPerSecond, firstFailures };
    context.stdout.write(`${JSON.stringify({ ...counts, sessionToken })}\n`);
  } else {
    for (const { row, id, reason, message } of firstFailures) {
      context.stderr.write(`record ${row} (id ${JSON.stringify(id)}): ${message} (${reason})\n`);
    }
    context.stdout.write(
      `${formatCount(records)} records in ${formatDuration(durationMs)}, ` +
        `${formatCount(recordsPerSecond)} records/s, ${formatCount(failures)} failures\n`,
    );
    context.stderr.write(sessionLine(result));
  }
  if (complete) return EXIT.ok;
  if (stoppedBy !== undefined) reportError(context.stderr, stoppedBy, options.json);
  context.stderr.write(
    (await state.exists())
      ? `go on with --resume; how far it got is in ${state.path}\n`
      : 'nothing is known to be done: when that is mended, start it again\n',
  );
  return stoppedBy === undefined ? EXIT.failed : exitCodeOf(stoppedBy);
}
