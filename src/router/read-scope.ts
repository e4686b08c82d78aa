/** What a read is about, under one table: its collection, its shards, and what these select. */
import { defined } from '../shared/assert.js';
import type { Consistency } from '../shared/consistency.js';
import { FlotillaError } from '../shared/errors.js';
import { isShardKey } from '../shared/stored-id.js';
import type { CollectionEntry, TopologyDocument } from '../topology/document.js';
import { type CollectionRoute, routeOf } from '../topology/routes.js';
import type { GroupChoice, SkippedShard, TenantChoice } from './requests.js';
import { readTenant } from './tenancy.js';
import type { TimeBudget } from './time-budget.js';

/** How long a read may take, how fresh it is to be, and which records it sees. */
export interface ReadManner extends TenantChoice, GroupChoice {
  readonly budget: TimeBudget;
  readonly consistency: Consistency;
  /** Whether the caller goes to another node after an error that may pass. */
  readonly callerRetries: boolean;
}

/** The table and collection that one round of a read is carried out under. */
export interface Scope extends ReadManner {
  readonly document: TopologyDocument;
  readonly collection: CollectionEntry;
  readonly route: CollectionRoute;
  /** The shards that may have records of those tenants and keys, ascending. */
  readonly shardIds: readonly number[];
  /** What the engine selects by: no tenant for all of them, no keys for all of them. */
  readonly selection: {
    readonly tenant?: string;
    readonly shardKeys?: readonly string[];
  };
}

/**
 * Asks only the shards that may have what is read: one for a tenant where records are routed by
 * tenant (M-20), those of the shard keys where they are routed by key (M-19). Throws
 * INVALID_REQUEST, naming `tenant`, `allTenants` or `shardKeys`, for what the collection's routing
 * does not allow.
 */
export function scopeOf(
  document: TopologyDocument,
  collection: CollectionEntry,
  manner: ReadManner,
): Scope {
  const tenant = readTenant(collection, manner);
  const shardKeys = manner.shardKeys && checkedKeys(collection, manner.shardKeys);
  const route = defined(routeOf(document, collection.placementId), 'the route of the collection');
  const selection = {
    ...(tenant !== undefined && { tenant }),
    ...(shardKeys !== undefined && { shardKeys }),
  };
  const shardIds = shardsOf(collection, route, selection);
  // The copy comes last, see "Code on the way of each call" in CONTRIBUTING.md.
  return { document, collection, route, shardIds, selection, ...manner };
}

/** The shards of the cluster that the read does not ask, by id, and why. */
export function skippedShards({
  document,
  collection,
  route,
  shardIds,
}: Pick<Scope, 'document' | 'collection' | 'route' | 'shardIds'>): SkippedShard[] {
  const asked = new Set(shardIds);
  const owning = new Set(route.shardIds);
  const byRouting = collection.config.routing === 'tenant' ? 'tenant' : 'shard-key';
  return document.shards
    .map(({ shardId }) => shardId)
    .filter((shardId) => !asked.has(shardId))
    .sort((a, b) => a - b)
    .map((shardId) => ({ shardId, why: owning.has(shardId) ? byRouting : 'owns-nothing' }));
}

function shardsOf(
  { config }: CollectionEntry,
  route: CollectionRoute,
  { tenant, shardKeys }: Scope['selection'],
): readonly number[] {
  const owner = (routingKey: string): number =>
    route.shardOf({ slot: route.unitOf(routingKey), tenant: tenant ?? '' });
  if (shardKeys !== undefined) {
    return [...new Set(shardKeys.map(owner))].sort((a, b) => a - b);
  }
  return config.routing === 'tenant' && tenant !== undefined ? [owner(tenant)] : route.shardIds;
}

/** Each once. */
function checkedKeys({ config }: CollectionEntry, shardKeys: readonly string[]): readonly string[] {
  if (config.routing !== 'shardKey') {
    const message = `Records of ${config.name} are not routed by shard key: leave shardKeys out`;
    throw new FlotillaError('INVALID_REQUEST', message, { field: 'shardKeys' });
  }
  if (!shardKeys.every(isShardKey)) {
    const message = 'A shard key has at least one character, and none that is zero';
    throw new FlotillaError('INVALID_REQUEST', message, { field: 'shardKeys' });
  }
  return [...new Set(shardKeys)];
}
