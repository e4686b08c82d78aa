// Goal: M-5, M-41: a node starts only with a configuration that is complete, known and consistent.
// Method: small sources through loadConfig; every refusal must name setting, value and origin.
import { describe, expect, it } from 'vitest';
import { ConfigError, type ConfigSources, loadConfig } from '../../../src/node/config.js';
import {
  environmentNameOf,
  flagOf,
  SETTING_KEYS,
  type SettingKey,
} from '../../../src/node/settings.js';

const THREE_NODES = '1=127.0.0.1:7701,2=127.0.0.1:7711,3=127.0.0.1:7721';
const BASE = { 'node.id': '1', 'cluster.nodes': THREE_NODES } as const;

const load = (flags: ConfigSources['flags'], rest: Omit<ConfigSources, 'flags'> = {}) =>
  loadConfig({ flags: { ...BASE, ...flags }, ...rest });

function problemsOf(sources: ConfigSources): readonly string[] {
  try {
    loadConfig(sources);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

const problems = (flags: ConfigSources['flags'], rest: Omit<ConfigSources, 'flags'> = {}) =>
  problemsOf({ flags: { ...BASE, ...flags }, ...rest });

describe('precedence', () => {
  const file = { path: 'node.json', text: '{"cluster": {"shards": 5, "virtualNodes": 50}}' };
  const environment = { FLOTILLA_CLUSTER__SHARDS: '6', FLOTILLA_LOG__LEVEL: 'warn' };

  it('puts flags over environment over file over defaults, and tells where each is from', () => {
    const { config, effective } = load({ 'log.level': 'debug' }, { environment, file });
    expect(config.settings).toEqual({
      shards: 6,
      replicationFactor: 3,
      virtualNodes: 50,
      electionTimeoutMs: 1_000,
      leases: false,
    });
    expect(config.logLevel).toBe('debug');
    const origins = new Map(effective.map(({ key, origin }) => [key, origin]));
    expect(origins.get('log.level')).toEqual({ kind: 'flag', name: '--log-level' });
    expect(origins.get('cluster.shards')).toEqual({
      kind: 'environment',
      name: 'FLOTILLA_CLUSTER__SHARDS',
    });
    expect(origins.get('cluster.virtualNodes')).toEqual({ kind: 'file', path: 'node.json' });
    expect(origins.get('cluster.replicationFactor')).toEqual({ kind: 'default' });
  });

  it('lists every setting once, in the order of the table', () => {
    expect(load({}).effective.map(({ key }) => key)).toEqual(SETTING_KEYS);
  });

  it('reports a wrong value of a weaker source even where a stronger one replaces it', () => {
    const wrong = { environment: { FLOTILLA_CLUSTER__SHARDS: 'many' } };
    expect(problems({ 'cluster.shards': '4' }, wrong)).toEqual([
      'cluster.shards: many is not a whole number (environment FLOTILLA_CLUSTER__SHARDS)',
    ]);
  });
});

describe('derived values', () => {
  it('gives a lone node itself as the cluster', () => {
    const flags = { 'node.id': '7', 'cluster.replicationFactor': '1' };
    const { config } = loadConfig({ flags });
    expect(config.nodes).toEqual([{ nodeId: 7, peerAddress: '127.0.0.1:7701' }]);
    expect(config.directory).toBe('.flotilla/node-7');
    expect(config.advertise).toEqual(config.listen);
  });

  it("advertises this node's address of the cluster's nodes to its peers", () => {
    const flags = { 'node.id': '2', 'cluster.nodes': THREE_NODES, 'listen.peer': '0.0.0.0:7701' };
    expect(loadConfig({ flags }).config.advertise.peer).toBe('127.0.0.1:7711');
  });

  it('takes the nodes as text or as a JSON list, in any order', () => {
    const text = JSON.stringify({
      node: { id: 1 },
      cluster: { nodes: ['3=c:7701', '1=a:7701', '2=b:7701'] },
    });
    const { config } = loadConfig({ file: { path: 'n.json', text } });
    expect(config.nodes.map((node) => `${node.nodeId}${node.peerAddress}`)).toEqual([
      '1a:7701',
      '2b:7701',
      '3c:7701',
    ]);
  });

  it('takes the zone of the node from file, environment or flag, and has none else', () => {
    const file = { path: 'n.json', text: '{"node": {"zone": "a"}}' };
    const environment = { FLOTILLA_NODE__ZONE: 'b' };
    expect(load({}).config).not.toHaveProperty('zone');
    expect(load({}, { file }).config.zone).toBe('a');
    expect(load({}, { file, environment }).config.zone).toBe('b');
    expect(load({ 'node.zone': 'c' }, { file, environment }).config.zone).toBe('c');
    const shown = ({ effective }: ReturnType<typeof load>): unknown =>
      effective.find(({ key }) => key === 'node.zone')?.value;
    expect([shown(load({})), shown(load({ 'node.zone': 'c' }))]).toEqual(['', 'c']);
  });

  it('derives all times from the election timeout', () => {
    const { timing } = load({ 'cluster.electionTimeoutMs': '300' }).config;
    expect(timing.tickMs).toBe(30);
    expect(timing.heartbeatTicks * 3).toBeLessThanOrEqual(timing.electionTicks);
  });
});

describe('refusals', () => {
  it('names setting, value and origin of each wrong value, all at once', () => {
    const environment = { FLOTILLA_LISTEN__CLIENT: 'nowhere' };
    expect(problems({ 'cluster.shards': '0', 'log.level': 'loud' }, { environment })).toEqual([
      'listen.client: nowhere is not of the form host:port (environment FLOTILLA_LISTEN__CLIENT)',
      'cluster.shards: 0 is outside its bounds: 1 to 256 (flag --cluster-shards)',
      'log.level: loud is not one of debug, info, warn, error, silent (flag --log-level)',
    ]);
  });

  const bounds: [SettingKey, string, boolean][] = [
    ['node.id', '0', false],
    ['cluster.shards', '256', true],
    ['cluster.shards', '257', false],
    ['cluster.shards', '4.5', false],
    ['cluster.shards', '', false],
    ['cluster.shards', ' 4', false],
    ['cluster.shards', '1e1', false],
    ['cluster.electionTimeoutMs', '100', true],
    ['cluster.electionTimeoutMs', '99', false],
    ['cluster.electionTimeoutMs', '105', false],
    ['cluster.bootstrap', 'true', true],
    ['cluster.bootstrap', 'yes', false],
    ['listen.client', '127.0.0.1:65535', true],
    ['listen.client', '127.0.0.1:65536', false],
    ['listen.client', '[::1]:0', true],
    ['listen.client', '::1:7700', false],
    ['advertise.client', 'db.example.org:0', false],
    ['cluster.nodes', '1=a:1,1=b:1', false],
    ['cluster.nodes', '1=a:1,2=a:1', false],
    ['cluster.nodes', '1=a:0', false],
    ['cluster.nodes', '0=a:1', false],
    ['cluster.nodes', '', false],
    ['node.dir', '', false],
    ['node.zone', 'eu-west_1.b', true],
    ['node.zone', 'z'.repeat(64), true],
    ['node.zone', 'z'.repeat(65), false],
    ['node.zone', 'rack 7', false],
    ['node.zone', '', false],
    ['shutdown.timeoutMs', '99', false],
  ];
  it.each(bounds)('%s = "%s" is accepted: %s', (key, value, accepted) => {
    const mentioned = problems({ [key]: value }).some((problem) => problem.startsWith(`${key}: `));
    expect(mentioned).toBe(!accepted);
  });

  it('refuses unknown names with the nearest known one', () => {
    const file = { path: 'n.json', text: '{"cluster": {"shard": 4}, "nodes": {}, "log": 3}' };
    const environment = { FLOTILLA_CLUSTER__SHARD: '4', FLOTILLA_NODE_ID: '1' };
    expect(problems({}, { file, environment })).toEqual([
      'cluster.shard: there is no such setting (file n.json); did you mean cluster.shards?',
      'log: is not a section of settings (file n.json)',
      'FLOTILLA_CLUSTER__SHARD: there is no such setting (environment FLOTILLA_CLUSTER__SHARD); ' +
        'did you mean FLOTILLA_CLUSTER__SHARDS?',
      'FLOTILLA_NODE_ID: there is no such setting (environment FLOTILLA_NODE_ID); ' +
        'did you mean FLOTILLA_NODE__ID?',
    ]);
  });

  it('leaves variables of others alone', () => {
    const environment = { FLOTILLA_URL: 'a:1', FLOTILLA_PORT_7700_TCP: 'x', PATH: '/' };
    expect(problems({}, { environment })).toEqual([]);
  });

  it.each([
    ['nonsense', 'is not JSON'],
    ['[1]', 'does not hold an object'],
    ['null', 'does not hold an object'],
  ])('refuses a file that holds %s', (text, message) => {
    expect(problems({}, { file: { path: 'n.json', text } })[0]).toContain(`n.json ${message}`);
  });

  it('says that TLS is not available yet instead of guessing a misspelling', () => {
    const file = { path: 'n.json', text: '{"tls": {"certificateFile": "c"}}' };
    expect(problems({}, { file })).toEqual([
      'tls.certificateFile: TLS is not available in this version (file n.json)',
    ]);
  });

  it('requires a node id and says how to set it', () => {
    expect(problemsOf({})).toEqual([
      'node.id: is required; set it by --node-id or FLOTILLA_NODE__ID',
    ]);
  });

  it('refuses a node that is not one of the cluster', () => {
    expect(problems({ 'node.id': '4' })[0]).toMatch(
      /^node.id = 4 \(flag --node-id\) is not among cluster.nodes = 1=.* \(flag --cluster-nodes\)$/,
    );
  });

  it('refuses more replicas than nodes', () => {
    expect(problems({ 'cluster.replicationFactor': '5' })[0]).toMatch(
      /^cluster.replicationFactor = 5 .* is more than the 3 of cluster.nodes/,
    );
  });

  it('refuses an advertised peer address that the other nodes do not dial', () => {
    expect(problems({ 'advertise.peer': '127.0.0.1:9999' })[0]).toMatch(/^advertise.peer = .*9999/);
  });

  it('refuses to listen on all interfaces without an address to advertise', () => {
    expect(problems({ 'listen.http': '0.0.0.0:7702' })[0]).toMatch(
      /^listen.http = 0.0.0.0:7702 .*advertise.http must name/,
    );
  });

  it('refuses two listeners on one address, but not two free ports', () => {
    expect(problems({ 'listen.http': '127.0.0.1:7700' })).toHaveLength(1);
    expect(problems({ 'listen.http': '127.0.0.1:0', 'listen.client': '127.0.0.1:0' })).toEqual([]);
  });

  it('refuses a shutdown that is too short to hand over leaders', () => {
    const flags = { 'cluster.electionTimeoutMs': '2000', 'shutdown.timeoutMs': '1000' };
    expect(problems(flags)[0]).toMatch(/^shutdown.timeoutMs = 1000 .*electionTimeoutMs = 2000/);
  });
});

describe('warnings', () => {
  it('are silent on loopback', () => {
    expect(load({}).warnings).toEqual([]);
  });

  it('name both settings when others can reach a port without TLS', () => {
    const flags = { 'listen.client': '0.0.0.0:7700', 'advertise.client': 'db:7700' };
    const { warnings } = load(flags);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain('listen.client = 0.0.0.0:7700');
    expect(warnings[0]).toContain('tls.certificateFile');
    expect(warnings[0]).toContain('not available in this version');
  });
});

it('names of environment variables and flags follow from the key', () => {
  expect(environmentNameOf('cluster.replicationFactor')).toBe(
    'FLOTILLA_CLUSTER__REPLICATION_FACTOR',
  );
  expect(flagOf('cluster.replicationFactor')).toBe('--cluster-replication-factor');
  expect(new Set(SETTING_KEYS.map(environmentNameOf)).size).toBe(SETTING_KEYS.length);
  expect(new Set(SETTING_KEYS.map(flagOf)).size).toBe(SETTING_KEYS.length);
});
