// Goal: processes whose cluster settings differ make no cluster, and say which and how (M-41).
// Method: two `flotilla node` processes for each setting, given by flag, environment or file.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { environmentNameOf, flagOf, type SettingKey } from '../../src/node/settings.js';
import { defined } from '../../src/shared/assert.js';
import { LoopbackNetwork, type NodePlace } from '../support/faults/node-network.js';

const MAIN = resolve('dist/cli/main.js');
const WAYS = ['flag', 'environment', 'file'] as const;

interface Given {
  readonly key: SettingKey;
  readonly value: string;
  readonly way: (typeof WAYS)[number];
}

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

let directory: string;
const running = new Set<ChildProcess>();

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'flotilla-settings-'));
});

afterEach(() => {
  for (const child of running) child.kill('SIGKILL');
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Settings as a process gets them in one of the three ways. */
function sourcesOf(given: readonly Given[], name: string) {
  const of = (way: Given['way']): readonly Given[] => given.filter((one) => one.way === way);
  const file = join(directory, `${name}.json`);
  const sections: Record<string, Record<string, string>> = {};
  for (const { key, value } of of('file')) {
    const [section = '', setting = ''] = key.split('.');
    sections[section] = { ...sections[section], [setting]: value };
  }
  writeFileSync(file, JSON.stringify(sections));
  return {
    args: ['--config', file, ...of('flag').flatMap(({ key, value }) => [flagOf(key), value])],
    environment: Object.fromEntries(
      of('environment').map(({ key, value }) => [environmentNameOf(key), value]),
    ),
  };
}

/** Runs a node of two until it ends by itself. */
function runNode(
  nodeId: number,
  places: ReadonlyMap<number, NodePlace>,
  given: readonly Given[],
): Promise<Ended> {
  const { listen } = defined(places.get(nodeId), 'a place');
  const name = `node-${nodeId}-${given.map(({ key, way }) => `${key}-${way}`).join('-')}`;
  const nodes = [...places].map(([id, { peerAddress }]) => `${id}=${peerAddress}`).join(',');
  const common: readonly Given[] = [
    { key: 'node.id', value: String(nodeId), way: 'flag' },
    { key: 'node.dir', value: join(directory, name), way: 'flag' },
    { key: 'listen.client', value: listen.client, way: 'flag' },
    { key: 'listen.peer', value: listen.peer, way: 'flag' },
    { key: 'listen.http', value: listen.http, way: 'flag' },
    { key: 'cluster.nodes', value: nodes, way: 'flag' },
    { key: 'cluster.bootstrap', value: String(nodeId === 1), way: 'flag' },
    { key: 'cluster.replicationFactor', value: '2', way: 'environment' },
  ];
  const known = new Set(given.map(({ key }) => key));
  const all = [...common.filter(({ key }) => !known.has(key)), ...given];
  const { args, environment } = sourcesOf(all, name);
  const child = spawn(process.execPath, [MAIN, 'node', ...args], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  return new Promise((end) => {
    child.once('close', (code) => {
      running.delete(child);
      end({ code, output });
    });
  });
}

/** Who refuses first stops, and may be gone before the other has asked; that one waits on. */
async function expectRefusal(nodes: readonly Promise<Ended>[], shown: readonly string[]) {
  const first = await Promise.race(nodes);
  for (const text of ['cannot run: ', '(SETTINGS_MISMATCH)', ...shown]) {
    expect(first.output).toContain(text);
  }
  expect(first.code).toBe(1);
  for (const child of running) child.kill('SIGKILL');
  for (const { output } of await Promise.all(nodes)) {
    expect(output).not.toContain('every shard serves');
  }
}

function differing(
  key: SettingKey,
  ...values: readonly [readonly [string, Given['way']], readonly [string, Given['way']]]
): readonly [Given, Given] {
  const [[here, wayHere], [there, wayThere]] = values;
  return [
    { key, value: here, way: wayHere },
    { key, value: there, way: wayThere },
  ];
}

describe('two nodes', () => {
  const cases: readonly (readonly [Given, Given])[] = [
    differing('cluster.shards', ['4', 'flag'], ['9', 'environment']),
    differing('cluster.replicationFactor', ['2', 'environment'], ['1', 'file']),
    differing('cluster.virtualNodes', ['100', 'file'], ['7', 'flag']),
    differing('cluster.electionTimeoutMs', ['1000', 'flag'], ['300', 'file']),
    differing('cluster.leases', ['false', 'file'], ['true', 'environment']),
  ];

  it.each(cases)('of which one has $key = $value refuse to start', async (...given) => {
    const { places } = await LoopbackNetwork.open([1, 2]);
    const nodes = given.map((one, at) => runNode(at + 1, places, [one]));
    await expectRefusal(nodes, [`${given[0].key} = `, ...given.map(({ value }) => value)]);
  });

  it('of which one names another node beside refuse to start', async () => {
    const { places } = await LoopbackNetwork.open([1, 2, 3]);
    const two = new Map([...places].filter(([nodeId]) => nodeId < 3));
    const listOf = (list: typeof places): string =>
      [...list].map(([nodeId, { peerAddress }]) => `${nodeId}=${peerAddress}`).join(',');
    const nodes = [runNode(1, two, []), runNode(2, places, [])];
    await expectRefusal(nodes, ['cluster.nodes = ', listOf(two), listOf(places)]);
  });
});
