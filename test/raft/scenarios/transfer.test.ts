// Goal: the leadership goes where it is sent, at once, and fails without harm (T1, T2).
// Method: small networks, with targets that lag, are gone, or hold another log.
import { describe, expect, it } from 'vitest';
import { Network } from '../network.js';
import { ELECTION_TICKS, HEARTBEAT_TICKS, leaderOf, paperReplica } from '../replica.js';

describe('a transfer of the leadership', () => {
  it('T1: needs no time between replicas that are well, and no pre-vote', () => {
    const network = Network.withLeader(3);
    const asked: string[] = [];
    network.drop((each) => {
      asked.push(each.type);
      return false;
    });
    expect(network.leader.node.transferLeader(3)).toBe('started');
    network.settle();
    expect(network.leaders.map(({ id }) => id)).toEqual([3]);
    expect(asked).not.toContain('MsgPreVote');
    expect(network.leader.propose('after').kind).toBe('accepted');
  });

  it('T1: brings a lagging target up to date first; nothing is accepted meanwhile', () => {
    const network = Network.withLeader(3);
    const old = network.leader;
    network.isolate(2);
    for (let count = 0; count < 10; count += 1) old.propose(`write ${count}`);
    network.settle();
    network.hold((each) => each.to === 2 || each.from === 2);
    network.heal();
    network.hold((each) => each.type === 'MsgAppResp' && each.from === 2);
    expect(old.node.transferLeader(2)).toBe('started');
    expect(old.propose('refused')).toEqual({ kind: 'dropped', why: 'transferring' });
    expect(old.proposeChange('l4')).toEqual({ kind: 'dropped', why: 'transferring' });
    expect(old.node.readIndex(1)).toBe('rejected');
    expect(network.replica(3).node.readIndex(2)).toBe('queued');
    network.tick(HEARTBEAT_TICKS);
    expect(network.replica(3).aborted).toEqual([2]);
    network.release();
    network.tick(HEARTBEAT_TICKS);
    expect(network.leader.id).toBe(2);
    expect(network.leader.appliedTexts).toHaveLength(10);
    expect(old.node.transferTarget).toBe(0);
  });

  it('T1: is asked for through a follower, also for itself', () => {
    const network = Network.withLeader(3);
    expect(network.replica(2).node.transferLeader(3)).toBe('forwarded');
    network.settle();
    expect(network.leader.id).toBe(3);
    expect(network.replica(2).node.transferLeader(2)).toBe('forwarded');
    network.settle();
    expect(network.leader.id).toBe(2);
    network.replica(1).node.forgetLeader();
    expect(network.replica(1).node.transferLeader(1)).toBe('refused');
  });

  it('T1: has no learner, stranger or the leader itself for a target', () => {
    const leader = leaderOf([1, 2], { learners: [3] });
    expect([1, 3, 4, 0].map((id) => leader.node.transferLeader(id))).toEqual(
      Array.from({ length: 4 }, () => 'refused'),
    );
  });

  it('S-49, T1: to a dead target it is given up after an election timeout', () => {
    const network = Network.withLeader(3);
    const leader = network.leader;
    network.isolate(2);
    expect(leader.node.transferLeader(2)).toBe('started');
    // Asking again, for the same or for another, does not make it longer.
    for (let ticks = 1; ticks < ELECTION_TICKS; ticks += 1) {
      network.tick();
      expect(leader.node.transferLeader(2)).toBe('started');
      expect(leader.node.transferLeader(3)).toBe('refused');
      expect(leader.propose('no').kind).toBe('dropped');
    }
    network.tick();
    expect(leader.node.transferTarget).toBe(0);
    expect(leader.propose('yes').kind).toBe('accepted');
  });

  it('S-49: under load, to and fro, loses no write and leaves one leader', () => {
    const network = Network.withLeader(3);
    const accepted: string[] = [];
    for (let round = 0; round < 60; round += 1) {
      for (const part of ['before', 'amid']) {
        for (let count = 0; count < 3; count += 1) {
          const text = `${round} ${part} ${count}`;
          if (network.leader.propose(text).kind === 'accepted') accepted.push(text);
        }
        network.leader.node.transferLeader((round % 3) + 1);
      }
      network.tick(HEARTBEAT_TICKS);
    }
    expect(network.leaders).toHaveLength(1);
    expect(accepted.length).toBeGreaterThan(60);
    for (const replica of network.replicas) expect(replica.appliedTexts).toEqual(accepted);
  });

  it('E6: a leader that transfers again and again still notices that it is alone', () => {
    const network = Network.withLeader(3);
    const old = network.leader;
    network.isolate(1);
    network.tickUntil(() => {
      old.node.transferLeader(2);
      return !old.isLeader;
    }, 3 * ELECTION_TICKS);
  });

  it('M8: is over when the target is removed', () => {
    const leader = leaderOf([1, 2, 3]);
    leader.flush();
    leader.step('MsgAppResp', 3, 1, { index: 1 });
    leader.flush();
    leader.proposeChange('r2');
    leader.flush();
    leader.node.transferLeader(2);
    leader.step('MsgAppResp', 3, 1, { index: 2 });
    leader.flush();
    expect(leader.voters).toEqual([1, 3]);
    expect(leader.node.transferTarget).toBe(0);
    expect(leader.propose('again').kind).toBe('accepted');
  });

  it('T2: who does not hold the log that the leader believes in does not obey', () => {
    const target = paperReplica(2, { terms: [1, 1] });
    target.step('MsgHeartbeat', 1, 2);
    for (const last of [
      { index: 3, logTerm: 1 },
      { index: 2, logTerm: 2 },
    ]) {
      target.step('MsgTimeoutNow', 1, 2, last);
      expect(target.role).toBe('StateFollower');
    }
    target.step('MsgTimeoutNow', 1, 1, { index: 2, logTerm: 1 });
    expect(target.role).toBe('StateFollower');
    target.step('MsgTimeoutNow', 1, 2, { index: 2, logTerm: 1 });
    expect(target.role).toBe('StateCandidate');
  });

  it('E8, T1: a learner and a stranger never obey', () => {
    for (const voters of [[1], []]) {
      const target = paperReplica(2, { voters, learners: voters.length > 0 ? [2] : [] });
      target.step('MsgTimeoutNow', 1, 1, { index: 0, logTerm: 0 });
      expect(target.role).toBe('StateFollower');
    }
  });

  it('R8: is not ordered before the leader has committed in its own term', () => {
    const leader = leaderOf([1, 2, 3]);
    leader.flush();
    expect(leader.node.transferLeader(2)).toBe('started');
    expect(leader.flush().map(({ type }) => type)).not.toContain('MsgTimeoutNow');
    leader.step('MsgAppResp', 2, 1, { index: 1 });
    expect(leader.flush()).toContainEqual(
      expect.objectContaining({ type: 'MsgTimeoutNow', to: 2, index: 1, logTerm: 1 }),
    );
  });

  it('R8: nor when the target has caught up already, but too few others have', () => {
    const leader = leaderOf([1, 2, 3, 4, 5]);
    leader.flush();
    leader.step('MsgAppResp', 2, 1, { index: 1 });
    expect(leader.commit).toBe(0);
    expect(leader.node.transferLeader(2)).toBe('started');
    expect(leader.flush().map(({ type }) => type)).not.toContain('MsgTimeoutNow');
    leader.step('MsgAppResp', 3, 1, { index: 1 });
    expect(leader.flush().map(({ type }) => type)).toContain('MsgTimeoutNow');
  });
});

describe('stepping down', () => {
  it('leaves the group without a leader until the next election, and aborts reads (R5)', () => {
    const network = Network.withLeader(3);
    const old = network.leader;
    old.node.readIndex(4);
    old.node.stepDown();
    network.settle();
    expect(network.leaders).toEqual([]);
    expect(old.aborted).toEqual([4]);
    network.tickUntil(() => network.leaders.length === 1, 8 * ELECTION_TICKS);
    network.replica(network.leader.id === 1 ? 2 : 1).node.stepDown();
    expect(network.leaders).toHaveLength(1);
  });
});
