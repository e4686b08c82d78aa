// Goal: nobody is kept from leading by a configuration that others know to be over (E13, M11).
// Method: replicas with logs that were cut off at the worst moment, and nobody else to ask.
import { describe, expect, it } from 'vitest';
import { encodeConfChange } from '../../../src/raft/conf-change-codec.js';
import type { Entry, ReplicaId } from '../../../src/raft/types.js';
import { Network } from '../network.js';
import {
  change,
  confStateOf,
  ELECTION_TICKS,
  entry,
  message,
  type ReplicaOptions,
  TestReplica,
} from '../replica.js';

function changeEntry(index: number, ...words: Parameters<typeof change>): Entry {
  const data = encodeConfChange(change(...words));
  return { type: 'EntryConfChangeV2', term: 1, index, data };
}

/** The third entry removes voter 4. */
const LOG = [entry(1, 1), entry(1, 2, 'a'), changeEntry(3, 'r4'), entry(1, 4), entry(1, 5)];

/** A replica that was sent the first `last` entries of term 1, so many of them as committed. */
function replicaWith(
  id: ReplicaId,
  log: readonly Entry[],
  commit: number,
  options: ReplicaOptions = {},
): TestReplica {
  const replica = new TestReplica(id, { voters: [1, 2, 3, 4], ...options });
  replica.node.step(message('MsgApp', 3, id, 1, { entries: log, commit }));
  replica.flush();
  return replica;
}

/** What the replica sends when it seeks the lead, and when the others let it go on to that. */
function requestsOf(replica: TestReplica, voters: readonly ReplicaId[]) {
  replica.node.forgetLeader();
  replica.node.campaign();
  const preVotes = replica.flush();
  for (const id of voters) replica.step('MsgPreVoteResp', id, replica.term + 1);
  return [...preVotes, ...replica.flush()].map(({ type, to, index, commit, commitTerm }) => {
    return `${type} ${to} last ${index} commit ${commitTerm}/${commit}`;
  });
}

