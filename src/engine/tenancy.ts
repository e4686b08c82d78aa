import type { Collection } from './collection.js';
import type { TenancyStats } from './engine.js';

/**
 * What tenants have in those of the collections that are routed by tenant; `undefined` where none
 * is. Costs all tenants of these, and no record.
 */
export function tenancyOf(collections: Iterable<Collection>): TenancyStats | undefined {
  const routed = [...collections].filter(({ config }) => config.routing === 'tenant');
  if (routed.length === 0) return undefined;
  const records = new Map<string, number>();
  let recordsMax = 0;
  for (const { payload } of routed) {
    for (const { key, rows } of payload.tenantRows()) {
      const tenant = String(key);
      const sum = (records.get(tenant) ?? 0) + rows.size;
      records.set(tenant, sum);
      recordsMax = Math.max(recordsMax, sum);
    }
  }
  return { tenants: records.size, recordsMax };
}
