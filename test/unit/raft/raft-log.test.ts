// Goal: the log over its durable and unstable parts: terms, slices, conflicts, commit, apply.
// Method: tables after the cases of etcd's log_test.go, and a property against a plain array.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { entriesSizeBytes } from '../../../src/raft/entry.js';
import { MemoryStorage } from '../../../src/raft/memory-storage.js';
import { RaftLog } from '../../../src/raft/raft-log.js';
import { CompactedError, FatalRaftError, type Snapshot } from '../../../src/raft/types.js';
import { confStateOf, entriesOf, entry, idsOf } from '../../raft/replica.js';

const NO_LIMIT = Number.MAX_SAFE_INTEGER;

interface Setup {
  /** Terms of the entries from index 1 on; the first `stable` of them are durable. */
  readonly terms: readonly number[];
  readonly stable?: number;
  readonly compacted?: number;
  readonly applied?: number;
}

function logOf(setup: Setup): RaftLog {
  const entries = entriesOf(setup.terms);
  const stable = setup.stable ?? entries.length;
  const storage = new MemoryStorage();
  storage.append(entries.slice(0, stable));
  if (setup.compacted !== undefined) storage.compact(setup.compacted);
  const log = new RaftLog(storage, {
    applied: setup.applied,
    maxApplyingBytes: NO_LIMIT,
    appliesUnstable: true,
  });
  log.append(entries.slice(stable));
  return log;
}

function snapshotAt(term: number, index: number): Snapshot {
  return { meta: { term, index, confState: confStateOf([1]) }, data: new Uint8Array() };
}

function allOf(log: RaftLog): string[] {
  return idsOf(log.slice(log.firstIndex(), log.lastIndex() + 1, NO_LIMIT));
}

describe('term', () => {
  it.each([
    { index: 1, expected: 'compacted' },
    { index: 2, expected: 1 },
    { index: 3, expected: 2 },
    { index: 4, expected: 2 },
    { index: 5, expected: 3 },
    { index: 6, expected: 'unavailable' },
  ])('L5: of $index is $expected', ({ index, expected }) => {
    const log = logOf({ terms: [1, 1, 2, 2, 3], stable: 4, compacted: 2 });
    expect(log.term(index)).toBe(expected);
  });

  it('L5: before a snapshot that waits to be installed everything is compacted', () => {
    const log = logOf({ terms: [1, 1, 1] });
    log.restore(snapshotAt(5, 9));
    expect(log.term(9)).toBe(5);
    expect(log.term(3)).toBe('compacted');
    expect(log.term(10)).toBe('unavailable');
  });
});

describe('maybeAppend', () => {
  it.each([
    { what: 'unknown predecessor', previous: [3, 3], terms: [4], matched: undefined },
    { what: 'other term', previous: [2, 2], terms: [4], matched: undefined },
    { what: 'nothing new', previous: [1, 1], terms: [1, 2], matched: 3, log: '1/1 1/2 2/3' },
    { what: 'one more', previous: [2, 3], terms: [4], matched: 4, log: '1/1 1/2 2/3 4/4' },
    { what: 'a conflict', previous: [1, 1], terms: [4], matched: 2, log: '1/1 4/2' },
    { what: 'a late conflict', previous: [1, 1], terms: [1, 4], matched: 3, log: '1/1 1/2 4/3' },
    { what: 'a prefix', previous: [0, 0], terms: [1], matched: 1, log: '1/1 1/2 2/3' },
  ])('L1: $what', ({ previous: [term = 0, index = 0], terms, matched, log: expected }) => {
    const log = logOf({ terms: [1, 1, 2], stable: 2 });
    const entries = entriesOf(terms, index + 1);
    expect(log.maybeAppend({ previous: { term, index }, entries }, 0)).toBe(matched);
    expect(allOf(log).join(' ')).toBe(expected ?? '1/1 1/2 2/3');
  });

  it('S-17: a conflict at or below the commit index is fatal (L1)', () => {
    const log = logOf({ terms: [1, 1, 2] });
    log.commitTo(2);
    const slice = { previous: { term: 1, index: 1 }, entries: entriesOf([4], 2) };
    expect(() => log.maybeAppend(slice, 0)).toThrow(FatalRaftError);
    expect(() => log.append(entriesOf([4], 2))).toThrow(FatalRaftError);
    expect(allOf(log)).toEqual(['1/1', '1/2', '2/3']);
  });

  it.each([
    { leaderCommit: 1, commit: 1 },
    { leaderCommit: 2, commit: 2 },
    { leaderCommit: 9, commit: 2 },
  ])('L3: commit $leaderCommit of the leader commits $commit here', (example) => {
    const log = logOf({ terms: [1, 1, 1] });
    const slice = { previous: { term: 1, index: 1 }, entries: entriesOf([1], 2) };
    log.maybeAppend(slice, example.leaderCommit);
    expect(log.committed).toBe(example.commit);
  });
});

