// Goal: a Raft group keeps its word to those who propose and read, whatever becomes of its node.
// Method: three hosts in virtual time over disks in memory; cuts, crashes, stalls, failing parts.
import { describe, expect, it } from 'vitest';
import { createMessage } from '../../../src/raft/message.js';
import type { ProposalOutcome } from '../../../src/replica/proposals.js';
import { defined } from '../../../src/shared/assert.js';
import { LIMITS } from '../../../src/shared/limits.js';
import { ELECTION_TIMEOUT_MS, ToyCluster, type ToyNode, typesOf } from './toy-cluster.js';

const bytes = (text: string): Uint8Array => Buffer.from(text);
const texts = (node: ToyNode, groupId = 1): string[] => node.items(groupId).map(({ text }) => text);

interface Tracked<T> {
  settled: number;
  value: T | undefined;
  error: unknown;
}

/** What a promise has settled to so far. */
function track<T>(work: Promise<T>): Tracked<T> {
  const seen: Tracked<T> = { settled: 0, value: undefined, error: undefined };
  work.then(
    (value) => Object.assign(seen, { value, settled: seen.settled + 1 }),
    (error: unknown) => Object.assign(seen, { error, settled: seen.settled + 1 }),
  );
  return seen;
}

function followersOf(cluster: ToyCluster, leader: ToyNode): [ToyNode, ToyNode] {
  const [one, other] = cluster.alive.filter((node) => node !== leader);
  return [defined(one, 'follower'), defined(other, 'follower')];
}

