// Goal: each command asks the cluster for the right thing, prints for people and for scripts, and
// ends with its documented exit code. Method: runCli with a fake client that records its calls.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CliContext, StopSignal } from '../../../src/cli/context.js';
import type { ClusterStatus, CollectionInfo, Flotilla } from '../../../src/client/index.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { type CommandRun, runCommand } from './run-command.js';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'flotilla-cli-'));
});
afterAll(() => rm(folder, { recursive: true }));

const INFO: CollectionInfo = {
  config: {
    name: 'docs',
    dimension: 3,
    metric: 'cosine',
    m: 16,
    efConstruction: 200,
    indexedFields: [{ path: 'year', type: 'integer' }],
  },
  recordCount: 1_234,
  state: 'active',
};

const replica = (nodeId: number, state: string, lagEntries = 0, fault = '') => ({
  nodeId,
  replicaId: nodeId,
  state,
  term: 2,
  commitIndex: 10,
  appliedIndex: 9,
  lastIndex: 10,
  lagEntries,
  fault,
  contentHash: '',
  contentIndex: 0,
});

const shard = (shardId: number, leaderNodeId: number) => ({
  shardId,
  leaderNodeId,
  term: 2,
  slots: 512,
  recordCount: 7,
  replicas: [replica(1, 'leader'), replica(2, 'follower', 3)],
});

const HEALTHY: ClusterStatus = {
  clusterId: 'c1',
  epoch: 4,
  answeredBy: 1,
  nodes: [1, 2].map((nodeId) => ({
    nodeId,
    peerAddress: `n${nodeId}:7701`,
    clientAddress: `n${nodeId}:7700`,
    httpAddress: `n${nodeId}:7702`,
    reachable: true,
    instructionSet: 'avx2',
    distancesPerSecond: 12_345_678,
  })),
  shards: [shard(0, 1)],
  topology: shard(0, 1),
  healthy: true,
};

/** What a command passes on that was told nothing else. */
const CALL = { timeoutMs: 10_000 };

/** The calls that a command made, and what they answer. */
class FakeCluster {
  readonly calls: unknown[][] = [];
  readonly addresses: (readonly string[])[] = [];
  /** Of the collections that were opened. */
  readonly tenants: string[] = [];
  closed = 0;
  answers: Record<string, unknown> = {};

  readonly client = new Proxy(
    {},
    {
      get: (_, method) => {
        // A client is no promise: `await` must not take it for one.
        if (method === 'then') return undefined;
        if (method === 'close') return () => this.#close();
        if (method === 'collection') {
          return (name: string, { tenant = '' } = {}) => {
            this.tenants.push(tenant);
            return this.#collection(name);
          };
        }
        return (...args: unknown[]) => this.#answer(String(method), args);
      },
    },
  ) as Flotilla;

  #close(): Promise<void> {
    this.closed += 1;
    return Promise.resolve();
  }

  #collection(name: string): unknown {
    const method = (verb: string) => (what: unknown, options: unknown) =>
      this.#answer(verb, [name, what, options]);
    return {
      search: method('search'),
      upsert: method('upsert'),
      explain: method('explain'),
      delete: method('delete'),
      deleteByFilter: method('deleteByFilter'),
      fetch: method('fetch'),
      patch: method('patch'),
      count: (options: unknown) => this.#answer('count', [name, options]),
      scrollPage: (options: unknown) => this.#answer('scrollPage', [name, options]),
    };
  }

  async #answer(method: string, args: unknown[]): Promise<unknown> {
    this.calls.push([method, ...args]);
    const answer = this.answers[method];
    if (answer instanceof Error) throw answer;
    return typeof answer === 'function' ? answer(...args) : answer;
  }
}

async function run(
  args: string,
  cluster = new FakeCluster(),
  overrides: Partial<CliContext> = {},
): Promise<CommandRun> {
  const words = args.match(/'[^']*'|\S+/g) ?? [];
  return runCommand(
    words.map((word) => word.replace(/^'|'$/g, '')),
    {
      connect: async (addresses) => {
        cluster.addresses.push(addresses);
        return cluster.client;
      },
      ...overrides,
    },
  );
}

function clusterThatAnswers(answers: Record<string, unknown>): FakeCluster {
  const cluster = new FakeCluster();
  cluster.answers = answers;
  return cluster;
}

