/**
 * The placements that collections have named beside the default one, and how the tenant directory
 * changes. Part of the topology document; the transitions are in placement-transitions.ts.
 */
import {
  type PlacementCommand,
  type PlacementSpec,
  type PlacementState,
  placementFault,
} from '../placement/placement-state.js';
import { slotOfKey } from '../placement/slot-table.js';
import { DEFAULT_TENANT_LIMITS } from '../placement/tenant-limits.js';
import { unreachable } from '../shared/assert.js';
import type { OwnershipChange, PlacementOwnership } from '../shared/ownership.js';
import type { CollectionConfig, ErrorBody } from '../shared/types.js';

export interface PlacementEntry {
  /** From 1 on, never reused. */
  readonly placementId: number;
  readonly state: PlacementState;
}

/** What operators do to the tenant directory. */
export type TenantAction = Extract<
  PlacementCommand,
  { readonly kind: 'assignTenant' | 'releaseTenant' | 'dedicateShard' | 'shareShard' }
>;

/** In the order of a change: `opening` or `lifting` follows the first one, and ends it. */
export const TENANT_CHANGE_STAGES = ['fencing', 'opening', 'lifting'] as const;
export type TenantChangeStage = (typeof TENANT_CHANGE_STAGES)[number];

/** What one shard has to be told of a change. */
export interface OwnershipStep {
  readonly shardId: number;
  /** What the shard's ownership version is after the change. */
  readonly ownershipVersion: number;
  readonly change: OwnershipChange;
}

/**
 * A change of the tenant directory on its way. While it is `fencing` the table is the old one, and
 * the shard that would lose tenants is asked whether it holds records of them; from `opening` on
 * the table is the new one, and the shards are told.
 */
export interface TenantChange {
  /** Grows from change to change. */
  readonly changeId: number;
  readonly placementId: number;
  readonly action: TenantAction;
  /** What is done to the placement. */
  readonly commands: readonly PlacementCommand[];
  /** The shard that loses first, so that two never own the same (O3). */
  readonly steps: readonly OwnershipStep[];
  readonly stage: TenantChangeStage;
  readonly by: string;
  readonly atMs: number;
}

/** One line of the audit log (M-18). */
export interface TenantAuditEntry {
  readonly changeId: number;
  readonly action: TenantAction;
  /** Where the tenant was before, of an assignment. */
  readonly fromShardId?: number;
  /** Who asked for it, as they said themselves. */
  readonly by: string;
  /** When, by the wall clock of the node that was asked. */
  readonly atMs: number;
  /** Why it was not done; absent where it was. */
  readonly refused?: ErrorBody;
}

export interface Placements {
  readonly entries: readonly PlacementEntry[];
  readonly nextPlacementId: number;
  readonly nextChangeId: number;
  /** There is one at a time. */
  readonly change?: TenantChange;
  /** The newest at the end; at most `LIMITS.tenantAuditMax`. */
  readonly audit: readonly TenantAuditEntry[];
}

/** Of documents that have no others than the default placement. */
export const NO_PLACEMENTS: Placements = {
  entries: [],
  nextPlacementId: 1,
  nextChangeId: 1,
  audit: [],
};

/** What the settings of a collection ask for; `undefined` for the default placement. */
export function placementSpecOf(
  config: Pick<CollectionConfig, 'routing' | 'placement' | 'splitPoints'>,
  virtualNodes: number,
): PlacementSpec | undefined {
  const { routing = 'id', placement = 'ring', splitPoints = [] } = config;
  if (routing === 'tenant') {
    const layout = { name: 'ring', virtualNodes } as const;
    return { kind: 'tenants', routedBy: routing, layout, limits: DEFAULT_TENANT_LIMITS };
  }
  switch (placement) {
    case 'ring':
      return undefined;
    case 'range':
      return { kind: 'ranges', routedBy: routing, splitPoints };
    case 'modulo':
    case 'rendezvous':
    case 'virtual-shards':
      return { kind: 'slots', routedBy: routing, layout: { name: placement } };
    default:
      return unreachable(placement, 'placement');
  }
}

