/** Where the records of a collection are, under one version of the topology. */
import type { PlacementState } from '../placement/placement-state.js';
import { RangeTable, type RangeTableState } from '../placement/range-table.js';
import { slotOfKey } from '../placement/slot-table.js';
import { TenantDirectory, type TenantDirectoryState } from '../placement/tenant-directory.js';
import { defined, unreachable } from '../shared/assert.js';
import { DEFAULT_PLACEMENT_ID } from '../shared/ownership.js';
import type { TopologyDocument } from './document.js';

/** What decides on the shard of a record that is laid out already. */
export interface RoutedKey {
  /** As `unitOf` has told, perhaps under an earlier version: a key's unit does not change. */
  readonly slot: number;
  readonly tenant: string;
}

export interface CollectionRoute {
  /** Shards that own any key: the others need not be asked for what may be anywhere. */
  readonly shardIds: readonly number[];
  /** What record keys name as the `slot` of a routing key: its slot, or its range. */
  unitOf(routingKey: string): number;
  shardOf(key: RoutedKey): number;
}

/** One for each table that is in use; tables are never changed in place. */
const routes = new WeakMap<object, CollectionRoute>();

/** As `routes`, one for each list of shards. */
const versionsOfShards = new WeakMap<object, ReadonlyMap<number, number>>();

/** Ownership version by shard id. Costs the shards the first time it is asked for. */
export function ownershipVersions({
  shards,
}: Pick<TopologyDocument, 'shards'>): ReadonlyMap<number, number> {
  let versions = versionsOfShards.get(shards);
  if (versions === undefined) {
    versions = new Map(shards.map((one) => [one.shardId, one.ownershipVersion]));
    versionsOfShards.set(shards, versions);
  }
  return versions;
}

/**
 * The route of the collections on a placement; `undefined` where the document has none of that id,
 * because its collections are dropped. Costs the table the first time it is asked for.
 */
export function routeOf(
  { slotTable, placements }: TopologyDocument,
  placementId: number = DEFAULT_PLACEMENT_ID,
): CollectionRoute | undefined {
  if (placementId === DEFAULT_PLACEMENT_ID) {
    return known(slotTable, () => slotRoute(slotTable));
  }
  const entry = placements?.entries.find((one) => one.placementId === placementId);
  if (entry === undefined) return undefined;
  const { state } = entry;
  return known(state, () => placedRoute(state));
}

function known(table: object, make: () => CollectionRoute): CollectionRoute {
  const existing = routes.get(table);
  if (existing !== undefined) return existing;
  const route = make();
  routes.set(table, route);
  return route;
}

function placedRoute(state: PlacementState): CollectionRoute {
  switch (state.kind) {
    case 'slots':
      return slotRoute(state.table);
    case 'ranges':
      return rangeRoute(state.table);
    case 'tenants':
      return tenantRoute(state.table);
    default:
      return unreachable(state, 'placement');
  }
}

function slotRoute(slotTable: readonly number[]): CollectionRoute {
  return {
    shardIds: ascending(slotTable),
    unitOf: slotOfKey,
    shardOf: ({ slot }) => defined(slotTable[slot], `slot ${slot}`),
  };
}

function rangeRoute(state: RangeTableState): CollectionRoute {
  const table = new RangeTable(state);
  const owners = new Map(state.ranges.map(({ rangeId, shardId }) => [rangeId, shardId]));
  return {
    shardIds: ascending([...owners.values()]),
    unitOf: (routingKey) => table.rangeOf(routingKey).rangeId,
    shardOf: ({ slot }) => defined(owners.get(slot), `range ${slot}`),
  };
}

/** An assigned tenant stays with its slot in record keys: assigning it renames nothing. */
function tenantRoute(state: TenantDirectoryState): CollectionRoute {
  const directory = new TenantDirectory(state);
  const { slotTable, assignments } = state;
  return {
    shardIds: ascending([...slotTable, ...assignments.map(({ shardId }) => shardId)]),
    unitOf: slotOfKey,
    shardOf: ({ tenant }) => directory.shardOf(tenant),
  };
}

function ascending(shardIds: readonly number[]): number[] {
  return [...new Set(shardIds)].sort((a, b) => a - b);
}
