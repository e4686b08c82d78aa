// Goal: logs come together whatever is lost, late or doubled (S-03, S-16 to S-25, S-47).
// Method: single cores with hand-made messages, and small networks that lose and reorder.
import { describe, expect, it } from 'vitest';
import { type Entry, FatalRaftError } from '../../../src/raft/types.js';
import { Network } from '../network.js';
import {
  confStateOf,
  ELECTION_TICKS,
  entriesOf,
  entry,
  HEARTBEAT_TICKS,
  idsOf,
  leaderOf,
  paperReplica,
  seededRandom,
  type TestReplica,
} from '../replica.js';

function statusOf(leader: TestReplica, id: number) {
  const found = leader.node.status().progress.find((progress) => progress.id === id);
  if (found === undefined) throw new Error(`no progress of ${id}`);
  return found;
}

describe('commit', () => {
  it('S-03: Figure 8: an old entry on a majority is not committed, and may be replaced', () => {
    const voters = [1, 2, 3, 4, 5];
    const makeOne = () => leaderOf(voters, { terms: [1, 2], hardState: { term: 3 } });
    const makeThree = (terms: number[]) => paperReplica(3, { voters, terms });
    const requestOfFive = { index: 2, logTerm: 3 };
    // (c): 1 leads again, at term 4, and has spread 2/2 to 2 and 3.
    const one = makeOne();
    one.flush();
    for (const id of [2, 3]) one.step('MsgAppResp', id, 4, { index: 2 });
    expect([2, 3].map((id) => statusOf(one, id).match)).toEqual([2, 2]);
    expect(one.commit).toBe(0);
    // (d): 5, whose last entry is 3/2, wins the vote of 3 and replaces 2/2 there.
    const three = makeThree([1, 2]);
    three.step('MsgVote', 5, 5, requestOfFive);
    expect(three.flush()).toMatchObject([{ type: 'MsgVoteResp', reject: false }]);
    three.step('MsgApp', 5, 5, { index: 1, logTerm: 1, entries: entriesOf([3], 2) });
    three.flush();
    expect(three.logIds).toEqual(['1/1', '3/2']);
    // (e): had 4/3 reached the majority, 2/2 would be committed with it, and 5 could not win.
    for (const id of [2, 3]) one.step('MsgAppResp', id, 4, { index: 3 });
    expect(one.commit).toBe(3);
    const other = makeThree([1, 2, 4]);
    other.step('MsgVote', 5, 5, requestOfFive);
    expect(other.flush()).toMatchObject([{ type: 'MsgVoteResp', reject: true }]);
  });

  it('A2, S-42: a single voter hands nothing out before it is durable', () => {
    const replica = paperReplica(1, { voters: [1] });
    replica.node.campaign();
    const vote = replica.take();
    expect(replica.role).toBe('StateCandidate');
    replica.finish(vote);
    expect(replica.isLeader).toBe(true);
    replica.flush();
    expect(replica.propose('once')).toMatchObject({ kind: 'accepted', index: 2 });
    const ready = replica.take();
    expect(ready.committed).toEqual([]);
    expect(replica.commit).toBe(1);
    replica.restart();
    expect(replica.storage.lastIndex()).toBe(1);
    replica.node.campaign();
    replica.flush();
    replica.propose('again');
    replica.flush();
    expect(replica.appliedTexts).toEqual(['again']);
    replica.restart();
    replica.node.campaign();
    replica.flush();
    expect(replica.appliedTexts).toEqual(['again']);
  });

  it('L12: a leader sends before it has written, and counts itself only after', () => {
    const leader = leaderOf([1, 2, 3]);
    leader.flush();
    for (const id of [2, 3]) leader.step('MsgAppResp', id, 1, { index: 1 });
    leader.flush();
    leader.propose('x');
    const ready = leader.take();
    expect(ready.messages).toMatchObject([{ type: 'MsgApp' }, { type: 'MsgApp' }]);
    expect(ready.messagesAfterPersist).toEqual([]);
    leader.step('MsgAppResp', 2, 1, { index: 2 });
    expect(leader.commit).toBe(1);
    leader.finish(ready);
    expect(leader.commit).toBe(2);
  });

  it('M1: what waited for a replica is committed when that is removed', () => {
    const leader = leaderOf([1, 2]);
    leader.flush();
    leader.step('MsgAppResp', 2, 1, { index: 1 });
    leader.proposeChange('r2');
    leader.propose('x');
    leader.flush();
    leader.step('MsgAppResp', 2, 1, { index: 2 });
    expect(leader.commit).toBe(2);
    leader.flush();
    expect(leader.appliedTexts).toContain('x');
  });

  it('L3: a follower commits only what the message has shown it', () => {
    const follower = paperReplica(1, { terms: [1, 1, 1] });
    follower.step('MsgApp', 2, 2, { index: 1, logTerm: 1, commit: 3 });
    expect(follower.commit).toBe(1);
    follower.step('MsgApp', 2, 2, { index: 2, logTerm: 1, commit: 3 });
    expect(follower.commit).toBe(2);
  });
});

