/**
 * The configuration of a node, gathered from flags, environment, file and defaults (in this order
 * of precedence) and checked as a whole before anything starts.
 */
import { deriveTiming, type Timing } from '../replica/timing.js';
import type { RetryBudgetOptions } from '../shared/retry-budget.js';
import type { ClusterSettings } from '../topology/document.js';
import { isLoopback, isWildcard, parseAddress } from './address.js';
import {
  environmentNameOf,
  flagOf,
  isSettingKey,
  type LogLevel,
  type NodeAddress,
  SETTING_KEYS,
  type SettingKey,
  type SettingValue,
  SettingValueError,
  settingOf,
} from './settings.js';
import { nearestOf } from './suggestion.js';

/** The addresses of a node's three listeners, each host:port. */
export interface NodeAddresses {
  readonly client: string;
  readonly peer: string;
  readonly http: string;
}

/** See `ShardEngineOptions`. */
export interface EngineConfig {
  readonly headFloatsMax: number;
  readonly exactCopy: boolean;
}

/** See `RouterOptions`. */
export interface RouterConfig {
  readonly hedgedReads: boolean;
  readonly retryBudget: RetryBudgetOptions;
  readonly searchCacheBytes: number;
}

export interface NodeConfig {
  readonly nodeId: number;
  readonly directory: string;
  /** See `NodeEntry`. */
  readonly zone?: string;
  readonly listen: NodeAddresses;
  /** Where others reach the listeners. Port 0 stands for the port that was really bound. */
  readonly advertise: NodeAddresses;
  /** All nodes of the cluster by ascending id, this one included. */
  readonly nodes: readonly NodeAddress[];
  readonly bootstrap: boolean;
  readonly settings: ClusterSettings;
  readonly timing: Timing;
  readonly logLevel: LogLevel;
  readonly logPretty: boolean;
  readonly logCacheSizeBytes: number;
  readonly engine: EngineConfig;
  readonly router: RouterConfig;
  readonly shutdownTimeoutMs: number;
}

/** Where a value comes from. */
export type Origin =
  | { readonly kind: 'default' }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'environment'; readonly name: string }
  | { readonly kind: 'flag'; readonly name: string };

/** A setting with the value that counts, for `flotilla config print`. */
export interface EffectiveSetting {
  readonly key: SettingKey;
  /** As it would be written in a flag. */
  readonly value: string;
  readonly origin: Origin;
}

export interface ConfigSources {
  /** By setting, as given on the command line. */
  readonly flags?: Partial<Record<SettingKey, string>>;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Text of a JSON file of the form `{"section": {"key": value}}`. */
  readonly file?: { readonly path: string; readonly text: string };
}

export interface LoadedConfig {
  readonly config: NodeConfig;
  /** All settings, in the order of the table. */
  readonly effective: readonly EffectiveSetting[];
  /** Sentences for the operator: allowed, but worth knowing. */
  readonly warnings: readonly string[];
}

/** Everything that is wrong with a configuration, one sentence per problem. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

interface Given {
  readonly value: unknown;
  readonly origin: Origin;
}

/** Throws `ConfigError` with all problems found, not only the first one. */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const values = gather(sources);
  const config = assemble(values);
  const problems: string[] = [];
  checkNodes(config, values, problems);
  checkReplicas(config.nodes, config.settings, values, problems);
  checkAddresses(config, values, problems);
  checkTimes(config, values, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  return { config, effective: effectiveOf(config, values), warnings: warningsOf(config, values) };
}

