/** Options that several commands share, and how option values are read. */
import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type {
  Collection,
  Consistency,
  Flotilla,
  Metadata,
  RecordName,
  ScanOptions,
  Where,
} from '../client/index.js';
import { parseAddress } from '../node/address.js';
import { ConfigError, type ConfigSources } from '../node/config.js';
import {
  defaultTextOf,
  environmentNameOf,
  flagOf,
  SETTING_KEYS,
  type SettingKey,
  settingOf,
} from '../node/settings.js';
import { messageOf } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';
import type { CliContext } from './context.js';
import { UsageError } from './exit-codes.js';

export const DEFAULT_ADDRESS = '127.0.0.1:7700';
const BOUND_MS_MAX = LIMITS.boundedMsMax.value;

/** Options of every command that asks a cluster. */
export interface ClientOptions {
  readonly url?: string;
  readonly timeoutMs: number;
  readonly json: boolean;
}

export function addClientOptions(command: Command, timeoutMs = 10_000): Command {
  return command
    .option(
      '--url <addresses>',
      'host:port of one or more nodes, separated by commas ' +
        `(default: FLOTILLA_URL, else ${DEFAULT_ADDRESS})`,
    )
    .option(
      '--timeout-ms <ms>',
      'how long one request may take, retries included',
      integerOption(1, 3_600_000),
      timeoutMs,
    )
    .option('--json', 'print JSON for scripts', false);
}

/** Options of every command about records. */
export interface RecordOptions extends ClientOptions {
  readonly tenant?: string;
}

/** Of commands that name records by id. */
export interface NamedRecordOptions extends RecordOptions {
  readonly shardKey?: string;
}

/** Of commands that read many records. */
export interface ManyRecordOptions extends RecordOptions {
  readonly allTenants: boolean;
  readonly shardKeys?: readonly string[];
}

export function addRecordOptions(command: Command, timeoutMs?: number): Command {
  return addClientOptions(command, timeoutMs).option(
    '--tenant <name>',
    'whose records (default: those of nobody, docs/tenants.md)',
  );
}

/** `addRecordOptions`, and what names records beside their id. */
export function addNamedRecordOptions(command: Command): Command {
  return addRecordOptions(command).option(
    '--shard-key <key>',
    'of the ids, in a collection that is routed by shard key',
  );
}

/** `addRecordOptions`, the records of everybody, and of which shard keys. */
export function addManyRecordOptions(command: Command): Command {
  return addRecordOptions(command)
    .addOption(
      new Option('--all-tenants', 'the records of all tenants: for administrators')
        .default(false)
        .conflicts('tenant'),
    )
    .addOption(shardKeysOption());
}

/** Of commands about many records, which they do not name. */
export function shardKeysOption(): Option {
  const what = 'only records of these, in a collection that is routed by shard key';
  return new Option('--shard-keys <keys...>', what);
}

/** Which records a command reads that reads many, as the client takes it. */
export function scopeOf({
  allTenants,
  shardKeys,
}: ManyRecordOptions): Pick<ScanOptions, 'allTenants' | 'shardKey'> {
  return {
    ...(allTenants && { allTenants }),
    ...(shardKeys !== undefined && { shardKey: shardKeys }),
  };
}

/** Records by what names them, as the client takes them. */
export function namesOf(
  ids: readonly string[],
  { shardKey }: NamedRecordOptions,
): readonly (string | RecordName)[] {
  return shardKey === undefined ? ids : ids.map((id) => ({ id, shardKey }));
}

/** The records that a command is about. */
export function recordsOf(
  client: Flotilla,
  collection: string,
  { tenant }: RecordOptions,
): Collection<Metadata> {
  return tenant === undefined
    ? client.collection(collection)
    : client.collection(collection, { tenant });
}

/** Runs `action` with a client that is closed afterwards. */
export async function withClient<T>(
  context: CliContext,
  options: ClientOptions,
  action: (client: Flotilla) => Promise<T>,
): Promise<T> {
  const addresses = options.url ?? context.environment.FLOTILLA_URL ?? DEFAULT_ADDRESS;
  const client = await context.connect(parseAddresses(addresses));
  try {
    return await action(client);
  } finally {
    await client.close();
  }
}