describe('late, lost and doubled messages', () => {
  it('S-16: an old append does not cut off what came after it (L1, L2)', () => {
    const follower = paperReplica(1, { terms: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1] });
    const log = follower.logIds;
    follower.step('MsgApp', 2, 1, { index: 5, logTerm: 1, entries: entriesOf([1], 6) });
    expect(follower.flush()).toMatchObject([{ type: 'MsgAppResp', index: 6, reject: false }]);
    expect(follower.logIds).toEqual(log);
    expect(follower.node.basicStatus().lastIndex).toBe(10);
  });

  it('S-17: conflicts with committed entries are refused, a lost log stops the replica', () => {
    const follower = paperReplica(1, { terms: [1, 1, 1], hardState: { commit: 2 } });
    follower.step('MsgApp', 2, 3, { index: 0, entries: entriesOf([2, 2, 2]) });
    expect(follower.flush()).toMatchObject([{ type: 'MsgAppResp', index: 2, reject: false }]);
    expect(follower.logIds).toEqual(['1/1', '1/2', '1/3']);
    // A leader only commits here what this replica has acknowledged: it must have had entry 4.
    expect(() => follower.step('MsgHeartbeat', 2, 3, { commit: 4 })).toThrow(FatalRaftError);
  });

  it('S-18: permuted and doubled messages end in equal logs, and match never falls', () => {
    const random = seededRandom(18);
    const network = Network.withLeader(3);
    const leader = network.leader;
    for (let written = 0; written < 200; written += 1) leader.propose(`w${written}`);
    const matches = new Map([2, 3].map((id) => [id, 0]));
    for (let round = 0; round < 1000; round += 1) {
      network.flush();
      const { queue } = network;
      if (queue.length === 0) {
        leader.tick();
        continue;
      }
      const [message] = queue.splice(Math.floor(random() * queue.length), 1);
      if (message === undefined) continue;
      if (random() < 0.2) queue.push(message);
      network.replica(message.to).node.step(message);
      for (const [id, match] of matches) {
        const now = statusOf(leader, id).match;
        expect(now).toBeGreaterThanOrEqual(match);
        expect(now).toBeLessThanOrEqual(network.replica(id).storage.lastIndex());
        matches.set(id, now);
      }
    }
    network.settle();
    network.tick(5);
    for (const replica of network.replicas) {
      expect(replica.log).toEqual(leader.log);
      expect(replica.appliedTexts).toHaveLength(200);
    }
  });

  it('S-19: acknowledgements from before a reset move match only to what is stored (L10)', () => {
    const leader = leaderOf([1, 2, 3]);
    leader.flush();
    leader.step('MsgAppResp', 2, 1, { index: 1 });
    for (let written = 0; written < 10; written += 1) leader.propose('x');
    leader.flush();
    expect(statusOf(leader, 2)).toMatchObject({ state: 'StateReplicate', match: 1, next: 12 });
    leader.step('MsgAppResp', 2, 1, { index: 4, reject: true, rejectHint: 3, logTerm: 1 });
    expect(statusOf(leader, 2)).toMatchObject({ state: 'StateProbe', match: 1, next: 2 });
    leader.step('MsgAppResp', 2, 1, { index: 3 });
    expect(statusOf(leader, 2)).toMatchObject({ state: 'StateReplicate', match: 3 });
    // Older, doubled and made-up ones change nothing.
    for (const index of [2, 3, 1, 0, 99]) leader.step('MsgAppResp', 2, 1, { index });
    leader.step('MsgAppResp', 2, 1, { index: 2, reject: true, rejectHint: 0 });
    expect(statusOf(leader, 2)).toMatchObject({ state: 'StateReplicate', match: 3 });
    expect(leader.commit).toBe(3);
  });

  it('L13: answers from strangers, and what only the host may say, are refused', () => {
    const leader = leaderOf([1, 2, 3]);
    leader.flush();
    expect(leader.step('MsgAppResp', 9, 1, { index: 1 })).toBe('peer-not-found');
    expect(leader.step('MsgHeartbeatResp', 9, 1)).toBe('peer-not-found');
    for (const type of ['MsgHup', 'MsgBeat', 'MsgCheckQuorum', 'MsgStorageAppendResp'] as const) {
      expect(leader.step(type, 2, 1)).toBe('dropped');
    }
    // The own acknowledgement, as if it came over the network.
    expect(leader.step('MsgAppResp', 1, 1, { index: 1 })).toBe('dropped');
    expect(leader.step('MsgApp', 2, 0)).toBe('dropped');
    expect(leader.commit).toBe(0);
    expect(leader.isLeader).toBe(true);
  });

  it.each<[string, Entry[]]>([
    ['a gap', [entry(1, 1), entry(1, 3)]],
    ['a wrong start', [entry(1, 2)]],
    ['a falling term', [entry(2, 1), entry(1, 2)]],
    ['a term above the sender', [entry(4, 1)]],
  ])('L13: an append with %s is dropped whole', (_, entries) => {
    const follower = paperReplica(1);
    expect(follower.step('MsgApp', 2, 3, { entries })).toBe('dropped');
    expect(follower.term).toBe(0);
    expect(follower.node.hasReady()).toBe(false);
  });
});

