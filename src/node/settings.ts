/**
 * The table of all settings of a node. Parsing, checks, `flotilla node --help`,
 * `flotilla config print` and docs/configuration.md are made from it.
 */
import { checkZoneName } from '../placement/zones.js';
import { toFlotillaError } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';
import { RETRY_BUDGET } from '../shared/retry-budget.js';
import { formatAddress, parseAddress } from './address.js';

/** A value that does not fit its setting. The message completes "the value ...". */
export class SettingValueError extends Error {
  override readonly name = 'SettingValueError';
}

/** How values of one kind are read and shown. */
export interface SettingKind<T> {
  /** For help and documentation, such as `1 to 256`. */
  readonly description: string;
  /** Reads text (environment, flag) or a JSON value (file). Throws `SettingValueError`. */
  parse(raw: unknown): T;
  /** The value as it would be written in an environment variable or flag. */
  format(value: T): string;
}

export interface Setting<T> {
  readonly kind: SettingKind<T>;
  /** Absent where the default is computed (see `defaultText`) or the setting is required. */
  readonly default?: T;
  /** Says in words where a computed default comes from; absent where `default` says it. */
  readonly defaultText?: string;
  readonly unit?: string;
  readonly doc: string;
}

/** One node of the cluster, as `cluster.nodes` names it. */
export interface NodeAddress {
  readonly nodeId: number;
  /** host:port, as other nodes reach it. */
  readonly peerAddress: string;
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

const NODE_ID_MAX = 65_535;

function integer(min: number, max: number, multipleOf = 1): SettingKind<number> {
  const bounds = `${min} to ${max}${multipleOf > 1 ? `, a multiple of ${multipleOf}` : ''}`;
  return {
    description: `whole number, ${bounds}`,
    parse(raw) {
      const value = typeof raw === 'string' && /^-?\d+$/.test(raw) ? Number(raw) : raw;
      if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
        throw new SettingValueError('is not a whole number');
      }
      if (value < min || value > max || value % multipleOf !== 0) {
        throw new SettingValueError(`is outside its bounds: ${bounds}`);
      }
      return value;
    },
    format: String,
  };
}

const boolean: SettingKind<boolean> = {
  description: 'true or false',
  parse(raw) {
    if (raw === true || raw === 'true') return true;
    if (raw === false || raw === 'false') return false;
    throw new SettingValueError('is neither true nor false');
  },
  format: String,
};

const text: SettingKind<string> = {
  description: 'text',
  parse(raw) {
    if (typeof raw !== 'string' || raw === '') throw new SettingValueError('is not a text');
    return raw;
  },
  format: (value) => value,
};

const zone: SettingKind<string> = {
  description: `up to ${LIMITS.zoneBytesMax.value} letters, digits, "_", "-" and "."`,
  parse(raw) {
    const name = text.parse(raw);
    try {
      checkZoneName(name, 'it');
    } catch (error) {
      throw new SettingValueError(`is no name: ${toFlotillaError(error).message}`);
    }
    return name;
  },
  format: (value) => value,
};

function choice<T extends string>(options: readonly T[]): SettingKind<T> {
  return {
    description: `one of ${options.join(', ')}`,
    parse(raw) {
      const found = options.find((option) => option === raw);
      if (found === undefined) {
        throw new SettingValueError(`is not one of ${options.join(', ')}`);
      }
      return found;
    },
    format: (value) => value,
  };
}

function address(portMin: 0 | 1): SettingKind<string> {
  return {
    description: portMin === 0 ? 'host:port; port 0 takes any free one' : 'host:port',
    parse(raw) {
      const parsed = typeof raw === 'string' ? parseAddress(raw) : undefined;
      if (parsed === undefined) throw new SettingValueError('is not of the form host:port');
      if (parsed.port < portMin) throw new SettingValueError('must name a port');
      return formatAddress(parsed);
    },
    format: (value) => value,
  };
}

const advertised = address(1);

