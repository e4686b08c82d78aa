// Goal: changes of the membership lose nothing and end, whoever fails when (M1 to M11, S-31 on).
// Method: small networks whose replicas come and go, with links cut at the worst moment.
import { describe, expect, it } from 'vitest';
import { encodeConfChange } from '../../../src/raft/conf-change-codec.js';
import { FatalRaftError } from '../../../src/raft/types.js';
import { Network } from '../network.js';
import {
  change,
  confStateOf,
  ELECTION_TICKS,
  entry,
  leaderOf,
  message,
  paperReplica,
  TestReplica,
} from '../replica.js';

/** The leader has applied what it proposed, and nothing is on the way. */
function changeAndSettle(network: Network, ...words: Parameters<typeof change>): void {
  expect(network.leader.proposeChange(...words).kind).toBe('accepted');
  network.settle();
  network.tick(2);
}

/** Ticks until the group has a leader of at least this term again. */
function untilLeaderOfTerm(network: Network, term: number): TestReplica {
  network.tickUntil(() => network.leaders.some((each) => each.term >= term), 8 * ELECTION_TICKS);
  return network.leader;
}

describe('a change of the membership', () => {
  it('M1, M6: a stranger becomes a learner, gets a snapshot, and is promoted', () => {
    const network = Network.withStrangers(3, 1);
    network.leader.propose('before');
    network.settle();
    network.leader.compact();
    changeAndSettle(network, 'l4');
    expect(network.replica(4).node.confState).toMatchObject({ voters: [1, 2, 3], learners: [4] });
    expect(network.leader.node.status().progress[3]).toMatchObject({
      id: 4,
      isLearner: true,
      state: 'StateReplicate',
    });
    changeAndSettle(network, 'v4');
    for (const replica of network.replicas) expect(replica.voters).toEqual([1, 2, 3, 4]);
  });

  it('M6: a stranger gets a snapshot although the log reaches back to its beginning', () => {
    // The first configuration stands in no entry: from the entries alone 4 would take itself for
    // the only voter.
    const network = Network.withStrangers(3, 1);
    const leader = network.leader;
    leader.proposeChange('v4');
    network.settle();
    expect(network.replica(4).voters).toEqual([]);
    expect(network.replica(4).logIds).toEqual([]);
    leader.storage.createSnapshot(2, leader.node.confState, new Uint8Array());
    network.tick(1);
    expect(network.replica(4).voters).toEqual([1, 2, 3, 4]);
    expect(network.replica(4).commit).toBe(leader.commit);
  });

  it('M6: a snapshot from before the replica was added is taken, and entries add it', () => {
    const network = Network.withStrangers(3, 1);
    network.leader.propose('before');
    network.settle();
    network.leader.compact();
    changeAndSettle(network, 'l4');
    expect(network.leader.storage.snapshot()?.meta.confState.learners).toEqual([]);
    expect(network.replica(4).node.confState.learners).toEqual([4]);
    expect(network.replica(4).commit).toBe(network.leader.commit);
  });

  it('M2: a second change is refused until the first is applied', () => {
    const network = Network.withLeader(3);
    const leader = network.leader;
    expect(leader.proposeChange('l4').kind).toBe('accepted');
    expect(leader.proposeChange('l5')).toEqual({ kind: 'dropped', why: 'conf-change-pending' });
    network.settle();
    expect(leader.proposeChange('l5').kind).toBe('accepted');
  });

  it('M2: a new leader refuses changes until it has applied those that it found in its log', () => {
    const leader = paperReplica(1);
    const data = encodeConfChange(change('l4'));
    const found = { type: 'EntryConfChangeV2', term: 1, index: 1, data } as const;
    leader.step('MsgApp', 2, 1, { entries: [found] });
    leader.flush();
    leader.node.campaign();
    leader.flush();
    leader.step('MsgVoteResp', 2, 2);
    leader.flush();
    leader.step('MsgAppResp', 2, 2, { index: 2 });
    const committed = leader.handOut();
    leader.persist(committed);
    expect(leader.commit).toBe(2);
    expect(leader.proposeChange('l5')).toEqual({ kind: 'dropped', why: 'conf-change-pending' });
    for (const each of committed.committed) leader.enforce(each);
    leader.node.applied(2);
    expect(leader.proposeChange('l5').kind).toBe('accepted');
  });

  it('M2: a joint configuration is left before anything else is changed', () => {
    const network = Network.withLeader(3);
    const { leader } = network;
    changeAndSettle(network, 'l3', 'joint-explicit');
    expect(leader.proposeChange('l5')).toEqual({ kind: 'dropped', why: 'conf-change-pending' });
    changeAndSettle(network, '');
    expect(leader.proposeChange('l5').kind).toBe('accepted');
  });

  it('M3, S-31: nothing is changed before the leader has committed in its own term', () => {
    const network = Network.withLeader(4);
    const [first, second] = [network.replica(1), network.replica(2)];
    // Leader 1 appends a change that nobody else hears of.
    network.isolate(1);
    expect(first.proposeChange('r4').kind).toBe('accepted');
    network.settle();
    // 2 wins with 3 and 4, and would change the group as well before its no-op is committed.
    network.hold((each) => each.type === 'MsgAppResp' && each.term > first.term);
    network.tickUntil(() => second.isLeader || network.leaders.length > 1, 8 * ELECTION_TICKS);
    const leader = network.leader;
    expect(leader.id).not.toBe(1);
    expect(leader.proposeChange('r1')).toEqual({ kind: 'dropped', why: 'term-not-committed' });
    network.release();
    network.tick(1);
    expect(leader.proposeChange('r1').kind).toBe('accepted');
    network.settle();
    // The change of 1 is gone for good: both could have committed, without a common voter.
    network.heal();
    network.tick(2);
    expect(leader.voters).toEqual([2, 3, 4]);
    expect(first.voters).toEqual([1, 2, 3, 4]);
  });

  it.each([
    ['two additions', 'v5', 'v6'],
    ['two removals', 'r1', 'r2'],
    ['an addition and a removal', 'v5', 'r2'],
  ])('S-31: %s by leaders of different terms are never both committed', (_, one, other) => {
    const network = Network.withLeader(4);
    const first = network.replica(1);
    network.cut(1, 3);
    network.cut(1, 4);
    first.proposeChange(one);
    network.settle();
    expect(first.commit).toBe(1);
    network.cut(1, 2);
    const leader = untilLeaderOfTerm(network, first.term + 1);
    network.tick(2);
    // The new leader may hold the change itself, and then commits it first of all.
    leader.proposeChange(other);
    network.settle();
    network.heal();
    network.tick(4 * ELECTION_TICKS);
    const last = network.leader;
    for (const { node } of network.replicas.filter(({ id }) => last.voters.includes(id))) {
      expect(node.confState).toEqual(last.node.confState);
    }
  });

  it('M9: the last voter cannot be removed, nor demoted', () => {
    const leader = new TestReplica(1, { voters: [1] });
    leader.node.campaign();
    leader.flush();
    for (const steps of ['r1', 'l1', 'l1 r2', 'r1 l2']) {
      expect(leader.proposeChange(steps)).toEqual({ kind: 'dropped', why: 'conf-change-invalid' });
    }
  });

  it('M4: a change that does not fit stops the replica: the log must be damaged', () => {
    const replica = new TestReplica(1, { voters: [1] });
    expect(() => replica.node.applyConfChange(change('r1'))).toThrow(FatalRaftError);
    expect(() => replica.node.applyConfChange(change(''))).toThrow('non-joint');
  });

  it('P4: what is still applied while a snapshot is installed changes nothing in force', () => {
    const replica = new TestReplica(3);
    const entries = ['v4', 'l5'].map((steps, at) => {
      const data = encodeConfChange(change(steps));
      return { type: 'EntryConfChangeV2', term: 1, index: at + 1, data } as const;
    });
    replica.step('MsgApp', 1, 1, { entries, commit: 2 });
    const applying = replica.node.ready();
    replica.storage.append(applying.entries);
    replica.node.persisted(applying);
    // By the time of the newest snapshot 4 and 5 are gone again.
    for (const [index, voters] of [
      [8, [1, 2, 3, 7]],
      [9, [1, 2, 3]],
    ] as const) {
      const meta = { index, term: 1, confState: confStateOf(voters) };
      replica.step('MsgSnap', 1, 1, { snapshot: { meta, data: new Uint8Array() } });
    }
    expect(replica.node.applyConfChange(change('v4'))).toEqual(confStateOf([1, 2, 3, 4]));
    expect(replica.node.applyConfChange(change('l5'))).toEqual(confStateOf([1, 2, 3, 4], [5]));
    replica.node.applied(2);
    expect(replica.node.confState).toEqual(confStateOf([1, 2, 3]));
    replica.flush();
    expect(replica.node.confState).toEqual(confStateOf([1, 2, 3]));
    expect(replica.node.applyConfChange(change('l6'))).toEqual(confStateOf([1, 2, 3], [6]));
    expect(replica.node.confState.learners).toEqual([6]);
  });

  it('only the leader of the group proposes', () => {
    const network = Network.withLeader(3);
    expect(network.replica(2).proposeChange('v4')).toEqual({ kind: 'not-leader', lead: 1 });
  });
});

