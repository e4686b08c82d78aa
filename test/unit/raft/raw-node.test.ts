// Goal: the contract between a core and its host: Ready, persisted, applied, status.
// Method: one replica driven by hand; what each Ready holds is compared.
import { describe, expect, it } from 'vitest';
import { encodeConfChange } from '../../../src/raft/conf-change-codec.js';
import { MemoryStorage } from '../../../src/raft/memory-storage.js';
import { RawNode } from '../../../src/raft/raw-node.js';
import {
  FatalRaftError,
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  type RaftConfig,
} from '../../../src/raft/types.js';
import {
  change,
  confStateOf,
  entriesOf,
  entry,
  idsOf,
  leaderOf,
  message,
  paperReplica,
  TestReplica,
} from '../../raft/replica.js';

describe('Ready', () => {
  it('is not there when nothing happened, and costs a tick nothing', () => {
    const replica = new TestReplica(1);
    expect(replica.node.hasReady()).toBe(false);
    replica.tick(5);
    expect(replica.node.hasReady()).toBe(false);
  });

  it('S2: asks for an fsync for entries, term and vote, not for the commit index', () => {
    const follower = paperReplica(1);
    follower.step('MsgApp', 2, 1, { entries: entriesOf([1]) });
    const first = follower.take();
    expect(first).toMatchObject({ mustSync: true, hardState: { term: 1, vote: 0, commit: 0 } });
    expect(first.softState).toEqual({ lead: 2, role: 'StateFollower' });
    follower.finish(first);
    follower.step('MsgHeartbeat', 2, 1, { commit: 1 });
    const second = follower.take();
    expect(second).toMatchObject({ mustSync: false, hardState: { term: 1, vote: 0, commit: 1 } });
    expect(second.softState).toBeUndefined();
    follower.finish(second);
    expect(follower.node.hasReady()).toBe(false);
  });

  it('is handed out one at a time, and the right one comes back', () => {
    const follower = paperReplica(1);
    follower.step('MsgHeartbeat', 2, 1);
    const ready = follower.take();
    follower.step('MsgHeartbeat', 2, 1);
    expect(follower.node.hasReady()).toBe(false);
    expect(() => follower.node.ready()).toThrow(FatalRaftError);
    expect(() => follower.node.persisted({ ...ready, sequence: 99 })).toThrow(FatalRaftError);
    follower.finish(ready);
    expect(() => follower.node.persisted(ready)).toThrow(FatalRaftError);
    expect(follower.node.hasReady()).toBe(true);
  });

  it('E1: heartbeat answers may leave at once, the answers that promise something may not', () => {
    const follower = paperReplica(1);
    follower.step('MsgHeartbeat', 2, 1);
    follower.step('MsgApp', 2, 1, { entries: entriesOf([1]) });
    follower.step('MsgVote', 3, 2, { index: 1, logTerm: 1 });
    const ready = follower.take();
    expect(ready.messages.map(({ type }) => type)).toEqual(['MsgHeartbeatResp']);
    expect(ready.messagesAfterPersist.map(({ type }) => type)).toEqual([
      'MsgAppResp',
      'MsgVoteResp',
    ]);
  });

  it('A2: a leader with a slow disk may apply what a quorum of the others holds', () => {
    const leader = leaderOf([1, 2, 3]);
    leader.flush();
    for (const id of [2, 3]) leader.step('MsgAppResp', id, 1, { index: 1 });
    leader.flush();
    leader.propose('x');
    const slow = leader.take();
    for (const id of [2, 3]) leader.step('MsgAppResp', id, 1, { index: 2 });
    expect(leader.commit).toBe(2);
    leader.finish(slow);
    expect(idsOf(leader.take().committed)).toEqual(['1/2']);
  });

  it('S8: a write from before a conflict does not make the entries after it stable', () => {
    const follower = paperReplica(1);
    follower.step('MsgApp', 2, 1, { entries: entriesOf([1, 1]) });
    const old = follower.take();
    follower.step('MsgApp', 3, 2, { entries: entriesOf([2, 2]) });
    follower.storage.append(old.entries);
    follower.node.persisted(old);
    const fresh = follower.take();
    expect(idsOf(fresh.entries)).toEqual(['2/1', '2/2']);
    follower.finish(fresh);
    expect(follower.logIds).toEqual(['2/1', '2/2']);
    expect(follower.node.hasReady()).toBe(false);
  });

  it('S8: entries written again in a later term are stable only by the later write', () => {
    const follower = paperReplica(1);
    const entries = entriesOf([1, 1]);
    follower.step('MsgApp', 2, 1, { entries });
    const old = follower.take();
    follower.step('MsgApp', 3, 2, { entries: entriesOf([2]) });
    follower.step('MsgApp', 2, 3, { entries });
    follower.storage.append(old.entries);
    follower.node.persisted(old);
    expect(idsOf(follower.take().entries)).toEqual(['1/1', '1/2']);
  });

  it('EntryConfChange passes through the log untouched', () => {
    const follower = paperReplica(1);
    const data = encodeConfChange({ ...change('l4'), context: Buffer.of(7) });
    const entry = { type: 'EntryConfChangeV2', term: 1, index: 1, data } as const;
    follower.step('MsgApp', 2, 1, { entries: [entry], commit: 1 });
    const ready = follower.take();
    expect(ready.entries).toEqual([entry]);
    expect(ready.committed).toEqual([entry]);
  });
});