/** The part that is the same on all nodes, for somebody who is none of them. */
export function loadClusterConfig(sources: ConfigSources): Pick<NodeConfig, 'nodes' | 'settings'> {
  const values = gather(sources);
  const nodes = values.get('cluster.nodes') ?? throwRequired('cluster.nodes');
  const settings = clusterSettingsOf(values);
  const problems: string[] = [];
  checkReplicas(nodes, settings, values, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  return { nodes, settings };
}

/** Where a value comes from, in words. */
export function describeOrigin(origin: Origin): string {
  switch (origin.kind) {
    case 'default':
      return 'default';
    case 'file':
      return `file ${origin.path}`;
    case 'environment':
      return `environment ${origin.name}`;
    case 'flag':
      return `flag ${origin.name}`;
  }
}

function gather(sources: ConfigSources): Values {
  const problems: string[] = [];
  const given = new Map<SettingKey, Given>();
  readFile(sources.file, given, problems);
  readEnvironment(sources.environment ?? {}, given, problems);
  for (const [key, raw] of Object.entries(sources.flags ?? {})) {
    if (isSettingKey(key)) take(key, raw, { kind: 'flag', name: flagOf(key) }, given, problems);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return new Values(given);
}

/** Reads a value into `given`, over what a weaker source has put there. */
function take(
  key: SettingKey,
  raw: unknown,
  origin: Origin,
  given: Map<SettingKey, Given>,
  problems: string[],
): void {
  try {
    given.set(key, { value: settingOf(key).kind.parse(raw), origin });
  } catch (error) {
    if (!(error instanceof SettingValueError)) throw error;
    const shown = typeof raw === 'string' ? raw : JSON.stringify(raw);
    problems.push(`${key}: ${shown} ${error.message} (${describeOrigin(origin)})`);
  }
}

function readFile(
  file: ConfigSources['file'],
  given: Map<SettingKey, Given>,
  problems: string[],
): void {
  if (file === undefined) return;
  let root: unknown;
  try {
    root = JSON.parse(file.text);
  } catch (error) {
    problems.push(`${file.path} is not JSON: ${error instanceof Error ? error.message : error}`);
    return;
  }
  if (!isObject(root)) {
    problems.push(`${file.path} does not hold an object of sections`);
    return;
  }
  const origin: Origin = { kind: 'file', path: file.path };
  for (const [section, keys] of Object.entries(root)) {
    if (!isObject(keys)) {
      problems.push(`${section}: is not a section of settings (${describeOrigin(origin)})`);
      continue;
    }
    for (const [name, raw] of Object.entries(keys)) {
      const key = `${section}.${name}`;
      if (isSettingKey(key)) take(key, raw, origin, given, problems);
      else problems.push(unknownSetting(key, SETTING_KEYS, origin));
    }
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Only names with a double underscore are ours: service links of orchestrators have none. */
function readEnvironment(
  environment: NonNullable<ConfigSources['environment']>,
  given: Map<SettingKey, Given>,
  problems: string[],
): void {
  const keyOfName = new Map(SETTING_KEYS.map((key) => [environmentNameOf(key), key]));
  const names = [...keyOfName.keys()];
  const misspelt = new Set(names.map((name) => name.replace('__', '_')));
  for (const [name, raw] of Object.entries(environment)) {
    if (!name.startsWith('FLOTILLA_') || raw === undefined) continue;
    const origin: Origin = { kind: 'environment', name };
    const key = keyOfName.get(name);
    if (key !== undefined) take(key, raw, origin, given, problems);
    else if (name.includes('__') || misspelt.has(name)) {
      problems.push(unknownSetting(name, names, origin));
    }
  }
}

function unknownSetting(name: string, known: readonly string[], origin: Origin): string {
  if (/^(tls\.|FLOTILLA_TLS__)/.test(name)) {
    return `${name}: TLS is not available in this version (${describeOrigin(origin)})`;
  }
  const nearest = nearestOf(name, known);
  const hint = nearest === undefined ? '' : `; did you mean ${nearest}?`;
  return `${name}: there is no such setting (${describeOrigin(origin)})${hint}`;
}

/** What was given or has a default, by setting. */
class Values {
  readonly #given: ReadonlyMap<SettingKey, Given>;

  constructor(given: ReadonlyMap<SettingKey, Given>) {
    this.#given = given;
  }

  /** The value, or `undefined` where none was given and the default is computed. */
  get<K extends SettingKey>(key: K): SettingValue<K> | undefined {
    const value = this.#given.get(key)?.value ?? settingOf(key).default;
    return value as SettingValue<K> | undefined;
  }

  origin(key: SettingKey): Origin {
    return this.#given.get(key)?.origin ?? { kind: 'default' };
  }

  /** For error messages: the setting with its value and origin. */
  describe(key: SettingKey, value: unknown = this.get(key)): string {
    return `${key} = ${settingOf(key).kind.format(value)} (${describeOrigin(this.origin(key))})`;
  }

  /** The value of a setting whose table row has a default. */
  require<K extends SettingKey>(key: K): SettingValue<K> {
    const value = this.get(key);
    if (value === undefined) throw new Error(`${key} has no default`);
    return value;
  }
}

function throwRequired(key: SettingKey): never {
  const ways = `${flagOf(key)} or ${environmentNameOf(key)}`;
  throw new ConfigError([`${key}: is required; set it by ${ways}`]);
}

function clusterSettingsOf(values: Values): ClusterSettings {
  return {
    shards: values.require('cluster.shards'),
    replicationFactor: values.require('cluster.replicationFactor'),
    virtualNodes: values.require('cluster.virtualNodes'),
    electionTimeoutMs: values.require('cluster.electionTimeoutMs'),
    leases: values.require('cluster.leases'),
  };
}

function assemble(values: Values): NodeConfig {
  const nodeId = values.get('node.id') ?? throwRequired('node.id');
  const zone = values.get('node.zone');
  const settings = clusterSettingsOf(values);
  const listen: NodeAddresses = {
    client: values.require('listen.client'),
    peer: values.require('listen.peer'),
    http: values.require('listen.http'),
  };
  const own = values.get('cluster.nodes')?.find((node) => node.nodeId === nodeId)?.peerAddress;
  const advertise: NodeAddresses = {
    client: values.get('advertise.client') ?? listen.client,
    peer: values.get('advertise.peer') ?? own ?? listen.peer,
    http: values.get('advertise.http') ?? listen.http,
  };
  return {
    nodeId,
    directory: values.get('node.dir') ?? `.flotilla/node-${nodeId}`,
    ...(zone !== undefined && { zone }),
    listen,
    advertise,
    nodes: values.get('cluster.nodes') ?? [{ nodeId, peerAddress: advertise.peer }],
    bootstrap: values.require('cluster.bootstrap'),
    settings,
    timing: deriveTiming(settings.electionTimeoutMs),
    logLevel: values.require('log.level'),
    logPretty: values.require('log.pretty'),
    logCacheSizeBytes: values.require('storage.logCacheSizeBytes'),
    engine: {
      headFloatsMax: values.require('engine.headFloatsMax'),
      exactCopy: values.require('engine.exactCopy'),
    },
    router: {
      hedgedReads: values.require('router.hedgedReads'),
      retryBudget: {
        share: values.require('router.retryPercent') / 100,
        perSecond: values.require('router.retriesPerSecond'),
      },
      searchCacheBytes: values.require('router.searchCacheBytes'),
    },
    shutdownTimeoutMs: values.require('shutdown.timeoutMs'),
  };
}

function checkNodes(config: NodeConfig, values: Values, problems: string[]): void {
  const own = config.nodes.find((node) => node.nodeId === config.nodeId);
  if (own === undefined) {
    problems.push(`${values.describe('node.id')} is not among ${values.describe('cluster.nodes')}`);
  } else if (own.peerAddress !== config.advertise.peer) {
    problems.push(
      `${values.describe('advertise.peer')} differs from this node's address in ` +
        values.describe('cluster.nodes'),
    );
  }
}

function checkReplicas(
  nodes: NodeConfig['nodes'],
  settings: ClusterSettings,
  values: Values,
  problems: string[],
): void {
  if (settings.replicationFactor <= nodes.length) return;
  problems.push(
    `${values.describe('cluster.replicationFactor')} is more than the ${nodes.length} of ` +
      values.describe('cluster.nodes', nodes),
  );
}

const LISTENERS = ['client', 'peer', 'http'] as const;

function checkAddresses(config: NodeConfig, values: Values, problems: string[]): void {
  for (const [index, listener] of LISTENERS.entries()) {
    const key: SettingKey = `listen.${listener}`;
    const address = config.listen[listener];
    const advertised = parseAddress(config.advertise[listener]);
    if (advertised !== undefined && isWildcard(advertised.host)) {
      problems.push(
        `${values.describe(key)} listens on all interfaces, so advertise.${listener} must name ` +
          'an address that others can dial',
      );
    }
    const same = LISTENERS.slice(0, index).find((other) => config.listen[other] === address);
    if (same !== undefined && parseAddress(address)?.port !== 0) {
      problems.push(`${values.describe(key)} is the address of listen.${same} too`);
    }
  }
}

function checkTimes(config: NodeConfig, values: Values, problems: string[]): void {
  const election = values.describe('cluster.electionTimeoutMs');
  if (config.shutdownTimeoutMs < config.settings.electionTimeoutMs) {
    problems.push(
      `${values.describe('shutdown.timeoutMs')} is less than ${election}: leaders could not be ` +
        'handed over',
    );
  }
}

function effectiveOf(config: NodeConfig, values: Values): EffectiveSetting[] {
  const computed: Partial<Record<SettingKey, unknown>> = {
    'node.dir': config.directory,
    'node.zone': config.zone ?? '',
    'advertise.client': config.advertise.client,
    'advertise.peer': config.advertise.peer,
    'advertise.http': config.advertise.http,
    'cluster.nodes': config.nodes,
  };
  return SETTING_KEYS.map((key) => ({
    key,
    value: settingOf(key).kind.format(values.get(key) ?? computed[key]),
    origin: values.origin(key),
  }));
}

function warningsOf(config: NodeConfig, values: Values): string[] {
  const warnings: string[] = [];
  for (const listener of LISTENERS) {
    const host = parseAddress(config.listen[listener])?.host ?? '';
    if (isLoopback(host)) continue;
    warnings.push(
      `${values.describe(`listen.${listener}`)} can be reached from other machines, and ` +
        'tls.certificateFile is not set: traffic is neither encrypted nor authenticated. TLS is ' +
        'not available in this version; let only a trusted network reach the port.',
    );
  }
  return warnings;
}
