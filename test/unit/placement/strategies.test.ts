// Goal: each strategy holds the common contract; the suite tells good from bad.
// Method: the shared suite, over the ring and over plain modulo as its counterpart.

import { RingStrategy } from '../../../src/placement/slot-table.js';
import type { PlacementStrategy } from '../../../src/placement/strategy.js';
import { murmur3OfString } from '../../../src/shared/murmur3.js';
import { placementStrategySuite } from '../../conformance/placement-strategy-suite.js';

placementStrategySuite(new RingStrategy(), {
  largestShare: 1.3,
  movesOnlyToNewShard: true,
  movedShare: { min: 0.7, max: 1.3 },
});

/** Even, but nearly every key moves: why the ring is there (M-10, 3 -> 4 moves 75 %). */
const modulo: PlacementStrategy = {
  name: 'modulo (test only)',
  place: (shardIds) => {
    const sorted = [...shardIds].sort((a, b) => a - b);
    return { shardOf: (key) => sorted[murmur3OfString(key) % sorted.length] as number };
  },
};

placementStrategySuite(modulo, {
  largestShare: 1.1,
  movesOnlyToNewShard: false,
  movedShare: { min: 0.9, max: 12 },
});
