// Goal: the layouts of slots are the ones of their sources, and hands-on moves survive changes.
// Method: laws of each layout against slow twins; the numbers of the mission for 3 -> 4 shards.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ModuloStrategy } from '../../../src/placement/modulo.js';
import { RendezvousStrategy } from '../../../src/placement/rendezvous.js';
import { RingStrategy } from '../../../src/placement/ring-strategy.js';
import { slotStrategy } from '../../../src/placement/slot-layout.js';
import { SLOTS, SlotTable } from '../../../src/placement/slot-table.js';
import { VirtualShardStrategy } from '../../../src/placement/virtual-shards.js';
import { murmur3 } from '../../../src/shared/murmur3.js';

const shardIds = (count: number): number[] => Array.from({ length: count }, (_, at) => at);
const layouts = [new RingStrategy(), new ModuloStrategy(), new RendezvousStrategy()];
const oneMore = { before: shardIds(3), after: shardIds(4) };

describe('3 -> 4 shards (M-10)', () => {
  const movedSlots = (strategy: (typeof layouts)[number] | VirtualShardStrategy): number =>
    strategy.unitMoves(strategy.place(oneMore.before), oneMore).length / SLOTS;

  it('moves near 75 % by modulo, near 25 % by ring and rendezvous, 25 % of virtual shards', () => {
    expect(movedSlots(new ModuloStrategy())).toBeCloseTo(0.75, 2);
    expect(movedSlots(new RingStrategy())).toBeCloseTo(0.25, 1);
    expect(movedSlots(new RendezvousStrategy())).toBeCloseTo(0.25, 1);
    expect(movedSlots(new VirtualShardStrategy())).toBe(0.25);
  });
});

describe('the largest share of slots (M-8)', () => {
  it.each([
    ['ring', new RingStrategy(), [1.09, 1.2, 1.63]],
    ['rendezvous', new RendezvousStrategy(), [1.05, 1.19, 1.5]],
    ['modulo', new ModuloStrategy(), [1, 1, 1]],
    ['virtual-shards', new VirtualShardStrategy(), [1, 1, 1]],
  ])('of %s at 4, 16 and 64 shards is what docs/placement.md says', (_, strategy, expected) => {
    const largest = [4, 16, 64].map((shards) => {
      const table = strategy.place(shardIds(shards));
      const counts = shardIds(shards).map((shardId) => table.slotsOf(shardId).length);
      return Number(((Math.max(...counts) * shards) / SLOTS).toFixed(2));
    });
    expect(largest).toEqual(expected);
  });
});

describe('modulo', () => {
  it('counts by rank, so that ids may have gaps', () => {
    const table = new ModuloStrategy().place([70, 5, 11]);
    expect(table.shardIds.slice(0, 5)).toEqual([5, 11, 70, 5, 11]);
    expect(table.shardOfSlot(1_023)).toBe(5);
  });
});

describe('rendezvous', () => {
  it('gives a slot to the heaviest of all shards, whichever others there are', () => {
    const strategy = new RendezvousStrategy();
    const weigh = (slot: number, shardId: number): number =>
      murmur3(new Uint8Array(Uint32Array.of(slot, shardId).buffer));
    const table = strategy.place([3, 1, 400]);
    for (let slot = 0; slot < SLOTS; slot += 7) {
      const heaviest = [1, 3, 400].sort((a, b) => weigh(slot, b) - weigh(slot, a))[0];
      expect(table.shardOfSlot(slot)).toBe(heaviest);
    }
  });

  it('spreads the slots of a shard that leaves over all others', () => {
    const strategy = new RendezvousStrategy();
    const leaving = { before: shardIds(8), after: shardIds(7) };
    const targets = strategy.unitMoves(strategy.place(leaving.before), leaving);
    expect(new Set(targets.map(({ toShardId }) => toShardId)).size).toBe(7);
  });
});

describe('virtual shards', () => {
  it('differ by one slot at most, at 1 to 256 shards, as they grow one by one', () => {
    const strategy = new VirtualShardStrategy();
    let table = strategy.place([0]);
    for (let shards = 2; shards <= 256; shards++) {
      const change = { before: shardIds(shards - 1), after: shardIds(shards) };
      const moves = strategy.unitMoves(table, change);
      expect(moves.length).toBe(Math.floor(SLOTS / shards));
      table = moves.reduce((moving, move) => moving.moved(move), table);
      const counts = shardIds(shards).map((shardId) => table.slotsOf(shardId).length);
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    }
  });

  it('even out what was moved by hand', () => {
    const strategy = new VirtualShardStrategy();
    const uneven = new SlotTable(new Array<number>(SLOTS).fill(1));
    const moves = strategy.unitMoves(uneven, { before: [1, 2], after: [1, 2] });
    expect(moves.length).toBe(SLOTS / 2);
  });
});

describe('a slot that was moved by hand', () => {
  it('stays where it was put when shards join, and leaves with its shard, in every layout', () => {
    const slots = fc.nat({ max: SLOTS - 1 });
    fc.assert(
      fc.property(fc.constantFrom(...layouts), slots, fc.nat({ max: 2 }), (strategy, slot, to) => {
        const unit = { kind: 'slot', slot } as const;
        const laid = strategy.place(shardIds(3));
        const from = laid.shardOfSlot(slot);
        fc.pre(from !== to);
        const table = laid.moved({ unit, fromShardId: from, toShardId: to });
        const joining = strategy.unitMoves(table, oneMore);
        expect(joining).not.toContainEqual(expect.objectContaining({ unit }));
        const after = shardIds(3).filter((shardId) => shardId !== to);
        const leaving = strategy.unitMoves(table, { before: shardIds(3), after });
        const toShardId = strategy.place(after).shardOfSlot(slot);
        expect(leaving).toContainEqual({ unit, fromShardId: to, toShardId });
      }),
      { numRuns: 30 },
    );
  });
});

describe('shards that join one after another', () => {
  it('may be planned together while the first is still joining', () => {
    // By modulo some move between old shards, which looks as if done by hand.
    for (const strategy of [new RingStrategy(), new RendezvousStrategy()]) {
      const placed = strategy.place(shardIds(3));
      const half = strategy
        .unitMoves(placed, oneMore)
        .slice(0, 100)
        .reduce((table, move) => table.moved(move), placed);
      const change = { before: shardIds(3), after: shardIds(5) };
      const done = strategy
        .unitMoves(half, change)
        .reduce((table, move) => table.moved(move), half);
      expect(done.shardIds).toEqual(strategy.place(shardIds(5)).shardIds);
      const back = { before: shardIds(3), after: shardIds(3) };
      const undone = strategy
        .unitMoves(half, back)
        .reduce((table, move) => table.moved(move), half);
      expect(undone.shardIds).toEqual(placed.shardIds);
    }
  });
});

describe('slotStrategy', () => {
  it('knows each layout by its name', () => {
    const named = [
      { name: 'ring', virtualNodes: 100 },
      { name: 'modulo' },
      { name: 'rendezvous' },
      { name: 'virtual-shards' },
    ] as const;
    expect(named.map((layout) => slotStrategy(layout).name)).toEqual(named.map(({ name }) => name));
    const few = slotStrategy({ name: 'ring', virtualNodes: 7 }).place(shardIds(5));
    expect(few.shardIds).toEqual(new RingStrategy({ virtualNodes: 7 }).place(shardIds(5)).shardIds);
  });
});
