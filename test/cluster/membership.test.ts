// Goal: replicas come, go and are replaced under load, and nothing acknowledged is lost (F-14).
// Method: five nodes in this process and writers; a node whose directory is deleted (S-44, M-2).
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cluster, type Flotilla, type ShardStatus } from 'flotilla';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defined } from '../../src/shared/assert.js';
import { waitUntil } from '../support/wait-until.js';
import { clientOf, FAST, healthy, leaderOf, recordsFrom, startWriter } from './harness.js';

const NAME = 'records';
const directory = mkdtempSync(join(tmpdir(), 'flotilla-membership-'));

let cluster: Cluster;
let client: Flotilla;

beforeAll(async () => {
  const options = { ...FAST, nodes: 5, shards: 2, replicationFactor: 3, dir: directory };
  cluster = await Cluster.start(options);
  client = cluster.client({ timeoutMs: 30_000 });
  await client.createCollection({ name: NAME, dimension: 4, metric: 'l2' });
});

afterAll(async () => {
  await cluster.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function shard(shardId: number): Promise<ShardStatus> {
  const { shards } = await client.status();
  return defined(
    shards.find((one) => one.shardId === shardId),
    `shard ${shardId}`,
  );
}

const nodesOf = ({ replicas }: ShardStatus): number[] => replicas.map(({ nodeId }) => nodeId);

/** The shard when it is seen without a change by a node that knows the topology of `epoch`. */
async function unchanging(shardId: number, epoch = 0): Promise<ShardStatus> {
  let last = await shard(shardId);
  await waitUntil(`shard ${shardId} has no change`, async () => {
    const status = await client.status();
    last = defined(
      status.shards.find((one) => one.shardId === shardId),
      `shard ${shardId}`,
    );
    return status.epoch >= epoch && last.change === undefined;
  });
  return last;
}

async function expectAllThere(ids: readonly string[]): Promise<void> {
  for (let at = 0; at < ids.length; at += 500) {
    const wanted = ids.slice(at, at + 500);
    const found = await client.collection(NAME).fetch(wanted, { includeValues: false });
    expect(found.map(({ id }) => id)).toEqual(wanted);
  }
}

const startWriters = () => [10_000, 200_000].map((first) => startWriter(() => client, NAME, first));

describe('replicas of a shard under load (F-14)', () => {
  it('grow from three to five, and lose the leader, without losing a write', async () => {
    const writers = startWriters();
    const written = (): number => writers.reduce((sum, one) => sum + one.acknowledged.length, 0);
    await waitUntil('some writes', () => written() > 50);
    const holders = nodesOf(await shard(0));
    for (const nodeId of [1, 2, 3, 4, 5].filter((one) => !holders.includes(one))) {
      const { change, epoch } = await client.addReplica({ shardId: 0, nodeId });
      expect(change).toMatchObject({ addNodeId: nodeId, removeReplicaId: 0 });
      await unchanging(0, epoch);
    }
    await healthy(client, 5);
    const grown = await unchanging(0);
    expect(nodesOf(grown)).toEqual([1, 2, 3, 4, 5]);
    expect(new Set(grown.replicas.map(({ replicaId }) => replicaId))).toEqual(
      new Set([1, 2, 3, 4, 5]),
    );
    const leader = await leaderOf(client, 0);
    const { epoch: removal } = await client.removeReplica({ shardId: 0, nodeId: leader });
    const shrunk = await unchanging(0, removal);
    expect(nodesOf(shrunk)).not.toContain(leader);
    expect(await leaderOf(client, 0)).not.toBe(leader);
    const before = written();
    await waitUntil('writes without the node', () => written() > before + 50);
    await Promise.all(writers.map((writer) => writer.stop()));
    await expectAllThere(writers.flatMap(({ acknowledged }) => acknowledged));
    await healthy(client, 5);
    const folder = join(directory, `node-${leader}`, 'shards');
    await waitUntil('the data of the replica are deleted', () =>
      readdirSync(folder).every((name) => Number.parseInt(name, 10) !== 0),
    );
  });

  it('are replaced on their node, and the new one has everything', async () => {
    const { replicas, leaderNodeId } = await unchanging(1);
    const old = defined(
      replicas.find(({ nodeId }) => nodeId !== leaderNodeId),
      'a follower',
    );
    const { nodeId } = old;
    const { change, epoch } = await client.resetReplica({ shardId: 1, nodeId });
    expect(change).toMatchObject({ addNodeId: nodeId, removeReplicaId: old.replicaId });
    const after = await unchanging(1, epoch);
    const now = defined(
      after.replicas.find((one) => one.nodeId === nodeId),
      'the new one',
    );
    expect(now.replicaId).toBeGreaterThan(old.replicaId);
    await healthy(client, 5);
    const led = await client.transferLeadership({ shardId: 1, nodeId });
    expect(led.leaderNodeId).toBe(nodeId);
    const count = await client.collection(NAME).count();
    expect(count).toBeGreaterThan(100);
    await waitUntil('the old directory is gone', () => {
      const names = readdirSync(join(directory, `node-${nodeId}`, 'shards'));
      return !names.includes('1') && names.includes(`1.${now.replicaId}`);
    });
  });

  it('refuse what makes no sense, by name, and change nothing', async () => {
    const { epoch } = await client.status();
    await expect(client.addReplica({ shardId: 9, nodeId: 1 })).rejects.toMatchObject({
      reason: 'SHARD_NOT_FOUND',
    });
    await expect(client.addReplica({ shardId: 0, nodeId: 9 })).rejects.toMatchObject({
      reason: 'NODE_NOT_FOUND',
    });
    const holders = nodesOf(await shard(1));
    const stranger = defined(
      [1, 2, 3, 4, 5].find((nodeId) => !holders.includes(nodeId)),
      'a node without',
    );
    await expect(client.resetReplica({ shardId: 1, nodeId: stranger })).rejects.toMatchObject({
      reason: 'REPLICA_NOT_FOUND',
    });
    expect((await client.status()).epoch).toBe(epoch);
  });
});

describe('leaders on demand (M-2)', () => {
  it('move to a named node, step down, and are elected', async () => {
    const { replicas, leaderNodeId } = await unchanging(1);
    const to = defined(
      nodesOf({ replicas } as ShardStatus).find((nodeId) => nodeId !== leaderNodeId),
      'a follower',
    );
    for (const _again of [1, 2]) {
      expect(await client.transferLeadership({ shardId: 1, nodeId: to })).toEqual({
        leaderNodeId: to,
      });
    }
    expect((await client.stepDown({ shardId: 1 })).leaderNodeId).toBeGreaterThan(0);
    expect(await client.elect({ shardId: 1, nodeId: leaderNodeId })).toEqual({
      leaderNodeId,
    });
    expect((await client.elect({ topology: true, nodeId: 2 })).leaderNodeId).toBe(2);
  });
});

describe('a node whose logs are damaged, that of the topology too (P-8)', () => {
  it('comes up without them, says what helps, and is whole after resets', async () => {
    const damaged = 2;
    await cluster.stopNode(damaged);
    const log = join(directory, `node-${damaged}`, 'raft', 'log');
    for (const name of readdirSync(log)) if (/\.(log|ldb)$/.test(name)) rmSync(join(log, name));
    await cluster.startNode(damaged);
    await client.close();
    client = clientOf(cluster, 1, { timeoutMs: 30_000 });
    /** Shards whose replica on the damaged node has such a fault; undefined is the topology. */
    const groupsWhere = async (
      isWanted: (fault: string) => boolean,
    ): Promise<readonly (number | undefined)[]> => {
      const { topology, shards } = await client.status();
      return [topology, ...shards].flatMap(({ replicas, shardId }, at) =>
        replicas
          .filter(({ nodeId, fault }) => nodeId === damaged && isWanted(fault))
          .map(() => (at === 0 ? undefined : shardId)),
      );
    };
    const faulty = () => groupsWhere((fault) => fault !== '');
    await waitUntil('the node says of each of its replicas what is wrong', async () => {
      return (await groupsWhere((fault) => fault === '')).length === 0;
    });
    const found = await faulty();
    expect(found).toContain(undefined);
    const { topology } = await client.status();
    const own = topology.replicas.find(({ nodeId }) => nodeId === damaged);
    expect(own?.fault).toMatch(/flotilla replica reset --topology --node 2/);
    for (const shardId of found) {
      const group = shardId === undefined ? ({ topology: true } as const) : { shardId };
      await client.resetReplica({ ...group, nodeId: damaged });
    }
    await waitUntil('all are replaced', async () => {
      const status = await client.status();
      const changes = [status.topology, ...status.shards].map(({ change }) => change);
      return changes.every((change) => change === undefined) && (await faulty()).length === 0;
    });
    await healthy(client, 1);
    expect((await client.elect({ topology: true, nodeId: damaged })).leaderNodeId).toBe(damaged);
  });
});

describe('a node with an empty disk under its old id (S-44, F-14)', () => {
  it('takes no part until it is readmitted, then gets everything anew', async () => {
    const wiped = 3;
    await client.collection(NAME).upsert(recordsFrom(500_000, 50));
    await cluster.stopNode(wiped);
    rmSync(join(directory, `node-${wiped}`), { recursive: true });
    await expect(cluster.startNode(wiped)).rejects.toMatchObject({ reason: 'WRONG_STORE' });
    const itself = clientOf(cluster, wiped, { timeoutMs: 2_000, retry: { attemptsMax: 1 } });
    await expect(itself.status()).rejects.toThrow('flotilla node readmit --node 3');
    await itself.close();
    await client.close();
    const other = clientOf(cluster, 1, { timeoutMs: 30_000 });
    client = other;
    const before = await other.status();
    expect(before.nodes.find(({ nodeId }) => nodeId === wiped)?.reachable).toBe(false);
    expect(before.healthy).toBe(false);

    const writers = startWriters();
    const readmitted = await other.readmitNode(wiped);
    expect(readmitted.replicas).toBeGreaterThan(0);
    expect(await other.readmitNode(wiped)).toMatchObject({ storeId: readmitted.storeId });
    await waitUntil('no change is left', async () => {
      const { shards, topology } = await other.status();
      return [topology, ...shards].every(({ change }) => change === undefined);
    });
    await cluster.startNode(wiped);
    await Promise.all(writers.map((writer) => writer.stop()));
    await expectAllThere(writers.flatMap(({ acknowledged }) => acknowledged));
    await expectAllThere(recordsFrom(500_000, 50).map(({ id }) => id));
    const { topology } = await other.status();
    expect(topology.replicas.find(({ nodeId }) => nodeId === wiped)?.replicaId).toBeGreaterThan(5);
    await healthy(other, 1);
    // It is a full member again: it starts on its new directory like any other.
    await cluster.stopNode(wiped);
    expect(existsSync(join(directory, `node-${wiped}`))).toBe(true);
    await cluster.startNode(wiped);
    await healthy(other, 1);
  });
});