describe('help and usage', () => {
  const commands = [
    '',
    'node',
    'dev',
    'cluster init',
    'status',
    'collection create',
    'collection describe',
    'collection list',
    'collection drop',
    'import',
    'search',
    'count',
    'fetch',
    'scroll',
    'patch',
    'delete',
    'verify',
    'config print',
    'replica add',
    'replica remove',
    'replica reset',
    'replica cancel',
    'leader transfer',
    'leader step-down',
    'leader elect',
    'node readmit',
    'tenant assign',
    'tenant release',
    'tenant dedicate',
    'tenant share',
    'tenant stats',
    'tenant audit',
  ];
  it.each(commands)('"%s" has help with an example and the exit codes', async (command) => {
    const { code, out, err } = await run(`${command} --help`);
    expect(code).toBe(0);
    expect(err).toBe('');
    expect(out).toMatch(/Examples?:\n {2}/);
    expect(out).toContain('3  the cluster cannot be reached or is not healthy');
  });

  it('prints its version', async () => {
    expect((await run('--version')).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it.each([
    'fly',
    'status --nonsense',
    'collection create docs',
    'collection create docs --dimension 0',
    'collection create docs --dimension 4097',
    'collection create docs --dimension 3 --metric euclid',
    'collection create docs --dimension 3 --index-field year',
    'search docs',
    "search docs --vector 'abc'",
    `search docs --vector '["1"]'`,
    "search docs --vector '[1]' --id a",
    'search docs --id a --k 0',
    'search docs --id a --ef 1e3',
    "search docs --id a --filter 'year'",
    "count docs --filter '[1]'",
    'scroll docs --limit 0',
    'scroll docs --all',
    "scroll docs --cursor ''",
    'fetch docs',
    'patch docs --id a',
    "patch docs --metadata '{}'",
    "patch docs --id a --metadata '[1]'",
    'patch docs --id a --metadata {a:1}',
    "patch docs --id a b --metadata '{}' --if-version 7",
    'delete docs',
    "delete docs --id a --filter '{}'",
    'status --url nowhere',
    'import a.txt --collection docs',
    'import a.fvecs',
    'dev --nodes 2 --replication-factor 3',
    'cluster init',
    'replica add --shard 0',
    'replica add --node 1',
    'replica reset --shard 0 --topology --node 1',
    'replica reset --shard 0 --faulty --node 1',
    'replica remove --shard 256 --node 1',
    'replica cancel',
    'replica cancel --shard 3',
    'replica cancel --shard 3 --change 0',
    'leader transfer',
    'leader step-down --shard 0 --to 2',
    'leader elect --shard 0 --to 0',
    'node readmit',
    'config print',
    'config print --node-id 0',
    'node --node-id 1 --cluster-shards many',
  ])('"%s" is refused with exit code 2 and asks nobody', async (args) => {
    const cluster = new FakeCluster();
    const { code, out, err } = await run(args, cluster);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err).toMatch(/error: /);
    expect(cluster.calls).toEqual([]);
  });
});

describe('addresses', () => {
  it('come from --url, else from FLOTILLA_URL, else from the default', async () => {
    const cluster = clusterThatAnswers({ listCollections: [] });
    const environment = { FLOTILLA_URL: 'c:3' };
    await run('collection list --url a:1,b:2', cluster, { environment });
    await run('collection list', cluster, { environment });
    await run('collection list', cluster);
    expect(cluster.addresses).toEqual([['a:1', 'b:2'], ['c:3'], ['127.0.0.1:7700']]);
    expect(cluster.closed).toBe(3);
  });
});

describe('errors of the cluster', () => {
  const failing = (error: Error) => clusterThatAnswers({ dropCollection: error });

  it('end with 1 when the cluster refuses, and the client is closed', async () => {
    const cluster = failing(new FlotillaError('COLLECTION_NOT_FOUND', 'no collection docs'));
    expect(await run('collection drop docs', cluster)).toEqual({
      code: 1,
      out: '',
      err: 'error: no collection docs (COLLECTION_NOT_FOUND)\n',
    });
    expect(cluster.closed).toBe(1);
  });

  it.each(['SHARD_UNAVAILABLE', 'DEADLINE_EXCEEDED', 'NO_LEADER'] as const)(
    'end with 3 when nobody answers (%s)',
    async (reason) => {
      const { code } = await run(
        'collection drop docs',
        failing(new FlotillaError(reason, 'gone')),
      );
      expect(code).toBe(3);
    },
  );

  it('of a port that is taken say what to do', async () => {
    const taken = Object.assign(new Error('listen EADDRINUSE a:1'), { code: 'EADDRINUSE' });
    const { code, err } = await run('collection drop docs', failing(taken));
    expect(code).toBe(1);
    expect(err).toBe(
      'error: listen EADDRINUSE a:1; stop what runs there, or take another port ' +
        '(those of flotilla dev are fixed)\n',
    );
  });

  it('are JSON for scripts', async () => {
    const error = new FlotillaError('LIMIT_EXCEEDED', 'too long', { field: 'name' });
    const { err } = await run('collection drop docs --json', failing(error));
    expect(JSON.parse(err)).toEqual({
      error: {
        reason: 'LIMIT_EXCEEDED',
        message: 'too long',
        field: 'name',
        code: 'INVALID_ARGUMENT',
      },
    });
  });
});

describe('collection', () => {
  it('create passes what was given and leaves defaults to the cluster', async () => {
    const cluster = clusterThatAnswers({ createCollection: INFO });
    const options = '--metric l2 --m 8 --index-field a.b:keyword --index-field year:integer';
    const { out } = await run(`collection create docs --dimension 3 ${options}`, cluster);
    await run('collection create docs --dimension 3 --timeout-ms 5', cluster);
    expect(cluster.calls).toEqual([
      [
        'createCollection',
        {
          name: 'docs',
          dimension: 3,
          metric: 'l2',
          m: 8,
          indexedFields: [
            { path: 'a.b', type: 'keyword' },
            { path: 'year', type: 'integer' },
          ],
        },
        { timeoutMs: 10_000 },
      ],
      ['createCollection', { name: 'docs', dimension: 3, metric: 'cosine' }, { timeoutMs: 5 }],
    ]);
    expect(out).toMatch(/records +1,234\n/);
    expect(out).toMatch(/indexed fields +year:integer\n/);
  });

  it('create passes on what decides on the shard of a record (M-9)', async () => {
    const cluster = clusterThatAnswers({ createCollection: INFO });
    const range = '--routing shardKey --placement range --split-point g --split-point t';
    const { out } = await run(`collection create docs --dimension 3 ${range}`, cluster);
    expect(cluster.calls[0]?.[1]).toMatchObject({
      routing: 'shardKey',
      placement: 'range',
      splitPoints: ['g', 't'],
    });
    expect(out).toMatch(/routing +id\nplacement +ring\n/);
    expect((await run('collection create docs --dimension 3 --placement heap')).code).toBe(2);
  });

  it('list prints a table, or the whole answer as JSON', async () => {
    const cluster = clusterThatAnswers({ listCollections: [INFO] });
    expect((await run('collection list', cluster)).out).toBe(
      'NAME  DIMENSION  METRIC  STATE\ndocs          3  cosine  active\n',
    );
    expect(JSON.parse((await run('collection list --json', cluster)).out)).toEqual([INFO]);
  });

  it('describe says when the number of records is not known', async () => {
    const cluster = clusterThatAnswers({
      describeCollection: { config: INFO.config, state: 'active' },
    });
    expect((await run('collection describe docs', cluster)).out).toMatch(/records +unknown/);
  });

  it('drop says what it dropped', async () => {
    expect((await run('collection drop docs')).out).toBe('dropped docs\n');
    expect((await run('collection drop docs --json')).out).toBe('{"dropped":"docs"}\n');
  });
});

describe('search', () => {
  const found = {
    hits: [
      { id: 'a', version: '1', distance: 0.125, metadata: { title: 'x'.repeat(80) } },
      { id: 'b', version: '2', distance: 1, values: Float32Array.of(1, 2) },
    ],
    shards: { total: 4, ok: 3, failed: [2] },
    degraded: true,
    epoch: 4,
  };

  it('sends the query and shows hits on stdout, shards on stderr', async () => {
    const cluster = clusterThatAnswers({ search: found });
    const options = '--k 2 --offset 1 --ef 64 --max-distance 0.5 --allow-partial';
    const { code, out, err } = await run(`search docs --vector '[1, 2.5]' ${options}`, cluster);
    expect(code).toBe(0);
    expect(cluster.calls).toEqual([
      [
        'search',
        'docs',
        { vector: [1, 2.5], k: 2, offset: 1, includeValues: false, ef: 64, scoreThreshold: 0.5 },
        { timeoutMs: 10_000, allowPartial: true },
      ],
    ]);
    expect(out.split('\n')[1]).toMatch(/^1 {2}a +0\.125000 {2}\{"title":"x+…$/);
    expect(err).toBe('2 hits from 3 of 4 shards, shards 2 are missing\n');
  });

  it('searches near a record, and prints vectors as plain JSON arrays', async () => {
    const cluster = clusterThatAnswers({ search: found });
    const { out } = await run('search docs --id a --values --json', cluster);
    expect(JSON.parse(out).hits[1].values).toEqual([1, 2]);
    expect(cluster.calls[0]?.[2]).toEqual({ id: 'a', k: 10, offset: 0, includeValues: true });
  });
});

const linesOf = (text: string): unknown[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('records by what they hold', () => {
  const filter = { year: { $gte: 2020 } };
  const given = `--filter '${JSON.stringify(filter)}'`;
  const records = [
    { id: 'a', version: '1', metadata: { year: 2020 } },
    { id: 'b', version: '2', values: Float32Array.of(1, 2) },
  ];

  it('search passes the filter on, and can explain itself', async () => {
    const shard = {
      shardId: 0,
      plan: 'exact-rows',
      reason: 'few records match',
      records: 1_000,
      estimatedMatches: 11,
      matches: 12,
      indexedFields: ['year'],
      scannedFields: ['colour'],
      visited: 1_234,
      compared: 12,
      durationMs: 0.5,
    };
    const whole = { shards: [shard], epoch: 1, failed: [], degraded: false };
    const cluster = clusterThatAnswers({ explain: whole });
    const { out, err } = await run(`search docs --id a ${given} --explain`, cluster);
    const query = { id: 'a', k: 10, offset: 0, includeValues: false, filter };
    expect(cluster.calls).toEqual([['explain', 'docs', query, { ...CALL, allowPartial: false }]]);
    expect(err).toBe('');
    expect(out.split('\n')[1]).toMatch(/^ +0 {2}exact-rows +1,000 +11 +12 +1,234 +0\.50 ms/);
    const { out: json } = await run('search docs --id a --explain --json', cluster);
    expect(JSON.parse(json)).toEqual(whole);
    cluster.answers.explain = { ...whole, failed: [1, 3], degraded: true };
    const partial = await run('search docs --id a --explain --allow-partial', cluster);
    expect(partial.err).toBe('1 of 3 shards, shards 1, 3 are missing\n');
    expect(cluster.calls.at(-1)?.[3]).toEqual({ ...CALL, allowPartial: true });
  });

  it('count prints a number', async () => {
    const cluster = clusterThatAnswers({ count: 1_234 });
    expect((await run(`count docs ${given}`, cluster)).out).toBe('1234\n');
    expect((await run('count docs --json', cluster)).out).toBe('{"count":1234}\n');
    expect(cluster.calls).toEqual([
      ['count', 'docs', { ...CALL, filter }],
      ['count', 'docs', CALL],
    ]);
  });

  it('scroll prints a table, or a line of JSON a record', async () => {
    const cluster = clusterThatAnswers({ scrollPage: { records } });
    const { out, err } = await run(`scroll docs --limit 5 ${given}`, cluster);
    expect(out.split('\n')[1]).toMatch(/^a +1 {2}\{"year":2020\}$/);
    expect(err).toBe('2 records\n');
    const lines = await run('scroll docs --all --values --json', cluster);
    expect(linesOf(lines.out)).toEqual([records[0], { id: 'b', version: '2', values: [1, 2] }]);
    expect(JSON.parse(lines.err)).toEqual({ count: 2 });
    expect(cluster.calls).toEqual([
      ['scrollPage', 'docs', { ...CALL, limit: 5, includeValues: false, filter }],
      ['scrollPage', 'docs', { ...CALL, limit: 1_000, includeValues: true }],
    ]);
  });

  it('scroll says where to go on, and goes on there', async () => {
    let page = 0;
    const scrollPage = () => ({ records, cursor: `c${++page}` });
    const cluster = clusterThatAnswers({ scrollPage });
    const { err } = await run('scroll docs --limit 3', cluster);
    expect(err).toBe('4 records, go on with --cursor c2\n');
    const next = await run('scroll docs --limit 2 --cursor c2 --json', cluster);
    expect(JSON.parse(next.err)).toEqual({ count: 2, cursor: 'c3' });
    const asked = cluster.calls.map((call) => call[2] as { limit: number; cursor?: string });
    expect(asked.map(({ limit, cursor }) => [limit, cursor])).toEqual([
      [3, undefined],
      [1, 'c1'],
      [2, 'c2'],
    ]);
    const stdout = { isTerminal: false, columns: 80, isClosed: true, write: () => undefined };
    // Whoever read it has gone: the rest of the collection is not listed for nobody.
    const left = await run('scroll docs --all --json', cluster, { stdout });
    expect(JSON.parse(left.err)).toEqual({ count: 2, cursor: 'c4' });
  });

  it('fetch shows versions and expiries, and ends with 1 where a record is missing', async () => {
    const mortal = { id: 'c', version: '3', expiresAtMs: Date.UTC(2026, 0, 31, 12) };
    const cluster = clusterThatAnswers({ fetch: [records[0], mortal] });
    const { code, out, err } = await run('fetch docs --id a b c', cluster);
    expect(out.split('\n').slice(0, 3)).toEqual([
      'ID  VERSION  EXPIRES               METADATA',
      'a         1                        {"year":2020}',
      'c         3  2026-01-31 12:00:00Z',
    ]);
    expect({ code, err }).toEqual({ code: 1, err: 'error: there is no record b\n' });
    const lines = await run('fetch docs --id a c --values --json', cluster);
    expect(linesOf(lines.out)).toEqual([records[0], mortal]);
    expect([lines.code, lines.err]).toEqual([0, '']);
    expect(JSON.parse((await run('fetch docs --id z --json', cluster)).err)).toEqual({
      missing: ['z'],
    });
    expect(cluster.calls.slice(0, 2)).toEqual([
      ['fetch', 'docs', ['a', 'b', 'c'], { ...CALL, includeValues: false }],
      ['fetch', 'docs', ['a', 'c'], { ...CALL, includeValues: true }],
    ]);
  });

  it('patch says how many it changed, and what was not', async () => {
    const applied = (id: string) => ({ id, kind: 'applied', version: '9', existed: true });
    const gone = {
      id: 'b',
      kind: 'not-applied',
      reason: 'RECORD_NOT_FOUND',
      message: 'it is gone',
    };
    const lost = { id: 'c', kind: 'unknown', reason: 'NO_LEADER', message: 'nobody leads' };
    const some = { outcomes: [applied('a'), gone, lost], appliedCount: 1 };
    const cluster = clusterThatAnswers({ patch: some });
    const { code, out, err } = await run(`patch docs --id a b c --metadata '{"x":null}'`, cluster);
    expect([code, out]).toEqual([1, 'patched 1 records\n']);
    expect(err.trimEnd().split('\n')).toEqual([
      'error: b is not changed: it is gone (RECORD_NOT_FOUND)',
      'error: c may be changed or not: nobody leads (NO_LEADER)',
    ]);
    cluster.answers.patch = { outcomes: [applied('a')], appliedCount: 1 };
    const one = await run(`patch docs --id a --metadata '{"y":1}' --if-version 7 --json`, cluster);
    expect([one.code, JSON.parse(one.out)]).toEqual([0, cluster.answers.patch]);
    const metadata = { x: null };
    expect(cluster.calls).toEqual([
      ['patch', 'docs', ['a', 'b', 'c'].map((id) => ({ id, metadata })), CALL],
      ['patch', 'docs', [{ id: 'a', metadata: { y: 1 }, ifVersion: '7' }], CALL],
    ]);
  });

  it('delete says how many it deleted, by filter and by id', async () => {
    const applied = (id: string, existed: boolean) => ({ id, kind: 'applied', existed });
    const cluster = clusterThatAnswers({
      deleteByFilter: { deletedCount: 1_500 },
      delete: { outcomes: [applied('a', true), applied('b', false)] },
    });
    expect((await run(`delete docs ${given}`, cluster)).out).toBe('deleted 1,500 records\n');
    const byId = await run('delete docs --id a b --json', cluster);
    expect(byId.out).toBe('{"deletedCount":1}\n');
    expect(cluster.calls).toEqual([
      ['deleteByFilter', 'docs', filter, { ...CALL, onProgress: expect.any(Function) }],
      ['delete', 'docs', ['a', 'b'], CALL],
    ]);
  });

  it('delete ends with 1 and names a record that is still there', async () => {
    const failed = { id: 'b', kind: 'not-applied', reason: 'NO_LEADER', message: 'nobody leads' };
    const cluster = clusterThatAnswers({ delete: { outcomes: [failed] } });
    const { code, err } = await run('delete docs --id b', cluster);
    expect([code, err]).toEqual([1, expect.stringContaining('b is not deleted: nobody leads')]);
  });
});

describe('replica', () => {
  const change = {
    stage: 'catching-up',
    addReplicaId: 7,
    addNodeId: 2,
    removeReplicaId: 3,
    removeNodeId: 2,
    lagEntries: 12,
    doneBytes: 3 * 2 ** 20,
    sizeBytes: 12 * 2 ** 20,
    bytesPerSecond: 2 ** 20,
    leftMs: 9_000,
    problem: '',
    id: 7,
  };
  const shown =
    'catching-up: replica 7 comes to node 2, replica 3 leaves node 2, ' +
    '25.00 % of 12.0 MiB, 1.0 MiB/s, 9.0 s left (change 7)';

  it('asks for what was named, and shows what has begun', async () => {
    const cluster = clusterThatAnswers({
      resetReplica: { change, epoch: 4 },
      addReplica: { epoch: 4 },
      removeReplica: { epoch: 4 },
      cancelReplicaChange: { epoch: 4 },
    });
    const { code, out } = await run('replica reset --shard 1 --node 2', cluster);
    expect({ code, out }).toEqual({ code: 0, out: `shard 1: ${shown}\n` });
    expect((await run('replica add --shard 0 --node 4', cluster)).out).toBe(
      'shard 0: nothing to do\n',
    );
    await run('replica remove --shard 0 --node 4 --timeout-ms 5', cluster);
    expect((await run('replica cancel --topology --change 7 --json', cluster)).out).toBe(
      '{"epoch":4}\n',
    );
    expect(cluster.calls).toEqual([
      ['resetReplica', { shardId: 1, nodeId: 2 }, { timeoutMs: 10_000 }],
      ['addReplica', { shardId: 0, nodeId: 4 }, { timeoutMs: 10_000 }],
      ['removeReplica', { shardId: 0, nodeId: 4 }, { timeoutMs: 5 }],
      ['cancelReplicaChange', { topology: true, changeId: 7 }, { timeoutMs: 10_000 }],
    ]);
  });

  it('gives up the change that was named, and says where that is not under way', async () => {
    const cancelling = { ...change, stage: 'cancelling' };
    const cluster = clusterThatAnswers({ cancelReplicaChange: { change: cancelling, epoch: 5 } });
    const named = await run('replica cancel --shard 3 --change 7', cluster);
    expect(named.out).toBe(
      'shard 3: cancelling: replica 7 comes to node 2, replica 3 leaves node 2 (change 7)\n',
    );
    const earlier = await run('replica cancel --shard 3 --change 5', cluster);
    expect(earlier).toMatchObject({ code: 0, out: 'shard 3: change 5 is not under way\n' });
    const error = new FlotillaError('CHANGE_NOT_FOUND', 'shard 3 never had a change 9');
    cluster.answers.cancelReplicaChange = error;
    const never = await run('replica cancel --shard 3 --change 9', cluster);
    expect(never.code).toBe(1);
    expect(never.err).toBe('error: shard 3 never had a change 9 (CHANGE_NOT_FOUND)\n');
  });

  it('waits for the end where it is told to, and shows each new state once', async () => {
    // The first answer comes from a node that has not heard of the change yet.
    const states = [undefined, change, change, { ...change, stage: 'switching' }, undefined];
    const status = () => {
      const epoch = states.length === 5 ? 4 : 6;
      const now = states.shift();
      return {
        ...HEALTHY,
        epoch,
        shards: [{ ...shard(0, 1), ...(now !== undefined && { change: now }) }],
      };
    };
    const cluster = clusterThatAnswers({ resetReplica: { change, epoch: 5 }, status });
    const { code, err } = await run('replica reset --shard 0 --node 2 --wait', cluster);
    expect(code).toBe(0);
    expect(err.trimEnd().split('\n')).toEqual([
      `shard 0: ${shown}`,
      'shard 0: switching: replica 7 comes to node 2, replica 3 leaves node 2 (change 7)',
      'shard 0: the change is over',
    ]);
  });

  it('resets all that are faulty on a node', async () => {
    const faulty = { ...shard(0, 1), replicas: [replica(2, 'follower', 0, 'log damaged')] };
    const status = { ...HEALTHY, topology: faulty, shards: [faulty, shard(1, 1)] };
    const cluster = clusterThatAnswers({ resetReplica: { epoch: 4 }, status });
    expect((await run('replica reset --faulty --node 2', cluster)).code).toBe(0);
    expect(cluster.calls.slice(1).map((call) => call[1])).toEqual([
      { topology: true, nodeId: 2 },
      { shardId: 0, nodeId: 2 },
    ]);
    const { err } = await run('replica reset --faulty --node 1', cluster);
    expect(err).toBe('node 1 has no faulty replica\n');
  });

  it('ends with 1 and the reason when the shard would lose its majority', async () => {
    const error = new FlotillaError('QUORUM_AT_RISK', 'shard 0 would lose its majority');
    const cluster = clusterThatAnswers({ removeReplica: error });
    const { code, err } = await run('replica remove --shard 0 --node 2', cluster);
    expect(code).toBe(1);
    expect(err).toBe('error: shard 0 would lose its majority (QUORUM_AT_RISK)\n');
  });
});

describe('leader and node readmit', () => {
  it('say who leads, and what is replaced', async () => {
    const cluster = clusterThatAnswers({
      transferLeadership: { leaderNodeId: 3 },
      stepDown: { leaderNodeId: 1 },
      elect: { leaderNodeId: 2 },
      readmitNode: { storeId: 's-9', replicas: 4 },
    });
    expect((await run('leader transfer --shard 0 --to 3', cluster)).out).toBe(
      'shard 0: node 3 leads\n',
    );
    expect((await run('leader step-down --topology', cluster)).out).toBe(
      'the topology: node 1 leads\n',
    );
    expect((await run('leader elect --shard 2 --json', cluster)).out).toBe('{"leaderNodeId":2}\n');
    expect((await run('node readmit --node 3', cluster)).out).toBe(
      'node 3 is taken in with store s-9; 4 replicas are being replaced\n',
    );
    expect(cluster.calls.map((call) => call.slice(0, 2))).toEqual([
      ['transferLeadership', { shardId: 0, nodeId: 3 }],
      ['stepDown', { topology: true }],
      ['elect', { shardId: 2 }],
      ['readmitNode', 3],
    ]);
    cluster.answers.readmitNode = { storeId: 's-9', replicas: 0 };
    expect((await run('node readmit --node 3', cluster)).out).toMatch(/nothing to do/);
  });
});

describe('status', () => {
  it('shows changes of replicas, and calls a reset a problem until it is over', async () => {
    const change = {
      stage: 'catching-up',
      addReplicaId: 7,
      addNodeId: 2,
      removeReplicaId: 0,
      removeNodeId: 0,
      lagEntries: 1_200,
      doneBytes: 0,
      sizeBytes: 0,
      bytesPerSecond: 0,
      problem: '',
      id: 7,
    };
    const status = { ...HEALTHY, shards: [{ ...shard(0, 1), change }] };
    const line =
      'shard 0 is catching-up: replica 7 comes to node 2, 1,200 entries behind (change 7)';
    const { code, out } = await run('status', clusterThatAnswers({ status }));
    expect(code).toBe(0);
    expect(out).toContain(`replicas that change\n  ${line}\n`);
    const held = { ...change, problem: 'replica 7 on node 2 does not answer' };
    const stuck = { ...status, healthy: false, shards: [{ ...shard(0, 1), change: held }] };
    const answer = await run('status', clusterThatAnswers({ status: stuck }));
    expect(answer.code).toBe(3);
    expect(answer.out).toContain(`DEGRADED\n  - ${line}; HELD UP: ${held.problem}\n`);
  });

  it('shows leaders, indexes and lag, and ends with 0 when all is well', async () => {
    const { code, out } = await run('status', clusterThatAnswers({ status: HEALTHY }));
    expect(code).toBe(0);
    expect(out).toContain('cluster c1  epoch 4  answered by node 1\n\nhealthy\n');
    expect(out).toMatch(/ 0 +1 +2 +10 +9 +512 +7 {2}1 leader, 2 follower -3\n/);
    expect(out).toMatch(/topology +1 /);
  });

  it('ends with 3 and names each problem when something is missing', async () => {
    const broken: ClusterStatus = {
      ...HEALTHY,
      healthy: false,
      nodes: HEALTHY.nodes.map((node) => ({ ...node, reachable: node.nodeId === 1 })),
      shards: [
        {
          ...shard(0, 0),
          replicas: [replica(1, 'follower', 0, 'log damaged'), replica(2, 'unreachable')],
        },
      ],
    };
    const cluster = clusterThatAnswers({ status: broken });
    const { code, out } = await run('status', cluster);
    expect(code).toBe(3);
    const problems = [
      'node 2 (n2:7701) cannot be reached',
      'shard 0 has no leader',
      'shard 0 on node 1: log damaged',
      'shard 0 on node 2 does not answer',
    ];
    expect(out).toContain(`DEGRADED\n${problems.map((problem) => `  - ${problem}\n`).join('')}`);
    expect(out).toMatch(/NONE/);
    expect(JSON.parse((await run('status --json', cluster)).out).problems).toEqual(problems);
  });

  it('shows what replicas hold, and names those that hold something else (P-6)', async () => {
    const holding = (nodeId: number, state: string, digit: string, contentIndex = 9) => ({
      ...replica(nodeId, state),
      contentHash: digit.repeat(32),
      contentIndex,
    });
    const of = (...replicas: ReturnType<typeof holding>[]): ClusterStatus => ({
      ...HEALTHY,
      shards: [{ ...shard(0, 1), replicas }],
    });
    // At another index another content is no difference.
    const equal = of(holding(1, 'leader', 'a'), holding(2, 'follower', 'b', 8));
    const { out } = await run('status', clusterThatAnswers({ status: equal }));
    expect(out).toMatch(/ 1 leader aaaaaaaaaaaa, 2 follower bbbbbbbbbbbb\n/);
    const json = await run('status --json', clusterThatAnswers({ status: equal }));
    expect(JSON.parse(json.out)).toMatchObject({ problems: [], shards: equal.shards });
    const status = {
      ...of(holding(1, 'leader', 'a'), holding(2, 'follower', 'b')),
      healthy: false,
    };
    const different = await run('status', clusterThatAnswers({ status }));
    expect(different.out).toContain(
      'shard 0 holds different records on nodes 1, 2: see flotilla verify\n',
    );
  });

  it('--watch goes on through errors until it is stopped', async () => {
    let stop: (signal: StopSignal) => void = () => undefined;
    const answers = [HEALTHY, new FlotillaError('NO_LEADER', 'nobody there'), HEALTHY];
    let asked = 0;
    const cluster = clusterThatAnswers({
      status: () => {
        const answer = answers[asked++];
        if (asked === answers.length) stop('SIGINT');
        if (answer instanceof Error) throw answer;
        return answer;
      },
    });
    const { code, out, err } = await run('status --watch', cluster, {
      onStopSignal: (listener) => {
        stop = listener;
        return () => undefined;
      },
    });
    expect(code).toBe(0);
    expect(out.match(/healthy/g)).toHaveLength(2);
    expect(err).toContain('nobody there');
    expect(cluster.closed).toBe(1);
  });
});

describe('import', () => {
  const applyAll = (_: string, records: readonly { id: string }[]) => ({
    outcomes: records.map(({ id }) => ({ id, kind: 'applied', version: '1', existed: false })),
    appliedCount: records.length,
  });

  async function input(name: string, ids: readonly string[]): Promise<string> {
    const path = join(folder, name);
    await writeFile(path, ids.map((id) => `{"id": "${id}", "values": [1, 2]}\n`).join(''));
    return path;
  }

  it('creates the collection by the dimension of the file, writes all and sums up', async () => {
    const path = await input('all.jsonl', ['a', 'b', 'c']);
    const cluster = clusterThatAnswers({ upsert: applyAll });
    const options = '--collection docs --create --metric dot --batch 2';
    const { code, out, err } = await run(`import ${path} ${options}`, cluster);
    expect(code).toBe(0);
    expect(cluster.calls.map(([method]) => method)).toEqual([
      'createCollection',
      'upsert',
      'upsert',
    ]);
    expect(cluster.calls[0]?.[1]).toEqual({ name: 'docs', dimension: 2, metric: 'dot' });
    expect(out).toBe('3 records in 0 ms, 0 records/s, 0 failures\n');
    expect(err).toContain('100.00 %  3 records\n');
  });

  it('says how to write into a collection that has other settings', async () => {
    const path = await input('other.jsonl', ['a']);
    const exists = new FlotillaError('COLLECTION_EXISTS', 'Collection docs exists with the m 8');
    const cluster = clusterThatAnswers({
      createCollection: async () => {
        throw exists;
      },
    });
    const { code, err } = await run(`import ${path} --collection docs --create`, cluster);
    expect(code).toBe(1);
    expect(err).toContain('exists with the m 8; or leave out --create');
  });

  it('ends with 1 and names the records that were not applied', async () => {
    const path = await input('some.jsonl', ['a', 'b']);
    const refused = { id: 'b', kind: 'not-applied', reason: 'LIMIT_EXCEEDED', message: 'too big' };
    const cluster = clusterThatAnswers({
      upsert: (name: string, records: readonly { id: string }[]) => ({
        outcomes: [...applyAll(name, records).outcomes.slice(1), refused],
      }),
    });
    const { code, out, err } = await run(`import ${path} --collection docs --json`, cluster);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ complete: false, records: 1, failures: 1 });
    expect(err).toContain('nothing is known to be done: when that is mended, start it again');
  });

  it('ends with 3 when the cluster is lost, does not start over unasked, and resumes', async () => {
    const path = await input('lost.jsonl', ['a', 'b', 'c', 'd']);
    const command = `import ${path} --collection docs --batch 1 --concurrency 1`;
    let written: string[] = [];
    let left = 2;
    const cluster = clusterThatAnswers({
      upsert: (name: string, records: readonly { id: string }[]) => {
        if (left-- === 0) throw new FlotillaError('NO_LEADER', 'no leader');
        written.push(...records.map(({ id }) => id));
        return applyAll(name, records);
      },
    });
    const lost = await run(command, cluster);
    expect(lost.code).toBe(3);
    expect(lost.err).toContain('error: no leader (NO_LEADER)');
    expect(lost.err).toContain(`go on with --resume; how far it got is in ${path}`);
    expect(written).toEqual(['a', 'b']);

    expect((await run(command, cluster)).err).toContain('go on with --resume, or remove the file');
    written = [];
    const resumed = await run(`${command} --resume`, cluster);
    expect(resumed).toMatchObject({ code: 0 });
    expect(resumed.err).toContain('going on after record 2\n');
    expect(written).toEqual(['c', 'd']);
  });

  it('names the line of a malformed file', async () => {
    const path = join(folder, 'bad.jsonl');
    await writeFile(path, '{"id": "a", "values": [1]}\n{"id": "b"}\n');
    const cluster = clusterThatAnswers({ upsert: applyAll });
    const { code, err } = await run(`import ${path} --collection docs`, cluster);
    expect(code).toBe(1);
    expect(err).toContain(`error: ${path}:2 has no "values"`);
  });

  it('fails for a file that does not exist', async () => {
    const { code, err } = await run(`import ${folder}/none.fvecs --collection docs`);
    expect(code).toBe(1);
    expect(err).toContain('the file cannot be read: ENOENT');
  });
});

describe('config print', () => {
  it('shows values with their origin, from flag, environment and file', async () => {
    const path = join(folder, 'node.json');
    await writeFile(path, '{"cluster": {"replicationFactor": 1}}');
    const environment = { FLOTILLA_CONFIG: path, FLOTILLA_LOG__LEVEL: 'warn' };
    const cluster = new FakeCluster();
    const { code, out } = await run('config print --node-id 3 --cluster-bootstrap', cluster, {
      environment,
    });
    expect(code).toBe(0);
    expect(out).toMatch(/^node\.id +3 +flag --node-id$/m);
    expect(out).toMatch(/^cluster\.bootstrap +true +flag --cluster-bootstrap$/m);
    expect(out).toMatch(/^log\.level +warn +environment FLOTILLA_LOG__LEVEL$/m);
    expect(out).toContain(`file ${path}`);
    expect(out).toMatch(/^node\.dir +\.flotilla\/node-3 +default$/m);
  });

  it('warns on stderr, so that the output stays JSON', async () => {
    const flags = '--node-id 1 --cluster-replication-factor 1 --listen-http 10.0.0.1:7702 --json';
    const { out, err } = await run(`config print ${flags}`);
    expect(JSON.parse(out)).toContainEqual({
      key: 'listen.http',
      value: '10.0.0.1:7702',
      origin: 'flag --listen-http',
    });
    expect(err).toMatch(/^warning: listen.http = 10.0.0.1:7702 /);
  });

  it('refuses a file that cannot be read', async () => {
    const { code, err } = await run(`config print --config ${folder}/none.json`);
    expect(code).toBe(2);
    expect(err).toContain('the file of settings cannot be read');
  });
});

describe('tenant', () => {
  const AUDIT = { changeId: 1, action: 'assignTenant', tenant: 'acme', by: 'ops', atMs: 0 };
  const DESCRIPTION = {
    assignments: [{ tenant: 'acme', shardId: 1 }],
    dedicatedShards: [1],
    shards: [
      { shardId: 0, tenants: 18, vectors: 300_001 },
      { shardId: 1, tenants: 1, vectors: 5 },
    ],
    findings: [
      { shardId: 0, what: 'tenants', level: 'warning', count: 18, max: 20 },
      { shardId: 0, what: 'vectors', level: 'exceeded', count: 300_001, max: 300_000 },
    ],
    audit: [
      { ...AUDIT, shardId: 1, fromShardId: 0, refused: 'TENANT_HAS_DATA' },
      { ...AUDIT, changeId: 2, shardId: 1, fromShardId: 0, refused: '' },
    ],
  };

  it('assign, release, dedicate and share say what they did (M-18, M-19)', async () => {
    const done = { changed: true, epoch: 5 };
    const cluster = clusterThatAnswers({
      assignTenant: done,
      releaseTenant: { ...done, changed: false },
      dedicateShard: done,
      shareShard: done,
    });
    const told: string[] = [];
    for (const words of [
      'assign acme --shard 3 --by ops',
      'release acme',
      'dedicate --shard 3',
      'share --shard 3',
    ]) {
      told.push((await run(`tenant ${words}`, cluster, { environment: { USER: 'me' } })).out);
    }
    expect(told).toEqual([
      'tenant acme is on shard 3\n',
      'tenant acme is spread by hash already\n',
      'shard 3 is dedicated\n',
      'shard 3 is shared\n',
    ]);
    expect(cluster.calls).toEqual([
      ['assignTenant', { tenant: 'acme', shardId: 3 }, { ...CALL, by: 'ops' }],
      ['releaseTenant', 'acme', { ...CALL, by: 'me' }],
      ['dedicateShard', 3, { ...CALL, by: 'me' }],
      ['shareShard', 3, { ...CALL, by: 'me' }],
    ]);
    expect((await run('tenant assign acme')).code).toBe(2);
  });

  it('assign ends with an error where the tenant has records', async () => {
    const error = new FlotillaError('TENANT_HAS_DATA', 'it has');
    const { code, err } = await run(
      'tenant assign acme --shard 3',
      clusterThatAnswers({ assignTenant: error }),
    );
    expect(code).toBe(1);
    expect(err).toContain('TENANT_HAS_DATA');
  });

  it('stats shows what shards hold, and warns of limits (M-21)', async () => {
    const cluster = clusterThatAnswers({ describeTenants: DESCRIPTION });
    const { out, err } = await run('tenant stats', cluster);
    expect(out).toBe(
      'SHARD  TENANTS  VECTORS  ASSIGNED  KIND\n' +
        '    0       18  300,001         0  shared\n' +
        '    1        1        5         1  dedicated\n',
    );
    expect(err).toBe(
      'warning: shard 0 holds 18 tenants, the limit is 20\n' +
        'too much: shard 0 holds 300,001 vectors, the limit is 300,000\n',
    );
    const { audit: _, ...shown } = DESCRIPTION;
    expect(JSON.parse((await run('tenant stats --json', cluster)).out)).toEqual(shown);
  });

  it('stats of a collection shows its tenants, and where to go on', async () => {
    const counts = [
      { tenant: '', shardId: 0, records: 1 },
      { tenant: 'acme', shardId: 1, records: 1_234 },
    ];
    const cluster = clusterThatAnswers({ countTenants: { counts, hasMore: true } });
    const { out, err } = await run('tenant stats --collection notes --limit 2 --after A', cluster);
    expect(out).toBe(
      'TENANT    SHARD  RECORDS\n(nobody)      0        1\nacme          1    1,234\n',
    );
    expect(err).toBe('there are more: --after "acme"\n');
    expect(cluster.calls).toEqual([['countTenants', 'notes', { ...CALL, limit: 2, after: 'A' }]]);
  });

  it('audit shows the newest changes last (M-18)', async () => {
    const cluster = clusterThatAnswers({ describeTenants: DESCRIPTION });
    const { out } = await run('tenant audit', cluster);
    const [, first, second] = out.split('\n');
    expect(first).toMatch(/^ +1 +1970-01-01T00:00:00.000Z +assignTenant +acme +0 +1 +ops +TENANT/);
    expect(second).toMatch(/done$/);
    const last = await run('tenant audit --limit 1 --json', cluster);
    expect(JSON.parse(last.out)).toMatchObject([{ changeId: 2 }]);
  });
});

describe('commands about records', () => {
  it('are about those of the tenant that they name, or of nobody (U1)', async () => {
    const record = { id: 'a', version: '1' };
    const cluster = clusterThatAnswers({
      count: 1,
      fetch: [record],
      scrollPage: { records: [record] },
      search: { hits: [], shards: { total: 1, ok: 1, failed: [] }, degraded: false, epoch: 1 },
      patch: { outcomes: [], appliedCount: 1 },
      delete: { outcomes: [], appliedCount: 1 },
    });
    const commands = [
      'count docs',
      'fetch docs --id a',
      'scroll docs',
      "search docs --vector '[1]'",
      "patch docs --id a --metadata '{}'",
      'delete docs --id a',
    ];
    for (const command of commands) {
      cluster.tenants.length = 0;
      await run(command, cluster);
      await run(`${command} --tenant acme`, cluster);
      expect([command, ...cluster.tenants]).toEqual([command, '', 'acme']);
    }
  });
});