/**
 * What each of the shards owns under a state. Linear in the state, however many shards there are:
 * one hash for each tenant that is assigned.
 */
export function ownershipsOf(
  { placementId, state }: PlacementEntry,
  shardIds: readonly number[],
): Map<number, PlacementOwnership> {
  switch (state.kind) {
    case 'slots': {
      const owned = slotsByShard(state.table);
      return byShard(shardIds, (shardId) => ({ placementId, units: owned.get(shardId) ?? [] }));
    }
    case 'ranges': {
      const owned = grouped(state.table.ranges, ({ shardId }) => shardId);
      return byShard(shardIds, (shardId) => {
        const rangeIds = (owned.get(shardId) ?? []).map(({ rangeId }) => rangeId);
        return { placementId, units: rangeIds.sort((a, b) => a - b) };
      });
    }
    case 'tenants': {
      const { slotTable, assignments } = state.table;
      const owned = slotsByShard(slotTable);
      const here = grouped(assignments, ({ shardId }) => shardId);
      const hashed = assignments.map(({ tenant, shardId }) => {
        return { tenant, shardId, fromShardId: slotTable[slotOfKey(tenant)] ?? shardId };
      });
      const away = hashed.filter(({ shardId, fromShardId }) => shardId !== fromShardId);
      const elsewhere = grouped(away, ({ fromShardId }) => fromShardId);
      return byShard(shardIds, (shardId) => ({
        placementId,
        units: owned.get(shardId) ?? [],
        tenants: {
          here: (here.get(shardId) ?? []).map(tenantOf).sort(),
          elsewhere: (elsewhere.get(shardId) ?? []).map(tenantOf).sort(),
        },
      }));
    }
    default:
      return unreachable(state, 'placement');
  }
}

/** What is wrong with the placements, as one sentence; undefined for sound ones. */
export function placementsFault(
  { entries, nextPlacementId, nextChangeId, change, audit }: Placements,
  shardIds: readonly number[],
): string | undefined {
  const ids = entries.map(({ placementId }) => placementId);
  if (new Set(ids).size !== ids.length) return 'two placements have one id';
  if (ids.some((id) => id >= nextPlacementId)) return 'a placement id would be given out again';
  if (entries.filter(({ state }) => state.kind === 'tenants').length > 1) {
    return 'there are two tenant directories';
  }
  const changeIds = [...audit, ...(change === undefined ? [] : [change])];
  if (changeIds.some(({ changeId }) => changeId >= nextChangeId)) {
    return 'the id of a change of tenants would be given out again';
  }
  if (change !== undefined && !ids.includes(change.placementId)) {
    return 'a change is of a placement that does not exist';
  }
  for (const { placementId, state } of entries) {
    const fault = placementFault(state, shardIds);
    if (fault !== undefined) return `placement ${placementId}: ${fault}`;
  }
  return undefined;
}

function slotsByShard(slotTable: readonly number[]): Map<number, number[]> {
  const slots = slotTable.map((shardId, slot) => ({ shardId, slot }));
  const owned = grouped(slots, ({ shardId }) => shardId);
  return new Map([...owned].map(([shardId, own]) => [shardId, own.map(({ slot }) => slot)]));
}

function grouped<T>(list: readonly T[], shardOf: (one: T) => number): Map<number, T[]> {
  const groups = new Map<number, T[]>();
  for (const one of list) {
    const group = groups.get(shardOf(one));
    if (group === undefined) groups.set(shardOf(one), [one]);
    else group.push(one);
  }
  return groups;
}

function byShard<T>(shardIds: readonly number[], of: (shardId: number) => T): Map<number, T> {
  return new Map(shardIds.map((shardId) => [shardId, of(shardId)]));
}

function tenantOf({ tenant }: { readonly tenant: string }): string {
  return tenant;
}
