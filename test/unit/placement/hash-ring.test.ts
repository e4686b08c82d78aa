// Goal: the ring is the one of the paper, and the slot table is the ring's.
// Method: properties against a search through all points, and measured shares.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HashRing } from '../../../src/placement/hash-ring.js';
import { RingStrategy } from '../../../src/placement/ring-strategy.js';
import { SLOTS, SlotTable, slotOfKey, slotPosition } from '../../../src/placement/slot-table.js';
import { murmur3OfString } from '../../../src/shared/murmur3.js';
import { codePoint } from '../../support/code-point.js';

const shardIds = (count: number): number[] => Array.from({ length: count }, (_, at) => at);
const position = fc.integer({ min: 0, max: 2 ** 32 - 1 });

function ownerSlowly(ring: HashRing, at: number): number {
  const next = ring.points.find((point) => point.position >= at) ?? ring.points[0];
  return next?.shardId ?? -1;
}

describe('HashRing (M-8)', () => {
  it('has 100 virtual nodes a shard unless told otherwise, in order', () => {
    const { points } = new HashRing(shardIds(7));
    expect(points).toHaveLength(700);
    for (const shardId of shardIds(7)) {
      expect(points.filter((point) => point.shardId === shardId)).toHaveLength(100);
    }
    const positions = points.map((point) => point.position);
    expect(positions).toEqual([...positions].sort((a, b) => a - b));
    expect(new HashRing(shardIds(7), { virtualNodes: 3 }).points).toHaveLength(21);
  });

  it('gives a place to the closest point clockwise, across the end of the circle too', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), position, (shards, at) => {
        const ring = new HashRing(shardIds(shards), { virtualNodes: 5 });
        expect(ring.ownerOf(at)).toBe(ownerSlowly(ring, at));
        for (const point of ring.points) {
          expect(ring.ownerOf(point.position)).toBe(ownerSlowly(ring, point.position));
          const next = (point.position + 1) % 2 ** 32;
          expect(ring.ownerOf(next)).toBe(ownerSlowly(ring, next));
        }
      }),
    );
  });

  it('moves keys only to a shard that joins, only from one that leaves', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 30 }), fc.array(position), (shards, places) => {
        const small = new HashRing(shardIds(shards - 1));
        const large = new HashRing(shardIds(shards));
        for (const at of places) {
          const owner = large.ownerOf(at);
          if (owner !== shards - 1) expect(small.ownerOf(at)).toBe(owner);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('refuses no shards, a shard twice and no virtual nodes', () => {
    expect(() => new HashRing([])).toThrow(/at least one/);
    expect(() => new HashRing([1, 1])).toThrow(/twice/);
    expect(() => new HashRing([1], { virtualNodes: 0 })).toThrow(/virtual nodes/);
  });
});

describe('the slot table (M-9)', () => {
  it('has 1,024 slots; a slot is the top 10 bits of the key’s hash', () => {
    expect(SLOTS).toBe(1_024);
    fc.assert(
      fc.property(fc.string({ unit: codePoint }), (key) => {
        expect(slotOfKey(key)).toBe(Math.floor(murmur3OfString(key) / 2 ** 22));
      }),
    );
  });

  it('never changes the slot of a key: it is part of the data', () => {
    const slots = ['', 'a', 'user-1', 'ключ', '🚢'].map(slotOfKey);
    expect(slots).toEqual([0, 240, 994, 617, 446]);
  });

  it('gives each slot to the ring’s owner of its first place', () => {
    const table = new RingStrategy().place(shardIds(5));
    const ring = new HashRing(shardIds(5));
    for (let slot = 0; slot < SLOTS; slot++) {
      expect(table.shardOfSlot(slot)).toBe(ownerSlowly(ring, slotPosition(slot)));
    }
  });

  it('never changes the ring’s layout either: documents are compared by it', () => {
    const counts = shardIds(4).map(
      (id) => new RingStrategy().place(shardIds(4)).slotsOf(id).length,
    );
    expect(counts).toEqual([254, 247, 278, 245]);
  });

  it('moves near 1 / (n + 1) of the slots when a shard joins (M-10: 3 -> 4 near 25 %)', () => {
    const before = new RingStrategy().place(shardIds(3)).shardIds;
    const after = new RingStrategy().place(shardIds(4)).shardIds;
    const moved = after.filter((shardId, slot) => shardId !== before[slot]).length / SLOTS;
    expect(moved).toBeGreaterThan(0.22);
    expect(moved).toBeLessThan(0.28);
  });

  it('leaves no shard without slots up to 128 shards', () => {
    for (const shards of [1, 2, 3, 12, 48, 64, 128]) {
      const owners = new Set(new RingStrategy().place(shardIds(shards)).shardIds);
      expect(owners.size).toBe(shards);
    }
  });

  it('lists the slots of each shard, ascending and all together once', () => {
    const table = new RingStrategy().place(shardIds(6));
    const all = shardIds(6).flatMap((shardId) => {
      const slots = table.slotsOf(shardId);
      expect(slots).toEqual([...slots].sort((a, b) => a - b));
      for (const slot of slots) expect(table.shardOfSlot(slot)).toBe(shardId);
      return slots;
    });
    expect(all.sort((a, b) => a - b)).toEqual(Array.from({ length: SLOTS }, (_, slot) => slot));
  });

  it('refuses a table of another length and a slot beyond it', () => {
    expect(() => new SlotTable([0, 1])).toThrow(/2 slots/);
    const table = new RingStrategy().place([0]);
    expect(() => table.shardOfSlot(SLOTS)).toThrow(/slot 1024/);
  });
});
