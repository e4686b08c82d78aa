/**
 * What can move between shards. A placement owns keys by unit: all keys of a unit are on one shard,
 * and a migration moves one unit.
 */
import { unreachable } from '../shared/assert.js';

/** Plain data: it is part of topology entries and of the state of migrations. */
export type OwnershipUnit =
  /** All keys that hash to the slot; in a tenant directory, all but the assigned tenants. */
  | { readonly kind: 'slot'; readonly slot: number }
  /** All records of one tenant, in a tenant directory. */
  | { readonly kind: 'tenant'; readonly tenant: string }
  /** All keys of a range. An id names the same borders for ever: what is cut gets new ids. */
  | { readonly kind: 'range'; readonly rangeId: number };

/** One unit goes from one shard to another. */
export interface UnitMove {
  readonly unit: OwnershipUnit;
  /** The owner before the move. */
  readonly fromShardId: number;
  readonly toShardId: number;
}

/** For messages: `slot 17`, `tenant "acme"`, `range 3`. */
export function describeUnit(unit: OwnershipUnit): string {
  switch (unit.kind) {
    case 'slot':
      return `slot ${unit.slot}`;
    case 'tenant':
      return `tenant ${JSON.stringify(unit.tenant)}`;
    case 'range':
      return `range ${unit.rangeId}`;
    default:
      return unreachable(unit, 'unit');
  }
}
