/**
 * Which keys a shard owns, as its log has said: the one thing that decides what it may write, since
 * routers may be behind. Replicated state, changed by entries only.
 *
 * Keys change hands in three entries (docs/rules.md, O): the shard that loses them is fenced, the
 * topology decides, and each shard is told, the losing one first.
 */
import { assert } from '../shared/assert.js';
import type {
  ChangeOwnershipCommand,
  CreateCollectionCommand,
  FenceUnitsCommand,
  LiftFenceCommand,
} from '../shared/codec/command.js';
import { FlotillaError } from '../shared/errors.js';
import {
  changedOwnership,
  DEFAULT_PLACEMENT_ID,
  type PlacementOwnership,
} from '../shared/ownership.js';
import type { ErrorBody } from '../shared/types.js';
import type { CommandResult, RecordKey } from './engine.js';
import type { ShardState } from './state-codec.js';

const DONE: CommandResult = { kind: 'done' };
const NOTHING_PLACED = { placements: [], lastChangeId: 0 } as const;

/** Where a key is among those of its placement. */
export type OwnedKey = Pick<RecordKey, 'slot' | 'tenant'>;

/** The keys of one placement that a shard owns. A look-up costs one or two of a set. */
class OwnedKeys {
  readonly #units: ReadonlySet<number>;
  readonly #here: ReadonlySet<string>;
  readonly #elsewhere: ReadonlySet<string>;

  constructor({ units, tenants }: PlacementOwnership) {
    this.#units = new Set(units);
    this.#here = new Set(tenants?.here);
    this.#elsewhere = new Set(tenants?.elsewhere);
  }

  has({ slot, tenant }: OwnedKey): boolean {
    if (this.#here.has(tenant)) return true;
    return this.#units.has(slot) && !this.#elsewhere.has(tenant);
  }
}

export class Ownership {
  #state: ShardState;
  #owned: ReadonlyMap<number, OwnedKeys>;
  /** What may be written of the placement that is fenced: less than is owned. */
  #fenced: { readonly placementId: number; readonly left: OwnedKeys } | undefined;

  constructor(state: ShardState) {
    this.#state = state;
    this.#owned = ownedKeys(state);
    this.#fenced = fencedKeys(state);
  }

  get state(): ShardState {
    return this.#state;
  }

  get version(): number {
    return this.#state.ownershipVersion;
  }

  /** Throws STALE_TOPOLOGY where the asker's table is not this one. */
  assertVersion(asked: number): void {
    if (asked !== this.version) throw FlotillaError.fromBody(this.stale(asked));
  }

  /** Whether records of the key may be here. */
  owns(placementId: number, key: OwnedKey): boolean {
    return this.#owned.get(placementId)?.has(key) === true;
  }

  /** Whether records of the key may be written: what is about to be lost may not (O2). */
  mayWrite(placementId: number, key: OwnedKey): boolean {
    if (!this.owns(placementId, key)) return false;
    return this.#fenced?.placementId !== placementId || this.#fenced.left.has(key);
  }

  /** What the shard answers to one with another table. */
  stale(asked: number): ErrorBody {
    const { shardId, ownershipVersion } = this.#state;
    return {
      reason: 'STALE_TOPOLOGY',
      message: `shard ${shardId} has ownership version ${ownershipVersion}, asked for ${asked}`,
      details: { shardId: String(shardId), ownershipVersion: String(ownershipVersion) },
    };
  }

  /** A placement comes with its first collection; what the shard knows of it already counts. */
  install({ ownership }: CreateCollectionCommand): void {
    if (ownership === undefined || this.#owned.has(ownership.placementId)) return;
    const { placed = NOTHING_PLACED } = this.#state;
    const placements = [...placed.placements, ownership];
    this.#become({ ...this.#state, placed: { ...placed, placements } });
  }

  /** The last collection of a placement is gone. */
  forget(placementId: number): void {
    const { placed } = this.#state;
    if (placed === undefined || placementId === DEFAULT_PLACEMENT_ID) return;
    const placements = placed.placements.filter((one) => one.placementId !== placementId);
    this.#become({ ...this.#state, placed: { ...placed, placements } });
  }

  /**
   * `holds` tells whether there are records of a key that is owned and would not be any more. A
   * change that is decided is not begun again.
   */
  fence(
    command: FenceUnitsCommand,
    holds: (isLost: (key: OwnedKey) => boolean) => boolean,
  ): CommandResult {
    const { changeId, placementId, change } = command;
    const { placed = NOTHING_PLACED } = this.#state;
    if (changeId <= placed.lastChangeId) return decided(changeId);
    const before = placed.placements.find((one) => one.placementId === placementId);
    if (before === undefined) return DONE;
    const after = changedOwnership(before, change);
    const [owned, left] = [new OwnedKeys(before), new OwnedKeys(after)];
    if (holds((key) => owned.has(key) && !left.has(key))) return this.#hasData();
    this.#become({ ...this.#state, placed: { ...placed, fence: { changeId, ownership: after } } });
    return DONE;
  }

  change(command: ChangeOwnershipCommand): CommandResult {
    const { changeId, placementId, ownershipVersion, change } = command;
    if (ownershipVersion <= this.version) return DONE;
    if (ownershipVersion !== this.version + 1) {
      return { kind: 'refused', error: this.stale(ownershipVersion - 1) };
    }
    const { placed = NOTHING_PLACED } = this.#state;
    const placements = placed.placements.map((one) =>
      one.placementId === placementId ? changedOwnership(one, change) : one,
    );
    this.#become({
      ...this.#state,
      ownershipVersion,
      placed: { placements, lastChangeId: Math.max(changeId, placed.lastChangeId) },
    });
    return DONE;
  }

  lift({ changeId }: LiftFenceCommand): CommandResult {
    const { placed = NOTHING_PLACED } = this.#state;
    if (changeId <= placed.lastChangeId) return DONE;
    const { placements } = placed;
    this.#become({ ...this.#state, placed: { placements, lastChangeId: changeId } });
    return DONE;
  }

  #become(state: ShardState): void {
    assert(state.ownershipVersion >= this.version, 'an ownership version goes back');
    this.#state = state;
    this.#owned = ownedKeys(state);
    this.#fenced = fencedKeys(state);
  }

  #hasData(): CommandResult {
    const { shardId } = this.#state;
    const message = `shard ${shardId} holds records of what it would give away`;
    return { kind: 'refused', error: { reason: 'TENANT_HAS_DATA', message } };
  }
}

function ownedKeys({ slots, placed }: ShardState): ReadonlyMap<number, OwnedKeys> {
  const ownerships: readonly PlacementOwnership[] = [
    { placementId: DEFAULT_PLACEMENT_ID, units: slots },
    ...(placed?.placements ?? []),
  ];
  return new Map(ownerships.map((one) => [one.placementId, new OwnedKeys(one)]));
}

function fencedKeys({ placed }: ShardState):
  | {
      readonly placementId: number;
      readonly left: OwnedKeys;
    }
  | undefined {
  if (placed?.fence === undefined) return undefined;
  const { ownership } = placed.fence;
  return { placementId: ownership.placementId, left: new OwnedKeys(ownership) };
}

function decided(changeId: number): CommandResult {
  const message = `change ${changeId} is decided already`;
  return { kind: 'refused', error: { reason: 'STALE_TOPOLOGY', message } };
}