const nodeAddresses: SettingKind<readonly NodeAddress[]> = {
  description: 'list of ID=host:port',
  parse(raw) {
    const items = typeof raw === 'string' ? raw.split(',').map((item) => item.trim()) : raw;
    if (!Array.isArray(items) || items.length === 0) {
      throw new SettingValueError('is not a list such as 1=10.0.0.1:7701,2=10.0.0.2:7701');
    }
    const nodes = items.map(parseNodeAddress).sort((a, b) => a.nodeId - b.nodeId);
    checkDistinct(nodes.map((node) => node.nodeId));
    checkDistinct(nodes.map((node) => node.peerAddress));
    if (nodes.length > LIMITS.nodesMax.value) {
      throw new SettingValueError(`names more than ${LIMITS.nodesMax.value} nodes`);
    }
    return nodes;
  },
  format: (nodes) => nodes.map((node) => `${node.nodeId}=${node.peerAddress}`).join(','),
};

function parseNodeAddress(item: unknown): NodeAddress {
  const match = typeof item === 'string' ? /^(\d{1,5})=(.+)$/.exec(item) : null;
  const nodeId = Number(match?.[1]);
  const parsed = parseAddress(match?.[2] ?? '');
  if (nodeId < 1 || nodeId > NODE_ID_MAX || parsed === undefined || parsed.port === 0) {
    throw new SettingValueError(`has an item that is not of the form ID=host:port: ${item}`);
  }
  return { nodeId, peerAddress: formatAddress(parsed) };
}

function checkDistinct(values: readonly (number | string)[]): void {
  const twice = values.find((value, index) => values.indexOf(value) !== index);
  if (twice !== undefined) throw new SettingValueError(`names ${twice} twice`);
}

const setting = <T>(value: Setting<T>): Setting<T> => value;

