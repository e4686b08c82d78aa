// Goal: terms and elections (paper 5.1, 5.2), with the cases of etcd's raft_paper_test.go.
// Method: one replica driven by hand-made messages; what it sends and becomes is compared.
import { describe, expect, it } from 'vitest';
import type { ReplicaId } from '../../../src/raft/types.js';
import {
  ELECTION_TICKS,
  entriesOf,
  leaderOf,
  paperReplica,
  seededRandom,
  type TestReplica,
} from '../replica.js';

function candidateOf(voters: readonly ReplicaId[]): TestReplica {
  const replica = paperReplica(1, { voters });
  replica.node.campaign();
  replica.flush();
  return replica;
}

const votersOf = (size: number): ReplicaId[] => Array.from({ length: size }, (_, at) => at + 1);

describe('section 5.1: terms', () => {
  it.each([
    ['TestFollowerUpdateTermFromMessage', () => paperReplica(1, { hardState: { term: 1 } })],
    ['TestCandidateUpdateTermFromMessage', () => candidateOf([1, 2, 3])],
    ['TestLeaderUpdateTermFromMessage', () => leaderOf([1, 2, 3])],
  ])('%s: a later term makes any role a follower of that term', (_, make) => {
    const replica = make();
    expect(replica.term).toBe(1);
    replica.step('MsgApp', 2, 2);
    expect(replica.term).toBe(2);
    expect(replica.role).toBe('StateFollower');
    expect(replica.lead).toBe(2);
  });

  it('TestRejectStaleTermMessage: a message of an earlier term changes nothing', () => {
    const replica = paperReplica(1, { hardState: { term: 2 } });
    replica.step('MsgApp', 2, 1, { entries: entriesOf([1]) });
    expect(replica.node.hasReady()).toBe(false);
    expect(replica.term).toBe(2);
    expect(replica.lead).toBe(0);
  });
});

