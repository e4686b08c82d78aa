// Goal: the paper's safety rules (5.4), as etcd's raft_paper_test.go lists them.
// Method: one replica driven by hand-made messages; its requests, votes and commits are compared.
import { describe, expect, it } from 'vitest';
import { entriesOf, leaderOf, paperReplica } from '../replica.js';

describe('section 5.4.1: election restriction', () => {
  it.each([
    { terms: [1], term: 2 },
    { terms: [1, 2], term: 3 },
  ])('TestVoteRequest: a request speaks of the last entry of $terms', ({ terms, term }) => {
    const replica = paperReplica(1);
    replica.step('MsgApp', 2, term - 1, { entries: entriesOf(terms) });
    replica.flush();
    replica.tickUntilCampaign();
    const last = { index: terms.length, logTerm: terms.at(-1) };
    expect(replica.flush()).toMatchObject([
      { type: 'MsgVote', to: 2, term, ...last },
      { type: 'MsgVote', to: 3, term, ...last },
    ]);
  });

  it.each([
    // Equal last terms: the longer log wins.
    { terms: [1], logTerm: 1, index: 1, reject: false },
    { terms: [1], logTerm: 1, index: 2, reject: false },
    { terms: [1, 1], logTerm: 1, index: 1, reject: true },
    // The candidate's last term is higher.
    { terms: [1], logTerm: 2, index: 1, reject: false },
    { terms: [1], logTerm: 2, index: 2, reject: false },
    { terms: [1, 1], logTerm: 2, index: 1, reject: false },
    // The voter's last term is higher.
    { terms: [2], logTerm: 1, index: 1, reject: true },
    { terms: [2], logTerm: 1, index: 2, reject: true },
    { terms: [2, 2], logTerm: 1, index: 1, reject: true },
    // More than the paper's: a shorter log of a later term still wins over a longer one.
    { terms: [1, 1, 1, 1], logTerm: 2, index: 1, reject: false },
  ])('TestVoter: a log of $terms votes on $logTerm/$index: refuses $reject (E2)', (example) => {
    const replica = paperReplica(1, { terms: example.terms });
    const { logTerm, index, reject } = example;
    replica.step('MsgVote', 2, 3, { logTerm, index });
    expect(replica.flush()).toMatchObject([{ type: 'MsgVoteResp', to: 2, term: 3, reject }]);
  });
});

describe('section 5.4.2: entries of previous terms', () => {
  it.each([
    // Entries of earlier terms are not committed by counting.
    { index: 1, commit: 0 },
    { index: 2, commit: 0 },
    // The own one is, and takes the others along.
    { index: 3, commit: 3 },
  ])('TestLeaderOnlyCommitsLogFromCurrentTerm: $index held commits $commit', (example) => {
    const leader = leaderOf([1, 2], { terms: [1, 2] });
    expect(leader.term).toBe(3);
    leader.flush();
    leader.step('MsgAppResp', 2, 3, { index: example.index });
    expect(leader.commit).toBe(example.commit);
  });
});
