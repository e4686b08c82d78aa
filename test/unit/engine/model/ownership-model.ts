/**
 * Goal: say which keys a shard owns after a log, so plainly that there is nothing to get wrong.
 * Method: the lists as the commands name them, searched from end to end.
 */
import type {
  ChangeOwnershipCommand,
  FenceUnitsCommand,
  LiftFenceCommand,
} from '../../../../src/shared/codec/command.js';
import type { ListChange, OwnershipChange } from '../../../../src/shared/ownership.js';

export interface ModelKey {
  readonly slot: number;
  readonly tenant: string;
}

/** What a shard owns of a placement: everything where `units` is absent. */
export interface ModelOwnership {
  readonly units?: readonly number[] | undefined;
  readonly here: readonly string[];
  readonly elsewhere: readonly string[];
}

export type FenceEnd = 'fenced' | 'decided already' | 'holds records';

export class OwnershipModel {
  version: number;
  readonly placements = new Map<number, ModelOwnership>();
  #fence: { readonly placementId: number; readonly left: ModelOwnership } | undefined;
  #lastChangeId = 0;

  /** `slots` are those of the default placement. */
  constructor(version: number, slots?: readonly number[]) {
    this.version = version;
    this.placements.set(0, { units: slots, here: [], elsewhere: [] });
  }

  owns(placementId: number, key: ModelKey): boolean {
    const ownership = this.placements.get(placementId);
    return ownership !== undefined && has(ownership, key);
  }

  /** A fence takes away what is about to be lost. */
  mayWrite(placementId: number, key: ModelKey): boolean {
    const isLeft = this.#fence?.placementId !== placementId || has(this.#fence.left, key);
    return this.owns(placementId, key) && isLeft;
  }

  fence(
    { changeId, placementId, change }: FenceUnitsCommand,
    keysHeld: readonly ModelKey[],
  ): FenceEnd {
    if (changeId <= this.#lastChangeId) return 'decided already';
    const before = this.placements.get(placementId);
    if (before === undefined) return 'fenced';
    const left = changed(before, change);
    if (keysHeld.some((key) => has(before, key) && !has(left, key))) return 'holds records';
    this.#fence = { placementId, left };
    return 'fenced';
  }

  /** False where versions in between are missing. */
  change({ changeId, placementId, ownershipVersion, change }: ChangeOwnershipCommand): boolean {
    if (ownershipVersion <= this.version) return true;
    if (ownershipVersion > this.version + 1) return false;
    const before = this.placements.get(placementId);
    if (before !== undefined) this.placements.set(placementId, changed(before, change));
    this.version = ownershipVersion;
    this.#decided(changeId);
    return true;
  }

  lift({ changeId }: LiftFenceCommand): void {
    if (changeId > this.#lastChangeId) this.#decided(changeId);
  }

  #decided(changeId: number): void {
    this.#lastChangeId = Math.max(this.#lastChangeId, changeId);
    this.#fence = undefined;
  }
}

function has({ units, here, elsewhere }: ModelOwnership, { slot, tenant }: ModelKey): boolean {
  if (here.includes(tenant)) return true;
  return (units === undefined || units.includes(slot)) && !elsewhere.includes(tenant);
}

function changed(ownership: ModelOwnership, change: OwnershipChange): ModelOwnership {
  const { units } = ownership;
  return {
    units: units && edited(units, change.units),
    here: edited(ownership.here, change.here),
    elsewhere: edited(ownership.elsewhere, change.elsewhere),
  };
}

function edited<T>(list: readonly T[], { added, removed }: ListChange<T>): T[] {
  return [...new Set([...list.filter((one) => !removed.includes(one)), ...added])];
}