/** Adds `--config` and a flag for each of the settings. */
export function addSettingOptions(
  command: Command,
  keys: readonly SettingKey[] = SETTING_KEYS,
): Command {
  command.option('--config <file>', 'JSON file of settings, by section (default: FLOTILLA_CONFIG)');
  for (const key of keys) command.addOption(settingOption(key));
  return command;
}

function settingOption(key: SettingKey): Option {
  const { kind, doc } = settingOf(key);
  const value = kind.description === 'true or false' ? '[value]' : '<value>';
  const help = `${doc} (${kind.description}; default: ${defaultTextOf(key).replaceAll('`', '')})`;
  return new Option(`${flagOf(key)} ${value}`, help);
}

/** Where the settings of a command with `addSettingOptions` come from. */
export async function configSourcesOf(
  command: Command,
  context: CliContext,
): Promise<ConfigSources> {
  const given: Record<string, unknown> = command.opts();
  const flags: Partial<Record<SettingKey, string>> = {};
  for (const key of SETTING_KEYS) {
    const value = given[new Option(flagOf(key)).attributeName()];
    if (value !== undefined) flags[key] = String(value);
  }
  const path = given.config ?? context.environment.FLOTILLA_CONFIG;
  if (typeof path !== 'string' || path === '') return { flags, environment: context.environment };
  const text = await readFile(path, 'utf8').catch((error: Error) => {
    throw new ConfigError([`the file of settings cannot be read: ${error.message}`]);
  });
  return { flags, environment: context.environment, file: { path, text } };
}

/** How settings are given, for help texts. */
export const SETTINGS_HELP = `
Each setting is taken from its flag, else from its environment variable, else from the file of
--config, else it has its default. ${flagOf('log.level')} warn is the same as
${environmentNameOf('log.level')}=warn, or {"log": {"level": "warn"}} in the file.`;

export function integerOption(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^-?\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

export function numberOption(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) {
    throw new InvalidArgumentError('It must be a number.');
  }
  return value;
}

/** `--consistency`, of all commands that read. */
export function consistencyOption(): Option {
  return new Option(
    '--consistency <level>',
    'strong, leased, eventual, bounded:<ms> or session:<token>: docs/consistency.md ' +
      '(default: strong)',
  ).argParser(parseConsistency);
}

/** What is wrong with a token the client says. */
function parseConsistency(text: string): Consistency {
  if (text === 'strong' || text === 'leased' || text === 'eventual') return text;
  const [, level, detail = ''] = /^(bounded|session):(.+)$/.exec(text) ?? [];
  if (level === 'bounded') return { boundedMs: integerOption(1, BOUND_MS_MAX)(detail) };
  if (level === 'session') return { session: detail };
  throw new InvalidArgumentError('It must be one of the levels, such as bounded:500.');
}

/** `--filter`, of all commands that take one. */
export function filterOption(): Option {
  return new Option(
    '--filter <json>',
    'only records whose metadata match, such as \'{"year": {"$gte": 2020}}\' (docs/filters.md)',
  ).argParser(parseFilterOption);
}

/** What is wrong with its operators the cluster says, which knows the fields. */
function parseFilterOption(text: string): Where<Metadata> {
  return jsonObjectOption(text) as Where<Metadata>;
}

export function jsonObjectOption(text: string): Metadata {
  const parsed = jsonOption(text, '{"year": 2020}');
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new InvalidArgumentError('It must be a JSON object.');
  }
  return parsed as Metadata;
}

/** Shows by the example how to quote what a shell would take apart. */
export function jsonOption(text: string, example: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const fault = messageOf(error);
    throw new InvalidArgumentError(`It is not JSON (${fault}); write it like '${example}'.`);
  }
}

function parseAddresses(text: string): string[] {
  const addresses = text.split(',').map((address) => address.trim());
  const wrong = addresses.find((address) => (parseAddress(address)?.port ?? 0) === 0);
  if (wrong !== undefined) {
    throw new UsageError(`"${wrong}" is not the address of a node: host:port`);
  }
  return addresses;
}