describe('flow control', () => {
  it('S-15, L4: the leader skips all of its terms that the follower cannot have', () => {
    const leader = leaderOf([1, 2, 3], { terms: [1, 4, 4, 4, 5, 5, 6], hardState: { term: 6 } });
    leader.flush();
    // At 7 the follower has an entry of term 3: it can have none of the terms 4 to 6 before that.
    leader.step('MsgAppResp', 2, 7, { index: 7, reject: true, rejectHint: 7, logTerm: 3 });
    const [probe, ...more] = leader.flush();
    expect(probe).toMatchObject({ type: 'MsgApp', to: 2, index: 1, logTerm: 1 });
    expect(more).toEqual([]);
  });

  it('S-20: a full window, a compacted log and a rejection end in a snapshot (L5, P1)', () => {
    const network = Network.withLeader(3, { maxInflightMessages: 3 });
    const { leader } = network;
    network.isolate(3);
    for (let written = 0; written < 10; written += 1) {
      leader.propose(`w${written}`);
      network.settle();
    }
    leader.storage.createSnapshot(9, confStateOf([1, 2, 3]), Buffer.from('state'));
    leader.storage.compact(9);
    network.heal();
    network.tick(2);
    const late = network.replica(3);
    expect(late.storage.snapshot()?.meta.index).toBe(9);
    expect(late.commit).toBe(leader.commit);
    expect(late.logIds).toEqual(leader.logIds.slice(-2));
    expect(statusOf(leader, 3)).toMatchObject({ state: 'StateReplicate', match: 11 });
  });

  it('S-21: a leader that has compacted its whole log still catches up a blank replica', () => {
    const network = Network.withStrangers(3, 1);
    network.leader.proposeChange('l4');
    network.hold((each) => each.to === 4);
    network.settle();
    network.leader.compact();
    expect(network.leader.log).toEqual([]);
    network.heal();
    // Nobody writes; the heartbeats alone get it there.
    network.tick(2 * HEARTBEAT_TICKS);
    expect(network.replica(4).commit).toBe(network.leader.commit);
    expect(network.replica(4).node.confState.learners).toEqual([4]);
  });

  it('S-22: a window whose messages all were lost opens after one heartbeat (L7, L8)', () => {
    const network = Network.withLeader(3, { maxInflightMessages: 4 });
    const { leader } = network;
    network.drop(({ type, to }) => type === 'MsgApp' && to === 3);
    for (let written = 0; written < 20; written += 1) leader.propose('x');
    network.settle();
    expect(statusOf(leader, 3)).toMatchObject({ inflightFull: true, paused: true, match: 1 });
    expect(statusOf(leader, 2)).toMatchObject({ inflightCount: 0, match: 21 });
    network.heal();
    network.tick(1, [1]);
    expect(statusOf(leader, 3)).toMatchObject({ state: 'StateReplicate', match: 21 });
    expect(network.replica(3).commit).toBe(21);
  });

  it('S-23: an unreachable peer that is up to date is back after one heartbeat (L8)', () => {
    const network = Network.withLeader(3);
    const { leader } = network;
    leader.node.reportUnreachable(2);
    expect(statusOf(leader, 2).state).toBe('StateProbe');
    network.tick(1, [1]);
    expect(statusOf(leader, 2).state).toBe('StateReplicate');
  });

  /** Leads with its log compacted, so that replica 3, which has nothing, needs a snapshot. */
  function compactedLeader(index = 1): TestReplica {
    const leader = leaderOf([1, 2, 3]);
    for (let written = 1; written < index; written += 1) leader.propose('x');
    leader.flush();
    for (let acked = 1; acked <= index; acked += 1)
      leader.step('MsgAppResp', 2, 1, { index: acked });
    leader.flush();
    leader.storage.createSnapshot(index, confStateOf([1, 2, 3]), new Uint8Array());
    leader.storage.compact(index);
    return leader;
  }

  it('P1: a snapshot goes only to a replica that was heard from lately', () => {
    const leader = leaderOf([1, 2, 3], { checkQuorum: true });
    const toThree = () =>
      leader.flush().filter(({ to, type }) => to === 3 && type !== 'MsgHeartbeat');
    leader.flush();
    for (const id of [2, 3]) leader.step('MsgAppResp', id, 1, { index: 1 });
    leader.propose('x');
    leader.flush();
    leader.step('MsgAppResp', 2, 1, { index: 2 });
    leader.tick(ELECTION_TICKS);
    leader.flush();
    expect(statusOf(leader, 3).recentActive).toBe(false);
    leader.storage.createSnapshot(2, confStateOf([1, 2, 3]), new Uint8Array());
    leader.storage.compact(2);
    leader.node.reportUnreachable(3);
    leader.propose('y');
    expect(toThree()).toEqual([]);
    leader.step('MsgHeartbeatResp', 3, 1);
    expect(toThree()).toMatchObject([{ type: 'MsgSnap', to: 3 }]);
  });

  it('S-25, P2: any answer that connects to the log ends the snapshot state, no other does', () => {
    const leader = compactedLeader(5);
    leader.step('MsgHeartbeatResp', 3, 1);
    expect(leader.flush()).toMatchObject([{ type: 'MsgSnap', to: 3 }]);
    leader.step('MsgAppResp', 3, 1, { index: 2 });
    expect(statusOf(leader, 3)).toMatchObject({ state: 'StateSnapshot', match: 2 });
    expect(leader.flush()).toEqual([]);
    leader.step('MsgAppResp', 3, 1, { index: 5 });
    expect(statusOf(leader, 3)).toMatchObject({ state: 'StateReplicate', match: 5, next: 6 });
  });

  it('S-24: a snapshot that failed or was lost is sent again, once it was reported (P2)', () => {
    const leader = compactedLeader();
    const ask = () => {
      leader.step('MsgHeartbeatResp', 3, 1);
      return leader.flush().filter(({ to }) => to === 3);
    };
    leader.step('MsgAppResp', 3, 1, { index: 0, reject: true });
    expect(leader.flush()).toMatchObject([{ type: 'MsgSnap', to: 3 }]);
    expect(ask()).toEqual([]);
    leader.node.reportSnapshot(3, false);
    expect(statusOf(leader, 3)).toMatchObject({ state: 'StateProbe', match: 0, next: 1 });
    expect(ask()).toMatchObject([{ type: 'MsgSnap', to: 3 }]);
    leader.node.reportSnapshot(3, true);
    expect(statusOf(leader, 3)).toMatchObject({ state: 'StateProbe', match: 0, next: 2 });
    expect(ask()).toMatchObject([{ type: 'MsgApp', index: 1 }]);
  });

  it('S-36, P4: a snapshot replaces a divergent log and keeps a matching one', () => {
    const snapshotAt = (index: number, term: number) => {
      const meta = { index, term, confState: confStateOf([1, 2, 3, 4]) };
      return { snapshot: { meta, data: new Uint8Array() } };
    };
    const divergent = paperReplica(1, { terms: [1, 1, 2, 2, 2], hardState: { commit: 1 } });
    divergent.step('MsgSnap', 3, 5, snapshotAt(4, 4));
    expect(divergent.flush()).toMatchObject([{ type: 'MsgAppResp', index: 4 }]);
    expect(divergent.logIds).toEqual([]);
    expect(divergent.node.status().confState.voters).toEqual([1, 2, 3, 4]);
    expect(divergent.node.basicStatus()).toMatchObject({ applied: 4, lastIndex: 4 });

    const matching = paperReplica(1, { terms: [1, 1, 2, 2, 2], hardState: { commit: 1 } });
    matching.step('MsgSnap', 3, 5, snapshotAt(4, 2));
    expect(matching.flush()).toMatchObject([{ type: 'MsgAppResp', index: 4 }]);
    expect(matching.logIds).toHaveLength(5);
    expect(matching.commit).toBe(4);

    const ahead = paperReplica(1, { terms: [1, 1, 2, 2, 2], hardState: { commit: 5 } });
    ahead.step('MsgSnap', 3, 5, snapshotAt(4, 4));
    expect(ahead.flush()).toMatchObject([{ type: 'MsgAppResp', index: 5 }]);
    expect(ahead.commit).toBe(5);
  });
});

