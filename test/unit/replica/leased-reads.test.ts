// Goal: a read sees every write that was acknowledged before it began, whoever confirms it.
// Method: hosts in virtual time, leaders that are cut off or stopped at every moment of a read.
import { describe, expect, it } from 'vitest';
import type { CommandResult, Engine } from '../../../src/engine/engine.js';
import { LocalReplica } from '../../../src/replica/local-replica.js';
import { defined } from '../../../src/shared/assert.js';
import { ELECTION_TIMEOUT_MS, ToyCluster, type ToyNode, typesOf } from './toy-cluster.js';

const DEADLINE = { timeoutMs: 30_000 };

async function started(leases = true): Promise<{ cluster: ToyCluster; leader: ToyNode }> {
  const cluster = await ToyCluster.start({ leases });
  await cluster.write('a');
  await cluster.environment.advance(2 * ELECTION_TIMEOUT_MS);
  return { cluster, leader: await cluster.electedLeader() };
}

const others = (cluster: ToyCluster, node: ToyNode): ToyNode[] =>
  cluster.nodes.filter((one) => one !== node);

/** Lets others write as soon as one of them leads; the old leader must not serve beside that. */
async function neverBoth(cluster: ToyCluster, old: ToyNode): Promise<void> {
  let isProposed = false;
  let isWritten = false;
  const endMs = cluster.environment.nowMs + 5 * ELECTION_TIMEOUT_MS;
  while (cluster.environment.nowMs < endMs) {
    const next = others(cluster, old).find((node) => node.group().isLeader);
    if (next !== undefined && !isProposed) {
      isProposed = true;
      const outcome = next.group().propose(Buffer.from('newer'));
      void outcome.then(({ kind }) => {
        isWritten = kind === 'applied';
      });
    }
    await cluster.environment.advance(5);
    expect(isWritten && old.group().leasedIndex !== undefined).toBe(false);
  }
  expect(isWritten).toBe(true);
}

describe('a lease', () => {
  it('is held by a leader that a quorum answers, and by nobody else (R6)', async () => {
    const { cluster, leader } = await started();
    expect(leader.group().leasedIndex).toBe(leader.group().commitIndex);
    for (const node of others(cluster, leader)) expect(node.group().leasedIndex).toBeUndefined();
    await cluster.close();
  });

  it('is not used where leases are off (R9)', async () => {
    const { cluster, leader } = await started(false);
    expect(leader.group().leasedIndex).toBeUndefined();
    await cluster.close();
  });

  it('ends before another leader commits when the leader is cut off (S-28)', async () => {
    const { cluster, leader } = await started();
    cluster.isolate(leader.nodeId);
    // The evidence that makes others elect early must not make them commit early.
    cluster.tellDown(leader.nodeId, 'reset');
    await neverBoth(cluster, leader);
    await cluster.close();
  });

  it('is given up for the whole term once somebody was told to take over (S-30, R8)', async () => {
    const { cluster, leader } = await started();
    const { term } = leader.group();
    cluster.onSend = (from, _to, messages) => {
      if (typesOf(messages).includes('MsgTimeoutNow')) cluster.isolate(from);
    };
    const seen: string[] = [];
    leader
      .group()
      .transferLeadership(undefined, DEADLINE)
      .catch(({ reason }: { reason: string }) => seen.push(reason));
    await cluster.environment.advance(ELECTION_TIMEOUT_MS / 2);
    cluster.onSend = undefined;
    cluster.heal();
    for (let at = 0; at < 300; at++) {
      expect(leader.group().leasedIndex).toBeUndefined();
      await cluster.environment.advance(10);
    }
    expect(seen).toEqual(['DEADLINE_EXCEEDED']);
    expect(leader.group().isLeader).toBe(true);
    expect(leader.group().term).toBe(term);
    await cluster.close();
  });

  it('is respected by a voter that restarts right after its promise (S-29, R7)', async () => {
    const { cluster, leader } = await started();
    const [one, other] = others(cluster, leader) as [ToyNode, ToyNode];
    await cluster.crash(one.nodeId, { keepBatches: 100 });
    await cluster.boot(one.nodeId);
    cluster.isolate(leader.nodeId);
    for (const node of [one, other]) node.running.host.peerDown(leader.nodeId, 'reset');
    await neverBoth(cluster, leader);
    await cluster.close();
  });
});

