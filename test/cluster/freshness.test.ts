// Goal: reads of each freshness see what they promise, whichever node and replica they reach.
// Method: three nodes in this process; one client a node, writes at one and reads at the others.
import { Cluster, type Flotilla, type ServedShard } from 'flotilla';
import { describe, expect, it } from 'vitest';
import { type CommandRun, runCommand } from '../unit/cli/run-command.js';
import { clientOf, FAST, healthy, isolate } from './harness.js';

const NAME = 'records';

async function started(): Promise<{ cluster: Cluster; clients: [Flotilla, Flotilla, Flotilla] }> {
  const cluster = await Cluster.start({ ...FAST, nodes: 3, shards: 2 });
  const clientAt = (nodeId: number): Flotilla => clientOf(cluster, nodeId, { timeoutMs: 20_000 });
  const clients: [Flotilla, Flotilla, Flotilla] = [clientAt(1), clientAt(2), clientAt(3)];
  await clients[0].createCollection({ name: NAME, dimension: 2, metric: 'l2' });
  await healthy(clients[0], 1);
  return { cluster, clients };
}

async function stopAll(cluster: Cluster, clients: readonly Flotilla[]): Promise<void> {
  for (const client of clients) await client.close();
  await cluster.stop();
}

const record = (round: number, id = 'a') => {
  return { id, values: [round, 1], metadata: { round } };
};

describe('the freshness of reads', () => {
  it('is kept by all replicas: sessions and bounds see what was written before (P-4)', async () => {
    const { cluster, clients } = await started();
    const [writer, ...others] = clients;
    const nodes = new Set<number>();
    const onServed = (served: readonly ServedShard[]): void => {
      for (const { nodeId } of served) nodes.add(nodeId);
    };
    for (let round = 1; round <= 30; round++) {
      await writer.collection(NAME).upsert([record(round), record(round, 'b')]);
      const session = { session: writer.sessionToken };
      for (const reader of others) {
        const records = reader.collection<{ round: number }>(NAME);
        const seen = await records.fetch(['a', 'b'], { consistency: session, onServed });
        expect(seen.map(({ metadata }) => metadata?.round)).toEqual([round, round]);
        // Its own session has gone on by what it just saw.
        const { hits } = await records.search(
          { vector: [round, 1], k: 1 },
          { consistency: 'session', onServed },
        );
        expect(hits[0]?.metadata?.round).toBe(round);
      }
      const bounded = await others[0]
        .collection<{ round: number }>(NAME)
        .fetch(['a'], { consistency: { boundedMs: 5_000 }, onServed });
      expect(bounded[0]?.metadata?.round).toBeGreaterThan(0);
    }
    // Each of the two asked nodes has served by its own replicas; node 1 may have helped out.
    expect([...nodes]).toEqual(expect.arrayContaining([2, 3]));
    await stopAll(cluster, clients);
  });

  it('is told with each answer, and a write is in the session that made it', async () => {
    const { cluster, clients } = await started();
    const [client] = clients;
    const records = client.collection(NAME);
    expect(client.sessionToken).toBe('');
    await records.upsert([record(1), record(1, 'b'), record(1, 'c'), record(1, 'd')]);
    const token = client.sessionToken;
    expect(token).not.toBe('');
    const { served } = await records.search({ vector: [1, 1], k: 4 });
    expect(served.map(({ shardId }) => shardId).sort()).toEqual([0, 1]);
    for (const part of served) expect(part.ageMs).toBeGreaterThanOrEqual(0);
    const page = await records.scrollPage({ consistency: 'eventual' });
    expect(page.served.length).toBeGreaterThan(0);
    await records.deleteByFilter({});
    expect(client.sessionToken).not.toBe(token);
    expect(await records.count({ consistency: 'session' })).toBe(0);
    await stopAll(cluster, clients);
  });

  it('goes from a command that wrote to one that reads elsewhere, by its token (R13)', async () => {
    const { cluster, clients } = await started();
    const run = (nodeId: number, line: string): Promise<CommandRun> =>
      runCommand(line.split(' '), { connect: async () => clientOf(cluster, nodeId) });
    await clients[0].collection(NAME).upsert([record(1)]);
    const patched = await run(1, `patch ${NAME} --id a --metadata {"round":2} --json`);
    const { sessionToken } = JSON.parse(patched.out);
    const level = `--consistency session:${sessionToken}`;
    const fetched = await run(3, `fetch ${NAME} --id a ${level} --json`);
    expect(JSON.parse(fetched.out).metadata).toEqual({ round: 2 });
    const { missing, served } = JSON.parse(fetched.err);
    expect([missing, served.length, served[0].appliedIndex > 0]).toEqual([[], 1, true]);
    const counted = await run(3, `count ${NAME} ${level}`);
    expect([counted.code, counted.out]).toEqual([0, '1\n']);
    expect(counted.err).toMatch(/^answered by nodes? [\d, ]+/);
    await stopAll(cluster, clients);
  });

  it('lets a node that is cut off answer what may be old, and nothing else (F-6)', async () => {
    const { cluster, clients } = await started();
    const [, , reader] = clients;
    const records = reader.collection(NAME);
    await clients[0].collection(NAME).upsert([record(1)]);
    expect(await records.count({ consistency: { session: clients[0].sessionToken } })).toBe(1);
    isolate(cluster, 3, [1, 2]);
    expect(await records.count({ consistency: 'eventual' })).toBe(1);
    expect(await records.count({ consistency: 'session' })).toBe(1);
    for (const consistency of ['strong', { boundedMs: 1 }] as const) {
      await expect(records.count({ consistency, timeoutMs: 2_000 })).rejects.toMatchObject({
        code: expect.stringMatching(/UNAVAILABLE|DEADLINE_EXCEEDED/),
      });
    }
    await stopAll(cluster, clients);
  });
});
