/** The door for what says whose a record is: tenants, shard keys, and changes of who is where. */
import { utf8Length } from '../shared/bytes.js';
import { checkAtMost, checkBytesAtMost, invalidField } from '../shared/checks.js';
import type { TenantFields } from '../shared/codec/tenant-fields.js';
import type { CountTenantsRequest, TenantChangeRequest } from '../shared/codec/tenant-messages.js';
import { isShardKey } from '../shared/stored-id.js';
import type { TenantAction, TenantPage } from './backend.js';

const DEFAULT_TENANTS_LIMIT = 100;

/** Whose records a request is about. What the collection demands, who routes it says. */
export function checkTenant({ tenant = '', allTenants = false }: TenantFields): {
  readonly tenant: string;
  readonly allTenants: boolean;
} {
  checkBytesAtMost('routingKeyBytesMax', tenant, 'tenant');
  return { tenant, allTenants };
}

/** The shard key of a record, where it has one. */
export function checkShardKey(
  shardKey: string | undefined,
  field: string,
): { readonly shardKey?: string } {
  if (shardKey === undefined || shardKey === '') return {};
  checkBytesAtMost('routingKeyBytesMax', shardKey, field);
  return { shardKey };
}

/** The shard keys that a call over many records is about: all where there are none. */
export function checkScopeKeys(shardKeys: readonly string[] = []): {
  readonly shardKeys?: readonly string[];
} {
  if (shardKeys.length === 0) return {};
  checkAtMost('scopeShardKeysMax', shardKeys.length, 'shardKeys');
  for (const [index, key] of shardKeys.entries()) {
    const field = `shardKeys[${index}]`;
    if (!isShardKey(key)) throw invalidField(field, 'is empty, or has a character that is zero');
    checkBytesAtMost('routingKeyBytesMax', key, field);
  }
  return { shardKeys };
}

/** One shard key per id, or none. */
export function checkShardKeys(
  ids: readonly string[],
  shardKeys: readonly string[] = [],
): { readonly shardKeys?: readonly string[] } {
  if (shardKeys.length === 0) return {};
  if (shardKeys.length !== ids.length) {
    const counts = `are ${shardKeys.length} for ${ids.length} ids, send one for each`;
    throw invalidField('shardKeys', counts);
  }
  for (const [index, key] of shardKeys.entries())
    checkBytesAtMost('routingKeyBytesMax', key, `shardKeys[${index}]`);
  return { shardKeys };
}

/** What is to be done to the tenant directory. Whether the shard exists, the topology knows. */
export function checkTenantChange(
  kind: TenantAction['kind'],
  { tenant, shardId, by }: TenantChangeRequest,
): { readonly action: TenantAction; readonly by: string } {
  checkAtMost('tenantAuthorBytesMax', utf8Length(by), 'by');
  switch (kind) {
    case 'assignTenant':
      checkNamed(tenant);
      return { action: { kind, tenant, shardId: named(shardId) }, by };
    case 'releaseTenant':
      checkNamed(tenant);
      return { action: { kind, tenant }, by };
    default:
      return { action: { kind, shardId: named(shardId) }, by };
  }
}

/** A page of counts, defaults filled in. */
export function checkTenantPage({ after, limit }: CountTenantsRequest): TenantPage {
  checkAtMost('tenantsListMax', limit, 'limit');
  if (after !== undefined) checkBytesAtMost('routingKeyBytesMax', after, 'after');
  return {
    ...(after !== undefined && { after }),
    limit: limit === 0 ? DEFAULT_TENANTS_LIMIT : limit,
  };
}

function checkNamed(tenant: string): void {
  if (tenant === '') throw invalidField('tenant', 'is empty, which no tenant of a directory is');
  checkBytesAtMost('routingKeyBytesMax', tenant, 'tenant');
}

function named(shardId: number | undefined): number {
  if (shardId !== undefined) return shardId;
  throw invalidField('shardId', 'is missing');
}