describe('commit', () => {
  it('E11: counts only entries of the given term', () => {
    const log = logOf({ terms: [1, 2] });
    expect(log.maybeCommit({ term: 2, index: 1 })).toBe(false);
    expect(log.maybeCommit({ term: 1, index: 2 })).toBe(false);
    expect(log.maybeCommit({ term: 0, index: 3 })).toBe(false);
    expect(log.maybeCommit({ term: 2, index: 2 })).toBe(true);
    expect(log.maybeCommit({ term: 2, index: 2 })).toBe(false);
  });

  it('never falls, and never passes the log', () => {
    const log = logOf({ terms: [1, 1] });
    log.commitTo(2);
    log.commitTo(1);
    expect(log.committed).toBe(2);
    expect(() => log.commitTo(3)).toThrow(FatalRaftError);
  });
});

describe('findConflictByTerm', () => {
  it.each([
    { terms: [2, 2, 5, 5, 5], index: 5, term: 6, expected: { term: 5, index: 5 } },
    { terms: [2, 2, 5, 5, 5], index: 5, term: 5, expected: { term: 5, index: 5 } },
    { terms: [2, 2, 5, 5, 5], index: 5, term: 4, expected: { term: 2, index: 2 } },
    { terms: [2, 2, 5, 5, 5], index: 5, term: 2, expected: { term: 2, index: 2 } },
    { terms: [2, 2, 5, 5, 5], index: 5, term: 1, expected: { term: 0, index: 0 } },
    { terms: [2, 2, 5, 5, 5], index: 7, term: 5, expected: { term: 0, index: 7 } },
    { terms: [3, 3, 5, 5], compacted: 2, index: 4, term: 2, expected: { term: 0, index: 1 } },
  ])('L4: from $index with term $term in $terms', ({ index, term, expected, ...setup }) => {
    expect(logOf(setup).findConflictByTerm(index, term)).toEqual(expected);
  });
});

describe('slice', () => {
  it('L11: is what a plain array would give, wherever the border to the unstable part lies', () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 9 });
    const bound = fc.integer({ min: 0, max: 60 });
    fc.assert(
      fc.property(sizes, fc.nat(9), fc.nat(9), bound, (lengths, stable, start, maxSizeBytes) => {
        const entries = lengths.map((length, at) => entry(1, at + 1, 'x'.repeat(length)));
        const storage = new MemoryStorage();
        storage.append(entries.slice(0, stable));
        const options = { applied: undefined, maxApplyingBytes: 1, appliesUnstable: true };
        const log = new RaftLog(storage, options);
        log.append(entries.slice(stable));
        const low = Math.min(start + 1, entries.length);
        const got = log.entriesFrom(low, maxSizeBytes);
        const expected = entries.slice(low - 1, low - 1 + got.length);
        expect(got).toEqual(expected);
        expect(got.length).toBeGreaterThan(0);
        const oneMore = entries.slice(low - 1, low + got.length);
        if (got.length > 1) expect(entriesSizeBytes(got)).toBeLessThanOrEqual(maxSizeBytes);
        if (oneMore.length > got.length) {
          expect(entriesSizeBytes(oneMore)).toBeGreaterThan(maxSizeBytes);
        }
      }),
    );
  });

  it('L5: what is compacted or not there yet is an error', () => {
    const log = logOf({ terms: [1, 1, 1], compacted: 1 });
    expect(() => log.slice(1, 3, NO_LIMIT)).toThrow(CompactedError);
    expect(() => log.slice(2, 5, NO_LIMIT)).toThrow(FatalRaftError);
    expect(log.entriesFrom(4, NO_LIMIT)).toEqual([]);
  });
});

