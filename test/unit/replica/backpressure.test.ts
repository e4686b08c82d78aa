// Goal: a full disk, a wrong clock and a silent follower slow a group down or change who leads it,
// and break nothing. Method: hosts in virtual time whose stores and peers say what a test wants.
import { describe, expect, it } from 'vitest';
import { isClockAhead } from '../../../src/replica/clock-check.js';
import type { RaftGroup } from '../../../src/replica/group.js';
import { defined } from '../../../src/shared/assert.js';
import { LIMITS } from '../../../src/shared/limits.js';
import { ELECTION_TIMEOUT_MS, ToyCluster, type ToyNode } from './toy-cluster.js';

const others = (cluster: ToyCluster, node: ToyNode): ToyNode[] =>
  cluster.nodes.filter((one) => one !== node);

describe('a leader whose disk is nearly full', () => {
  it('refuses writes with DISK_FULL, and takes those that free space (S7, P-10)', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    await cluster.write('a');
    for (const node of cluster.nodes) node.space = 'low';
    expect(() => leader.group().propose(Buffer.from('b'))).toThrow(
      expect.objectContaining({ reason: 'DISK_FULL', code: 'RESOURCE_EXHAUSTED' }),
    );
    const freeing = leader.group().propose(Buffer.from('c'), () => true);
    expect((await cluster.environment.settle(freeing)).kind).toBe('applied');
    const { groupId, replicaId } = leader.group();
    expect([groupId, replicaId]).toEqual([1, leader.nodeId]);
    await cluster.environment.settle(
      leader.group().changeConfiguration(
        {
          changes: [{ kind: 'remove', replicaId: others(cluster, leader)[0]?.nodeId ?? 0 }],
          members: [],
        },
        { timeoutMs: 10_000 },
      ),
    );
    for (const node of cluster.nodes) node.space = 'ok';
    expect((await cluster.write('d')).kind).toBe('applied');
    await cluster.close();
  });

  it('hands its leadership to a replica that has room (S7)', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    await cluster.write('a');
    const [full, free] = others(cluster, leader) as [ToyNode, ToyNode];
    leader.space = 'low';
    full.space = 'low';
    await cluster.until('the one with room leads', () => free.group().isLeader);
    expect((await cluster.write('b')).kind).toBe('applied');
    await cluster.close();
  });

  it('keeps it where nobody has room, and disturbs nobody (S7)', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    await cluster.write('a');
    const { term } = leader.group();
    for (const node of cluster.nodes) node.space = 'low';
    await cluster.environment.advance(20 * ELECTION_TIMEOUT_MS);
    expect(leader.group().isLeader).toBe(true);
    expect(leader.group().term).toBe(term);
    await cluster.close();
  });
});

describe('followers that stop acknowledging', () => {
  it('never make what a leader keeps for them grow without bound (A4, A6)', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    await cluster.write('a');
    // What is sent arrives; no answer comes back but heartbeats', so that the leader stays.
    for (const node of others(cluster, leader)) node.diskDelayMs = 1_000_000;
    const entry = new Uint8Array(LIMITS.uncommittedBytesMax.value / 8);
    let sentBytes = 0;
    cluster.onSend = (from, _to, messages) => {
      if (from !== leader.nodeId) return;
      for (const { message } of messages) {
        for (const { data } of message.entries) sentBytes += data.length;
      }
    };
    let refused = 0;
    for (let at = 0; at < 20; at++) {
      try {
        void leader.group().propose(entry);
      } catch (error) {
        expect(error).toMatchObject({ reason: 'PROPOSAL_DROPPED' });
        refused += 1;
      }
      await cluster.environment.advance(20);
    }
    expect(refused).toBe(12);
    const { progress } = leader.group().status();
    for (const { inflightCount } of progress) expect(inflightCount).toBeLessThanOrEqual(64);
    expect(sentBytes).toBeLessThan(20 * entry.length);
    for (const node of others(cluster, leader)) node.diskDelayMs = 0;
    for (const { nodeId } of cluster.alive) await cluster.crash(nodeId);
  });
});

