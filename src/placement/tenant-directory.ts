/**
 * The tenant directory: tenants are spread by hash, and those that are assigned to a shard by name
 * are there instead. A dedicated shard takes assigned tenants only (M-18, M-19).
 */
import { assert } from '../shared/assert.js';
import { isWellFormed, utf8Length } from '../shared/bytes.js';
import { FlotillaError, limitExceeded } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';
import { describeUnit, type OwnershipUnit, type UnitMove } from './ownership-unit.js';
import { SLOTS, SlotTable } from './slot-table.js';
import { isOutstanding, noSuchUnit, type Placement } from './strategy.js';

export interface TenantAssignment {
  readonly tenant: string;
  readonly shardId: number;
}

export interface TenantDirectoryState {
  /** Shard of each slot of the tenants that are spread by hash. */
  readonly slotTable: readonly number[];
  /** Each tenant at most once; ascending by tenant, as strings sort. */
  readonly assignments: readonly TenantAssignment[];
  /** Ascending. None of them owns a slot. */
  readonly dedicatedShardIds: readonly number[];
}

/**
 * An assigned tenant is a unit of its own; all others belong to the unit of their slot. A lookup
 * costs one map access, and one hash for a tenant that is not assigned; making a directory, or
 * changing it, costs the assignments.
 *
 * The transitions throw INVALID_REQUEST for what would break the directory. Only `moved` stands for
 * a migration; `assign` and `release` say where a tenant belongs, and move no records.
 */
export class TenantDirectory implements Placement {
  readonly state: TenantDirectoryState;
  readonly #slots: SlotTable;
  readonly #assigned: ReadonlyMap<string, number>;

  /** Of a state without `tenantDirectoryFault`. */
  constructor(state: TenantDirectoryState) {
    const fault = tenantDirectoryFault(state);
    assert(fault === undefined, () => `the tenant directory is not sound: ${fault}`);
    this.state = state;
    this.#slots = new SlotTable(state.slotTable);
    this.#assigned = new Map(state.assignments.map(({ tenant, shardId }) => [tenant, shardId]));
  }

  /** The routing key is the tenant. */
  shardOf(tenant: string): number {
    return this.#assigned.get(tenant) ?? this.#slots.shardOf(tenant);
  }

  unitOf(tenant: string): OwnershipUnit {
    return this.#assigned.has(tenant) ? { kind: 'tenant', tenant } : this.#slots.unitOf(tenant);
  }

