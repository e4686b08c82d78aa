// Goal: the reference storage keeps the contract of LogReader, errors included.
// Method: tables after the cases of etcd's storage_test.go.
import { describe, expect, it } from 'vitest';
import { MemoryStorage } from '../../../src/raft/memory-storage.js';
import { CompactedError, FatalRaftError, UnavailableError } from '../../../src/raft/types.js';
import { confStateOf, entriesOf, entry, idsOf } from '../../raft/replica.js';

const NO_LIMIT = Number.MAX_SAFE_INTEGER;

/** Entries 4 to 6, after compaction up to 3. */
function storage(): MemoryStorage {
  const memory = new MemoryStorage(confStateOf([1]));
  memory.append(entriesOf([1, 2, 3, 4, 5, 6]));
  memory.compact(3);
  return memory;
}

describe('MemoryStorage', () => {
  it('reads within its bounds, the term of the last compacted entry included', () => {
    const memory = storage();
    expect([memory.firstIndex(), memory.lastIndex()]).toEqual([4, 6]);
    expect(idsOf(memory.entries(4, 7, NO_LIMIT))).toEqual(['4/4', '5/5', '6/6']);
    expect([3, 4, 6].map((index) => memory.term(index))).toEqual([3, 4, 6]);
    expect(memory.entries(5, 5, NO_LIMIT)).toEqual([]);
  });

  it('L5: names what is compacted and what is not there', () => {
    const memory = storage();
    expect(() => memory.entries(3, 5, NO_LIMIT)).toThrow(CompactedError);
    expect(() => memory.entries(5, 8, NO_LIMIT)).toThrow(UnavailableError);
    expect(() => memory.term(2)).toThrow(CompactedError);
    expect(() => memory.term(7)).toThrow(UnavailableError);
    expect(() => memory.compact(3)).toThrow(CompactedError);
    expect(() => memory.compact(7)).toThrow(UnavailableError);
  });

  it.each([
    { terms: [4, 5, 6], from: 4, log: '4/4 5/5 6/6' },
    { terms: [7, 7], from: 5, log: '4/4 7/5 7/6' },
    { terms: [7], from: 5, log: '4/4 7/5' },
    { terms: [2, 3, 8], from: 2, log: '8/4' },
    { terms: [1, 2], from: 1, log: '4/4 5/5 6/6' },
    { terms: [7], from: 7, log: '4/4 5/5 6/6 7/7' },
  ])('appending $terms from $from gives $log', ({ terms, from, log }) => {
    const memory = storage();
    memory.append(entriesOf(terms, from));
    const { length } = log.split(' ');
    expect(idsOf(memory.entries(4, 4 + length, NO_LIMIT)).join(' ')).toBe(log);
    expect(memory.lastIndex()).toBe(3 + length);
  });

  it('refuses gaps and snapshots that go back', () => {
    const memory = storage();
    expect(() => memory.append([entry(9, 8)])).toThrow(FatalRaftError);
    memory.createSnapshot(5, confStateOf([1, 2]), Buffer.from('x'));
    expect(() => memory.createSnapshot(5, confStateOf([1]), Buffer.from('y'))).toThrow(
      FatalRaftError,
    );
  });

  it('a snapshot of its own keeps the log, one of a leader replaces it', () => {
    const memory = storage();
    expect(memory.snapshot()).toBeUndefined();
    const own = memory.createSnapshot(5, confStateOf([1, 2]), Buffer.from('x'));
    expect(memory.snapshot()).toBe(own);
    expect(own.meta).toEqual({ index: 5, term: 5, confState: confStateOf([1, 2]) });
    expect(memory.firstIndex()).toBe(4);
    const meta = { index: 9, term: 9, confState: confStateOf([3]) };
    memory.applySnapshot({ meta, data: Buffer.from('z') });
    expect([memory.firstIndex(), memory.lastIndex(), memory.term(9)]).toEqual([10, 9, 9]);
    expect(memory.initialState().confState).toEqual(confStateOf([3]));
  });
});