describe('proposals', () => {
  it('are applied on every replica, in order, and answered with the result', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    const outcomes = ['a', 'b', 'c'].map((text) => leader.group().propose(bytes(text)));
    const settled = await cluster.environment.settle(Promise.all(outcomes));
    expect(settled.map((one) => one.kind === 'applied' && one.result)).toEqual([
      'did a',
      'did b',
      'did c',
    ]);
    await cluster.converged();
    for (const node of cluster.nodes) expect(texts(node)).toEqual(['a', 'b', 'c']);
    await cluster.close();
  });

  it('at a follower are refused with NOT_LEADER and the node that leads', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    await cluster.write('a');
    const [follower] = followersOf(cluster, leader);
    for (const ask of [
      () => follower.group().propose(bytes('x')),
      () => follower.group().readBarrier(),
    ]) {
      expect(ask).toThrow(
        expect.objectContaining({
          reason: 'NOT_LEADER',
          body: expect.objectContaining({ details: { leaderNodeId: String(leader.nodeId) } }),
        }),
      );
    }
    await cluster.close();
  });

  it('without a leader are refused with NO_LEADER', async () => {
    const cluster = await ToyCluster.start();
    cluster.isolate(1);
    expect(() => cluster.node(1).group().propose(bytes('x'))).toThrow(
      expect.objectContaining({ reason: 'NO_LEADER' }),
    );
    await cluster.close();
  });

  it('of an isolated leader end unknown when it steps down, unapplied (S-12, S-45)', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    await cluster.write('kept');
    cluster.isolate(leader.nodeId);
    const lost = track(leader.group().propose(bytes('lost')));
    await cluster.until('the leader steps down', () => !leader.group().isLeader);
    await cluster.environment.advance(0);
    expect(lost).toMatchObject({ settled: 1, value: { kind: 'unknown' } });

    await cluster.write('newer');
    cluster.heal();
    await cluster.converged();
    for (const node of cluster.nodes) expect(texts(node)).toEqual(['kept', 'newer']);
    expect(lost.settled).toBe(1);
    await cluster.close();
  });

  it('that reached a majority stay, though the leader could only say unknown (S-45)', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    const [one, other] = followersOf(cluster, leader);
    // Appends arrive, their answers do not.
    for (const follower of [one, other]) {
      cluster.cut(follower.nodeId, leader.nodeId, { oneWay: true });
    }
    const outcome = track(leader.group().propose(bytes('survivor')));
    await cluster.until('the leader steps down', () => !leader.group().isLeader);
    await cluster.environment.advance(0);
    expect(outcome.value?.kind).toBe('unknown');
    cluster.heal();
    await cluster.write('after');
    await cluster.converged();
    for (const node of cluster.nodes) expect(texts(node)).toEqual(['survivor', 'after']);
    await cluster.close();
  });

  it('pending at close end unknown, later ones are refused (S-45)', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    cluster.isolate(leader.nodeId);
    const pending = track(leader.group().propose(bytes('x')));
    const reading = track(leader.group().readBarrier());
    const { host } = leader.running;
    const group = leader.group();
    await cluster.environment.settle(host.close());
    expect(pending).toMatchObject({ settled: 1, value: { kind: 'unknown' } });
    expect(reading).toMatchObject({ settled: 1, error: { reason: 'NODE_NOT_READY' } });
    expect(() => group.propose(bytes('y'))).toThrow(
      expect.objectContaining({ reason: 'NODE_NOT_READY' }),
    );
    await cluster.environment.settle(host.close());
  });

  it('wait for the apply under way at close, and never reach a closed machine', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    let open: () => void = () => undefined;
    const machine = leader.machine();
    machine.gate = new Promise((resolve) => {
      open = resolve;
    });
    const first = track(leader.group().propose(bytes('a')));
    await cluster.environment.advance(50);
    void track(leader.group().propose(bytes('b')));
    await cluster.environment.advance(50);
    const closed = track(leader.running.host.close());
    await cluster.environment.advance(50);
    expect(closed.settled).toBe(0);
    expect(machine.isClosed).toBe(false);
    expect(first).toMatchObject({ value: { kind: 'unknown' } });
    open();
    await cluster.environment.advance(50);
    expect(closed).toMatchObject({ settled: 1, error: undefined });
    expect(machine.isClosed).toBe(true);
    expect(leader.faults).toEqual([]);
  });

  it('are dropped above the limit of uncommitted bytes, and taken again later (S-47)', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    cluster.isolate(leader.nodeId);
    const entry = new Uint8Array(LIMITS.uncommittedBytesMax.value / 4);
    const accepted: Promise<ProposalOutcome<string>>[] = [];
    const fill = (): void => {
      for (let at = 0; at < 5; at++) accepted.push(leader.group().propose(entry));
    };
    expect(fill).toThrow(
      expect.objectContaining({
        reason: 'PROPOSAL_DROPPED',
        limit: expect.objectContaining({ name: 'uncommittedBytesMax' }),
      }),
    );
    expect(accepted).toHaveLength(4);
    const outcomes = await cluster.environment.settle(Promise.all(accepted));
    expect(outcomes.map(({ kind }) => kind)).toEqual(Array(4).fill('unknown'));
    cluster.heal();
    expect((await cluster.write('taken')).kind).toBe('applied');
    await cluster.converged();
    await cluster.close();
  });
});