describe('apply', () => {
  it('A2: without unstable entries only what is durable here is handed out', () => {
    const storage = new MemoryStorage();
    storage.append(entriesOf([1]));
    const options = { applied: 0, maxApplyingBytes: NO_LIMIT, appliesUnstable: false };
    const log = new RaftLog(storage, options);
    log.append(entriesOf([1, 1], 2));
    log.commitTo(3);
    expect(idsOf(log.nextCommitted())).toEqual(['1/1']);
    storage.append(entriesOf([1], 2));
    log.stableTo({ term: 1, index: 2 });
    expect(idsOf(log.nextCommitted())).toEqual(['1/1', '1/2']);
  });

  it('A1: hands out in pages, and waits for room', () => {
    const storage = new MemoryStorage();
    storage.append([1, 2, 3, 4].map((index) => entry(1, index, 'xxx')));
    const options = { applied: 0, maxApplyingBytes: 7, appliesUnstable: true };
    const log = new RaftLog(storage, options);
    log.commitTo(4);
    const page = log.nextCommitted();
    expect(idsOf(page)).toEqual(['1/1', '1/2']);
    log.acceptApplying(page);
    expect(log.hasNextCommitted).toBe(false);
    expect(log.nextCommitted()).toEqual([]);
    log.appliedTo(2);
    expect(idsOf(log.nextCommitted())).toEqual(['1/3', '1/4']);
  });

  it('refuses that something was applied that was not handed out', () => {
    const log = logOf({ terms: [1, 1] });
    log.commitTo(2);
    expect(() => log.appliedTo(1)).toThrow(FatalRaftError);
    log.acceptApplying(log.nextCommitted());
    log.appliedTo(2);
    log.appliedTo(1);
    expect(log.applied).toBe(2);
  });

  it('P4: nothing is handed out while a snapshot waits to be installed', () => {
    const log = logOf({ terms: [1, 1] });
    log.commitTo(2);
    log.restore(snapshotAt(3, 5));
    log.append([entry(3, 6)]);
    log.commitTo(6);
    expect(log.nextCommitted()).toEqual([]);
    log.installedSnapshot(5);
    expect(log.applied).toBe(5);
    expect(idsOf(log.nextCommitted())).toEqual(['3/6']);
  });

  it('a state machine that is ahead of the log is not given its entries again', () => {
    const log = logOf({ terms: [1, 1], applied: 3 });
    log.commitTo(2);
    expect(log.hasNextCommitted).toBe(false);
    log.append([entry(1, 3), entry(1, 4)]);
    log.commitTo(4);
    expect(idsOf(log.nextCommitted())).toEqual(['1/4']);
  });

  it('P4: a snapshot takes a state machine back that was ahead of the log', () => {
    const log = logOf({ terms: [1], applied: 9 });
    log.restore(snapshotAt(2, 5));
    log.installedSnapshot(5);
    expect(log.applied).toBe(5);
    log.append([entry(2, 6)]);
    log.commitTo(6);
    expect(idsOf(log.nextCommitted())).toEqual(['2/6']);
  });

  it('a state machine that is behind the compacted log cannot go on', () => {
    expect(() => logOf({ terms: [1, 1], compacted: 2, applied: 1 })).toThrow(FatalRaftError);
  });
});
