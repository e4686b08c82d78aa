/**
 * Slots: the units that move between shards. A key's slot never changes; the table says which
 * shard owns the slot now. The default table is laid out by the consistent-hash ring.
 */
import { assert, defined } from '../shared/assert.js';
import { LIMITS } from '../shared/limits.js';
import { murmur3OfString } from '../shared/murmur3.js';
import { HashRing, type HashRingOptions } from './hash-ring.js';
import type { Placement, PlacementStrategy } from './strategy.js';

/** Slots of every placement. A power of two, since a slot is the leading bits of a hash. */
export const SLOTS = LIMITS.slots.value;

const SLOT_SHIFT = 32 - Math.log2(SLOTS);

/** The slot of a routing key: the top 10 bits of MurmurHash3 x86 32 over its UTF-8 bytes. */
export function slotOfKey(routingKey: string): number {
  return murmur3OfString(routingKey) >>> SLOT_SHIFT;
}

/** Where a slot's keys begin on the hash circle. */
export function slotPosition(slot: number): number {
  return (slot << SLOT_SHIFT) >>> 0;
}

/** Which shard owns each slot. A lookup by key costs one hash. */
export class SlotTable implements Placement {
  /** Shard of each slot; `SLOTS` long. */
  readonly shardIds: readonly number[];

  constructor(shardIds: readonly number[]) {
    assert(shardIds.length === SLOTS, `a table of ${shardIds.length} slots, not ${SLOTS}`);
    this.shardIds = shardIds;
  }

  shardOf(routingKey: string): number {
    return this.shardOfSlot(slotOfKey(routingKey));
  }

  shardOfSlot(slot: number): number {
    return defined(this.shardIds[slot], `slot ${slot}`);
  }

  /** The slots that a shard owns, ascending. Looks at every slot. */
  slotsOf(shardId: number): number[] {
    return this.shardIds.flatMap((owner, slot) => (owner === shardId ? [slot] : []));
  }
}

/**
 * The cluster's default: each slot belongs to the ring's owner of the place where the slot begins.
 *
 * One shard more among n moves about 1/(n+1) of the slots, all of them to the new shard. Shares
 * get less even as shards grow in number: with the default points the largest is 1.1 times the
 * mean at 4 shards, 1.2 at 16, 1.6 at 64; at 256 shards, 4 slots each on average, some own none.
 */
export class RingStrategy implements PlacementStrategy {
  readonly name = 'ring';
  readonly #options: HashRingOptions;

  constructor(options: HashRingOptions = {}) {
    this.#options = options;
  }

  place(shardIds: readonly number[]): SlotTable {
    const ring = new HashRing(shardIds, this.#options);
    return new SlotTable(
      Array.from({ length: SLOTS }, (_, slot) => ring.ownerOf(slotPosition(slot))),
    );
  }
}
