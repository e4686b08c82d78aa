// Goal: a ReadIndex answer is never stale and never forgotten (R1 to R5, S-26, S-27).
// Method: networks with held-back heartbeat answers, and leaders driven by hand-made messages.
import { describe, expect, it } from 'vitest';
import { Network } from '../network.js';
import { ELECTION_TICKS, leaderOf, paperReplica, TestReplica } from '../replica.js';

/** A leader of term 1 that has committed its no-op with the help of replica 2. */
function readyLeader(options: Parameters<typeof leaderOf>[1] = {}) {
  const leader = leaderOf([1, 2, 3], options);
  leader.flush();
  leader.step('MsgAppResp', 2, 1, { index: 1 });
  leader.flush();
  return leader;
}

describe('ReadIndex', () => {
  it('R1: a read is answered with the commit index when a quorum has confirmed', () => {
    const leader = readyLeader();
    expect(leader.node.readIndex(7)).toBe('queued');
    const heartbeats = leader.flush();
    expect(heartbeats).toMatchObject([
      { type: 'MsgHeartbeat', to: 2, context: 1 },
      { type: 'MsgHeartbeat', to: 3, context: 1 },
    ]);
    expect(leader.reads).toEqual([]);
    leader.step('MsgHeartbeatResp', 2, 1, { context: 1 });
    leader.flush();
    expect(leader.reads).toEqual([{ requestId: 7, index: 1 }]);
    leader.step('MsgHeartbeatResp', 3, 1, { context: 1 });
    leader.flush();
    expect(leader.reads).toHaveLength(1);
  });

  it('R3: one round of heartbeats serves all reads that wait', () => {
    const leader = readyLeader();
    for (let requestId = 1; requestId <= 100; requestId += 1) leader.node.readIndex(requestId);
    expect(leader.flush()).toMatchObject([
      { to: 2, context: 100 },
      { to: 3, context: 100 },
    ]);
    leader.node.readIndex(101);
    leader.step('MsgHeartbeatResp', 3, 1, { context: 100 });
    leader.flush();
    expect(leader.reads.map((read) => read.requestId)).toEqual(
      Array.from({ length: 100 }, (_, at) => at + 1),
    );
  });

  it('R1: answers to heartbeats from before the read, and made-up ones, confirm nothing', () => {
    const leader = readyLeader();
    leader.node.readIndex(1);
    leader.flush();
    leader.node.readIndex(2);
    leader.step('MsgHeartbeatResp', 2, 1, { context: 2 });
    leader.step('MsgHeartbeatResp', 3, 1, { context: 0 });
    leader.flush();
    expect(leader.reads).toEqual([]);
    leader.step('MsgHeartbeatResp', 2, 1, { context: 1 });
    leader.flush();
    expect(leader.reads.map((read) => read.requestId)).toEqual([1]);
  });

  it('R1: a round that was lost is repeated by the next heartbeat', () => {
    const leader = readyLeader();
    leader.node.readIndex(5);
    leader.flush();
    leader.tick();
    expect(leader.flush()).toMatchObject([{ context: 1 }, { context: 1 }]);
    leader.step('MsgHeartbeatResp', 3, 1, { context: 1 });
    leader.flush();
    expect(leader.reads).toEqual([{ requestId: 5, index: 1 }]);
  });

  it('R1: a single voter answers at once', () => {
    const leader = leaderOf([1], { learners: [2] });
    leader.flush();
    expect(leader.node.readIndex(3)).toBe('queued');
    leader.flush();
    expect(leader.reads).toEqual([{ requestId: 3, index: 1 }]);
    expect(leader.node.hasReady()).toBe(false);
  });

  it('R4: the answers of learners do not count', () => {
    const leader = readyLeader({ learners: [4] });
    leader.node.readIndex(1);
    leader.flush();
    leader.step('MsgHeartbeatResp', 4, 1, { context: 1 });
    leader.flush();
    expect(leader.reads).toEqual([]);
  });

  it('S-26, R2: a read before the first commit of the term waits for it', () => {
    const leader = leaderOf([1, 2, 3], { terms: [1, 1], hardState: { commit: 1 } });
    leader.flush();
    expect(leader.node.readIndex(9)).toBe('queued');
    leader.step('MsgHeartbeatResp', 2, 2, { context: 0 });
    expect(leader.flush().filter(({ type }) => type === 'MsgHeartbeat')).toEqual([]);
    expect(leader.reads).toEqual([]);
    leader.step('MsgAppResp', 2, 2, { index: 3 });
    expect(leader.flush().filter(({ type }) => type === 'MsgHeartbeat')).toMatchObject([
      { to: 2, context: 1 },
      { to: 3, context: 1 },
    ]);
    leader.step('MsgHeartbeatResp', 2, 2, { context: 1 });
    leader.flush();
    expect(leader.reads).toEqual([{ requestId: 9, index: 3 }]);
  });

  it('S-26, R5: reads that wait are aborted when the leader steps down', () => {
    const leader = readyLeader();
    leader.node.readIndex(1);
    leader.node.readIndex(2);
    leader.step('MsgHeartbeat', 2, 2);
    leader.flush();
    expect(leader.aborted).toEqual([1, 2]);
    expect(leader.reads).toEqual([]);
    const early = leaderOf([1, 2, 3]);
    early.node.readIndex(4);
    early.step('MsgHeartbeat', 2, 2);
    early.flush();
    expect(early.aborted).toEqual([4]);
  });

  it('S-27, R3: late answers from an earlier request never confirm a later one', () => {
    const network = Network.withLeader(3, { checkQuorum: false });
    const old = network.replica(1);
    network.hold(({ type }) => type === 'MsgHeartbeatResp');
    old.node.readIndex(1);
    old.node.readIndex(1);
    network.settle();
    expect(network.held.map(({ context }) => context)).toEqual([2, 2]);
    // 1 is cut off; the others go on without it, and write.
    network.isolate(1);
    network.hold(() => false);
    network.replica(2).node.campaign();
    network.settle();
    network.tickUntil(() => network.leader.id !== 1, 10 * ELECTION_TICKS);
    network.leader.propose('newer');
    network.settle();
    expect(old.isLeader).toBe(true);
    old.node.readIndex(2);
    for (const message of network.held.splice(0)) old.node.step(message);
    network.settle();
    expect(old.reads.map(({ requestId }) => requestId)).toEqual([1, 1]);
    network.heal();
    network.tick(2 * ELECTION_TICKS);
    expect(old.reads).toHaveLength(2);
    expect(old.aborted).toEqual([2]);
  });

  it('R3: positions begin anew with the term, and what the old one confirmed is void', () => {
    const leader = readyLeader();
    leader.node.readIndex(1);
    leader.node.readIndex(2);
    leader.flush();
    leader.step('MsgHeartbeatResp', 3, 1, { context: 2 });
    leader.flush();
    expect(leader.reads).toHaveLength(2);
    leader.step('MsgHeartbeat', 2, 2);
    leader.node.campaign();
    leader.flush();
    leader.step('MsgVoteResp', 2, 3);
    leader.flush();
    leader.step('MsgAppResp', 2, 3, { index: 2 });
    leader.node.readIndex(3);
    expect(leader.flush().at(-1)).toMatchObject({ type: 'MsgHeartbeat', context: 1 });
    leader.step('MsgHeartbeatResp', 3, 1, { context: 2 });
    leader.step('MsgHeartbeatResp', 2, 3, { context: 0 });
    leader.flush();
    expect(leader.reads).toHaveLength(2);
    leader.step('MsgHeartbeatResp', 3, 3, { context: 1 });
    leader.flush();
    expect(leader.reads.at(-1)).toEqual({ requestId: 3, index: 2 });
  });

  it('R2: the reads that wait are bounded, and need a leader', () => {
    const leader = readyLeader({ maxPendingReads: 2 });
    expect([1, 2, 3].map((id) => leader.node.readIndex(id))).toEqual([
      'queued',
      'queued',
      'rejected',
    ]);
    expect(paperReplica(1).node.readIndex(1)).toBe('rejected');
  });

  it('R10: a follower asks the leader, and reads at an index that is not stale', () => {
    const network = Network.withLeader(3);
    network.cut(1, 2);
    network.leader.propose('unheard of by 2');
    network.settle();
    expect(network.replica(2).commit).toBe(1);
    expect(network.replica(2).node.readIndex(5)).toBe('queued');
    network.settle();
    network.heal();
    expect(network.replica(2).node.readIndex(6)).toBe('queued');
    network.settle();
    expect(network.replica(2).reads).toEqual([{ requestId: 6, index: 2 }]);
  });

  it('R10: a read whose question or answer was lost is aborted within an election timeout', () => {
    const network = Network.withLeader(3);
    const follower = network.replica(2);
    for (const lost of ['MsgReadIndex', 'MsgReadIndexResp']) {
      network.drop((each) => each.type === lost);
      follower.node.readIndex(1);
      network.tick(ELECTION_TICKS - 1);
      expect(follower.aborted.splice(0)).toEqual([]);
      network.tick(1);
      expect(follower.aborted.splice(0)).toEqual([1]);
    }
    expect(follower.reads).toEqual([]);
    expect(network.leader.id).toBe(1);
  });

  it('R10: reads are aborted when the leader is lost or another one comes, and only once', () => {
    const network = Network.withLeader(3);
    const follower = network.replica(2);
    network.hold((each) => each.type === 'MsgReadIndexResp');
    follower.node.readIndex(1);
    network.settle();
    follower.node.forgetLeader();
    network.settle();
    expect(follower.aborted).toEqual([1]);
    network.tick(1);
    follower.node.readIndex(2);
    network.settle();
    network.leader.node.transferLeader(3);
    network.settle();
    expect(follower.aborted).toEqual([1, 2]);
    network.release();
    expect(follower.reads).toEqual([]);
    expect(follower.aborted).toEqual([1, 2]);
  });

  it('R10: an answer from before a restart answers no read of after it', () => {
    const network = Network.withLeader(3);
    network.hold((each) => each.type === 'MsgReadIndexResp');
    const follower = network.replica(2);
    follower.node.readIndex(1);
    network.settle();
    expect(network.held).toHaveLength(1);
    let draws = 0;
    const random = () => (draws++ % 7) / 7;
    const again = new TestReplica(2, { random: () => 0.5 + random() / 3 });
    again.step('MsgHeartbeat', 1, 1);
    again.node.readIndex(1);
    again.flush();
    for (const late of network.held) again.node.step(late);
    again.flush();
    expect(again.reads).toEqual([]);
  });

  it('R10: what a follower may ask is bounded, and refused aloud where the leader is full', () => {
    const network = Network.withLeader(3, { maxPendingReads: 2 });
    network.cut(1, 3);
    network.drop((each) => each.type === 'MsgHeartbeatResp');
    const follower = network.replica(2);
    expect([1, 2, 3].map((id) => follower.node.readIndex(id))).toEqual([
      'queued',
      'queued',
      'rejected',
    ]);
    network.settle();
    expect(follower.aborted).toEqual([]);
    follower.node.forgetLeader();
    network.tick(1);
    expect(follower.aborted.splice(0)).toEqual([1, 2]);
    follower.node.readIndex(4);
    network.settle();
    expect(follower.aborted).toEqual([4]);
  });

  it('R10: a leader that is alone answers no follower from what it believes', () => {
    const network = Network.withLeader(3);
    network.cut(1, 3);
    network.cutOneWay(2, 1);
    const old = network.replica(1);
    network.replica(2).node.readIndex(1);
    network.settle();
    expect(network.replica(2).reads).toEqual([]);
    expect(old.isLeader).toBe(true);
  });

  it('M1: reads that wait are answered when the group shrinks to who has answered', () => {
    const leader = leaderOf([1, 2]);
    leader.flush();
    leader.step('MsgAppResp', 2, 1, { index: 1 });
    leader.flush();
    leader.proposeChange('r2');
    leader.flush();
    leader.node.readIndex(9);
    leader.flush();
    expect(leader.reads).toEqual([]);
    leader.step('MsgAppResp', 2, 1, { index: 2 });
    leader.flush();
    expect(leader.voters).toEqual([1]);
    expect(leader.reads).toEqual([{ requestId: 9, index: 1 }]);
  });

  it('G2: heartbeats and reads do not wait for a disk that is slow', () => {
    const leader = readyLeader();
    leader.propose('slow');
    const slow = leader.take();
    leader.node.readIndex(8);
    expect(leader.node.hasReady()).toBe(false);
    expect(leader.node.takeOutbox().messages).toMatchObject([{ context: 1 }, { context: 1 }]);
    leader.step('MsgHeartbeatResp', 2, 1, { context: 1 });
    expect(leader.node.takeOutbox().readStates).toEqual([{ requestId: 8, index: 1 }]);
    leader.finish(slow);
    leader.flush();
    expect(leader.reads).toEqual([]);
  });
});
