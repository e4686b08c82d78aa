// Goal: replication and commit (paper 5.3), with the cases of etcd's raft_paper_test.go.
// Method: a leader or follower driven by hand-made messages, and pairs of replicas for Figure 7.
import { describe, expect, it } from 'vitest';
import type { ReplicaId } from '../../../src/raft/types.js';
import { Network } from '../network.js';
import { entriesOf, entry, idsOf, leaderOf, paperReplica } from '../replica.js';

/** A leader of term 1 whose no-op all others have. */
function settledLeader(voters: readonly ReplicaId[]) {
  const leader = leaderOf(voters);
  leader.flush();
  for (const id of voters) if (id !== 1) leader.step('MsgAppResp', id, 1, { index: 1 });
  leader.flush();
  expect(leader.commit).toBe(1);
  return leader;
}

describe('section 5.3: log replication', () => {
  it('TestLeaderStartReplication: a proposal is appended and sent to all in parallel', () => {
    const leader = settledLeader([1, 2, 3]);
    expect(leader.propose('some data')).toEqual({ kind: 'accepted', index: 2, term: 1 });
    const ready = leader.take();
    const proposed = [entry(1, 2, 'some data')];
    expect(ready.entries).toEqual(proposed);
    expect(ready.committed).toEqual([]);
    expect(ready.messages).toMatchObject(
      [2, 3].map((to) => {
        return { type: 'MsgApp', to, index: 1, logTerm: 1, entries: proposed, commit: 1 };
      }),
    );
    leader.finish(ready);
    expect(leader.commit).toBe(1);
  });

  it('TestLeaderCommitEntry: what a majority holds is committed, applied, and told', () => {
    const leader = settledLeader([1, 2, 3]);
    leader.propose('some data');
    leader.flush();
    leader.step('MsgAppResp', 2, 1, { index: 2 });
    leader.step('MsgAppResp', 3, 1, { index: 2 });
    expect(leader.commit).toBe(2);
    const ready = leader.take();
    expect(ready.committed).toEqual([entry(1, 2, 'some data')]);
    expect(ready.messages).toMatchObject([
      { type: 'MsgApp', to: 2, index: 2, commit: 2 },
      { type: 'MsgApp', to: 3, index: 2, commit: 2 },
    ]);
  });

  it.each([
    { size: 1, acceptors: [], acknowledged: true },
    { size: 3, acceptors: [], acknowledged: false },
    { size: 3, acceptors: [2], acknowledged: true },
    { size: 3, acceptors: [2, 3], acknowledged: true },
    { size: 5, acceptors: [], acknowledged: false },
    { size: 5, acceptors: [2], acknowledged: false },
    { size: 5, acceptors: [2, 3], acknowledged: true },
    { size: 5, acceptors: [2, 3, 4], acknowledged: true },
    { size: 5, acceptors: [2, 3, 4, 5], acknowledged: true },
  ])('TestLeaderAcknowledgeCommit: $acceptors of $size: $acknowledged', (example) => {
    const voters = Array.from({ length: example.size }, (_, at) => at + 1);
    const leader = settledLeader(voters);
    leader.propose('some data');
    leader.flush();
    for (const id of example.acceptors) leader.step('MsgAppResp', id, 1, { index: 2 });
    expect(leader.commit >= 2).toBe(example.acknowledged);
  });

  it.each([[[]], [[2]], [[1, 2]], [[1]]])(
    'TestLeaderCommitPrecedingEntries: entries of terms %j commit with the first own one',
    (terms) => {
      const leader = leaderOf([1, 2, 3], { terms, hardState: { term: 2 } });
      leader.propose('some data');
      leader.flush();
      const last = terms.length + 2;
      leader.step('MsgAppResp', 2, 3, { index: last });
      leader.flush();
      expect(idsOf(leader.committed)).toEqual(
        idsOf([...entriesOf(terms), ...entriesOf([3, 3], terms.length + 1)]),
      );
    },
  );

  it.each([
    { entries: [entry(1, 1, 'a')], commit: 1 },
    { entries: [entry(1, 1, 'a'), entry(1, 2, 'b')], commit: 2 },
    { entries: [entry(1, 1, 'b'), entry(1, 2, 'a')], commit: 2 },
    { entries: [entry(1, 1, 'a'), entry(1, 2, 'b')], commit: 1 },
  ])('TestFollowerCommitEntry: applies $commit of the entries, in order', (example) => {
    const follower = paperReplica(1);
    follower.step('MsgApp', 2, 1, example);
    follower.flush();
    expect(follower.commit).toBe(example.commit);
    expect(follower.committed).toEqual(example.entries.slice(0, example.commit));
  });

  it.each([
    // Matches with the committed entries: answered with the commit index where it is before it.
    { term: 0, index: 0, expected: { index: 1, reject: false } },
    { term: 1, index: 1, expected: { index: 1, reject: false } },
    // Matches with an uncommitted one.
    { term: 2, index: 2, expected: { index: 2, reject: false } },
    // Does not match an existing entry.
    { term: 1, index: 2, expected: { index: 2, reject: true, rejectHint: 1, logTerm: 1 } },
    // There is no such entry.
    { term: 3, index: 3, expected: { index: 3, reject: true, rejectHint: 2, logTerm: 2 } },
  ])('TestFollowerCheckMsgApp: previous $term/$index on 1/1 2/2 (L2, L4)', (example) => {
    const follower = paperReplica(1, { terms: [1, 2], hardState: { term: 2, commit: 1 } });
    follower.step('MsgApp', 2, 3, { logTerm: example.term, index: example.index });
    expect(follower.flush()).toMatchObject([
      { type: 'MsgAppResp', to: 2, term: 3, ...example.expected },
    ]);
  });

  it.each([
    { previous: [2, 2], terms: [3], log: ['1/1', '2/2', '3/3'], unstable: ['3/3'] },
    { previous: [1, 1], terms: [3, 4], log: ['1/1', '3/2', '4/3'], unstable: ['3/2', '4/3'] },
    { previous: [0, 0], terms: [1], log: ['1/1', '2/2'], unstable: [] },
    { previous: [0, 0], terms: [3], log: ['3/1'], unstable: ['3/1'] },
  ])('TestFollowerAppendEntries: $terms after $previous makes $log (L1)', (example) => {
    const follower = paperReplica(1, { terms: [1, 2] });
    const [logTerm = 0, index = 0] = example.previous;
    const entries = entriesOf(example.terms, index + 1);
    follower.step('MsgApp', 2, 4, { logTerm, index, entries });
    const ready = follower.take();
    expect(idsOf(ready.entries)).toEqual(example.unstable);
    follower.finish(ready);
    expect(follower.logIds).toEqual(example.log);
  });

  it.each([
    ['a', [1, 1, 1, 4, 4, 5, 5, 6, 6]],
    ['b', [1, 1, 1, 4]],
    ['c', [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6]],
    ['d', [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7]],
    ['e', [1, 1, 1, 4, 4, 4, 4]],
    ['f', [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]],
  ])('TestLeaderSyncFollowerLog: Figure 7 (%s) is brought in line', (_, terms) => {
    const leaderTerms = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    const lead = paperReplica(1, { terms: leaderTerms, hardState: { term: 8 } });
    const follower = paperReplica(2, { terms, hardState: { term: 7 } });
    // The third voter grants whatever it is asked: in Figure 7 it is one that lags behind.
    const network = new Network([lead, follower, paperReplica(3)]);
    lead.node.campaign();
    network.settle();
    lead.propose('more');
    network.settle();
    expect(lead.isLeader).toBe(true);
    expect(follower.log).toEqual(lead.log);
    expect(follower.committed).toEqual(lead.committed);
    expect(lead.commit).toBe(leaderTerms.length + 2);
  });
});
