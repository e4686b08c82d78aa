/** Merging the counts of tenants that the shards of a collection answer with. Pure. */
import type { TenantCount } from '../engine/engine.js';
import { compareText } from '../shared/filter-values.js';

export interface ShardTenants {
  readonly shardId: number;
  /** By tenant; as many as were asked for, where there may be more. */
  readonly tenants: readonly TenantCount[];
}

export interface TenantsPage {
  /** By tenant, then by shard: a tenant may be on several. */
  readonly counts: readonly (TenantCount & { readonly shardId: number })[];
  readonly hasMore: boolean;
}

/**
 * The counts of the first `limit` tenants. Each part has been asked for that many: what comes after
 * the end of a full one is not known, and not told.
 */
export function mergeTenants(parts: readonly ShardTenants[], limit: number): TenantsPage {
  const ends = parts
    .filter(({ tenants }) => tenants.length >= limit)
    .map(({ tenants }) => tenants.at(-1)?.tenant ?? '')
    .sort(compareText);
  const [end] = ends;
  const known = parts
    .flatMap(({ shardId, tenants }) => tenants.map((one) => ({ ...one, shardId })))
    .filter(({ tenant }) => end === undefined || compareText(tenant, end) <= 0)
    .sort((a, b) => compareText(a.tenant, b.tenant) || a.shardId - b.shardId);
  const names = [...new Set(known.map(({ tenant }) => tenant))];
  const last = names[limit - 1];
  const isCut = names.length > limit;
  const counts = isCut ? known.filter(({ tenant }) => compareText(tenant, last ?? '') <= 0) : known;
  return { counts, hasMore: isCut || ends.length > 0 };
}