describe('a removed replica', () => {
  it('S-06, M7: a removed follower that keeps ticking disturbs nobody', () => {
    const network = Network.withLeader(3);
    const { term } = network.leader;
    network.isolate(3);
    changeAndSettle(network, 'r3');
    network.heal();
    // It never heard of its removal, so it campaigns on.
    network.tick(50 * ELECTION_TICKS);
    expect(network.leader.id).toBe(1);
    expect(network.leader.term).toBe(term);
    expect(network.replica(3).voters).toEqual([1, 2, 3]);
  });

  it('M7: a removed leader steps down when it has applied that, and never leads again', () => {
    const network = Network.withLeader(3);
    const removed = network.leader;
    removed.propose('before');
    removed.proposeChange('r1');
    removed.node.readIndex(7);
    network.settle();
    expect(removed.role).toBe('StateFollower');
    expect(removed.reads.length + removed.aborted.length).toBe(1);
    const leader = untilLeaderOfTerm(network, removed.term);
    expect([2, 3]).toContain(leader.id);
    network.tick(10 * ELECTION_TICKS);
    expect(removed.role).toBe('StateFollower');
    expect(leader.appliedTexts).toContain('before');
  });

  it('M7: one that may stay (stepDownOnRemoval off) counts for nothing', () => {
    const leader = leaderOf([1, 2, 3], { stepDownOnRemoval: false });
    leader.flush();
    leader.step('MsgAppResp', 2, 1, { index: 1 });
    leader.flush();
    leader.proposeChange('r1');
    leader.flush();
    leader.step('MsgAppResp', 2, 1, { index: 2 });
    leader.flush();
    expect(leader.isLeader).toBe(true);
    expect(leader.propose('more')).toEqual({ kind: 'dropped', why: 'not-in-configuration' });
    expect(leader.voters).toEqual([2, 3]);
  });

  it('M11: removed replicas with the better log let the last voter learn that they are', () => {
    // Joint {2} and {1, 2, 3}: 1 leads it and applies the end of it, which 2 holds but does not
    // know to be committed; 1 and 3 hold a further entry, so that they do not vote for 2.
    const last = new TestReplica(2, { voters: [1, 2, 3], preVote: true, checkQuorum: true });
    const removed = new TestReplica(3, { voters: [1, 2, 3] });
    const joint = encodeConfChange(change('r1 r3', 'joint-explicit'));
    const enter = { type: 'EntryConfChangeV2', term: 1, index: 1, data: joint } as const;
    const leave = { ...enter, index: 2, data: new Uint8Array() };
    const more = { ...leave, type: 'EntryNormal', index: 3 } as const;
    last.node.step(message('MsgApp', 1, 2, 1, { entries: [enter, leave], commit: 1 }));
    removed.node.step(message('MsgApp', 1, 3, 1, { entries: [enter, leave, more], commit: 2 }));
    const network = new Network([new TestReplica(1, { voters: [] }), last, removed]);
    network.isolate(1);
    network.settle();
    expect(last.voters).toEqual([2]);
    expect(last.node.confState.votersOutgoing).toEqual([1, 2, 3]);
    expect(removed.voters).toEqual([2]);
    network.tickUntil(() => last.isLeader, 8 * ELECTION_TICKS);
    expect(last.node.confState.votersOutgoing).toEqual([]);
  });
});