describe('E13: requests for votes and their answers tell what is committed', () => {
  it('M11: 4 became 3 voters, power and one disk are lost, and the two left elect', () => {
    // 1 knows that 4 is out. 2 holds more, but counts on three of four: 3 lost its disk, and 4 is
    // gone for good, as it may be once 1 and 3 have synced its removal (M12).
    const knowing = replicaWith(1, LOG.slice(0, 3), 3);
    const longest = replicaWith(2, LOG, 2);
    for (const replica of [knowing, longest]) replica.restart();
    const network = new Network([knowing, longest]);
    network.settle();
    expect(knowing.voters).toEqual([1, 2, 3]);
    expect(longest.voters).toEqual([1, 2, 3, 4]);
    network.tickUntil(() => longest.isLeader, 8 * ELECTION_TICKS);
    network.tick(2);
    expect(longest.voters).toEqual([1, 2, 3]);
    expect(knowing.logIds).toEqual(longest.logIds);
    expect(knowing.commit).toBe(longest.node.basicStatus().lastIndex);
  });

  it('M11: who was removed tells it with a vote that it gives as well', () => {
    // Out of seven voters 1, 2 and 3 stay. 4 led that and knows that it is over; 5, 6 and 7 are
    // down, whose votes nobody needs any more.
    const voters = [1, 2, 3, 4, 5, 6, 7];
    const log = [changeEntry(1, 'r4 r5 r6 r7', 'joint-explicit'), changeEntry(2, '')];
    const network = new Network([
      replicaWith(1, log, 1, { voters }),
      replicaWith(2, log, 1, { voters }),
      replicaWith(4, log, 2, { voters }),
    ]);
    const removed = network.replica(4);
    expect(removed.node.confState).toEqual(confStateOf([1, 2, 3]));
    network.tickUntil(() => network.leaders.length === 1, 8 * ELECTION_TICKS);
    network.tick(2);
    expect(network.leader.id).not.toBe(4);
    for (const { node } of network.replicas) expect(node.confState).toEqual(confStateOf([1, 2, 3]));
  });

  it.each([
    { of: 'the log', compact: false },
    { of: 'a snapshot, behind which the log was cut', compact: true },
  ])('with the term of the entry there, be it in $of', ({ compact }) => {
    const candidate = replicaWith(1, LOG, 3);
    if (compact) candidate.compact();
    expect(candidate.storage.firstIndex()).toBe(compact ? 4 : 1);
    expect(requestsOf(candidate, [2, 3])).toEqual([
      'MsgPreVote 2 last 5 commit 1/3',
      'MsgPreVote 3 last 5 commit 1/3',
      'MsgVote 2 last 5 commit 1/3',
      'MsgVote 3 last 5 commit 1/3',
    ]);
  });

  it.each([
    { type: 'MsgPreVote', reject: false, index: 5 },
    { type: 'MsgPreVote', reject: true, index: 3 },
    { type: 'MsgVote', reject: false, index: 5 },
    { type: 'MsgVote', reject: true, index: 3 },
  ] as const)('both ways: $type for a log up to $index', ({ type, reject, index }) => {
    const asked = replicaWith(2, LOG, 2);
    asked.node.forgetLeader();
    asked.step(type, 1, 2, { index, logTerm: 1, commit: 3, commitTerm: 1 });
    expect(asked.commit).toBe(3);
    const answer = { type: `${type}Resp`, to: 1, reject, commit: 2, commitTerm: 1 };
    expect(asked.flush()).toMatchObject([answer]);
    expect(asked.voters).toEqual([1, 2, 3]);
  });

  it.each(['MsgPreVote', 'MsgVote'] as const)(
    'a %s of an earlier term tells it as well to who is ahead for ever',
    (type) => {
      const asked = replicaWith(2, LOG, 2);
      asked.node.forgetLeader();
      asked.step('MsgVote', 3, 9, { index: 1, logTerm: 1, commit: 0, commitTerm: 0 });
      asked.flush();
      asked.step(type, 1, 5, { index: 5, logTerm: 1, commit: 3, commitTerm: 1 });
      asked.flush();
      expect([asked.term, asked.commit, asked.voters]).toEqual([9, 3, [1, 2, 3]]);
    },
  );

  it('an index alone says nothing: who holds another entry there commits nothing', () => {
    for (const [commit, commitTerm] of [
      [3, 2],
      [3, 0],
      [6, 1],
      [0, 0],
      [Number.MAX_SAFE_INTEGER, 1],
    ] as const) {
      const asked = replicaWith(2, LOG, 2);
      asked.node.forgetLeader();
      asked.step('MsgVote', 1, 9, { index: 9, logTerm: 8, commit, commitTerm });
      expect(asked.commit).toBe(2);
    }
  });

  it('nor does one from before the own log begins, or below the own commit index', () => {
    for (const commit of [1, 2, 3]) {
      const asked = replicaWith(2, LOG, 3);
      asked.compact();
      asked.node.forgetLeader();
      asked.step('MsgVote', 1, 9, { index: 9, logTerm: 8, commit, commitTerm: 1 });
      expect(asked.commit).toBe(3);
    }
  });

  it.each([
    { what: 'a change of the configuration', commit: 3, role: 'StateFollower' },
    { what: 'writes', commit: 2, role: 'StateCandidate' },
  ])('E8: a candidate that learns of $what is a $role', ({ commit, role }) => {
    for (const type of ['MsgVote', 'MsgVoteResp'] as const) {
      const candidate = replicaWith(2, LOG, 1, { preVote: false });
      candidate.node.campaign();
      candidate.flush();
      const body = { index: 3, logTerm: 1, reject: true, commit, commitTerm: 1 };
      candidate.step(type, 1, 2, body);
      expect([candidate.role, candidate.commit]).toEqual([role, commit]);
      expect([candidate.term, candidate.vote]).toEqual([2, 2]);
    }
  });

  it('E8: so is a pre-candidate, and counts on the new voters next time', () => {
    const candidate = replicaWith(2, LOG, 1);
    candidate.node.forgetLeader();
    candidate.node.campaign();
    candidate.flush();
    candidate.step('MsgPreVoteResp', 1, 2, { commit: 3, commitTerm: 1 });
    expect(candidate.role).toBe('StateFollower');
    // The answer came before the change was applied here, so that it does not count any more.
    candidate.step('MsgPreVoteResp', 3, 2);
    candidate.flush();
    expect(candidate.role).toBe('StateFollower');
    candidate.node.campaign();
    candidate.flush();
    candidate.step('MsgPreVoteResp', 1, 2);
    candidate.flush();
    candidate.step('MsgVoteResp', 1, 2);
    expect(candidate.isLeader).toBe(true);
  });

  it('E11: a leader that refuses a vote goes on counting for itself', () => {
    const leader = replicaWith(2, LOG, 1, { preVote: false });
    leader.node.campaign();
    leader.flush();
    for (const id of [1, 3]) leader.step('MsgVoteResp', id, 2);
    expect(leader.isLeader).toBe(true);
    leader.step('MsgVote', 4, 2, { index: 3, logTerm: 1, commit: 3, commitTerm: 1 });
    expect(leader.commit).toBe(1);
  });

  it('E5: a request that is ignored for the sake of a leader tells nothing either', () => {
    const follower = replicaWith(2, LOG, 2);
    follower.step('MsgPreVote', 1, 2, { index: 5, logTerm: 1, commit: 3, commitTerm: 1 });
    expect(follower.commit).toBe(2);
    expect(follower.node.hasReady()).toBe(false);
  });
});
