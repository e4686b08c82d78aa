// Goal: processes that stop, are killed all at once or stand still lose nothing and lie about
// nothing (P-1, P-5, F-2, F-4). Method: three processes and signals; small vectors, many writers.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Flotilla } from '../../src/client/index.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { clusteredVectors } from '../support/vectors.js';
import { waitUntil } from '../support/wait-until.js';
import { expectAllThere, ImportRun, isFromOutage } from './import-run.js';

const NODE_IDS = [1, 2, 3];
const DIMENSION = 32;
/** More than the writers get through while three nodes are stopped, and stopped early. */
const COUNT = 60_000;
const vectors = clusteredVectors({ count: COUNT, dimension: DIMENSION, seed: 3 });

let cluster: ProcessCluster;
let client: Flotilla;

beforeAll(async () => {
  cluster = await ProcessCluster.start({ shards: 2 });
  client = new Flotilla(cluster.addresses, { timeoutMs: 60_000 });
});

afterAll(async () => {
  await client?.close();
  await cluster?.destroy();
});

async function leaderOf(shardId: number, through = client): Promise<number> {
  let leader = 0;
  await waitUntil(`shard ${shardId} has a leader`, async () => {
    const { shards } = await through.status();
    leader = shards.find((shard) => shard.shardId === shardId)?.leaderNodeId ?? 0;
    return leader > 0;
  });
  return leader;
}

async function newImport(collection: string, count: number): Promise<ImportRun> {
  await client.createCollection({ name: collection, dimension: DIMENSION, metric: 'l2' });
  return new ImportRun(client, {
    collection,
    vectors: vectors.slice(0, count),
    batch: 20,
    writers: 4,
  });
}

describe('SIGTERM', () => {
  it('stops each node in order with exit code 0, and loses nothing', async () => {
    const run = await newImport('terminated', COUNT);
    const running = run.run();
    for (const nodeId of NODE_IDS) {
      const from = run.acknowledged.size;
      await waitUntil('some writes', () => run.acknowledged.size >= Math.min(from + 200, COUNT));
      expect([nodeId, await cluster.terminate(nodeId)]).toEqual([nodeId, 0]);
      cluster.startNode(nodeId);
      await cluster.ready();
    }
    run.stop();
    await running;
    expect([...run.failures.keys()].filter((reason) => !isFromOutage(reason))).toEqual([]);
    const options = { collection: 'terminated', vectors };
    await expectAllThere(client, options, run.acknowledged);

    const codes = await Promise.all(NODE_IDS.map((nodeId) => cluster.terminate(nodeId)));
    expect(codes).toEqual([0, 0, 0]);
    await cluster.startAll();
    await expectAllThere(client, options, run.acknowledged);
    expect(await client.collection('terminated').count()).toBeGreaterThanOrEqual(
      run.acknowledged.size,
    );
  });
});

describe('SIGKILL of all nodes in the middle of an import', () => {
  it('loses nothing that was acknowledged (P-1, F-2)', async () => {
    const run = await newImport('killed', 6_000);
    const running = run.run();
    await waitUntil('a third is written', () => run.acknowledged.size > 2_000);
    await Promise.all(NODE_IDS.map((nodeId) => cluster.kill(nodeId)));
    const beforeRestart = new Set(run.acknowledged);
    await cluster.startAll();
    const options = { collection: 'killed', vectors };
    await expectAllThere(client, options, beforeRestart);
    // The writers have gone on by themselves: their keys make the repeats safe.
    await running;
    expect([...run.failures.keys()].filter((reason) => !isFromOutage(reason))).toEqual([]);
    await expectAllThere(client, options, run.acknowledged);
    const count = await client.collection('killed').count();
    expect(count).toBeGreaterThanOrEqual(run.acknowledged.size);
    expect(count).toBeLessThanOrEqual(6_000);
    if (run.acknowledged.size === 6_000) expect(count).toBe(6_000);
  });
});