describe('a joint configuration', () => {
  it('S-35, M1: two are replaced at once, and no write is lost', () => {
    const network = Network.withStrangers(3, 2);
    const texts = Array.from({ length: 20 }, (_, at) => `write ${at}`);
    network.leader.propose('before');
    network.settle();
    network.leader.compact();
    network.leader.proposeChange('v4 v5 r2 r3');
    for (const text of texts) {
      network.leader.propose(text);
      network.tick(1);
    }
    expect(network.leader.node.confState).toMatchObject({ voters: [1, 4, 5], votersOutgoing: [] });
    for (const id of [1, 4, 5]) {
      expect(network.replica(id).appliedTexts.slice(-texts.length)).toEqual(texts);
    }
  });

  it.each([
    [2, 3, 4],
    [4, 5, 2],
  ])('M1: an election is not won by %i and %i, one half, but with %i', (...ids) => {
    const candidate = paperReplica(1);
    const data = encodeConfChange(change('v4 v5 r2 r3', 'joint-explicit'));
    const joint = { type: 'EntryConfChangeV2', term: 1, index: 1, data } as const;
    candidate.step('MsgApp', 2, 1, { entries: [joint], commit: 1 });
    candidate.flush();
    candidate.node.campaign();
    expect(candidate.flush().filter(({ type }) => type === 'MsgVote')).toHaveLength(4);
    const roles = ids.map((id) => {
      candidate.step('MsgVoteResp', id, 2);
      return candidate.role;
    });
    expect(roles).toEqual(['StateCandidate', 'StateCandidate', 'StateLeader']);
  });

  it('M1: neither half alone commits or answers reads', () => {
    const network = Network.withStrangers(3, 2);
    const leader = network.leader;
    leader.propose('before');
    network.settle();
    leader.compact();
    changeAndSettle(network, 'l4');
    changeAndSettle(network, 'l5');
    changeAndSettle(network, 'v4 v5 r2 r3', 'joint-explicit');
    expect(leader.node.confState).toMatchObject({
      voters: [1, 4, 5],
      votersOutgoing: [1, 2, 3],
      autoLeave: false,
    });
    for (const half of [
      [2, 3],
      [4, 5],
    ]) {
      for (const id of half) network.cut(1, id);
      const { commit } = leader;
      leader.propose('not yet');
      leader.node.readIndex(commit);
      network.tick(3);
      expect(leader.commit).toBe(commit);
      expect(leader.reads).toEqual([]);
      network.heal();
      network.tick(2);
      expect(leader.commit).toBe(commit + 1);
      expect(leader.reads.splice(0)).toEqual([{ requestId: commit, index: commit }]);
    }
    network.cut(1, 2);
    network.cut(1, 3);
    network.tickUntil(() => !leader.isLeader, 3 * ELECTION_TICKS);
  });

  it.each(['before anyone applies it', 'when all have applied it'])(
    'S-33, M5: the leader dies in it, %s, and the next one leaves it',
    (when) => {
      const network = Network.withLeader(5);
      const dead = network.leader;
      dead.proposeChange('r5 l4');
      if (when === 'before anyone applies it') {
        network.drop((each) => each.from === 1 && each.commit > 1);
      } else {
        network.drop((each) => each.entries.some(({ index }) => index > 2));
      }
      network.settle();
      network.heal();
      network.isolate(1);
      const leader = untilLeaderOfTerm(network, dead.term + 1);
      network.tick(3);
      expect(leader.node.confState).toEqual({
        voters: [1, 2, 3],
        votersOutgoing: [],
        learners: [4],
        learnersNext: [],
        autoLeave: false,
      });
      network.heal();
      network.tick(3);
      expect(dead.node.confState).toEqual(leader.node.confState);
    },
  );

  it('M5: leaving is proposed once, whatever else is applied meanwhile', () => {
    const leader = leaderOf([1, 2, 3]);
    leader.flush();
    const acknowledge = (index: number) => {
      leader.step('MsgAppResp', 2, 1, { index });
      leader.flush();
    };
    acknowledge(1);
    leader.proposeChange('l3', 'joint-implicit');
    for (const text of ['a', 'b', 'c']) leader.propose(text);
    leader.flush();
    for (const index of [2, 3, 4, 5]) acknowledge(index);
    expect(leader.node.confState.autoLeave).toBe(true);
    expect(leader.node.basicStatus().lastIndex).toBe(6);
    acknowledge(6);
    expect(leader.node.confState).toEqual(confStateOf([1, 2], [3]));
  });

  it('M3, M5: a new leader leaves it only after it has committed in its term', () => {
    const leader = paperReplica(1);
    const data = encodeConfChange(change('l3', 'joint-implicit'));
    const joint = { type: 'EntryConfChangeV2', term: 1, index: 1, data } as const;
    leader.step('MsgApp', 2, 1, { entries: [joint, entry(1, 2)], commit: 2 });
    const ready = leader.handOut();
    leader.persist(ready);
    leader.enforce(joint);
    leader.node.applied(1);
    leader.node.campaign();
    leader.flush();
    leader.step('MsgVoteResp', 2, 2);
    leader.flush();
    // What was committed before is applied late, all of it.
    leader.node.applied(2);
    expect(leader.isLeader).toBe(true);
    expect(leader.node.basicStatus().lastIndex).toBe(3);
    leader.step('MsgAppResp', 2, 2, { index: 3 });
    leader.flush();
    expect(leader.node.basicStatus().lastIndex).toBe(4);
  });

  it('M5: leaving waits while the leadership is handed over, and is made up for', () => {
    const network = Network.withLeader(5);
    const leader = network.leader;
    network.isolate(2);
    leader.proposeChange('l5', 'joint-implicit');
    expect(leader.node.transferLeader(2)).toBe('started');
    network.settle();
    expect(leader.node.confState).toMatchObject({ learnersNext: [5], autoLeave: true });
    network.tick(ELECTION_TICKS);
    expect(leader.node.transferTarget).toBe(0);
    expect(leader.node.confState).toMatchObject({ learners: [5], autoLeave: false });
  });
});

