/**
 * What a shard owns of a placement, as its own log and its own state have it: a replica answers for
 * these keys and no others, whatever a router believes. Plain data.
 */
import { slotOfKey } from './slot.js';

/** The placement of collections that name none: its slots are those of the topology itself. */
export const DEFAULT_PLACEMENT_ID = 0;

export interface PlacementOwnership {
  /** `DEFAULT_PLACEMENT_ID`, or that of an entry of the topology. */
  readonly placementId: number;
  /** Slots, or ranges by their ids, ascending: what record keys have as their `slot`. */
  readonly units: readonly number[];
  /** Of a tenant directory only. */
  readonly tenants?: AssignedTenants;
}

/** Tenants that are where they are by name, not by their slot. */
export interface AssignedTenants {
  /** Assigned to the shard. */
  readonly here: readonly string[];
  /** Of the shard's slots, but assigned to another shard. */
  readonly elsewhere: readonly string[];
}

export interface ListChange<T> {
  readonly added: readonly T[];
  readonly removed: readonly T[];
}

/** What makes one ownership of a placement into another one of the same placement. */
export interface OwnershipChange {
  readonly units: ListChange<number>;
  readonly here: ListChange<string>;
  readonly elsewhere: ListChange<string>;
}

/** Linear in what the shard owns. */
export function ownershipChange(
  before: PlacementOwnership,
  after: PlacementOwnership,
): OwnershipChange {
  return {
    units: listChange(before.units, after.units),
    here: listChange(before.tenants?.here ?? [], after.tenants?.here ?? []),
    elsewhere: listChange(before.tenants?.elsewhere ?? [], after.tenants?.elsewhere ?? []),
  };
}

/** Whether the two ownerships are the same. */
export function isNoChange({ units, here, elsewhere }: OwnershipChange): boolean {
  return [units, here, elsewhere].every(
    ({ added, removed }) => added.length + removed.length === 0,
  );
}

/**
 * Whether the shard may own less afterwards, so that it must be asked what it holds. A tenant that
 * is elsewhere is no loss where its slot comes with the change: it was never owned. Costs a hash
 * for each tenant that is elsewhere from now on.
 */
export function mayLose({ units, here, elsewhere }: OwnershipChange): boolean {
  if (units.removed.length + here.removed.length > 0) return true;
  const gained = new Set(units.added);
  return elsewhere.added.some((tenant) => !gained.has(slotOfKey(tenant)));
}

/** The ownership after a change. To add what is there, or remove what is not, is no error. */
export function changedOwnership(
  ownership: PlacementOwnership,
  change: OwnershipChange,
): PlacementOwnership {
  const { placementId, tenants } = ownership;
  const units = changedList(ownership.units, change.units).sort((a, b) => a - b);
  if (tenants === undefined) return { placementId, units };
  return {
    placementId,
    units,
    tenants: {
      here: changedList(tenants.here, change.here).sort(),
      elsewhere: changedList(tenants.elsewhere, change.elsewhere).sort(),
    },
  };
}

function listChange<T>(before: readonly T[], after: readonly T[]): ListChange<T> {
  const [old, now] = [new Set(before), new Set(after)];
  return {
    added: after.filter((one) => !old.has(one)),
    removed: before.filter((one) => !now.has(one)),
  };
}

function changedList<T>(list: readonly T[], { added, removed }: ListChange<T>): T[] {
  const changed = new Set(list);
  for (const one of removed) changed.delete(one);
  for (const one of added) changed.add(one);
  return [...changed];
}