describe('reads', () => {
  it('wait until the replica has applied what was committed before them (R1)', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    let open: () => void = () => undefined;
    leader.machine().gate = new Promise((resolve) => {
      open = resolve;
    });
    const { commit: before } = leader.group().status().hardState;
    void leader.group().propose(bytes('a'));
    await cluster.until('a is committed', () => leader.group().status().hardState.commit > before);
    const read = track(leader.group().readBarrier());
    await cluster.environment.advance(ELECTION_TIMEOUT_MS);
    expect(read.settled).toBe(0);
    open();
    await cluster.until('the read is answered', () => read.settled > 0);
    expect(read.error).toBeUndefined();
    expect(texts(leader)).toEqual(['a']);
    await cluster.close();
  });

  it('at an isolated leader fail when it steps down, never answered (P-5, R5)', async () => {
    const cluster = await ToyCluster.start();
    const old = await cluster.electedLeader();
    await cluster.write('a');
    cluster.isolate(old.nodeId);
    const read = track(old.group().readBarrier());
    await cluster.until('the others elect', () => {
      const leader = cluster.leader();
      return leader !== undefined && leader !== old;
    });
    await cluster.write('newer');
    await cluster.until('the old leader steps down', () => !old.group().isLeader);
    await cluster.environment.advance(0);
    expect(read).toMatchObject({ settled: 1, error: { reason: 'NO_LEADER' } });
    await cluster.close();
  });

  it('at a new leader are answered at its no-op or later (S-26)', async () => {
    const cluster = await ToyCluster.start();
    await cluster.write('a');
    const old = await cluster.electedLeader();
    cluster.isolate(old.nodeId);
    const isNew = (): ToyNode | undefined =>
      cluster.alive.find((node) => node !== old && node.group().isLeader);
    await cluster.until('a new leader', () => isNew() !== undefined);
    const leader = defined(isNew(), 'new leader');
    const { lastIndex } = leader.group().status();
    await cluster.environment.settle(leader.group().readBarrier());
    expect(leader.group().appliedIndex).toBeGreaterThanOrEqual(lastIndex);
    await cluster.close();
  });

  it('by index are answered on a follower once it has applied it', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    const [follower] = followersOf(cluster, leader);
    const next = leader.group().status().lastIndex + 1;
    const read = track(follower.group().waitApplied(next));
    await cluster.environment.advance(ELECTION_TIMEOUT_MS);
    expect(read.settled).toBe(0);
    await cluster.write('a');
    await cluster.until('the follower has applied it', () => read.settled > 0);
    expect(texts(follower)).toEqual(['a']);
    await cluster.close();
  });
});

describe('a slow or failing part', () => {
  it('a slow disk stops neither heartbeats nor reads of the leader (G2, S-52)', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    await cluster.write('a');
    const { term } = leader.group().status().hardState;
    leader.diskDelayMs = 5 * ELECTION_TIMEOUT_MS;
    const write = track(leader.group().propose(bytes('slow')));
    await cluster.environment.advance(10);
    let heartbeats = 0;
    cluster.onSend = (from, _to, messages) => {
      if (from !== leader.nodeId) return;
      heartbeats += typesOf(messages).filter((type) => type === 'MsgHeartbeat').length;
    };
    const read = track(leader.group().readBarrier());
    await cluster.environment.advance(2 * ELECTION_TIMEOUT_MS);
    expect(heartbeats).toBeGreaterThanOrEqual(2 * (10 - 1));
    // The two followers are a majority: the entry is committed, and applied once durable here.
    expect(write.settled).toBe(0);
    await cluster.environment.advance(10 * ELECTION_TIMEOUT_MS);
    expect(write.value).toMatchObject({ kind: 'applied' });
    expect(read).toMatchObject({ settled: 1, error: undefined });
    expect(leader.group().status().hardState.term).toBe(term);
    await cluster.close();
  });

  it('a follower with a slow disk holds up neither writes nor the term (S-52)', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    const { term } = leader.group().status().hardState;
    const [slow] = followersOf(cluster, leader);
    slow.diskDelayMs = 3 * ELECTION_TIMEOUT_MS;
    for (let at = 0; at < 20; at++) {
      const startMs = cluster.environment.nowMs;
      await cluster.write(`entry ${at}`);
      expect(cluster.environment.nowMs - startMs).toBeLessThan(ELECTION_TIMEOUT_MS);
    }
    slow.diskDelayMs = 0;
    await cluster.converged();
    expect(texts(slow)).toEqual(texts(leader));
    expect(leader.group().status().hardState.term).toBe(term);
    await cluster.close();
  });

  it('a state machine that fails stops its replica, and nothing else', async () => {
    const cluster = await ToyCluster.start({ groups: 2 });
    const leader = await cluster.electedLeader(1);
    await cluster.write('a', 2);
    leader.machine(1).failure = new Error('the disk of the records is broken');
    const pending = track(leader.group(1).propose(bytes('x')));
    await cluster.until('the replica stops', () => leader.faults.length > 0);
    expect(leader.faults.map(({ groupId }) => groupId)).toEqual([1]);
    await cluster.environment.advance(0);
    expect(pending).toMatchObject({ settled: 1, value: { kind: 'unknown' } });
    expect(leader.group(1).isLeader).toBe(false);
    expect(leader.group(1).status().fault).toContain('the disk of the records is broken');
    expect(() => leader.group(1).propose(bytes('y'))).toThrow();
    expect(() => leader.group(1).waitApplied(99)).toThrow(
      expect.objectContaining({ reason: 'NODE_NOT_READY' }),
    );

    const isServed = (): boolean => cluster.leader(1) !== undefined;
    await cluster.until('the two others serve', isServed);
    expect((await cluster.write('b', 1)).kind).toBe('applied');
    expect((await cluster.write('c', 2)).kind).toBe('applied');
    expect(leader.group(2).status().fault).toBeUndefined();
    await cluster.close();
  });

  it('a log store that fails stops each group that writes, reported (S6, S-48)', async () => {
    const cluster = await ToyCluster.start({ groups: 2 });
    const leader = await cluster.electedLeader(1);
    await cluster.write('a', 2);
    leader.failNextLogWrite(new Error('no space left on device'));
    const pending = track(leader.group(1).propose(bytes('x')));
    await cluster.until('the group stops', () => leader.faults.length === 1);
    expect(leader.faults[0]).toMatchObject({ groupId: 1, error: { reason: 'STORE_POISONED' } });
    expect(leader.running.logStore.poisoned).toBeDefined();
    expect(pending).toMatchObject({ settled: 1, value: { kind: 'unknown' } });
    // The other group finds out with its next write, whichever side of it this node is on.
    await cluster.write('c', 2);
    await cluster.until('the other group stops', () => leader.faults.length === 2);
    expect((await cluster.write('d', 1)).kind).toBe('applied');
    expect((await cluster.write('e', 2)).kind).toBe('applied');
    await cluster.environment.settle(leader.running.host.close());
  });
});

