// Goal: a leased read is never stale, however elections come about and clocks run (R6 to R9, X-18).
// Method: replicas with clocks of their own; every millisecond of a failover is looked at.
import { describe, expect, it } from 'vitest';
import type { LeaseConfig, Message } from '../../../src/raft/types.js';
import { Network } from '../network.js';
import { ELECTION_TICKS, leaderOf, paperReplica, TestReplica } from '../replica.js';

const LEASES: LeaseConfig = { durationMs: 750, promiseMs: 1_000, driftFraction: 0.05 };
const TICK_MS = 100;

/** Three replicas that use leases, and the clock of each of them. */
class TimedNetwork extends Network {
  readonly clocksMs: Map<number, number>;
  readonly #rates: readonly number[];
  #passedMs = 0;

  constructor(rates: readonly number[] = [1, 1, 1], leases = LEASES) {
    const clocksMs = new Map(rates.map((_, at) => [at + 1, 1_000 * (at + 1)]));
    super(
      rates.map((_, at) => {
        return new TestReplica(at + 1, { leases, nowMs: () => clocksMs.get(at + 1) ?? 0 });
      }),
    );
    this.clocksMs = clocksMs;
    this.#rates = rates;
    this.replica(1).node.campaign();
    this.settle();
  }

  /** Time goes by, and everyone ticks when a tick of its own clock is over. */
  pass(ms: number, onEach: () => void = () => {}): void {
    for (let done = 0; done < ms; done += 1) {
      this.#passedMs += 1;
      for (const { id } of this.replicas) {
        const before = this.clocksMs.get(id) ?? 0;
        const after = before + (this.#rates[id - 1] ?? 1);
        this.clocksMs.set(id, after);
        if (Math.floor(after / TICK_MS) > Math.floor(before / TICK_MS)) this.replica(id).tick();
      }
      this.settle();
      onEach();
    }
  }

  get passedMs(): number {
    return this.#passedMs;
  }
}

/**
 * Cuts leader 1 off right after a heartbeat and lets 2 take its place at once. Returns for how many
 * milliseconds 1 served reads by itself after the new leader had committed.
 */
function staleMillisecondsOf(network: TimedNetwork): { staleMs: number; leasedMs: number } {
  const old = network.replica(1);
  network.pass(2 * TICK_MS);
  expect(old.node.leaseIndex()).toBe(old.commit);
  network.isolate(1);
  // The hosts of 2 and 3 take a broken connection for the death of 1.
  for (const id of [2, 3]) network.replica(id).node.suspectLeader();
  network.replica(2).node.campaign();
  network.settle();
  expect(network.replica(2).isLeader).toBe(true);
  network.replica(2).propose('new');
  const seen = { staleMs: 0, leasedMs: 0 };
  network.pass(2_500, () => {
    const index = old.node.leaseIndex();
    if (index === undefined) return;
    seen.leasedMs += 1;
    if (network.replica(2).commit > index) seen.staleMs += 1;
  });
  expect(network.replica(2).appliedTexts).toContain('new');
  return seen;
}

describe('a lease', () => {
  it('S-28, R6: a cut-off leader serves no read after the new one has committed', () => {
    const { staleMs, leasedMs } = staleMillisecondsOf(new TimedNetwork());
    expect(staleMs).toBe(0);
    expect(leasedMs).toBeGreaterThan(600);
  });

  it.each([
    [0.95, 1.05, 1.05],
    [0.95, 1.05, 0.95],
    [1.05, 0.95, 1.05],
    [0.95, 0.95, 1.05],
  ])('S-30, R9: nor with clocks at the rates %f, %f and %f', (...rates) => {
    expect(staleMillisecondsOf(new TimedNetwork(rates)).staleMs).toBe(0);
  });

  it('S-30: clocks that drift by 30 % break it, so this test would see it', () => {
    expect(staleMillisecondsOf(new TimedNetwork([0.7, 1.3, 1.3])).staleMs).toBeGreaterThan(0);
  });

  it('S-30, R6: a leader that was paused has none when it wakes', () => {
    const network = new TimedNetwork();
    const old = network.replica(1);
    network.pass(2 * TICK_MS);
    // Its clock goes on while nothing else of it does; nobody has told it of the others.
    network.clocksMs.set(1, (network.clocksMs.get(1) ?? 0) + 5_000);
    expect(old.isLeader).toBe(true);
    expect(old.node.leaseIndex()).toBeUndefined();
    expect(old.node.readIndex(1)).toBe('queued');
  });

  it('R6: counts from when the heartbeat was sent, not from when it was answered', () => {
    const network = new TimedNetwork();
    const leader = network.replica(1);
    network.hold((each) => each.type === 'MsgHeartbeatResp');
    const sentAtMs = (network.clocksMs.get(1) ?? 0) + TICK_MS;
    network.pass(TICK_MS);
    network.pass(500);
    network.isolate(1);
    const answers = network.held.filter((each) => each.sentAtMs === sentAtMs);
    expect(answers).toHaveLength(2);
    for (const answer of answers) leader.node.step(answer);
    network.clocksMs.set(1, sentAtMs + LEASES.durationMs - 1);
    expect(leader.node.leaseIndex()).toBe(leader.commit);
    network.clocksMs.set(1, sentAtMs + LEASES.durationMs);
    expect(leader.node.leaseIndex()).toBeUndefined();
  });

  it('R2, R6: begins with the first commit of the term, and needs a quorum of voters', () => {
    const leader = leaderOf([1, 2, 3], { learners: [4], leases: LEASES, nowMs: () => 5_000 });
    leader.flush();
    leader.step('MsgHeartbeatResp', 2, 1, { sentAtMs: 5_000 });
    expect(leader.node.leaseIndex()).toBeUndefined();
    leader.step('MsgAppResp', 2, 1, { index: 1 });
    expect(leader.node.leaseIndex()).toBe(1);

    const alone = leaderOf([1, 2, 3], { learners: [4], leases: LEASES, nowMs: () => 5_000 });
    alone.flush();
    alone.step('MsgAppResp', 2, 1, { index: 1 });
    alone.step('MsgHeartbeatResp', 4, 1, { sentAtMs: 5_000 });
    // An answer to what this leader never sent proves nothing.
    alone.step('MsgHeartbeatResp', 3, 1, { sentAtMs: 5_001 });
    expect(alone.node.leaseIndex()).toBeUndefined();
  });

  it('M1, R6: needs a quorum of both halves of a joint configuration', () => {
    let nowMs = 5_000;
    const leader = leaderOf([1, 2, 3], { leases: LEASES, nowMs: () => nowMs });
    leader.flush();
    const all = (index: number) => {
      for (const id of [2, 3]) leader.step('MsgAppResp', id, 1, { index });
      leader.flush();
    };
    all(1);
    leader.proposeChange('v4 v5 r2 r3', 'joint-explicit');
    leader.flush();
    all(2);
    expect(leader.node.confState.votersOutgoing).toEqual([1, 2, 3]);
    const holdsAfter = (...ids: number[]) => {
      nowMs += LEASES.durationMs;
      for (const id of ids) leader.step('MsgHeartbeatResp', id, 1, { sentAtMs: nowMs });
      return leader.node.leaseIndex() !== undefined;
    };
    expect(holdsAfter(2, 3)).toBe(false);
    expect(holdsAfter(4, 5)).toBe(false);
    expect(holdsAfter(2, 4)).toBe(true);
  });

  it('R6: begins anew with the term', () => {
    const leader = leaderOf([1, 2], { leases: LEASES, nowMs: () => 5_000 });
    leader.flush();
    leader.step('MsgAppResp', 2, 1, { index: 1 });
    leader.step('MsgHeartbeatResp', 2, 1, { sentAtMs: 5_000 });
    expect(leader.node.leaseIndex()).toBe(1);
    leader.step('MsgHeartbeat', 2, 2);
    leader.node.campaign();
    leader.flush();
    leader.step('MsgVoteResp', 2, 3);
    leader.flush();
    leader.step('MsgAppResp', 2, 3, { index: 2 });
    expect(leader.commit).toBe(2);
    expect(leader.node.leaseIndex()).toBeUndefined();
    leader.step('MsgHeartbeatResp', 2, 3, { sentAtMs: 5_000 });
    expect(leader.node.leaseIndex()).toBe(2);
  });

  it('T1: serves nothing while the leadership is handed over, also before the order', () => {
    const leader = leaderOf([1, 2, 3], { leases: LEASES, nowMs: () => 5_000 });
    leader.flush();
    leader.step('MsgAppResp', 2, 1, { index: 1 });
    leader.step('MsgHeartbeatResp', 2, 1, { sentAtMs: 5_000 });
    expect(leader.node.leaseIndex()).toBe(1);
    // 3 lacks the log, so that it gets no order: the lease comes back when the time is up.
    leader.node.transferLeader(3);
    expect(leader.node.leaseIndex()).toBeUndefined();
    leader.tick(ELECTION_TICKS);
    expect(leader.node.leaseIndex()).toBe(1);
  });

  it('R6: is always held by the only voter', () => {
    const leader = leaderOf([1], { leases: LEASES, nowMs: () => 5_000 });
    leader.flush();
    expect(leader.node.leaseIndex()).toBe(1);
  });

  it('R9: is off unless it was asked for; then nobody waits and nobody promises', () => {
    const network = Network.withLeader(3);
    network.tick();
    expect(network.leader.node.leaseIndex()).toBeUndefined();
    const answers: Message[] = [];
    network.drop((each) => {
      answers.push(each);
      return false;
    });
    network.tick(2 * ELECTION_TICKS);
    expect(answers.every((each) => each.promiseMs === 0 && each.sentAtMs === 0)).toBe(true);
  });
});

describe('promises of voters', () => {
  it('R8: a transfer ends the lease of the term, and its successor commits at once', () => {
    const network = new TimedNetwork();
    const old = network.replica(1);
    network.pass(2 * TICK_MS);
    network.hold((each) => each.type === 'MsgTimeoutNow');
    old.node.transferLeader(2);
    network.settle();
    // The order is under way for longer than the transfer lasts; the lease never comes back.
    network.pass(15 * TICK_MS, () => expect(old.node.leaseIndex()).toBeUndefined());
    expect(old.node.transferTarget).toBe(0);
    expect(old.isLeader).toBe(true);
    network.release();
    expect(network.leader.id).toBe(2);
    expect(network.leader.commit).toBe(2);
    network.pass(2 * TICK_MS);
    expect(network.leader.node.leaseIndex()).toBe(2);
    // In a later term of its own the old leader has one again.
    network.leader.node.transferLeader(1);
    network.pass(2 * TICK_MS);
    expect(old.node.leaseIndex()).toBe(3);
  });

  it('S-29, R7: a voter that restarts gives no vote before what it forgot is over', () => {
    const network = new TimedNetwork();
    network.pass(2 * TICK_MS);
    network.isolate(1);
    network.replica(2).restart();
    network.replica(3).node.forgetLeader();
    const restartedAtMs = network.passedMs;
    const leads = () => network.replica(3).isLeader;
    for (let round = 0; round < 30 && !leads(); round += 1) {
      network.replica(3).node.campaign();
      network.pass(50);
    }
    expect(leads()).toBe(true);
    expect(network.passedMs - restartedAtMs).toBeGreaterThanOrEqual(LEASES.promiseMs);
  });

  it('R7: one that restarts and wins itself commits nothing before that either', () => {
    const network = new TimedNetwork();
    network.pass(2 * TICK_MS);
    network.isolate(1);
    const restarted = network.replica(2);
    restarted.restart();
    const { commit } = restarted;
    // 3 never answered a heartbeat lately, so that its vote is free.
    network.replica(3).node.forgetLeader();
    network.clocksMs.set(3, (network.clocksMs.get(3) ?? 0) + 60_000);
    restarted.node.campaign();
    network.settle();
    expect(restarted.isLeader).toBe(true);
    network.pass(LEASES.promiseMs - 100);
    expect(restarted.commit).toBe(commit);
    network.pass(200);
    expect(restarted.commit).toBeGreaterThan(commit);
  });

  it('R7: the longest of those that came with votes counts, with the drift of clocks', () => {
    let nowMs = 5_000;
    const voters = [1, 2, 3, 4, 5];
    const leader = paperReplica(1, { voters, leases: LEASES, nowMs: () => nowMs });
    leader.node.campaign();
    leader.flush();
    leader.step('MsgVoteResp', 2, 1, { promiseMs: 1_000 });
    leader.step('MsgVoteResp', 3, 1, { promiseMs: 10 });
    leader.flush();
    for (const id of [2, 3]) leader.step('MsgAppResp', id, 1, { index: 1 });
    nowMs += 1_049;
    leader.tick();
    expect([leader.role, leader.commit]).toEqual(['StateLeader', 0]);
    nowMs += 1;
    leader.tick();
    expect(leader.commit).toBe(1);
  });

  it('R7: what is left of them is told with every vote, also in later terms', () => {
    let nowMs = 5_000;
    const voter = paperReplica(2, { leases: LEASES, nowMs: () => nowMs });
    voter.step('MsgHeartbeat', 1, 1, { sentAtMs: 7, promiseMs: 1_000 });
    expect(voter.flush()).toMatchObject([{ type: 'MsgHeartbeatResp', sentAtMs: 7 }]);
    // A shorter one does not take back what was promised before.
    voter.step('MsgHeartbeat', 1, 1, { sentAtMs: 8, promiseMs: 10 });
    voter.flush();
    nowMs += 400;
    voter.step('MsgVote', 3, 2);
    voter.step('MsgVote', 3, 5);
    expect(voter.flush().filter(({ type }) => type === 'MsgVoteResp')).toMatchObject([
      { term: 2, promiseMs: 600 },
      { term: 5, promiseMs: 600 },
    ]);
    nowMs += 599.5;
    voter.step('MsgVote', 3, 6, { campaignTransfer: true });
    voter.step('MsgVote', 3, 7);
    nowMs += 1;
    voter.step('MsgVote', 3, 8);
    expect(voter.flush().map(({ promiseMs }) => promiseMs)).toEqual([0, 1, 0]);
  });
});

describe('a leader that is suspected to be dead', () => {
  it('E5: its successor is not suspected', () => {
    const replica = new TestReplica(1, { preVote: false });
    replica.step('MsgHeartbeat', 2, 1);
    replica.node.suspectLeader();
    replica.node.campaign();
    // 3 was faster, and won the term.
    replica.step('MsgHeartbeat', 3, 2);
    replica.flush();
    expect(replica.lead).toBe(3);
    replica.step('MsgVote', 2, 3);
    expect([replica.term, replica.node.hasReady()]).toEqual([2, false]);
  });

  it('E5: votes are given early, until it is heard from again', () => {
    const network = Network.withLeader(3);
    const { term } = network.leader;
    network.replica(3).node.campaign();
    network.settle();
    expect(network.leader.id).toBe(1);
    // Only one of two sees the connection break: the leader is well, and nothing comes of it.
    network.replica(3).node.suspectLeader();
    network.replica(3).node.campaign();
    network.settle();
    network.tick(2);
    expect(network.leader.term).toBe(term);
    // A message of the leader ends the suspicion.
    for (const id of [2, 3]) network.replica(id).node.suspectLeader();
    network.tick(1);
    network.replica(3).node.campaign();
    network.settle();
    expect(network.leader.id).toBe(1);
    network.isolate(1);
    for (const id of [2, 3]) network.replica(id).node.suspectLeader();
    network.replica(3).node.campaign();
    network.settle();
    expect(network.leader.id).toBe(3);
  });
});
