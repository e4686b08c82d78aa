// Goal: everyone who waits for a group is told exactly once what became of it (A8, S-45).
// Method: the waiters by themselves, then a leader whose log is replaced by a snapshot.
import { describe, expect, it } from 'vitest';
import type { ConfState, Entry } from '../../../src/raft/types.js';
import { COMPACTION_DEFAULTS } from '../../../src/replica/log-compaction.js';
import { Waiters } from '../../../src/replica/waiters.js';
import { ToyCluster } from './toy-cluster.js';

const CONF: ConfState = {
  voters: [1],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

function entry(index: number, term: number, type: Entry['type'] = 'EntryNormal'): Entry {
  return { type, term, index, data: new Uint8Array(1) };
}

/** Notes what each promise settles to; more than once would show as more than one note. */
function notes() {
  const seen: string[] = [];
  const note = <T>(name: string, work: Promise<T>, kindOf: (value: T) => string): void => {
    work.then(
      (value) => seen.push(`${name} ${kindOf(value)}`),
      (error: { reason?: string }) => seen.push(`${name} ${error.reason}`),
    );
  };
  const told = async (): Promise<string[]> => {
    await new Promise((resolve) => setImmediate(resolve));
    return seen.splice(0);
  };
  return { note, told };
}

const kind = (outcome: { kind: string }): string => outcome.kind;

describe('waiters', () => {
  it('are told by the entry at their index, of whatever kind it is', async () => {
    const waiters = new Waiters<string>(0);
    const { note, told } = notes();
    note('write', waiters.proposals.wait(1, 1, 1), kind);
    note('overtaken', waiters.proposals.wait(2, 1, 1), kind);
    note('change', waiters.changes.wait(3, 2, 1), kind);
    note('lost change', waiters.changes.wait(4, 2, 1), kind);
    waiters.applied([entry(1, 1), entry(2, 2)], ['one', 'two'], undefined);
    waiters.applied([entry(3, 2, 'EntryConfChangeV2')], [], CONF);
    waiters.applied([entry(4, 3)], ['four'], undefined);
    expect(await told()).toEqual([
      'write applied',
      'overtaken lost',
      'change applied',
      'lost change lost',
    ]);
  });

  it('below a snapshot are told that it is not known, those above wait on', async () => {
    const waiters = new Waiters<string>(0);
    const { note, told } = notes();
    note('covered', waiters.proposals.wait(5, 1, 1), kind);
    note('covered change', waiters.changes.wait(6, 1, 1), kind);
    note('above', waiters.proposals.wait(8, 1, 1), kind);
    note('read', waiters.reads.waitApplied(6), () => 'fresh');
    waiters.covered(7);
    waiters.appliedTo(7);
    expect(await told()).toEqual(['covered unknown', 'covered change unknown', 'read fresh']);
    expect(waiters.proposals.pendingBytes).toBe(1);
    waiters.close('the end');
    expect(await told()).toEqual(['above unknown']);
  });

  it('are all told at the end, and only once', async () => {
    const waiters = new Waiters<string>(0);
    const { note, told } = notes();
    note('write', waiters.proposals.wait(1, 1, 1), kind);
    note('change', waiters.changes.wait(2, 1, 1), kind);
    note('read', waiters.reads.waitApplied(9), () => 'fresh');
    const never = waiters.conditions.wait(() => false);
    note('condition', never, () => 'met');
    waiters.leadershipLost();
    waiters.close('the end');
    waiters.close('again');
    waiters.applied([entry(1, 1)], ['one'], undefined);
    waiters.covered(9);
    expect((await told()).sort()).toEqual([
      'change unknown',
      'condition NODE_NOT_READY',
      'read NODE_NOT_READY',
      'write unknown',
    ]);
  });
});

describe('a proposer at a leader that is cut off', () => {
  it('is told once, although a snapshot has replaced its entry since (S-45)', async () => {
    const cluster = await ToyCluster.start({
      compaction: { ...COMPACTION_DEFAULTS, thresholdEntries: 10, trailingEntries: 3 },
    });
    const old = await cluster.electedLeader();
    await cluster.write('first');
    cluster.isolate(old.nodeId);
    const { note, told } = notes();
    for (let at = 0; at < 3; at++) {
      note(`w${at}`, old.group().propose(Buffer.from(`lost ${at}`)), kind);
    }
    await cluster.until('it steps down', () => !old.group().isLeader);
    await cluster.environment.advance(0);
    expect(await told()).toEqual(['w0 unknown', 'w1 unknown', 'w2 unknown']);
    for (let at = 0; at < 30; at++) await cluster.write(`newer ${at}`);
    note('read', old.group().waitApplied(20), () => 'fresh');
    cluster.heal();
    await cluster.converged();
    expect(old.running.logStore.reader(1).firstIndex()).toBeGreaterThan(5);
    expect(old.items().some(({ text }) => text.startsWith('lost'))).toBe(false);
    expect(await told()).toEqual(['read fresh']);
    await cluster.close();
  });
});