describe('identity', () => {
  it('a wiped node neither votes nor acknowledges (S-44, M8)', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    await cluster.write('a');
    const [wiped, other] = followersOf(cluster, leader);
    await cluster.crash(wiped.nodeId);
    cluster.wipe(wiped.nodeId);
    await cluster.crash(other.nodeId);
    await cluster.boot(wiped.nodeId);
    const unacknowledged = track(leader.group().propose(bytes('b')));
    await cluster.until('the leader steps down alone', () => !leader.group().isLeader);
    await cluster.environment.advance(20 * ELECTION_TIMEOUT_MS);
    expect(unacknowledged.value?.kind).toBe('unknown');
    expect(cluster.leader()).toBeUndefined();
    expect(texts(wiped)).toEqual([]);

    await cluster.boot(other.nodeId);
    expect((await cluster.write('c')).kind).toBe('applied');
    expect(texts(wiped)).toEqual([]);
  });

  it('messages of a node or replica that the group does not know are ignored', async () => {
    const cluster = await ToyCluster.start();
    const leader = await cluster.electedLeader();
    await cluster.converged();
    const [follower] = followersOf(cluster, leader);
    const { term } = leader.group().status().hardState;
    const { storeId, incarnation } = leader.running.logStore.identity;
    const known = { clusterId: 'toy', nodeId: leader.nodeId, storeId, incarnation };
    const heartbeat = createMessage('MsgHeartbeat', leader.nodeId, follower.nodeId, term + 5);
    const strangers = [
      { ...known, storeId: 'another' },
      { ...known, nodeId: 9 },
    ];
    for (const from of strangers) {
      cluster.deliver(from, follower.nodeId, [{ groupId: 1, message: heartbeat }]);
    }
    const misdirected = { ...heartbeat, to: leader.nodeId };
    cluster.deliver(known, follower.nodeId, [{ groupId: 1, message: misdirected }]);
    cluster.deliver(known, follower.nodeId, [{ groupId: 77, message: heartbeat }]);
    expect(follower.group().status().hardState.term).toBe(term);
    cluster.deliver(known, follower.nodeId, [{ groupId: 1, message: heartbeat }]);
    expect(follower.group().status().hardState.term).toBe(term + 5);
    expect(follower.faults).toEqual([]);
    await cluster.close();
  });
});
