// Goal: elections end with one leader, and happen only where they should (S-01 to S-12).
// Method: small networks driven by ticks, with links cut and replicas restarted.
import { describe, expect, it } from 'vitest';
import { encodeConfChange } from '../../../src/raft/conf-change-codec.js';
import type { Message } from '../../../src/raft/types.js';
import { Network } from '../network.js';
import { change, ELECTION_TICKS, entriesOf, paperReplica, TestReplica } from '../replica.js';

describe('elections', () => {
  it.each([1, 3, 5, 7])(
    'S-01: %i replicas elect one leader, which commits its no-op (E11)',
    (size) => {
      const network = Network.of(size);
      network.tickUntil(() => network.leaders.length > 0, 4 * ELECTION_TICKS);
      network.tick(2);
      expect(network.leaders).toHaveLength(1);
      for (const replica of network.replicas) {
        expect(replica.commit).toBe(1);
        expect(replica.committed.map(({ index, data }) => [index, data.length])).toEqual([[1, 0]]);
        expect(replica.lead).toBe(network.leader.id);
      }
    },
  );

  it('S-02: equal timeouts split the votes until they are drawn again', () => {
    const network = Network.of(4, { preVote: false });
    for (const replica of network.replicas) replica.node.setRandomizedElectionTicks(ELECTION_TICKS);
    network.tick(ELECTION_TICKS - 1);
    for (const replica of network.replicas) replica.tick();
    network.settle();
    expect(network.leaders).toHaveLength(0);
    network.tickUntil(() => network.leaders.length > 0, 10 * 2 * ELECTION_TICKS);
    expect(network.leaders).toHaveLength(1);
  });

  it('S-05: one vote in a term, whatever comes between (E3)', () => {
    const between: Record<string, (replica: TestReplica) => void> = {
      nothing: () => {},
      'a leader of the term': (replica) => replica.step('MsgHeartbeat', 4, 5),
      'a forgotten leader': (replica) => {
        replica.step('MsgHeartbeat', 4, 5);
        replica.node.forgetLeader();
      },
      'an append of the term': (replica) => replica.step('MsgApp', 4, 5),
      'a restart': (replica) => replica.restart(),
    };
    for (const [what, happen] of Object.entries(between)) {
      const replica = paperReplica(1, { voters: [1, 2, 3, 4, 5] });
      replica.step('MsgVote', 2, 5);
      expect(replica.flush(), what).toMatchObject([{ to: 2, reject: false }]);
      happen(replica);
      replica.flush();
      replica.step('MsgVote', 3, 5);
      expect(replica.flush(), what).toMatchObject([{ to: 3, term: 5, reject: true }]);
      expect(replica.vote, what).toBe(2);
    }
  });

  it('S-05: a vote that is not durable is not sent; after a crash it was never given (E1)', () => {
    const replica = paperReplica(1);
    replica.step('MsgVote', 2, 5);
    const ready = replica.take();
    expect(ready.mustSync).toBe(true);
    expect(ready.hardState).toEqual({ term: 5, vote: 2, commit: 0 });
    expect(ready.messages).toEqual([]);
    expect(ready.messagesAfterPersist).toMatchObject([{ type: 'MsgVoteResp', to: 2 }]);
    replica.restart();
    replica.step('MsgVote', 3, 5);
    expect(replica.flush()).toMatchObject([{ type: 'MsgVoteResp', to: 3, reject: false }]);
  });

  it('S2: a vote needs an fsync also in a term that is durable already, a commit does not', () => {
    const replica = paperReplica(1, { terms: [1], hardState: { term: 5 } });
    replica.step('MsgVote', 2, 5, { index: 1, logTerm: 1 });
    expect(replica.node.ready()).toMatchObject({ mustSync: true, hardState: { term: 5, vote: 2 } });
    const other = paperReplica(1, { terms: [1], hardState: { term: 5 } });
    other.step('MsgApp', 2, 5, { index: 1, logTerm: 1, commit: 1 });
    expect(other.node.ready()).toMatchObject({ mustSync: false, hardState: { commit: 1 } });
  });

  it.each([true, false])(
    'S-05: nobody leads before its own vote is durable, or twice in a term (E1, pre-vote %s)',
    (preVote) => {
      const [first, second, third] = [1, 2, 3].map((id) => new TestReplica(id, { preVote })) as [
        TestReplica,
        TestReplica,
        TestReplica,
      ];
      /** Rounds of talk with these voters; `send` is what may leave the first replica. */
      const talk = (send: () => readonly Message[], voters: readonly TestReplica[]): void => {
        for (let round = 0; round < 4; round += 1) {
          deliver(send(), voters);
          for (const voter of voters) deliver(voter.flush(), [first]);
        }
      };
      first.node.campaign();
      if (preVote) {
        deliver(first.flush(), [second]);
        deliver(second.flush(), [first]);
      }
      const neverDurable = first.take();
      expect(neverDurable.hardState).toMatchObject({ term: 1, vote: 1 });
      deliver(neverDurable.messages, [second, third]);
      for (const voter of [second, third]) deliver(voter.flush(), [first]);
      first.propose('lost with the crash');
      talk(() => first.node.takeOutbox().messages, [second]);

      first.restart();
      first.node.campaign();
      talk(() => first.flush(), [third]);
      first.propose('kept');
      first.tick();
      talk(() => first.flush(), [second, third]);
      expect(first.isLeader).toBe(true);
      expect(textsOf(second)).toEqual(textsOf(first));
      expect(textsOf(third)).toEqual(textsOf(first));
    },
  );

  it.each([
    ['without pre-vote', false, [1, 2, 3], [3]],
    ['with pre-vote', true, [1, 2, 3, 4, 5], [3, 4, 5]],
  ])(
    'S-40: votes for a log that a crash took back elect nobody (E1, %s)',
    (_, preVote, voters, others) => {
      const options = { voters, preVote, checkQuorum: false };
      const candidate = new TestReplica(1, { ...options, terms: [1] });
      // Leader 2 has committed entry 2 with the others; it is not durable at 1 yet.
      const granters = others.map((id) => new TestReplica(id, { ...options, terms: [1, 1] }));
      const append = { index: 1, logTerm: 1, entries: entriesOf([1], 2) };
      candidate.step('MsgApp', 2, 1, append);
      expect(candidate.take().entries).toHaveLength(1);
      candidate.node.forgetLeader();
      candidate.node.campaign();
      const grants: Message[] = [];
      for (let round = 0; round < 3; round += 1) {
        deliver(candidate.node.takeOutbox().messages, granters);
        const answers = granters.flatMap((each) => each.flush());
        deliver(answers, [candidate]);
        grants.push(...answers);
      }

      candidate.restart();
      expect(candidate.logIds).toEqual(['1/1']);
      candidate.node.campaign();
      candidate.flush();
      // They arrive once more, or for the first time.
      for (const late of grants) {
        deliver([late], [candidate]);
        candidate.flush();
      }
      expect(candidate.isLeader).toBe(false);
    },
  );

  it('E1: a request for votes waits for what it says to be durable, unlike a pre-vote', () => {
    const replica = new TestReplica(1, { terms: [1] });
    replica.node.campaign();
    const asking = replica.take();
    expect(asking.messages.map(({ type }) => type)).toEqual(['MsgPreVote', 'MsgPreVote']);
    replica.finish(asking);
    for (const id of [2, 3]) replica.step('MsgPreVoteResp', id, 2);
    expect(replica.node.takeOutbox().messages).toEqual([]);
    const ready = replica.take();
    expect(ready.hardState).toMatchObject({ term: 2, vote: 1 });
    expect(ready.messages).toEqual([]);
    const requests = ready.messagesAfterPersist;
    expect(requests.map(({ type, to }) => [type, to])).toEqual([
      ['MsgVote', 2],
      ['MsgVote', 3],
    ]);
    // Whatever is answered before does not make it lead.
    for (const id of [2, 3]) replica.step('MsgVoteResp', id, 2);
    expect(replica.role).toBe('StateCandidate');
    replica.finish(ready);
    expect(replica.role).toBe('StateLeader');
  });

  it('S-07: a replica that comes back from isolation disturbs nobody (E4, E5, E7)', () => {
    const network = Network.withLeader(3);
    const { term } = network.leader;
    network.isolate(3);
    network.tick(20 * ELECTION_TICKS);
    expect(network.replica(3).role).toBe('StatePreCandidate');
    network.heal();
    network.tick(2 * ELECTION_TICKS);
    expect(network.replicas.map((replica) => replica.term)).toEqual([term, term, term]);
    expect(network.replicas.map((replica) => replica.lead)).toEqual([1, 1, 1]);
  });

  it('S-08: a leader cut from one of two followers goes on without elections (E5, E7)', () => {
    const network = Network.withLeader(3);
    network.cut(1, 2);
    for (let round = 0; round < 100; round += 1) {
      network.tick(ELECTION_TICKS);
      expect(network.leader.propose('write').kind).toBe('accepted');
      network.settle();
      expect(network.leader.commit).toBe(round + 2);
    }
    expect(network.replica(1).isLeader).toBe(true);
    expect(network.replica(3).term).toBe(1);
  });

  it('S-09: a leader is found although the best log is in the lower term (E4)', () => {
    // 3 fell behind at term 1; 1 and 2 went on to 5; then 1, the leader, dies.
    const network = new Network([
      new TestReplica(1, { terms: [1, 5, 5], hardState: { term: 5 } }),
      new TestReplica(2, { terms: [1, 5, 5], hardState: { term: 5 } }),
      new TestReplica(3, { terms: [1], hardState: { term: 1 } }),
    ]);
    network.isolate(1);
    network.tickUntil(() => network.leaders.length === 1, 6 * ELECTION_TICKS);
    expect(network.leader.id).toBe(2);
    expect(network.replica(3).term).toBe(network.leader.term);
  });

  it.each([true, false])('S-10: a shorter log in a higher term joins (check-quorum %s)', (on) => {
    const network = new Network([
      new TestReplica(1, { terms: [1, 1, 1], hardState: { term: 1 }, checkQuorum: on }),
      new TestReplica(2, { terms: [1, 1, 1], hardState: { term: 1 } }),
      new TestReplica(3, { terms: [1], hardState: { term: 9 }, checkQuorum: on }),
    ]);
    network.tickUntil(() => network.leaders.length === 1, 8 * ELECTION_TICKS);
    network.tick(2 * ELECTION_TICKS);
    expect(network.leader.term).toBeGreaterThan(9);
    expect(network.leader.id).not.toBe(3);
    expect(network.replica(3).logIds).toEqual(network.leader.logIds);
  });

  it('S-10: a candidate above the term of a healthy group is taken in again (E6)', () => {
    const network = Network.withLeader(3, { preVote: false });
    network.isolate(3);
    network.tick(5 * ELECTION_TICKS);
    const stuckTerm = network.replica(3).term;
    expect(stuckTerm).toBeGreaterThan(1);
    network.heal();
    network.tickUntil(() => network.leaders.length === 1 && network.leader.term > 1, 100);
    network.tick(2 * ELECTION_TICKS);
    expect(network.leader.term).toBeGreaterThan(stuckTerm);
    expect(network.replica(3).lead).toBe(network.leader.id);
  });

  it('S-11: answers to an earlier pre-vote are ignored in every later role (E12)', () => {
    const replica = new TestReplica(1, { voters: [1, 2, 3] });
    replica.node.campaign();
    replica.flush();
    const grant = (from: number, term: number) => replica.step('MsgPreVoteResp', from, term);
    grant(3, 1);
    replica.flush();
    expect(replica.role).toBe('StateCandidate');
    // The other grant comes late, to a candidate ...
    grant(2, 1);
    expect(replica.role).toBe('StateCandidate');
    // ... to the pre-candidate of the next term ...
    replica.tickUntilCampaign();
    replica.flush();
    expect(replica.role).toBe('StatePreCandidate');
    grant(2, 1);
    expect(replica.role).toBe('StatePreCandidate');
    expect(replica.term).toBe(1);
    // ... and to the leader that it becomes.
    grant(3, 2);
    replica.flush();
    replica.step('MsgVoteResp', 3, 2);
    grant(2, 2);
    grant(2, 3);
    expect(replica.role).toBe('StateLeader');
    expect(replica.term).toBe(2);
  });

  it('S-11: late votes of a candidacy that was given up do not count as pre-votes (E12)', () => {
    const replica = new TestReplica(1);
    replica.node.campaign();
    replica.flush();
    replica.step('MsgPreVoteResp', 2, 1);
    replica.flush();
    expect(replica.role).toBe('StateCandidate');
    replica.tickUntilCampaign();
    replica.flush();
    expect(replica.role).toBe('StatePreCandidate');
    replica.step('MsgVoteResp', 2, 1);
    expect([replica.role, replica.term]).toEqual(['StatePreCandidate', 1]);
  });

  it('L13: the first answer of a voter counts, whatever else comes from it', () => {
    const candidate = paperReplica(1);
    candidate.node.campaign();
    candidate.flush();
    candidate.step('MsgVoteResp', 2, 1, { reject: true });
    candidate.step('MsgVoteResp', 2, 1);
    expect(candidate.role).toBe('StateCandidate');
    candidate.step('MsgVoteResp', 3, 1);
    expect(candidate.role).toBe('StateLeader');
  });

  it('E3: who knows the leader of a term votes for nobody else in it', () => {
    const voter = paperReplica(1);
    voter.step('MsgHeartbeat', 2, 5);
    voter.step('MsgVote', 3, 5);
    const answers = voter.flush().filter(({ type }) => type === 'MsgVoteResp');
    expect(answers).toMatchObject([{ to: 3, reject: true }]);
    expect(voter.vote).toBe(0);
  });

  it('who has voted gives the candidate the time of an election timeout', () => {
    const voter = paperReplica(1, { hardState: { term: 5 } });
    voter.tick(ELECTION_TICKS - 1);
    voter.step('MsgVote', 2, 5);
    voter.tick(ELECTION_TICKS - 1);
    expect(voter.role).toBe('StateFollower');
    expect(voter.vote).toBe(2);
  });

  it('E10: the timeout is drawn anew for each election, also where only pre-votes are held', () => {
    const draws = [0, 0.9, 0.3];
    let drawn = 0;
    const random = () => draws[drawn++ % draws.length] ?? 0;
    const replica = new TestReplica(1, { random });
    const timeouts = draws.map(() => {
      for (let ticks = 1; ; ticks += 1) {
        replica.tick();
        if (replica.flush().some(({ type }) => type === 'MsgPreVote')) return ticks;
      }
    });
    expect(timeouts).toEqual(draws.map((draw) => ELECTION_TICKS * (1 + draw)));
  });

  it('S-12: a leader without a quorum steps down within two timeouts (E6, R5)', () => {
    const network = Network.withLeader(3);
    network.isolate(1);
    const old = network.replica(1);
    old.propose('lost');
    old.node.readIndex(7);
    const ticks = network.tickUntil(() => !old.isLeader, 2 * ELECTION_TICKS);
    expect(ticks).toBeGreaterThan(0);
    expect(old.aborted).toEqual([7]);
    expect(old.reads).toEqual([]);
    network.tickUntil(() => network.leaders.length === 1, 4 * ELECTION_TICKS);
    network.leader.propose('kept');
    network.settle();
    network.heal();
    network.tick(3 * ELECTION_TICKS);
    for (const replica of network.replicas) expect(replica.appliedTexts).toEqual(['kept']);
  });

  it('S-13: a leader that is not heard, or does not hear, is replaced or steps down (E6)', () => {
    for (const direction of ['from', 'to'] as const) {
      const network = Network.withLeader(3);
      for (const other of [2, 3]) {
        if (direction === 'from') network.cutOneWay(1, other);
        else network.cutOneWay(other, 1);
      }
      // Who only hears it still believes in it, until it has noticed that nobody answers.
      const others = () => network.leaders.filter(({ id }) => id !== 1);
      network.tickUntil(() => others().length === 1, 8 * ELECTION_TICKS);
      expect(network.leader.propose('goes on').kind).toBe('accepted');
      network.heal();
      network.tick(2 * ELECTION_TICKS);
      expect(network.leaders).toHaveLength(1);
      expect(network.replica(1).appliedTexts).toEqual(['goes on']);
    }
  });

  it('S-14: in a ring where each sees two neighbours, one leads and writes go on', () => {
    const network = Network.withLeader(5);
    for (const [a, b] of [
      [1, 3],
      [1, 4],
      [2, 4],
      [2, 5],
      [3, 5],
    ] as const) {
      network.cut(a, b);
    }
    const { term } = network.leader;
    network.tick(50 * ELECTION_TICKS);
    expect(network.leader.term - term).toBeLessThan(50);
    network.leader.propose('in the ring');
    network.tick(ELECTION_TICKS);
    network.heal();
    network.tick(4 * ELECTION_TICKS);
    expect(network.leaders).toHaveLength(1);
    expect(new Set(network.replicas.map(({ logIds }) => logIds.join())).size).toBe(1);
  });

  it('E5: while a leader is heard from, votes are ignored, but for a transfer', () => {
    const replica = new TestReplica(1);
    replica.step('MsgHeartbeat', 2, 1);
    replica.flush();
    replica.step('MsgVote', 3, 2);
    replica.step('MsgPreVote', 3, 2);
    expect(replica.node.hasReady()).toBe(false);
    expect(replica.term).toBe(1);
    replica.step('MsgVote', 3, 2, { campaignTransfer: true });
    expect(replica.flush()).toMatchObject([{ type: 'MsgVoteResp', to: 3, reject: false }]);
  });

  it('S-09, E4: a pre-vote of a lower term is refused aloud, with the term to go on from', () => {
    const replica = new TestReplica(1, { terms: [1], hardState: { term: 5 } });
    replica.step('MsgPreVote', 2, 4, { index: 9, logTerm: 3 });
    const [answer] = replica.flush();
    expect(answer).toMatchObject({ type: 'MsgPreVoteResp', to: 2, term: 5, reject: true });
    const candidate = new TestReplica(2, { terms: [1, 3], hardState: { term: 3 } });
    candidate.node.campaign();
    candidate.flush();
    candidate.step('MsgPreVoteResp', 1, 5, { reject: true });
    expect([candidate.role, candidate.term]).toEqual(['StateFollower', 5]);
  });

  it('E8, E9: a learner never campaigns, but votes when asked', () => {
    const learner = paperReplica(3, { voters: [1, 2], learners: [3] });
    learner.tick(10 * ELECTION_TICKS);
    learner.node.campaign();
    expect(learner.role).toBe('StateFollower');
    expect(learner.node.hasReady()).toBe(false);
    learner.step('MsgVote', 1, 1);
    expect(learner.flush()).toMatchObject([{ type: 'MsgVoteResp', to: 1, reject: false }]);
  });

  it('E8: nobody campaigns over a committed configuration that it has not applied', () => {
    const replica = paperReplica(1);
    const data = encodeConfChange(change('l4'));
    const entries = [{ type: 'EntryConfChangeV2', term: 1, index: 1, data }] as const;
    replica.step('MsgApp', 2, 1, { entries, commit: 1 });
    const ready = replica.take();
    replica.storage.append(ready.entries);
    replica.node.persisted(ready);
    replica.node.campaign();
    expect(replica.role).toBe('StateFollower');
    replica.node.applied(1);
    replica.node.campaign();
    expect(replica.role).toBe('StateCandidate');
  });

  it('E8: nor behind more committed entries than are looked through at a time', () => {
    const replica = paperReplica(1);
    const normal = { type: 'EntryNormal', term: 1 } as const;
    const big = [1, 2, 3].map((index) => ({ ...normal, index, data: new Uint8Array(600_000) }));
    const data = encodeConfChange(change('l4'));
    const last = { type: 'EntryConfChangeV2', term: 1, index: 4, data } as const;
    replica.step('MsgApp', 2, 1, { entries: [...big, last], commit: 4 });
    const ready = replica.take();
    replica.storage.append(ready.entries);
    replica.node.persisted(ready);
    replica.node.campaign();
    expect(replica.role).toBe('StateFollower');
    // Nor does an order of the leader help.
    replica.step('MsgTimeoutNow', 2, 1, { index: 4, logTerm: 1 });
    expect(replica.role).toBe('StateFollower');
  });

  it('E5, E8: who may not campaign for that long after its leader died votes for others', () => {
    const replica = new TestReplica(1);
    const data = encodeConfChange(change('l4'));
    const entries = [{ type: 'EntryConfChangeV2', term: 1, index: 1, data }] as const;
    replica.step('MsgApp', 2, 1, { entries, commit: 1 });
    const ready = replica.take();
    replica.storage.append(ready.entries);
    replica.node.persisted(ready);
    replica.node.setRandomizedElectionTicks(ELECTION_TICKS);
    const ask = () => replica.step('MsgPreVote', 3, 2, { index: 1, logTerm: 1 });
    replica.tick(ELECTION_TICKS - 1);
    ask();
    expect(replica.node.hasReady()).toBe(false);
    replica.tick();
    ask();
    expect(replica.role).toBe('StateFollower');
    expect(replica.take().messagesAfterPersist).toMatchObject([
      { type: 'MsgPreVoteResp', to: 3, reject: false },
    ]);
  });
});

/** Steps those of the messages that are for these replicas; the others are lost. */
function deliver(messages: readonly Message[], to: readonly TestReplica[]): void {
  for (const message of messages) {
    to.find((replica) => replica.id === message.to)?.node.step(message);
  }
}

/** What the durable log holds, the no-ops left out. */
function textsOf(replica: TestReplica): string[] {
  return replica.log.map(({ data }) => Buffer.from(data).toString()).filter(Boolean);
}
