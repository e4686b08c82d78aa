/**
 * Whose records a call is about. A call that names no tenant is about those of nobody, which are a
 * tenant of their own: nothing that a caller leaves out shows it the records of others.
 */
import { FlotillaError } from '../shared/errors.js';
import type { CollectionEntry } from '../topology/document.js';
import type { TenantChoice, TenantScope } from './requests.js';

/** Throws INVALID_REQUEST, naming `tenant`, where the collection wants one and there is none. */
export function writtenTenant(collection: CollectionEntry, { tenant = '' }: TenantScope): string {
  assertNamed(collection, tenant, 'name one');
  return tenant;
}

/**
 * The tenant whose records a read sees; `undefined` for those of all, which has to be asked for by
 * name. Throws as `writtenTenant` does, and where both are asked for.
 */
export function readTenant(
  collection: CollectionEntry,
  { tenant = '', allTenants = false }: TenantChoice,
): string | undefined {
  if (!allTenants) {
    assertNamed(collection, tenant, 'name one, or say allTenants');
    return tenant;
  }
  if (tenant === '') return undefined;
  const message = 'allTenants is set and a tenant too, leave one out';
  throw new FlotillaError('INVALID_REQUEST', message, { field: 'allTenants' });
}

function assertNamed({ config }: CollectionEntry, tenant: string, advice: string): void {
  if (config.routing !== 'tenant' || tenant !== '') return;
  const message = `Records of ${config.name} are those of tenants: ${advice}`;
  throw new FlotillaError('INVALID_REQUEST', message, { field: 'tenant' });
}