describe('section 5.2: elections', () => {
  it('TestStartAsFollower: a replica begins as a follower', () => {
    expect(paperReplica(1).role).toBe('StateFollower');
  });

  it('TestLeaderBcastBeat: a leader sends a heartbeat to all others at every interval', () => {
    const replica = paperReplica(1, { heartbeatTicks: 3 });
    replica.node.campaign();
    replica.flush();
    replica.step('MsgVoteResp', 2, 1);
    replica.flush();
    replica.tick(2);
    expect(replica.node.hasReady()).toBe(false);
    replica.tick();
    expect(replica.flush().map(({ type, to, term }) => [type, to, term])).toEqual([
      ['MsgHeartbeat', 2, 1],
      ['MsgHeartbeat', 3, 1],
    ]);
  });

  it.each([
    ['TestFollowerStartElection', () => paperReplica(1, { hardState: { term: 1 } })],
    ['TestCandidateStartNewElection', () => candidateOf([1, 2, 3])],
  ])('%s: without a leader an election begins within two timeouts', (_, make) => {
    const replica = make();
    replica.tick(2 * ELECTION_TICKS - 1);
    expect(replica.term).toBe(2);
    expect(replica.role).toBe('StateCandidate');
    expect(replica.vote).toBe(1);
    const requests = replica.flush();
    expect(requests.map(({ type, to, term }) => [type, to, term])).toEqual([
      ['MsgVote', 2, 2],
      ['MsgVote', 3, 2],
    ]);
  });

  it.each([
    // Won: a majority granted.
    { size: 1, votes: {}, role: 'StateLeader' },
    { size: 3, votes: { 2: true, 3: true }, role: 'StateLeader' },
    { size: 3, votes: { 2: true }, role: 'StateLeader' },
    { size: 5, votes: { 2: true, 3: true, 4: true, 5: true }, role: 'StateLeader' },
    { size: 5, votes: { 2: true, 3: true, 4: true }, role: 'StateLeader' },
    { size: 5, votes: { 2: true, 3: true }, role: 'StateLeader' },
    // Lost: a majority refused.
    { size: 3, votes: { 2: false, 3: false }, role: 'StateFollower' },
    { size: 5, votes: { 2: false, 3: false, 4: false, 5: false }, role: 'StateFollower' },
    { size: 5, votes: { 2: true, 3: false, 4: false, 5: false }, role: 'StateFollower' },
    // Open.
    { size: 3, votes: {}, role: 'StateCandidate' },
    { size: 5, votes: { 2: true }, role: 'StateCandidate' },
    { size: 5, votes: { 2: false, 3: false }, role: 'StateCandidate' },
    { size: 5, votes: {}, role: 'StateCandidate' },
  ])('TestLeaderElectionInOneRoundRPC: of $size voters, $votes makes $role', (example) => {
    const replica = candidateOf(votersOf(example.size));
    for (const [id, granted] of Object.entries(example.votes)) {
      replica.step('MsgVoteResp', Number(id), 1, { reject: !granted });
    }
    expect(replica.role).toBe(example.role);
    expect(replica.term).toBe(1);
  });

  it.each([
    { vote: 0, from: 2, granted: true },
    { vote: 0, from: 3, granted: true },
    { vote: 2, from: 2, granted: true },
    { vote: 3, from: 3, granted: true },
    { vote: 2, from: 3, granted: false },
    { vote: 3, from: 2, granted: false },
  ])('TestFollowerVote: after a vote for $vote, $from gets $granted (E3)', (example) => {
    const replica = paperReplica(1, { hardState: { term: 1, vote: example.vote } });
    replica.step('MsgVote', example.from, 1);
    expect(replica.flush()).toMatchObject([
      { type: 'MsgVoteResp', to: example.from, term: 1, reject: !example.granted },
    ]);
  });

  it.each([1, 2])('TestCandidateFallback: an append of term %i makes a follower', (term) => {
    const replica = candidateOf([1, 2, 3]);
    replica.step('MsgApp', 2, term);
    expect(replica.role).toBe('StateFollower');
    expect(replica.lead).toBe(2);
    expect(replica.term).toBe(term);
  });

  it.each([
    ['TestFollowerElectionTimeoutRandomized', 'StateFollower'],
    ['TestCandidateElectionTimeoutRandomized', 'StateCandidate'],
  ])('%s: the timeout takes every value of [T, 2T) (E10)', (_, role) => {
    const random = seededRandom(7);
    const replica = paperReplica(1, { random });
    const seen = new Set<number>();
    for (let round = 0; round < 50 * ELECTION_TICKS; round += 1) {
      replica.flush();
      if (role === 'StateFollower') replica.step('MsgHeartbeat', 2, replica.term + 1);
      seen.add(replica.tickUntilCampaign());
    }
    const expected = Array.from({ length: ELECTION_TICKS }, (__, at) => ELECTION_TICKS + at);
    expect([...seen].sort((a, b) => a - b)).toEqual(expected);
  });

  it.each([
    ['TestFollowersElectionTimeoutNonconflict', 'StateFollower'],
    ['TestCandidatesElectionTimeoutNonconflict', 'StateCandidate'],
  ])('%s: mostly one of five replicas times out before the others', (_, role) => {
    const random = seededRandom(11);
    const replicas = votersOf(5).map((id) => paperReplica(id, { voters: votersOf(5), random }));
    const rounds = 1000;
    let conflicts = 0;
    for (let round = 1; round <= rounds; round += 1) {
      for (const replica of replicas) {
        if (role === 'StateFollower') replica.step('MsgHeartbeat', 9, round * 2);
        else replica.node.campaign();
      }
      const timeouts = replicas.map((replica) => replica.tickUntilCampaign());
      const first = Math.min(...timeouts);
      if (timeouts.filter((timeout) => timeout === first).length > 1) conflicts += 1;
    }
    // Five draws of ten values share the lowest one in about 30 of 100 cases.
    expect(conflicts / rounds).toBeLessThan(0.4);
    expect(conflicts).toBeGreaterThan(0);
  });
});
