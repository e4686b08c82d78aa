// Goal: committed indexes and votes agree with their definitions, joint configurations included.
// Method: 50,000 random cases per function against naive counts, and the small cases by hand.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  committedIndex,
  jointCommittedIndex,
  jointVoteResult,
  type Majority,
  type VoteResult,
  voteResult,
} from '../../../src/raft/quorum.js';

const RUNS = { numRuns: 50_000 };

/** Up to eleven voters, so that configurations beyond the allocation-free size occur. */
const majorities: fc.Arbitrary<Majority> = fc
  .uniqueArray(fc.integer({ min: 1, max: 12 }), { maxLength: 11 })
  .map((ids) => ids.sort((a, b) => a - b));

const ackedIndexes = fc.dictionary(
  fc.integer({ min: 1, max: 12 }).map(String),
  fc.integer({ min: 0, max: 20 }),
  { maxKeys: 12 },
);

const ballots = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 12 }), fc.boolean()), { maxLength: 14 })
  .map((votes) => new Map(votes));

/** The highest index such that more than half of the voters are at or above it. */
function naiveCommittedIndex(majority: Majority, acked: (id: number) => number | undefined) {
  if (majority.length === 0) {
    return Number.MAX_SAFE_INTEGER;
  }
  const isCommitted = (index: number) =>
    majority.filter((id) => (acked(id) ?? 0) >= index).length * 2 > majority.length;
  const candidates = [0, ...majority.map((id) => acked(id) ?? 0)];
  return Math.max(...candidates.filter(isCommitted));
}

/**
 * Lets all missing voters refuse, then lets all of them grant: won if even the former wins in every
 * half, lost if not even the latter does.
 */
function naiveVoteResult(
  halves: readonly Majority[],
  votes: ReadonlyMap<number, boolean>,
): VoteResult {
  const wins = (missing: boolean) =>
    halves.every(
      (majority) =>
        majority.length === 0 ||
        majority.filter((id) => votes.get(id) ?? missing).length * 2 > majority.length,
    );
  if (wins(false)) {
    return 'won';
  }
  return wins(true) ? 'pending' : 'lost';
}

describe('committedIndex', () => {
  it('is the naive definition in 50,000 random cases', () => {
    fc.assert(
      fc.property(majorities, ackedIndexes, (majority, indexes) => {
        const acked = (id: number) => indexes[String(id)];
        expect(committedIndex(majority, acked)).toBe(naiveCommittedIndex(majority, acked));
      }),
      RUNS,
    );
  });

  it('commits everything without voters', () => {
    expect(committedIndex([], () => undefined)).toBe(Number.MAX_SAFE_INTEGER);
  });

  it('needs three of four voters (an even size has no smaller majority)', () => {
    const indexes = [9, 9, 5, 5];
    expect(committedIndex([1, 2, 3, 4], (id) => indexes[id - 1])).toBe(5);
  });

  it('sorts indexes as numbers (9 before 10)', () => {
    const indexes = [100, 9, 10];
    expect(committedIndex([1, 2, 3], (id) => indexes[id - 1])).toBe(10);
  });

  it('keeps indexes beyond 32 bits exact', () => {
    const last = Number.MAX_SAFE_INTEGER - 1;
    expect(committedIndex([1, 2, 3], (id) => (id === 3 ? undefined : last))).toBe(last);
  });
});

describe('jointCommittedIndex', () => {
  it('is the smaller of both halves in 50,000 random cases (M1)', () => {
    fc.assert(
      fc.property(majorities, majorities, ackedIndexes, (incoming, outgoing, indexes) => {
        const acked = (id: number) => indexes[String(id)];
        const expected = Math.min(
          naiveCommittedIndex(incoming, acked),
          naiveCommittedIndex(outgoing, acked),
        );
        expect(jointCommittedIndex({ incoming, outgoing }, acked)).toBe(expected);
      }),
      RUNS,
    );
  });
});

describe('voteResult', () => {
  it('is the naive definition in 50,000 random cases', () => {
    fc.assert(
      fc.property(majorities, ballots, (majority, votes) => {
        expect(voteResult(majority, votes)).toBe(naiveVoteResult([majority], votes));
      }),
      RUNS,
    );
  });

  it('does not count the vote of a replica outside the configuration', () => {
    const votes = new Map([
      [1, true],
      [4, true],
    ]);
    expect(voteResult([1, 2, 3], votes)).toBe('pending');
  });
});

describe('jointVoteResult', () => {
  it('is the naive definition over both halves in 50,000 random cases (M1)', () => {
    fc.assert(
      fc.property(majorities, majorities, ballots, (incoming, outgoing, votes) => {
        const expected = naiveVoteResult([incoming, outgoing], votes);
        expect(jointVoteResult({ incoming, outgoing }, votes)).toBe(expected);
      }),
      RUNS,
    );
  });

  it('is won without any voters', () => {
    expect(jointVoteResult({ incoming: [], outgoing: [] }, new Map())).toBe('won');
  });
});