export const SETTINGS = {
  'node.id': setting({
    kind: integer(1, NODE_ID_MAX),
    defaultText: 'none: required',
    doc: 'Who this node is. An id belongs to one data directory for ever.',
  }),
  'node.dir': setting({
    kind: text,
    defaultText: '`.flotilla/node-ID`',
    doc: 'Directory of all data of this node. Made when it does not exist.',
  }),
  'node.zone': setting({
    kind: zone,
    defaultText: 'none',
    doc:
      'Nodes that fail together, such as those of a rack or a data centre, name the same zone: ' +
      'replicas are spread over zones when the cluster is created. May change later, and moves ' +
      'nothing then.',
  }),
  'listen.client': setting({
    kind: address(0),
    default: '127.0.0.1:7700',
    doc: 'Where clients are served (gRPC).',
  }),
  'listen.peer': setting({
    kind: address(0),
    default: '127.0.0.1:7701',
    doc: 'Where other nodes are served (gRPC).',
  }),
  'listen.http': setting({
    kind: address(0),
    default: '127.0.0.1:7702',
    doc: 'Where metrics and health are served (HTTP).',
  }),
  'advertise.client': setting({
    kind: advertised,
    defaultText: '`listen.client`',
    doc: 'Where clients reach this node. Required when listening on all interfaces.',
  }),
  'advertise.peer': setting({
    kind: advertised,
    defaultText: 'this node in `cluster.nodes`, else `listen.peer`',
    doc: 'Where other nodes reach this node.',
  }),
  'advertise.http': setting({
    kind: advertised,
    defaultText: '`listen.http`',
    doc: 'Where metrics and health of this node are reached.',
  }),
  'cluster.nodes': setting({
    kind: nodeAddresses,
    defaultText: 'this node alone',
    doc: 'Peer addresses of all nodes of the cluster, this one included; the same on all nodes.',
  }),
  'cluster.bootstrap': setting({
    kind: boolean,
    default: false,
    doc:
      'Creates the cluster when none of its nodes has one: waits for all of them first. ' +
      'Without effect on a node that has one.',
  }),
  'cluster.shards': setting({
    kind: integer(1, LIMITS.shardsMax.value),
    default: 4,
    doc: 'Shards of the cluster. Fixed when the cluster is created.',
  }),
  'cluster.replicationFactor': setting({
    kind: integer(1, LIMITS.replicationFactorMax.value),
    default: 3,
    doc: 'Replicas of each shard, on as many nodes. Fixed when the cluster is created.',
  }),
  'cluster.virtualNodes': setting({
    kind: integer(1, 1_000),
    default: 100,
    doc: 'Points of each shard on the hash ring. Fixed when the cluster is created.',
  }),
  'cluster.electionTimeoutMs': setting({
    kind: integer(100, 60_000, 10),
    default: 1_000,
    unit: 'ms',
    doc:
      'Minimum election timeout, from which all other times of consensus derive. 300 fits a fast ' +
      'local network. The same on all nodes.',
  }),
  'cluster.leases': setting({
    kind: boolean,
    default: false,
    doc:
      'Lets leaders answer reads that ask for `leased` without a round to the other replicas. ' +
      'The clocks of the nodes must run equally fast, and a failover takes up to three quarters ' +
      'of the election timeout longer. The same on all nodes.',
  }),
  'log.level': setting<LogLevel>({
    kind: choice(LOG_LEVELS),
    default: 'info',
    doc: 'The least severe messages that are logged.',
  }),
  'log.pretty': setting({
    kind: boolean,
    default: false,
    doc: 'Logs lines for people instead of JSON.',
  }),
  'storage.logCacheSizeBytes': setting({
    kind: integer(1024 * 1024, 16 * 1024 * 1024 * 1024),
    default: 64 * 1024 * 1024,
    unit: 'bytes',
    doc: 'Memory for recent log entries of all shards of the node.',
  }),
  'engine.headFloatsMax': setting({
    kind: integer(LIMITS.dimensionMax.value, 1024 * 1024 * 1024),
    default: LIMITS.headFloatsMax.value,
    unit: 'floats',
    doc:
      'Vectors of a collection on a shard that may wait for the graph, in floats: more of them ' +
      'take a longer burst of writes and slow searches down meanwhile.',
  }),
  'engine.exactCopy': setting({
    kind: boolean,
    default: true,
    doc:
      'Keeps all vectors in memory beside the graph: searches with few matches are many times ' +
      'faster, and a record takes 4 bytes a dimension more.',
  }),
  'router.hedgedReads': setting({
    kind: boolean,
    default: true,
    doc:
      'Asks a second replica where a read that any replica may serve takes longer than most, for ' +
      'at most 5 % of such reads.',
  }),
  'router.retryPercent': setting({
    kind: integer(0, 100),
    default: 100 * RETRY_BUDGET.share,
    unit: 'percent',
    doc: 'How many of the calls to shards may be repeats that have replicas work again.',
  }),
  'router.retriesPerSecond': setting({
    kind: integer(0, 100_000),
    default: RETRY_BUDGET.perSecond,
    doc: 'How many more such repeats a second may have, however few calls there are.',
  }),
  'router.searchCacheBytes': setting({
    kind: integer(0, 1024 * 1024 * 1024),
    default: 0,
    unit: 'bytes',
    doc:
      'Memory for answers of searches that ask for `bounded` or `eventual` freshness, for those ' +
      'who ask the same again. Most of it is in the heap of the process. 0 keeps none.',
  }),
  'shutdown.timeoutMs': setting({
    kind: integer(100, 600_000),
    default: 10_000,
    unit: 'ms',
    doc: 'How long an orderly stop may take, at least one election timeout.',
  }),
} as const;

export type SettingKey = keyof typeof SETTINGS;

/** The type of a setting's values. */
export type SettingValue<K extends SettingKey> =
  (typeof SETTINGS)[K] extends Setting<infer T> ? T : never;

export const SETTING_KEYS = Object.keys(SETTINGS) as readonly SettingKey[];

export function isSettingKey(key: string): key is SettingKey {
  return Object.hasOwn(SETTINGS, key);
}

/** A setting with the type of its values forgotten, for code that handles all of them alike. */
export function settingOf(key: SettingKey): Setting<unknown> {
  return SETTINGS[key] as Setting<unknown>;
}

/** `cluster.replicationFactor` -> `FLOTILLA_CLUSTER__REPLICATION_FACTOR`. */
export function environmentNameOf(key: SettingKey): string {
  const words = key.replace(/[A-Z]/g, (letter) => `_${letter}`).replaceAll('.', '__');
  return `FLOTILLA_${words.toUpperCase()}`;
}

/** `cluster.replicationFactor` -> `--cluster-replication-factor`. */
export function flagOf(key: SettingKey): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`).replaceAll('.', '-')}`;
}

/** The default as documentation shows it. */
export function defaultTextOf(key: SettingKey): string {
  const { default: value, defaultText, kind } = settingOf(key);
  return defaultText ?? `\`${kind.format(value)}\``;
}
