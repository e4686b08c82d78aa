/** What `flotilla ring simulate` finds out: every strategy over the same keys and shards. */
import { evenSplitPoints, RangeStrategy } from '../placement/range-strategy.js';
import { idealMovedShare, type Simulation, simulateShardChange } from '../placement/simulation.js';
import { SLOT_STRATEGIES, slotStrategy } from '../placement/slot-layout.js';
import type { PlacementStrategy, ShardChange } from '../placement/strategy.js';

/** A tenant directory and shard keys move keys as the strategy below them does. */
export const SIMULATED_STRATEGIES = [...SLOT_STRATEGIES, 'range'] as const;
export type SimulatedStrategy = (typeof SIMULATED_STRATEGIES)[number];

/** Ranges for each shard that there is at first, each with about as many of the keys. */
const RANGES_PER_SHARD = 16;

export interface RingQuestion {
  readonly strategies: readonly SimulatedStrategy[];
  /** Shards before the change, numbered from 0. */
  readonly shards: number;
  /** Join under new numbers. */
  readonly added: number;
  /** Leave; those with the highest numbers. At most `shards`, and some shard must be left. */
  readonly removed: number;
  readonly keys: number;
  /** Other keys for each seed, the same ones always. */
  readonly seed: number;
  /** Points of a shard on the ring. */
  readonly virtualNodes: number;
}

export interface RingReport {
  readonly question: RingQuestion;
  readonly change: ShardChange;
  /** The share of keys that would move if all shards were equally full before and after. */
  readonly idealShare: number;
  /** In the order of the question's strategies. */
  readonly simulations: readonly Simulation[];
}

export function simulateRing(question: RingQuestion): RingReport {
  const { shards, added, removed, seed } = question;
  const numbers = Array.from({ length: shards + added }, (_, shardId) => shardId);
  const before = numbers.slice(0, shards);
  const after = [...numbers.slice(0, shards - removed), ...numbers.slice(shards)];
  const change = { before, after };
  const keys = Array.from({ length: question.keys }, (_, at) => `key-${seed}-${at}`);
  return {
    question,
    change,
    idealShare: idealMovedShare(change),
    simulations: question.strategies.map((name) =>
      simulateShardChange({ strategy: strategyOf(name, question, keys), change, keys }),
    ),
  };
}

function strategyOf(
  name: SimulatedStrategy,
  { virtualNodes, shards }: RingQuestion,
  keys: readonly string[],
): PlacementStrategy {
  switch (name) {
    case 'range':
      return new RangeStrategy(evenSplitPoints(keys, RANGES_PER_SHARD * shards));
    case 'ring':
      return slotStrategy({ name, virtualNodes });
    case 'modulo':
    case 'rendezvous':
    case 'virtual-shards':
      return slotStrategy({ name });
  }
}