describe('a leader that applies slower than writes come', () => {
  it('lets them wait in order, within their deadlines (A4)', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    await cluster.write('a');
    let open: () => void = () => undefined;
    leader.machine().gate = new Promise((resolve) => {
      open = resolve;
    });
    const group = leader.group();
    const half = LIMITS.uncommittedBytesMax.value / 2;
    const admitted: number[] = [];
    const write = async (at: number, timeoutMs: number): Promise<void> => {
      const release = await group.admit(half, { timeoutMs });
      admitted.push(at);
      void group.propose(new Uint8Array(half));
      release();
    };
    void write(1, 60_000);
    void write(2, 60_000);
    const late = expect(write(3, 500)).rejects.toMatchObject({ reason: 'PROPOSAL_DROPPED' });
    void write(4, 60_000);
    await cluster.environment.advance(1_000);
    await late;
    expect(admitted).toEqual([1]);
    open();
    leader.machine().gate = undefined;
    await cluster.until('all were let in', () => admitted.length === 3);
    expect(admitted).toEqual([1, 2, 4]);
    await cluster.converged();
    await cluster.close();
  });
});

/** Replicas whose engines stand still until they are told to go on. */
function standStill(nodes: readonly ToyNode[]): () => void {
  let go: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    go = resolve;
  });
  for (const node of nodes) node.machine().gate = gate;
  return () => {
    go();
    for (const node of nodes) node.machine().gate = undefined;
  };
}

describe('a leader whose followers apply slower than writes come', () => {
  const SIZE_BYTES = LIMITS.uncommittedBytesMax.value / 16;
  /** As many entries as may wait to be applied. */
  const ROOM = 8;

  async function write(group: RaftGroup<string>, timeoutMs: number): Promise<void> {
    const release = await group.admit(SIZE_BYTES, { timeoutMs });
    const outcome = group.propose(new Uint8Array(SIZE_BYTES));
    release();
    expect((await outcome).kind).toBe('applied');
  }

  it('lets writers wait for the faster one of two, within their deadlines (A6, P-10)', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    await cluster.write('a');
    await cluster.converged();
    await cluster.environment.advance(ELECTION_TIMEOUT_MS);
    const slow = others(cluster, leader);
    const goOn = standStill(slow);
    const group = leader.group();
    for (let at = 0; at < ROOM; at++) await cluster.environment.settle(write(group, 1_000));
    const late = expect(write(group, 500)).rejects.toMatchObject({
      reason: 'PROPOSAL_DROPPED',
      code: 'RESOURCE_EXHAUSTED',
    });
    const patient = write(group, 60_000);
    await cluster.environment.advance(2 * ELECTION_TIMEOUT_MS);
    await late;
    // Nothing is wrong with the log: all that was proposed is committed, and applied here.
    expect(group.appliedIndex).toBe(group.commitIndex);
    expect(group.status().lastIndex).toBe(group.commitIndex);
    expect(slow[0]?.group().commitIndex).toBe(group.commitIndex);
    goOn();
    await cluster.environment.settle(patient);
    await cluster.converged();
    await cluster.close();
  });

  it('waits for nobody where one of two keeps pace (A6)', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    await cluster.write('a');
    await cluster.converged();
    const goOn = standStill(others(cluster, leader).slice(0, 1));
    for (let at = 0; at < 3 * ROOM; at++) {
      await cluster.environment.settle(write(leader.group(), 1_000));
      // The leader knows of the other one what its last heartbeat has brought.
      await cluster.environment.advance(ELECTION_TIMEOUT_MS / 4);
    }
    goOn();
    await cluster.converged();
    await cluster.close();
  });

  it('counts a follower that stood still from its first entry on (A6)', async () => {
    const cluster = await ToyCluster.start();
    const goOn = standStill(cluster.nodes.slice(1));
    const group = (await cluster.electedLeader()).group();
    expect(cluster.leader()?.nodeId).toBe(1);
    await cluster.environment.advance(ELECTION_TIMEOUT_MS);
    for (let at = 0; at < ROOM; at++) await cluster.environment.settle(write(group, 1_000));
    await expect(cluster.environment.settle(write(group, 1_000))).rejects.toMatchObject({
      reason: 'PROPOSAL_DROPPED',
    });
    goOn();
    await cluster.converged();
    await cluster.close();
  });

  it('goes by what a follower tells after its restart, not before (A6)', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    await cluster.write('a');
    await cluster.converged();
    const [gone, slow] = others(cluster, leader) as [ToyNode, ToyNode];
    await cluster.stop(gone.nodeId);
    const group = leader.group();
    standStill([slow]);
    for (let at = 0; at < ROOM; at++) await cluster.environment.settle(write(group, 1_000));
    const patient = write(group, 60_000);
    await cluster.environment.advance(2 * ELECTION_TIMEOUT_MS);
    expect(group.status().lastIndex).toBe(group.appliedIndex);
    await cluster.crash(slow.nodeId, { keepBatches: 1_000 });
    await cluster.boot(slow.nodeId);
    await cluster.environment.settle(patient);
    await cluster.boot(gone.nodeId);
    await cluster.converged();
    await cluster.close();
  });
});

