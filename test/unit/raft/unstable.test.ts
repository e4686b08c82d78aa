// Goal: the tail of the log that is not durable knows what it holds, and what was handed out.
// Method: tables over offset, entries and snapshot, after the cases of etcd's log_unstable_test.go.
import { describe, expect, it } from 'vitest';
import { FatalRaftError, type Snapshot } from '../../../src/raft/types.js';
import { Unstable } from '../../../src/raft/unstable.js';
import { confStateOf, entriesOf, idsOf } from '../../raft/replica.js';

function snapshotAt(term: number, index: number): Snapshot {
  return { meta: { term, index, confState: confStateOf([1]) }, data: new Uint8Array() };
}

function unstableOf(options: { offset: number; terms?: number[]; snapshot?: Snapshot }): Unstable {
  const unstable = new Unstable(options.offset);
  if (options.snapshot !== undefined) unstable.restore(options.snapshot);
  unstable.truncateAndAppend(entriesOf(options.terms ?? [], options.offset));
  return unstable;
}

function held(unstable: Unstable): string[] {
  const last = unstable.hasEntries ? (unstable.lastIndex() ?? 0) : unstable.offset - 1;
  return idsOf(unstable.slice(unstable.offset, last + 1));
}

describe('Unstable', () => {
  it.each([
    { offset: 5, terms: [1], first: undefined, last: 5 },
    { offset: 0, terms: [], first: undefined, last: undefined },
    { offset: 5, terms: [1], snapshot: snapshotAt(1, 4), first: 5, last: 5 },
    { offset: 5, terms: [], snapshot: snapshotAt(1, 4), first: 5, last: 4 },
  ])('first $first and last $last of what is held', ({ first, last, ...options }) => {
    const unstable = unstableOf(options);
    expect(unstable.firstIndex()).toBe(first);
    expect(unstable.lastIndex()).toBe(last);
  });

  it.each([
    { index: 3, term: undefined },
    { index: 4, term: 2 },
    { index: 5, term: 3 },
    { index: 6, term: 4 },
    { index: 7, term: undefined },
  ])('L5: term of $index is $term', ({ index, term }) => {
    const unstable = unstableOf({ offset: 5, terms: [3, 4], snapshot: snapshotAt(2, 4) });
    expect(unstable.term(index)).toBe(term);
  });

  it.each([
    { what: 'nothing is held', terms: [], at: 5, term: 1, left: [] },
    { what: 'the first', terms: [1], at: 5, term: 1, left: [] },
    { what: 'a part', terms: [1, 1], at: 5, term: 1, left: ['1/6'] },
    { what: 'all', terms: [1, 1], at: 6, term: 1, left: [] },
    { what: 'an entry of another term', terms: [2], at: 5, term: 1, left: ['2/5'] },
    { what: 'an entry before', terms: [1, 1], at: 4, term: 1, left: ['1/5', '1/6'] },
    { what: 'an entry behind', terms: [1, 1], at: 7, term: 1, left: ['1/5', '1/6'] },
  ])('stableTo: $what', ({ terms, at, term, left }) => {
    const unstable = unstableOf({ offset: 5, terms });
    unstable.acceptInProgress();
    unstable.stableTo({ term, index: at });
    expect(held(unstable)).toEqual(left);
    expect(unstable.hasNextEntries).toBe(false);
  });

  it('stableTo: the index of the snapshot is not an entry', () => {
    const unstable = unstableOf({ offset: 5, terms: [1], snapshot: snapshotAt(1, 4) });
    unstable.stableTo({ term: 1, index: 4 });
    expect(held(unstable)).toEqual(['1/5']);
  });

  it.each([
    { what: 'appends', terms: [1], from: 6, fresh: [1, 1], all: ['1/5', '1/6', '1/7'], next: 2 },
    { what: 'replaces all', terms: [1], from: 5, fresh: [2, 2], all: ['2/5', '2/6'], next: 2 },
    { what: 'begins earlier', terms: [1], from: 4, fresh: [2], all: ['2/4'], next: 1 },
    { what: 'truncates', terms: [1, 1, 1], from: 6, fresh: [2], all: ['1/5', '2/6'], next: 1 },
    {
      what: 'cuts the end',
      terms: [1, 1, 1],
      from: 7,
      fresh: [2],
      all: ['1/5', '1/6', '2/7'],
      next: 1,
    },
  ])('truncateAndAppend $what, and hands the new out again', (example) => {
    const unstable = unstableOf({ offset: 5, terms: example.terms });
    unstable.acceptInProgress();
    unstable.truncateAndAppend(entriesOf(example.fresh, example.from));
    expect(held(unstable)).toEqual(example.all);
    expect(unstable.nextEntries()).toHaveLength(example.next);
  });

  it('refuses a gap, and slices outside of what is held', () => {
    const unstable = unstableOf({ offset: 5, terms: [1] });
    expect(() => unstable.truncateAndAppend(entriesOf([1], 7))).toThrow(FatalRaftError);
    expect(() => unstable.slice(4, 5)).toThrow(FatalRaftError);
    expect(() => unstable.slice(5, 7)).toThrow(FatalRaftError);
  });

  it('hands entries and snapshot out once, and what comes later apart', () => {
    const unstable = unstableOf({ offset: 5, terms: [1], snapshot: snapshotAt(1, 4) });
    expect(unstable.nextSnapshot()?.meta.index).toBe(4);
    expect(idsOf(unstable.nextEntries())).toEqual(['1/5']);
    unstable.acceptInProgress();
    expect(unstable.nextSnapshot()).toBeUndefined();
    expect(unstable.hasNextEntries).toBe(false);
    unstable.truncateAndAppend(entriesOf([2], 6));
    expect(idsOf(unstable.nextEntries())).toEqual(['2/6']);
    unstable.stableSnapshotTo(3);
    expect(unstable.snapshot).toBeDefined();
    unstable.stableSnapshotTo(4);
    expect(unstable.snapshot).toBeUndefined();
  });

  it('P4: a snapshot drops everything from before', () => {
    const unstable = unstableOf({ offset: 5, terms: [1, 1, 1] });
    unstable.acceptInProgress();
    unstable.restore(snapshotAt(2, 6));
    expect(unstable.hasEntries).toBe(false);
    expect(unstable.offset).toBe(7);
    expect(unstable.hasNextSnapshot).toBe(true);
  });

  it('neither keeps the array of a message nor changes one that it handed out', () => {
    const unstable = unstableOf({ offset: 1 });
    const given = entriesOf([1, 1]);
    unstable.truncateAndAppend(given);
    const handedOut = unstable.nextEntries();
    unstable.truncateAndAppend(entriesOf([2], 2));
    expect(idsOf(given)).toEqual(['1/1', '1/2']);
    expect(idsOf(handedOut)).toEqual(['1/1', '1/2']);
  });
});