describe('E8, E9: who may campaign', () => {
  it('S-32: not who has a committed configuration that it has not applied', () => {
    const network = Network.withStrangers(3, 1);
    const frozen = network.replica(3);
    const apply = frozen.finish.bind(frozen);
    // The host of 3 persists and answers, but its state machine stands still.
    frozen.finish = (ready) => {
      frozen.storage.append(ready.entries);
      if (ready.hardState !== undefined) frozen.storage.setHardState(ready.hardState);
      frozen.node.persisted(ready);
      return ready.messagesAfterPersist;
    };
    network.leader.proposeChange('l4');
    network.tick(1);
    expect(frozen.commit).toBe(network.leader.commit);
    frozen.node.forgetLeader();
    frozen.node.campaign();
    expect(frozen.role).toBe('StateFollower');
    frozen.finish = apply;
    frozen.node.applied(frozen.commit);
    frozen.node.campaign();
    expect(frozen.role).toBe('StatePreCandidate');
  });

  it('S-34, E9: a learner that does not know of its promotion votes, and saves the group', () => {
    const network = Network.withStrangers(2, 1);
    network.leader.propose('before');
    network.settle();
    network.leader.compact();
    changeAndSettle(network, 'l3');
    // 1 and 2 promote 3, which does not hear of it; then 1 dies.
    network.isolate(3);
    changeAndSettle(network, 'v3');
    network.heal();
    network.isolate(1);
    expect(network.replica(3).voters).toEqual([1, 2]);
    const leader = untilLeaderOfTerm(network, 2);
    expect(leader.id).toBe(2);
    network.tick(2);
    expect(network.replica(3).voters).toEqual([1, 2, 3]);
  });

  it('S-34: a voter is demoted by a snapshot, and campaigns no more', () => {
    const network = Network.withLeader(3);
    network.isolate(3);
    changeAndSettle(network, 'l3');
    network.leader.compact();
    network.heal();
    network.tick(3 * ELECTION_TICKS);
    const demoted = network.replica(3);
    expect(demoted.node.confState).toMatchObject({ voters: [1, 2], learners: [3] });
    demoted.node.campaign();
    expect(demoted.role).toBe('StateFollower');
  });
});
