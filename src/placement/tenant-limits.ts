/** How much of its tenants a shard should hold (M-21), and where that is too much. */

export interface TenantLimits {
  readonly tenantsPerShardMax: number;
  /** From this number on there is a warning. At most `tenantsPerShardMax`. */
  readonly tenantsPerShardWarning: number;
  readonly vectorsPerShardMax: number;
}

/** Part of a tenant placement's state; these are what one has that names no others. */
export const DEFAULT_TENANT_LIMITS: TenantLimits = {
  tenantsPerShardMax: 20,
  tenantsPerShardWarning: 18,
  vectorsPerShardMax: 300_000,
};

/** What a shard holds of the collections of one placement. */
export interface ShardTenancy {
  readonly shardId: number;
  /** Tenants with at least one record. */
  readonly tenants: number;
  readonly vectors: number;
}

export interface TenancyFinding {
  readonly shardId: number;
  readonly what: 'tenants' | 'vectors';
  /** `warning`: within the limit, but near it. */
  readonly level: 'warning' | 'exceeded';
  readonly count: number;
  /** The limit that is near, or exceeded. */
  readonly max: number;
}

/** What to rebalance, in the order of `shards`; empty where all is well. */
export function tenancyFindings(
  limits: TenantLimits,
  shards: readonly ShardTenancy[],
): TenancyFinding[] {
  const { tenantsPerShardMax, tenantsPerShardWarning, vectorsPerShardMax } = limits;
  return shards.flatMap(({ shardId, tenants, vectors }) => {
    const findings: TenancyFinding[] = [];
    if (tenants >= tenantsPerShardWarning) {
      const level = tenants > tenantsPerShardMax ? 'exceeded' : 'warning';
      findings.push({ shardId, what: 'tenants', level, count: tenants, max: tenantsPerShardMax });
    }
    if (vectors > vectorsPerShardMax) {
      const found = { count: vectors, max: vectorsPerShardMax };
      findings.push({ shardId, what: 'vectors', level: 'exceeded', ...found });
    }
    return findings;
  });
}

/** What is wrong with limits, as one sentence; undefined for sound ones. */
export function tenantLimitsFault(limits: TenantLimits): string | undefined {
  const wrong = Object.entries(limits).find(
    ([, value]) => !Number.isSafeInteger(value) || value < 1,
  );
  if (wrong !== undefined) return `${wrong[0]} is ${wrong[1]}`;
  return limits.tenantsPerShardWarning > limits.tenantsPerShardMax
    ? 'the warning comes after the limit'
    : undefined;
}