describe('a wall clock', () => {
  const ahead = (...aheadMs: (number | undefined)[]): boolean =>
    isClockAhead(
      aheadMs.map((clockAheadMs, at) => ({
        nodeId: at + 2,
        connected: true,
        queuedBytes: 0,
        ...(clockAheadMs !== undefined && { clockAheadMs }),
      })),
    );

  it('is ahead when most nodes are more than 10 s behind it (decisions.md)', () => {
    expect(ahead()).toBe(false);
    expect(ahead(-10_001, -10_001)).toBe(true);
    expect(ahead(-10_000, -10_000)).toBe(false);
    expect(ahead(-20_000, 0)).toBe(false);
    expect(ahead(-20_000)).toBe(false);
    expect(ahead(20_000, 20_000)).toBe(false);
    expect(ahead(-20_000, undefined, -20_000, -20_000)).toBe(true);
    expect(ahead(-20_000, undefined, undefined, -20_000)).toBe(false);
  });

  it('that is ahead keeps its node from leading, and from nothing else', async () => {
    const cluster = await ToyCluster.start({ clockAheadNodeId: 1 });
    await cluster.environment.advance(3 * ELECTION_TIMEOUT_MS);
    const leader = await cluster.electedLeader();
    expect(leader.nodeId).not.toBe(1);
    await cluster.write('a');
    const { term } = leader.group();
    const transfer = leader.group().transferLeadership(1, { timeoutMs: 10_000 });
    await expect(cluster.environment.settle(transfer)).rejects.toMatchObject({
      reason: 'DEADLINE_EXCEEDED',
    });
    expect(leader.group().term).toBe(term);
    cluster.isolate(leader.nodeId);
    await cluster.until('the third one leads', () => {
      const third = defined(
        cluster.nodes.find((node) => node !== leader && node.nodeId !== 1),
        'third',
      );
      return third.group().isLeader;
    });
    await cluster.close();
  });

  it('that is ahead leads where for five timeouts nobody else could (E2)', async () => {
    const cluster = await ToyCluster.start({ clockAheadNodeId: 1 });
    await cluster.environment.advance(3 * ELECTION_TIMEOUT_MS);
    const leader = await cluster.electedLeader();
    const third = defined(
      cluster.nodes.find((node) => node !== leader && node.nodeId !== 1),
      'the third node',
    );
    // Only the leader and the node that is ahead have what is committed now.
    cluster.isolate(third.nodeId);
    await cluster.write('a');
    await cluster.stop(leader.nodeId);
    cluster.heal();
    await cluster.environment.advance(4 * ELECTION_TIMEOUT_MS);
    expect(cluster.leader()).toBeUndefined();
    await cluster.until('the node that is ahead leads', () => cluster.node(1).group().isLeader);
    await cluster.write('b');
    await cluster.converged();
    await cluster.close();
  });
});