  /** The slots, then the assigned tenants. */
  units(): OwnershipUnit[] {
    const tenants = this.state.assignments.map(
      ({ tenant }): OwnershipUnit => ({ kind: 'tenant', tenant }),
    );
    return [...this.#slots.units(), ...tenants];
  }

  /** Any tenant may be asked for: one that is not assigned is where its slot is. */
  ownerOf(unit: OwnershipUnit): number {
    return unit.kind === 'tenant' ? this.shardOf(unit.tenant) : this.#slots.ownerOf(unit);
  }

  /** A tenant that was spread by hash is taken out of its slot, and assigned from then on. */
  moved(move: UnitMove): TenantDirectory {
    const { unit, toShardId } = move;
    if (unit.kind === 'range') throw noSuchUnit(unit);
    if (!isOutstanding(this, move)) return this;
    if (unit.kind === 'tenant') return this.assign(unit.tenant, toShardId);
    return this.#withSlotsMoved([move]);
  }

  /** The same for several moves, one after the other; all of slots cost as much as one of them. */
  movedAll(moves: readonly UnitMove[]): TenantDirectory {
    if (moves.every(({ unit }) => unit.kind === 'slot')) return this.#withSlotsMoved(moves);
    return moves.reduce<TenantDirectory>((directory, move) => directory.moved(move), this);
  }

  #withSlotsMoved(moves: readonly UnitMove[]): TenantDirectory {
    const dedicated = moves.find(({ toShardId }) => this.isDedicated(toShardId));
    if (dedicated !== undefined) {
      const { unit, toShardId } = dedicated;
      const message = `shard ${toShardId} is dedicated, it takes no ${describeUnit(unit)}`;
      throw new FlotillaError('INVALID_REQUEST', message, { field: 'toShardId' });
    }
    const slots = this.#slots.movedAll(moves);
    if (slots === this.#slots) return this;
    return new TenantDirectory({ ...this.state, slotTable: slots.shardIds });
  }

  isDedicated(shardId: number): boolean {
    return this.state.dedicatedShardIds.includes(shardId);
  }

  /**
   * The tenant belongs to the shard, whatever its hash says; the same directory where it is
   * assigned to it already. Assigned to the shard of its slot, it stays there when the slot moves.
   * LIMIT_EXCEEDED for a long tenant or too many assignments.
   */
  assign(tenant: string, shardId: number): TenantDirectory {
    if (this.#assigned.get(tenant) === shardId) return this;
    checkTenant(tenant);
    const others = this.state.assignments.filter((one) => one.tenant !== tenant);
    if (others.length >= LIMITS.tenantAssignmentsMax.value) {
      throw limitExceeded('tenantAssignmentsMax', 'tenant', others.length + 1);
    }
    const assignments = [...others, { tenant, shardId }].sort(byTenant);
    return new TenantDirectory({ ...this.state, assignments });
  }

  /**
   * The tenant is spread by hash again. Its records must be where the hash says: refused while it
   * is assigned to another shard than the one of its slot. The same directory for a tenant that is
   * not assigned.
   */
  release(tenant: string): TenantDirectory {
    const assigned = this.#assigned.get(tenant);
    if (assigned === undefined) return this;
    const hashed = this.#slots.shardOf(tenant);
    if (assigned !== hashed) {
      const name = JSON.stringify(tenant);
      const message = `tenant ${name} is on shard ${assigned}: move it to shard ${hashed} first`;
      throw new FlotillaError('INVALID_REQUEST', message, { field: 'tenant' });
    }
    const assignments = this.state.assignments.filter((one) => one.tenant !== tenant);
    return new TenantDirectory({ ...this.state, assignments });
  }

  /** From now on the shard takes assigned tenants only. Its slots must have been moved away. */
  dedicate(shardId: number): TenantDirectory {
    if (this.isDedicated(shardId)) return this;
    const slots = this.#slots.slotsOf(shardId).length;
    if (slots > 0) {
      const message = `shard ${shardId} still owns ${slots} slots: move them first`;
      throw new FlotillaError('INVALID_REQUEST', message, { field: 'shardId' });
    }
    const dedicated = [...this.state.dedicatedShardIds, shardId];
    return new TenantDirectory({
      ...this.state,
      dedicatedShardIds: dedicated.sort((a, b) => a - b),
    });
  }

  /** The shard may own slots again; none of them moves by this. */
  share(shardId: number): TenantDirectory {
    if (!this.isDedicated(shardId)) return this;
    const dedicatedShardIds = this.state.dedicatedShardIds.filter((id) => id !== shardId);
    return new TenantDirectory({ ...this.state, dedicatedShardIds });
  }
}

/** What is wrong with a directory, as one sentence; undefined for a sound one. */
export function tenantDirectoryFault(state: TenantDirectoryState): string | undefined {
  const { slotTable, assignments, dedicatedShardIds } = state;
  if (slotTable.length !== SLOTS) return `the table has ${slotTable.length} slots`;
  if (assignments.length > LIMITS.tenantAssignmentsMax.value) {
    return `there are ${assignments.length} assignments`;
  }
  if (!isAscending(assignments, byTenant)) return 'the assignments are not in order';
  if (!isAscending(dedicatedShardIds, (a, b) => a - b)) return 'dedicated shards are not in order';
  const dedicated = new Set(dedicatedShardIds);
  const slot = slotTable.findIndex((shardId) => dedicated.has(shardId));
  return slot === -1 ? undefined : `slot ${slot} is on a dedicated shard`;
}

/** Strictly: nothing stands in the list twice. */
function isAscending<T>(values: readonly T[], compare: (a: T, b: T) => number): boolean {
  return values.every((value, at) => at === 0 || compare(values[at - 1] as T, value) < 0);
}

/** By UTF-16 unit, as `sort` does: any order will do that is the same everywhere. */
function byTenant(a: TenantAssignment, b: TenantAssignment): number {
  if (a.tenant === b.tenant) return 0;
  return a.tenant < b.tenant ? -1 : 1;
}

function checkTenant(tenant: string): void {
  const sizeBytes = utf8Length(tenant);
  if (sizeBytes > LIMITS.routingKeyBytesMax.value) {
    throw limitExceeded('routingKeyBytesMax', 'tenant', sizeBytes);
  }
  if (isWellFormed(tenant)) return;
  const message = 'A tenant must be text that UTF-8 can hold';
  throw new FlotillaError('INVALID_REQUEST', message, { field: 'tenant' });
}
