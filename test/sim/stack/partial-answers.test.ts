// Goal: the simulator's judge of partial answers speaks up when it has to, and only then (M-53).
// Method: records of two shards by hand; what an answer says of them, and what it shows.
import { describe, expect, it } from 'vitest';
import { Findings } from './findings.js';
import { PartialAnswers } from './partial-answers.js';
import type { Floor, Observed } from './register-oracle.js';

const ONE = 'one';
const OTHER = 'other';
const RULE = 'partial answers say so';

/** `one` is on shard 0 since version 1, `other` on shard 1. */
function harness() {
  const findings = new Findings(() => 0);
  const partials = new PartialAnswers(findings);
  partials.logged(ONE, 1n, 0);
  partials.logged(OTHER, 1n, 1);
  return { partials, broken: () => findings.first?.invariant };
}

/** Of two shards, the one that answers or both. */
function answer(answering: readonly number[], failed: readonly number[]) {
  const part = { ownershipVersion: 1, appliedIndex: 1, nodeId: 1 };
  return {
    shards: { total: answering.length + failed.length, ok: answering.length, failed },
    degraded: failed.length > 0,
    served: answering.map((shardId) => ({ ...part, shardId })),
  };
}

function floor(version: bigint): Floor {
  return { kind: 'record', version, serial: 1 };
}

function observed(version: bigint): Observed {
  return { base: 1, serial: 1, version };
}

describe('what an answer says of its shards', () => {
  it('is right where it adds up, with all shards and without one', () => {
    const { partials, broken } = harness();
    expect(partials.coverageOf(answer([0, 1], []), true).isWhole).toBe(true);
    expect(partials.coverageOf(answer([0, 1], []), false).isWhole).toBe(true);
    const { isWhole, answering } = partials.coverageOf(answer([0], [1]), true);
    expect([isWhole, [...answering]]).toEqual([false, [0]]);
    expect(broken()).toBeUndefined();
    expect(partials.counts).toEqual({ allowed: 2, degraded: 1 });
  });

  const partial = answer([0], [1]);
  const ofThree = { ...partial, shards: { ...partial.shards, total: 3 } };
  it.each([
    ['that nobody allowed', partial, false],
    ['that is not said to be degraded', { ...partial, degraded: false }, true],
    ['that is said to be degraded, and is not', { ...answer([0, 1], []), degraded: true }, true],
    ['of a shard that is not told of', { ...partial, served: [] }, true],
    ['of fewer shards than were asked', ofThree, true],
    ['of a shard that it names as missing', { ...partial, served: answer([1], []).served }, true],
    ['of no shard at all', answer([], [0, 1]), true],
  ])('is wrong in an answer %s', (_, told, isAllowed) => {
    const { partials, broken } = harness();
    partials.coverageOf(told, isAllowed);
    expect(broken()).toBe(RULE);
  });
});

describe('an answer without a shard', () => {
  it('shows records of the others, and none of that shard', () => {
    const { partials, broken } = harness();
    const coverage = partials.coverageOf(answer([0], [1]), true);
    partials.judgeHit(coverage, ONE, observed(1n));
    expect(broken()).toBeUndefined();
    partials.judgeHit(coverage, OTHER, observed(1n));
    expect(broken()).toBe(RULE);
  });

  it('need not show records of that shard, and has to show those of the others', () => {
    const { partials } = harness();
    const coverage = partials.coverageOf(answer([0], [1]), true);
    expect(partials.owed(coverage, ONE, [floor(1n), undefined])).toEqual([floor(1n), undefined]);
    expect(partials.owed(coverage, OTHER, [floor(1n)])).toEqual([]);
    // It was written again where somebody answers.
    partials.logged(OTHER, 2n, 0);
    expect(partials.owed(coverage, OTHER, [floor(1n), floor(2n)])).toEqual([floor(2n)]);
  });
});

describe('a whole answer', () => {
  it('has to show everything', () => {
    const { partials } = harness();
    const coverage = partials.coverageOf(answer([0, 1], []), true);
    expect(partials.owed(coverage, OTHER, [floor(1n)])).toEqual([floor(1n)]);
  });
});
