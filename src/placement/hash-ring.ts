/**
 * The consistent-hash ring (Karger et al., 1997): shards own arcs of the 32-bit hash circle, and a
 * shard that joins or leaves moves only the arcs next to its own points.
 */
import { assert } from '../shared/assert.js';
import { murmur3OfString } from '../shared/murmur3.js';

export const DEFAULT_VIRTUAL_NODES = 100;

/** One virtual node: a shard's stake at a place of the circle. */
export interface RingPoint {
  /** Unsigned 32-bit. */
  readonly position: number;
  readonly shardId: number;
}

export interface HashRingOptions {
  /** Points per shard. More points even the arcs out: spread falls with 1/sqrt. @default 100 */
  readonly virtualNodes?: number;
}

/**
 * An immutable ring; the same shards give the same ring, in whatever order they are named.
 *
 * Making one costs (shards x virtualNodes) hashes and a sort; a lookup is a binary search.
 */
export class HashRing {
  /** Ascending by position; points that collide are ordered by shard. */
  readonly points: readonly RingPoint[];

  constructor(shardIds: readonly number[], options: HashRingOptions = {}) {
    const virtualNodes = options.virtualNodes ?? DEFAULT_VIRTUAL_NODES;
    assert(shardIds.length > 0, 'a ring needs at least one shard');
    assert(new Set(shardIds).size === shardIds.length, 'a shard is named twice');
    assert(Number.isSafeInteger(virtualNodes) && virtualNodes > 0, `${virtualNodes} virtual nodes`);
    this.points = shardIds
      .flatMap((shardId) => pointsOf(shardId, virtualNodes))
      .sort((a, b) => a.position - b.position || a.shardId - b.shardId);
  }

  /** The shard of the closest point clockwise from `position`, that place itself included. */
  ownerOf(position: number): number {
    let low = 0;
    let high = this.points.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.points[middle] as RingPoint).position < position) low = middle + 1;
      else high = middle;
    }
    // Beyond the last point the circle closes: the first one is next.
    return (this.points[low % this.points.length] as RingPoint).shardId;
  }
}

function pointsOf(shardId: number, virtualNodes: number): RingPoint[] {
  return Array.from({ length: virtualNodes }, (_, node) => ({
    position: murmur3OfString(`shard-${shardId}/${node}`),
    shardId,
  }));
}
