// Goal: each command asks the cluster for the right thing, prints for people and for scripts, and
// ends with its documented exit code. Method: runCli with a fake client that records its calls.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StopSignal } from '../../../src/cli/context.js';
import type { ClusterStatus, CollectionInfo } from '../../../src/client/index.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { clusterThatAnswers, FakeCluster, run } from './fake-cluster.js';

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
    zone: '',
  })),
  shards: [shard(0, 1)],
  topology: shard(0, 1),
  healthy: true,
};

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
    'tenant cancel',
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
    'dev --port 0',
    'dev --nodes 4 --port 65504',
    'count docs --all-tenants --tenant acme',
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

  it('describe shows where ranges begin, as many as there is room for (M-9)', async () => {
    const show = async (splitPoints: string[]): Promise<string> => {
      const config = { ...INFO.config, placement: 'range', splitPoints };
      const cluster = clusterThatAnswers({ describeCollection: { config, state: 'active' } });
      return (await run('collection describe docs', cluster)).out;
    };
    expect(await show(['g', 'a b'])).toMatch(/split points +"g", "a b"\n/);
    const many = Array.from({ length: 10 }, (_, at) => `k${at}`);
    expect(await show(many)).toMatch(/split points +"k0", .*"k7", 2 more\n/);
    expect(await show([])).not.toContain('split points');
  });

  it('drop says what it dropped', async () => {
    expect((await run('collection drop docs')).out).toBe('dropped docs\n');
    expect((await run('collection drop docs --json')).out).toBe('{"dropped":"docs"}\n');
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

  it('shows zones where a node names one, and has no column for them else (M-16)', async () => {
    const zones = ['rack-7', ''];
    const nodes = HEALTHY.nodes.map((node, at) => ({ ...node, zone: zones[at] ?? '' }));
    const zoned = clusterThatAnswers({ status: { ...HEALTHY, nodes } });
    const { out } = await run('status', zoned);
    expect(out).toMatch(/NODE {2}ZONE {4}REACHABLE/);
    expect(out).toMatch(/ 1 {2}rack-7 {2}yes .*\n +2 {2}- {7}yes /);
    expect(JSON.parse((await run('status --json', zoned)).out).nodes).toMatchObject([
      { zone: 'rack-7' },
      { zone: '' },
    ]);
    expect((await run('status', clusterThatAnswers({ status: HEALTHY }))).out).not.toMatch(/ZONE/);
  });

  it('shows votes that change by node', async () => {
    const none = {
      lagEntries: 0,
      doneBytes: 0,
      sizeBytes: 0,
      bytesPerSecond: 0,
      problem: '',
      id: 0,
    };
    const nobody = { addReplicaId: 0, addNodeId: 0, removeReplicaId: 0, removeNodeId: 0 };
    const changes = [
      { ...none, ...nobody, stage: 'promoting', addReplicaId: 6, addNodeId: 7 },
      { ...none, ...nobody, stage: 'demoting', removeReplicaId: 2, removeNodeId: 3 },
    ];
    const shown = await Promise.all(
      changes.map(async (change) => {
        const topology = { ...HEALTHY.topology, change };
        return (await run('status', clusterThatAnswers({ status: { ...HEALTHY, topology } }))).out;
      }),
    );
    expect(shown[0]).toContain('the topology is promoting: replica 6 votes on node 7\n');
    expect(shown[1]).toContain('the topology is demoting: replica 2 votes no more on node 3\n');
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
