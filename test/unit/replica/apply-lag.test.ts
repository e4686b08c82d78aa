// Goal: a leader knows, in bytes, how far a quorum is behind in applying what it proposed (A6).
// Method: a property against the plain sum of all entries, and the edges by example.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ApplyLag } from '../../../src/replica/apply-lag.js';

const BOUND = 5_120;
/** What one mark may stand for. */
const GRAIN = BOUND / 512;

interface World {
  readonly lag: ApplyLag;
  voters: number[];
  votersOutgoing: number[];
  own: number;
}

function world(voters: number[] = [1, 2, 3]): World {
  const made: World = {
    voters,
    votersOutgoing: [],
    own: 0,
    lag: new ApplyLag({
      replicaId: 1,
      appliedIndex: () => made.own,
      confState: () => ({
        voters: made.voters,
        votersOutgoing: made.votersOutgoing,
        learners: [],
        learnersNext: [],
        autoLeave: false,
      }),
      boundBytes: BOUND,
    }),
  };
  return made;
}

describe('what a quorum has not applied', () => {
  it('is the sum of the entries behind its slowest member, up to a mark, up to the bound', () => {
    const step = fc.record({ sizeBytes: fc.nat(3 * GRAIN), applied: fc.nat(400) });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 400 }), (steps) => {
        const made = world([1, 2]);
        const sizes: number[] = [];
        for (const { sizeBytes, applied } of steps) {
          sizes.push(sizeBytes);
          made.own = sizes.length;
          made.lag.proposed(sizes.length, sizeBytes);
          const told = Math.min(applied, sizes.length);
          made.lag.told(2, told);
          const behind = sizes.slice(told).reduce((sum, size) => sum + size, 0);
          const { bytes } = made.lag;
          expect(bytes).toBeGreaterThanOrEqual(Math.min(behind, BOUND));
          expect(bytes).toBeLessThanOrEqual(behind + GRAIN);
          if (told === sizes.length) expect(bytes).toBe(0);
        }
      }),
    );
  });

  it('depends on the fastest quorum, of both halves of a joint configuration', () => {
    const made = world([1, 2, 3]);
    for (let index = 1; index <= 10; index++) made.lag.proposed(index, 100);
    made.own = 10;
    made.lag.told(2, 2);
    made.lag.told(3, 4);
    expect(made.lag.bytes).toBe(600);
    made.lag.told(3, 10);
    expect(made.lag.bytes).toBe(0);
    made.votersOutgoing = [2, 4, 5];
    made.lag.told(4, 1);
    made.lag.told(5, 1);
    expect(made.lag.bytes).toBe(900);
    made.own = 3;
    made.votersOutgoing = [];
    expect(made.lag.bytes).toBe(700);
  });

  it('is that of the leader where nobody has told anything, and of a group of one', () => {
    const made = world();
    for (let index = 1; index <= 10; index++) made.lag.proposed(index, 100);
    made.own = 7;
    expect(made.lag.bytes).toBe(300);
    made.voters = [1];
    expect(made.lag.bytes).toBe(300);
  });

  it('grows again when a follower has lost what it had applied', () => {
    const made = world([1, 2]);
    for (let index = 1; index <= 10; index++) made.lag.proposed(index, 100);
    made.own = 10;
    made.lag.told(2, 10);
    expect(made.lag.bytes).toBe(0);
    made.lag.told(2, 0);
    expect(made.lag.bytes).toBe(1_000);
  });

  it('does not count what another entry has replaced, or an earlier leadership proposed', () => {
    const made = world([1, 2]);
    for (let index = 1; index <= 10; index++) made.lag.proposed(index, 100);
    made.own = 5;
    made.lag.proposed(6, 50);
    expect(made.lag.bytes).toBe(50);
    made.lag.told(2, 0);
    made.lag.reset();
    expect(made.lag.bytes).toBe(0);
    made.lag.proposed(7, 100);
    expect(made.lag.bytes).toBe(100);
    made.own = 7;
    // Nothing was told to this leadership yet.
    expect(made.lag.bytes).toBe(0);
  });

  it('of what came long ago is the bound, not nothing', () => {
    const made = world([1, 2]);
    for (let index = 1; index <= 10_000; index++) made.lag.proposed(index, 7);
    made.own = 10_000;
    made.lag.told(2, 1);
    expect(made.lag.bytes).toBeGreaterThanOrEqual(BOUND);
    expect(made.lag.bytes).toBeLessThan(2 * BOUND);
    made.lag.told(2, 9_999);
    expect(made.lag.bytes).toBeLessThanOrEqual(GRAIN);
  });
});