describe('a restart', () => {
  it('begins where the disk ended, and hands out what was not applied', () => {
    const replica = paperReplica(1, {
      terms: [1, 1, 2],
      hardState: { term: 3, vote: 2, commit: 2 },
      applied: 1,
    });
    expect(replica.node.basicStatus()).toMatchObject({
      hardState: { term: 3, vote: 2, commit: 2 },
      applied: 1,
      lastIndex: 3,
    });
    const ready = replica.take();
    expect(ready.hardState).toBeUndefined();
    expect(ready.entries).toEqual([]);
    expect(idsOf(ready.committed)).toEqual(['1/2']);
  });

  it('S1: a commit index beyond the log is fatal: entries are missing', () => {
    expect(() => paperReplica(1, { terms: [1], hardState: { commit: 2 } })).toThrow(FatalRaftError);
  });

  it('goes on from a compacted log whose last commit index was not on the disk', () => {
    const storage = new MemoryStorage(confStateOf([1, 2, 3]));
    storage.append(entriesOf([1, 1, 1]));
    storage.setHardState({ term: 1, vote: 0, commit: 1 });
    storage.compact(2);
    const random = () => 0;
    const node = new RawNode({ id: 1, storage, electionTicks: 10, heartbeatTicks: 1, random });
    expect(node.basicStatus()).toMatchObject({ applied: 2, hardState: { commit: 2 } });
  });
});

describe('asynchronous mode', () => {
  function candidate(): TestReplica {
    const replica = paperReplica(1, { voters: [1], asyncStorageWrites: true });
    replica.node.campaign();
    return replica;
  }

  it('storage gets messages, and what depends on them goes along as responses', () => {
    const replica = candidate();
    const [append] = replica.take().messages;
    expect(append).toMatchObject({ type: 'MsgStorageAppend', to: LOCAL_APPEND_THREAD, term: 1 });
    expect(append?.responses).toMatchObject([{ type: 'MsgVoteResp', to: 1 }]);
    for (const response of append?.responses ?? []) replica.node.step(response);
    expect(replica.isLeader).toBe(true);
    const [noop] = replica.take().messages;
    expect(noop?.responses?.map(({ type }) => type)).toEqual([
      'MsgAppResp',
      'MsgStorageAppendResp',
    ]);
    expect(replica.commit).toBe(0);
    replica.storage.append(noop?.entries ?? []);
    for (const response of noop?.responses ?? []) replica.node.step(response);
    expect(replica.commit).toBe(1);
    const apply = replica.take().messages.at(-1);
    expect(apply).toMatchObject({ type: 'MsgStorageApply', to: LOCAL_APPLY_THREAD });
    for (const response of apply?.responses ?? []) replica.node.step(response);
    expect(replica.node.basicStatus().applied).toBe(1);
    expect(replica.node.hasReady()).toBe(false);
  });

  it('S8: an answer of the storage from an earlier term makes nothing stable', () => {
    const follower = paperReplica(1, { asyncStorageWrites: true });
    follower.step('MsgApp', 2, 1, { entries: [entry(1, 1)] });
    const stale = follower.take().messages.at(-1)?.responses?.at(-1);
    expect(stale).toMatchObject({ type: 'MsgStorageAppendResp', index: 1, term: 1 });
    follower.step('MsgApp', 3, 2, { entries: [entry(1, 1)], commit: 1 });
    follower.take();
    if (stale !== undefined) follower.node.step(stale);
    expect(follower.take().committed).toEqual([]);
  });
});