describe('SIGKILL of a node while nothing goes on', () => {
  it('is a reset for all others, whichever side had dialled (F-1)', async () => {
    await client.createCollection({ name: 'idle', dimension: 1, metric: 'l2' });
    for (const nodeId of NODE_IDS) {
      await cluster.ready();
      const others = NODE_IDS.filter((other) => other !== nodeId);
      await waitUntil('all are linked', () => others.every((other) => isLinked(other, nodeId)));
      const before = new Map(others.map((other) => [other, cluster.logOf(other).length]));
      await cluster.kill(nodeId);
      for (const other of others) {
        const broken = (): LinkLine | undefined =>
          linkLines(cluster.logOf(other).slice(before.get(other)), nodeId).at(0);
        await waitUntil('the link breaks', () => broken() !== undefined);
        expect(broken()).toMatchObject({ msg: 'link to peer broke', evidence: 'reset' });
      }
      const through = new Flotilla(
        others.map((other) => cluster.clientAddress(other)),
        { routing: 'proxy' },
      );
      const records = [{ id: `after ${nodeId}`, values: [nodeId] }];
      const { appliedCount } = await through.collection('idle').upsert(records);
      expect(appliedCount).toBe(1);
      await through.close();
      cluster.startNode(nodeId);
    }
    await cluster.ready();
    expect(await client.collection('idle').count()).toBe(NODE_IDS.length);
  });
});

/** What a node's log says of one of its links. */
interface LinkLine {
  readonly msg: string;
  readonly peer: number;
  readonly evidence?: string;
}

function linkLines(log: string, peer: number): LinkLine[] {
  return log
    .split('\n')
    .filter((line) => line.includes('"link to peer ') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as LinkLine)
    .filter((line) => line.peer === peer);
}

/** Whether the last that the node has said of its link to `peer` is that it is up. */
function isLinked(nodeId: number, peer: number): boolean {
  return linkLines(cluster.logOf(nodeId), peer).at(-1)?.msg === 'link to peer is up';
}

describe('SIGSTOP of a leader', () => {
  it('is a failover, and no stale read when it wakes up (P-5, F-4)', async () => {
    await client.createCollection({ name: 'paused', dimension: 1, metric: 'l2' });
    const ids = ['a', 'b', 'c', 'd', 'e', 'f'];
    const write = async (through: Flotilla, round: number): Promise<void> => {
      const records = ids.map((id) => ({ id, values: [round], metadata: { round } }));
      const { appliedCount } = await through.collection('paused').upsert(records);
      expect(appliedCount).toBe(ids.length);
    };
    await write(client, 1);
    const leader = await leaderOf(0);
    const awake = NODE_IDS.filter((nodeId) => nodeId !== leader);
    const others = new Flotilla(
      awake.map((nodeId) => cluster.clientAddress(nodeId)),
      { routing: 'proxy', timeoutMs: 60_000 },
    );
    const sleeper = new Flotilla(cluster.clientAddress(leader), {
      routing: 'proxy',
      timeoutMs: 30_000,
    });
    await sleeper.collection('paused').count();

    cluster.pause(leader);
    // Sent while it sleeps: they are the first thing that it finds when it wakes.
    const early = Array.from({ length: 20 }, () => readRounds(sleeper, ids));
    await write(others, 2);
    expect(await leaderOf(0, others)).not.toBe(leader);
    await write(others, 3);
    // All of these start after round 3 was acknowledged.
    const late = Array.from({ length: 20 }, () => readRounds(sleeper, ids));
    cluster.resume(leader);
    for (const rounds of await Promise.all(late)) expect(rounds).toEqual(ids.map(() => 3));
    for (const rounds of await Promise.all(early)) expect(Math.min(...rounds)).toBeGreaterThan(0);
    await cluster.ready();
    expect(await readRounds(sleeper, ids)).toEqual(ids.map(() => 3));
    await Promise.all([others.close(), sleeper.close()]);
  });
});

async function readRounds(through: Flotilla, ids: readonly string[]): Promise<number[]> {
  const found = await through.collection<{ round: number }>('paused').fetch(ids);
  return found.map(({ metadata }) => metadata?.round ?? 0);
}
