// Goal: pages of counts, one after the other, tell each tenant of each shard once, in order (M-21).
// Method: random tenants on shards, read in pages of any size, beside a list of all of them.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mergeTenants, type ShardTenants } from '../../../src/router/tenant-pages.js';
import { compareText } from '../../../src/shared/filter-values.js';
import { codePoint } from '../../support/code-point.js';

const names = fc.uniqueArray(fc.string({ unit: codePoint, maxLength: 3 }), { maxLength: 12 });

/** What a shard answers to one page. */
function partOf(
  shardId: number,
  all: readonly string[],
  after: string | undefined,
  limit: number,
): ShardTenants {
  const tenants = [...all]
    .sort(compareText)
    .filter((tenant) => after === undefined || compareText(tenant, after) > 0)
    .slice(0, limit)
    .map((tenant) => ({ tenant, records: tenant.length + shardId }));
  return { shardId, tenants };
}

describe('pages of tenants', () => {
  it('tell every tenant of every shard once, in order', () => {
    fc.assert(
      fc.property(
        fc.array(names, { maxLength: 4 }),
        fc.integer({ min: 1, max: 5 }),
        (all, limit) => {
          const told: string[] = [];
          let after: string | undefined;
          let hasMore = true;
          while (hasMore) {
            const parts = all.map((shard, at) => partOf(at, shard, after, limit));
            const page = mergeTenants(parts, limit);
            expect(new Set(page.counts.map(({ tenant }) => tenant)).size).toBeLessThanOrEqual(
              limit,
            );
            told.push(
              ...page.counts.map(({ tenant, shardId }) => JSON.stringify([tenant, shardId])),
            );
            after = page.counts.at(-1)?.tenant ?? after;
            hasMore = page.hasMore && page.counts.length > 0;
          }
          const expected = all
            .flatMap((shard, shardId) => shard.map((tenant) => ({ tenant, shardId })))
            .sort((a, b) => compareText(a.tenant, b.tenant) || a.shardId - b.shardId);
          expect(told).toEqual(
            expected.map(({ tenant, shardId }) => JSON.stringify([tenant, shardId])),
          );
        },
      ),
    );
  });
});