describe('a snapshot', () => {
  it('S3: is answered when it is durable, and counts as installed also in a later term', () => {
    const follower = paperReplica(1);
    const meta = { term: 1, index: 7, confState: confStateOf([1, 2, 3]) };
    follower.step('MsgSnap', 2, 1, { snapshot: { meta, data: new Uint8Array() } });
    const ready = follower.take();
    expect(ready.snapshot?.meta.index).toBe(7);
    expect(ready.messages).toEqual([]);
    expect(ready.messagesAfterPersist).toMatchObject([{ type: 'MsgAppResp', index: 7 }]);
    follower.node.campaign();
    expect(follower.role).toBe('StateFollower');
    follower.step('MsgHeartbeat', 3, 2);
    follower.finish(ready);
    expect(follower.node.basicStatus()).toMatchObject({ applied: 7, lastIndex: 7 });
    follower.node.campaign();
    expect(follower.role).toBe('StateCandidate');
  });
});

describe('status', () => {
  it('tells of the followers only at the leader', () => {
    const leader = leaderOf([1, 2, 3], { learners: [4] });
    expect(leader.node.status()).toMatchObject({
      id: 1,
      softState: { lead: 1, role: 'StateLeader' },
      confState: confStateOf([1, 2, 3], [4]),
      progress: [
        { id: 1, state: 'StateReplicate', match: 0, next: 1, recentActive: true },
        { id: 2, state: 'StateProbe', isLearner: false, paused: true },
        { id: 3 },
        { id: 4, isLearner: true },
      ],
    });
    expect(paperReplica(2).node.status().progress).toEqual([]);
  });

  it('does not take messages for someone else', () => {
    const replica = paperReplica(1);
    expect(replica.node.step(message('MsgApp', 2, 3, 1))).toBe('dropped');
    expect(replica.term).toBe(0);
  });
});

const lease = (durationMs: number) => ({ durationMs, promiseMs: 1_000, driftFraction: 0.05 });

describe('configuration', () => {
  it('takes the longest lease that ends before its promise on the worst of clocks (R6)', () => {
    const replica = new TestReplica(1, { leases: lease(904), nowMs: () => 0 });
    expect(replica.node.leaseIndex()).toBeUndefined();
  });

  it.each<[string, Partial<RaftConfig>]>([
    ['id', { id: 0 }],
    ['id', { id: LOCAL_APPEND_THREAD }],
    ['heartbeatTicks', { heartbeatTicks: 0 }],
    ['electionTicks', { electionTicks: 2, heartbeatTicks: 2 }],
    ['applied', { applied: -1 }],
    ['maxInflightMessages', { maxInflightMessages: 0 }],
    ['maxInflightBytes', { maxInflightBytes: 10, maxSizePerMessageBytes: 11 }],
    ['maxCommittedSizeBytes', { maxCommittedSizeBytes: 0 }],
    ['maxUncommittedBytes', { maxUncommittedBytes: Number.NaN }],
    ['maxPendingReads', { maxPendingReads: 0.5 }],
    ['nowMs', { leases: lease(750) }],
    ['leases.durationMs', { leases: lease(0), nowMs: () => 0 }],
    ['leases.promiseMs', { leases: { ...lease(1), promiseMs: 0.5 }, nowMs: () => 0 }],
    ['leases.driftFraction', { leases: { ...lease(1), driftFraction: 1 }, nowMs: () => 0 }],
    ['leases.durationMs', { leases: lease(905), nowMs: () => 0 }],
  ])('refuses a bad %s, and names it: %j', (field, config) => {
    const storage = new MemoryStorage(confStateOf([1]));
    const random = () => 0;
    const valid = { id: 1, storage, electionTicks: 10, heartbeatTicks: 1, random };
    expect(() => new RawNode({ ...valid, ...config })).toThrow(RangeError);
    expect(() => new RawNode({ ...valid, ...config })).toThrow(field);
  });
});
