// Goal: the door takes each level of freshness, and says what is wrong with any other (P-9).
// Method: one case for each fault, and the bounds one below, at and one above.
import { describe, expect, it } from 'vitest';
import { checkConsistency } from '../../../src/server/validate.js';
import type { Consistency, SeenShard } from '../../../src/shared/consistency.js';
import { LIMITS } from '../../../src/shared/limits.js';

const seen = (shardId: number, appliedIndex = 1, ownershipVersion = 1): SeenShard => {
  return { shardId, appliedIndex, ownershipVersion };
};

describe('how fresh a read is to be', () => {
  it('is strong where nothing is said', () => {
    expect(checkConsistency({})).toBe('strong');
    expect(checkConsistency({ consistency: 'leased' })).toBe('leased');
  });

  it.each<Exclude<Consistency, 'strong' | 'leased'>>([
    'eventual',
    { boundedMs: 1 },
    { boundedMs: LIMITS.boundedMsMax.value - 1 },
    { boundedMs: LIMITS.boundedMsMax.value },
    { session: [] },
    { session: [seen(3), seen(1, 70)] },
    { session: Array.from({ length: LIMITS.shardsMax.value }, (_, at) => seen(at)) },
  ])('may be %j', (freshness) => {
    expect(checkConsistency({ freshness })).toBe(freshness);
  });

  it.each([
    [{ consistency: 'unknown' }, 'consistency'],
    [{ consistency: 'strong', freshness: 'eventual' }, 'freshness'],
    [{ freshness: { boundedMs: 0 } }, 'freshness.boundedMs'],
    [{ freshness: { boundedMs: LIMITS.boundedMsMax.value + 1 } }, 'freshness.boundedMs'],
    [{ freshness: { session: [seen(1), seen(2), seen(1)] } }, 'freshness.session.shards[2]'],
    [
      { freshness: { session: [seen(0), seen(1, 2 ** 53)] } },
      'freshness.session.shards[1].appliedIndex',
    ],
    [
      { freshness: { session: [seen(0, 1, 2 ** 53)] } },
      'freshness.session.shards[0].ownershipVersion',
    ],
    [
      {
        freshness: {
          session: Array.from({ length: LIMITS.shardsMax.value + 1 }, (_, at) => seen(at)),
        },
      },
      'freshness.session.shards',
    ],
  ] as const)('is refused as %j, and the field named', (request, field) => {
    expect(() => checkConsistency(request)).toThrow(expect.objectContaining({ field }));
  });
});