describe('backpressure', () => {
  it('S-47: without a quorum the uncommitted bytes stay below their limit (A4)', () => {
    const network = Network.withLeader(3, { maxUncommittedBytes: 100, checkQuorum: false });
    const { leader } = network;
    network.isolate(1);
    let accepted = 0;
    for (let written = 0; written < 50; written += 1) {
      const result = leader.propose('0123456789');
      if (result.kind === 'accepted') accepted += 1;
      else expect(result).toEqual({ kind: 'dropped', why: 'uncommitted-limit' });
    }
    expect(accepted).toBe(10);
    expect(leader.propose('').kind).toBe('accepted');
    network.heal();
    network.tick(2);
    expect(leader.appliedTexts).toHaveLength(10);
    // Nothing is uncommitted now, so that one entry may be larger than the limit.
    expect(leader.propose('x'.repeat(1000)).kind).toBe('accepted');
    expect(leader.propose('y').kind).toBe('dropped');
    expect(leader.propose('').kind).toBe('accepted');
    network.settle();
    expect(leader.propose('y').kind).toBe('accepted');
  });

  it('S-47: a new leader begins its term although the log is full of uncommitted bytes', () => {
    const leader = leaderOf([1, 2], { maxUncommittedBytes: 10 });
    leader.propose('0123456789');
    leader.flush();
    leader.step('MsgHeartbeat', 2, 2);
    leader.node.campaign();
    leader.flush();
    leader.step('MsgVoteResp', 2, 3);
    expect(leader.isLeader).toBe(true);
    leader.flush();
    expect(leader.logIds).toEqual(['1/1', '1/2', '3/3']);
    // What earlier leaders appended is not on its account.
    expect(leader.propose('0123456789').kind).toBe('accepted');
  });

  it('A1: what is handed out and not applied is bounded, whatever is committed', () => {
    const follower = paperReplica(1, { maxCommittedSizeBytes: 10 });
    const entries = [1, 2, 3, 4, 5, 6].map((index) => entry(1, index, '1234'));
    follower.step('MsgApp', 2, 1, { entries, commit: 6 });
    const first = follower.take();
    expect(idsOf(first.committed)).toEqual(['1/1', '1/2']);
    follower.storage.append(first.entries);
    follower.node.persisted(first);
    expect(follower.node.hasReady()).toBe(false);
    follower.node.applied(1);
    expect(follower.node.hasReady()).toBe(false);
    follower.node.applied(2);
    expect(idsOf(follower.take().committed)).toEqual(['1/3', '1/4']);
  });

  it('A9: a follower and a candidate refuse proposals and name the leader', () => {
    const follower = paperReplica(1);
    expect(follower.propose('x')).toEqual({ kind: 'not-leader', lead: 0 });
    follower.step('MsgHeartbeat', 3, 1);
    expect(follower.propose('x')).toEqual({ kind: 'not-leader', lead: 3 });
    follower.node.campaign();
    expect(follower.propose('x')).toEqual({ kind: 'not-leader', lead: 0 });
  });
});
