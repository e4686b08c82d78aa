// Goal: shards that hold too many tenants or vectors are named, at the numbers of the mission.
// Method: one below, at and one above each bound.
import { describe, expect, it } from 'vitest';
import {
  DEFAULT_TENANT_LIMITS,
  tenancyFindings,
  tenantLimitsFault,
} from '../../../src/placement/tenant-limits.js';

const levels = (tenants: number, vectors: number): string[] =>
  tenancyFindings(DEFAULT_TENANT_LIMITS, [{ shardId: 1, tenants, vectors }]).map(
    ({ what, level }) => `${what} ${level}`,
  );

describe('tenancyFindings (M-21)', () => {
  it.each([
    [17, 0, []],
    [18, 0, ['tenants warning']],
    [20, 0, ['tenants warning']],
    [21, 0, ['tenants exceeded']],
    [1, 300_000, []],
    [1, 300_001, ['vectors exceeded']],
    [21, 300_001, ['tenants exceeded', 'vectors exceeded']],
  ])('of %i tenants and %i vectors on a shard are %j', (tenants, vectors, found) => {
    expect(levels(tenants, vectors)).toEqual(found);
  });

  it('name shard, count and limit, in the order given', () => {
    const shards = [
      { shardId: 7, tenants: 19, vectors: 1 },
      { shardId: 2, tenants: 3, vectors: 400_000 },
    ];
    expect(tenancyFindings(DEFAULT_TENANT_LIMITS, shards)).toEqual([
      { shardId: 7, what: 'tenants', level: 'warning', count: 19, max: 20 },
      { shardId: 2, what: 'vectors', level: 'exceeded', count: 400_000, max: 300_000 },
    ]);
  });
});

describe('tenantLimitsFault', () => {
  it('finds numbers that are no limits, and a warning that comes too late', () => {
    expect(tenantLimitsFault(DEFAULT_TENANT_LIMITS)).toBeUndefined();
    for (const wrong of [0, -1, 1.5, Number.NaN]) {
      const limits = { ...DEFAULT_TENANT_LIMITS, vectorsPerShardMax: wrong };
      expect(tenantLimitsFault(limits)).toBe(`vectorsPerShardMax is ${wrong}`);
    }
    const late = { ...DEFAULT_TENANT_LIMITS, tenantsPerShardWarning: 21 };
    expect(tenantLimitsFault(late)).toMatch(/after the limit/);
    expect(tenantLimitsFault({ ...late, tenantsPerShardWarning: 20 })).toBeUndefined();
  });
});
