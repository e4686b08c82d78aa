// Goal: repeats stay a share of the load, whatever fails and for how long (D1).
// Method: random attempts and repeats on a clock of the test's own, counted against the bound.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TOO_SLOW } from '../../../src/shared/consistency.js';
import type { ErrorReason } from '../../../src/shared/error-codes.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import {
  isRefusal,
  RETRY_BUDGET,
  RetryBudget,
  retryBudgetSpent,
} from '../../../src/shared/retry-budget.js';

const SAVED_SECONDS = 10;

/** A budget whose clock the test moves. */
function budgetOf(options = RETRY_BUDGET) {
  const time = { nowMs: 1_000 };
  return { time, budget: new RetryBudget(() => time.nowMs, options) };
}

/** Takes all the tokens that there are. */
function drain(budget: RetryBudget): number {
  let taken = 0;
  while (budget.take()) taken += 1;
  return taken;
}

describe('a retry budget', () => {
  it('never allows for more than a share of what was asked, and some a second (D1)', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('earn' as const), times: fc.integer({ min: 1, max: 200 }) }),
      fc.record({ kind: fc.constant('take' as const), times: fc.integer({ min: 1, max: 200 }) }),
      fc.record({ kind: fc.constant('wait' as const), times: fc.integer({ min: 1, max: 20_000 }) }),
    );
    const options = fc.record({
      share: fc.double({ min: 0, max: 1, noNaN: true }),
      perSecond: fc.integer({ min: 0, max: 100 }),
    });
    fc.assert(
      fc.property(options, fc.array(step, { maxLength: 60 }), ({ share, perSecond }, steps) => {
        const { time, budget } = budgetOf({ share, perSecond });
        let [firsts, repeats] = [0, 0];
        for (const { kind, times } of steps) {
          if (kind === 'wait') time.nowMs += times;
          for (let at = 0; at < times && kind !== 'wait'; at++) {
            if (kind === 'earn') {
              budget.earn();
              firsts += 1;
            } else if (budget.take()) repeats += 1;
          }
        }
        const seconds = (time.nowMs - 1_000) / 1_000 + SAVED_SECONDS;
        expect(repeats).toBeLessThanOrEqual(share * firsts + perSecond * seconds + 0.01);
      }),
    );
  });

  it('lets one in five be repeated, and not one more', () => {
    const { budget } = budgetOf({ share: 0.2, perSecond: 0 });
    const granted = Array.from({ length: 100 }, () => {
      budget.earn();
      return budget.take();
    });
    expect(granted.filter(Boolean)).toHaveLength(20);
    expect(budget.isSpent).toBe(true);
  });

  it('begins with what ten seconds bring, so that who has just started may repeat', () => {
    expect(drain(budgetOf({ share: 0.2, perSecond: 3 }).budget)).toBe(30);
    expect(drain(budgetOf({ share: 0.2, perSecond: 0 }).budget)).toBe(0);
  });

  it('fills again with time, where nothing is asked', () => {
    const { time, budget } = budgetOf({ share: 0, perSecond: 10 });
    drain(budget);
    time.nowMs += 250;
    expect(drain(budget)).toBe(2);
    time.nowMs += 3_600_000;
    expect(drain(budget)).toBe(100);
  });

  it('saves more where more is asked, and forgets it: a calm hour pays for no storm', () => {
    const { time, budget } = budgetOf({ share: 0.2, perSecond: 10 });
    for (let second = 0; second < 60; second++) {
      for (let at = 0; at < 1_000; at++) budget.earn();
      time.nowMs += 1_000;
    }
    const busy = drain(budget);
    expect(busy).toBeGreaterThan(1_500);
    expect(busy).toBeLessThan(2_500);
    for (let at = 0; at < 10_000; at++) budget.earn();
    time.nowMs += 3_600_000;
    budget.earn();
    expect(drain(budget)).toBeLessThanOrEqual(100);
  });

  it('allows for nothing where it is set to nothing', () => {
    const { time, budget } = budgetOf({ share: 0, perSecond: 0 });
    for (let at = 0; at < 100; at++) budget.earn();
    time.nowMs += 3_600_000;
    expect(budget.take()).toBe(false);
  });
});

describe('what is no load', () => {
  it.each<ErrorReason>(['NOT_LEADER', 'NO_LEADER', 'NODE_NOT_READY', 'REPLICA_BEHIND'])(
    'is a refusal: %s',
    (reason) => {
      expect(isRefusal(new FlotillaError(reason, 'not here'))).toBe(true);
    },
  );

  it.each<ErrorReason>([
    'TOO_MANY_REQUESTS',
    'PROPOSAL_DROPPED',
    'OUTCOME_UNKNOWN',
    'DEADLINE_EXCEEDED',
    'SHARD_UNAVAILABLE',
  ])('is no error of who may have worked, or has too much to do: %s', (reason) => {
    expect(isRefusal(new FlotillaError(reason, 'too much'))).toBe(false);
  });

  it('is no read that was carried out, and took too long to be fresh enough', () => {
    const error = new FlotillaError('REPLICA_BEHIND', 'too slow', { details: TOO_SLOW });
    expect(isRefusal(error)).toBe(false);
  });
});

describe('the error of a spent budget', () => {
  const last = new FlotillaError('TOO_MANY_REQUESTS', 'busy', { details: { shards: '3' } });

  it('is the last one, as retryable, and says so in words and details', () => {
    const error = retryBudgetSpent(last);
    expect(error).toMatchObject({ reason: 'TOO_MANY_REQUESTS', retryable: true, shard: 3 });
    expect(error.message).toContain('the retry budget is spent');
    expect(error.body.details).toEqual({ shards: '3', retryBudget: 'spent' });
    expect(error.cause).toBe(last);
  });

  it('says so once, however many budgets were spent on its way', () => {
    const error = retryBudgetSpent(last);
    expect(retryBudgetSpent(error)).toBe(error);
  });
});
