/**
 * Goal: one name for each record of a run, whosever and wherever it is. Method: the names of
 * nobody's records in the main collection are their ids, all others say collection and tenant, too.
 */

export const COLLECTION = 'main';
/** All records of a tenant are on one shard here. */
export const TENANT_COLLECTION = 'by-tenant';

/** Where ids are unique. */
export interface Space {
  readonly collection: string;
  /** Empty for nobody's. */
  readonly tenant: string;
}

/** Which records a read is about: one tenant's, or those of all. */
export type Scope = Space | { readonly collection: string; readonly tenant: undefined };

export const HOME: Space = { collection: COLLECTION, tenant: '' };

const END = '/';

/** No collection, tenant or id of these runs has the separator. */
export function keyOf({ collection, tenant }: Space, id: string): string {
  const isHome = collection === HOME.collection && tenant === HOME.tenant;
  return isHome ? id : [collection, tenant, id].join(END);
}

export function spaceOf(key: string): Space {
  const [collection = '', tenant, id] = key.split(END);
  return tenant === undefined || id === undefined ? HOME : { collection, tenant };
}

export function idOf(key: string): string {
  return key.slice(key.lastIndexOf(END) + 1);
}

export function isIn({ collection, tenant }: Scope, key: string): boolean {
  const space = spaceOf(key);
  return space.collection === collection && (tenant ?? space.tenant) === space.tenant;
}

export function describeScope({ collection, tenant }: Scope): string {
  return `${collection} of ${tenant === undefined ? 'all tenants' : tenant || 'nobody'}`;
}

/** Whether simulated clients keep account of the collection. */
export function isClients(collection: string): boolean {
  return collection === COLLECTION || collection === TENANT_COLLECTION;
}