describe('a follower', () => {
  it('confirms a read with its leader and waits until it has applied it (R10)', async () => {
    const { cluster, leader } = await started();
    const [follower] = others(cluster, leader) as [ToyNode];
    await cluster.write('b');
    await cluster.environment.settle(follower.group().readBarrier('anywhere'));
    expect(follower.items().map(({ text }) => text)).toEqual(['a', 'b']);
    await cluster.close();
  });

  it('gets an error, not an answer, where the leader is lost meanwhile (R10, P-5)', async () => {
    const { cluster, leader } = await started();
    const [follower] = others(cluster, leader) as [ToyNode];
    cluster.isolate(follower.nodeId);
    const read = follower.group().readBarrier('anywhere');
    await expect(cluster.environment.settle(read)).rejects.toMatchObject({ reason: 'NO_LEADER' });
    expect(() => follower.group().readBarrier('leader')).toThrow();
    await cluster.close();
  });
});

/** An engine whose reads can be held up in the middle. */
class SlowEngine {
  readonly node: ToyNode;
  gate: Promise<void> = Promise.resolve();
  reads = 0;

  constructor(node: ToyNode) {
    this.node = node;
  }

  async count(): Promise<number> {
    this.reads += 1;
    const seen = this.node.items().length;
    await this.gate;
    return seen;
  }
}

describe('a leased read of a replica', () => {
  const SCOPE = { collectionId: 1, ownershipVersion: 1 };
  const CONTEXT = { epoch: 1, timeoutMs: 20_000, consistency: 'leased' } as const;

  /** A replica over the group that the toy cluster opened. */
  async function replicaOf(cluster: ToyCluster, node: ToyNode, engine: SlowEngine) {
    const group = node.group();
    const host = { addGroup: async () => group } as unknown as ToyNode['running']['host'];
    return LocalReplica.open({
      shardId: 1,
      nodeId: node.nodeId,
      genesis: cluster.genesis(1, node.nodeId),
      engine: engine as unknown as Engine & { apply(): Promise<CommandResult[]> },
      host,
      logStore: node.running.logStore,
      environment: cluster.environment,
      leases: true,
    });
  }

  it('asks nobody while the lease holds', async () => {
    const { cluster, leader } = await started();
    const replica = await replicaOf(cluster, leader, new SlowEngine(leader));
    let sent = 0;
    cluster.onSend = () => {
      sent += 1;
    };
    expect(await replica.count(SCOPE, {}, CONTEXT)).toMatchObject({ value: 1 });
    expect(sent).toBe(0);
    await cluster.close();
  });

  it('is checked again after it was read: nothing stale is answered (P-5)', async () => {
    const { cluster, leader } = await started();
    const engine = new SlowEngine(leader);
    const replica = await replicaOf(cluster, leader, engine);
    let open: () => void = () => undefined;
    engine.gate = new Promise((resolve) => {
      open = resolve;
    });
    const read = replica.count(SCOPE, {}, CONTEXT);
    await cluster.environment.advance(1);
    expect(engine.reads).toBe(1);
    cluster.isolate(leader.nodeId);
    await cluster.until('the others elect and write', () =>
      others(cluster, leader).some((node) => node.group().isLeader),
    );
    const next = others(cluster, leader).find((node) => node.group().isLeader);
    await cluster.environment.settle(defined(next, 'leader').group().propose(Buffer.from('newer')));
    open();
    await expect(cluster.environment.settle(read)).rejects.toMatchObject({
      reason: expect.stringMatching(/NO_LEADER|NOT_LEADER/),
    });
    await cluster.close();
  });

  it('becomes a strong one where there is no lease, never weaker (decisions.md)', async () => {
    const { cluster, leader } = await started(false);
    const replica = await replicaOf(cluster, leader, new SlowEngine(leader));
    let heartbeats = 0;
    cluster.onSend = (_from, _to, messages) => {
      heartbeats += messages.filter(({ message }) => message.context > 0).length;
    };
    const { value } = await cluster.environment.settle(replica.count(SCOPE, {}, CONTEXT));
    expect(value).toBe(1);
    expect(heartbeats).toBeGreaterThan(0);
    await cluster.close();
  });
});
