// Goal: each strategy holds the common contract, and claims what it really does.
// Method: the shared suite over all of them, with the bounds that their doc comments give.
import { ModuloStrategy } from '../../../src/placement/modulo.js';
import { evenSplitPoints, RangeStrategy } from '../../../src/placement/range-strategy.js';
import { RendezvousStrategy } from '../../../src/placement/rendezvous.js';
import { RingStrategy } from '../../../src/placement/ring-strategy.js';
import { TenantStrategy } from '../../../src/placement/tenant-strategy.js';
import { VirtualShardStrategy } from '../../../src/placement/virtual-shards.js';
import {
  type PlacementClaims,
  placementStrategySuite,
} from '../../conformance/placement-strategy-suite.js';

/** As a ring and rendezvous hashing have it, over few enough shards. */
const NEARLY_EVEN: PlacementClaims = {
  largestShare: 1.3,
  smallestShare: 0.7,
  movesOnlyWhatItMust: true,
  movedWhenJoining: { min: 0.7, max: 1.3 },
  movedWhenLeaving: { min: 0.7, max: 1.3 },
  followsFromShards: true,
};

/** Equal numbers of units; what is left are the keys of a unit. */
const EVEN: PlacementClaims = {
  ...NEARLY_EVEN,
  largestShare: 1.1,
  smallestShare: 0.9,
  movedWhenJoining: { min: 0.9, max: 1.1 },
  movedWhenLeaving: { min: 0.9, max: 1.1 },
  followsFromShards: false,
};

placementStrategySuite(new RingStrategy(), NEARLY_EVEN);
placementStrategySuite(new RendezvousStrategy(), NEARLY_EVEN);
placementStrategySuite(new VirtualShardStrategy(), EVEN);

// One that joins n moves n of n + 1 keys, and one of n that leaves the same: why the others exist.
placementStrategySuite(new ModuloStrategy(), {
  ...EVEN,
  movesOnlyWhatItMust: false,
  movedWhenJoining: { min: 1.9, max: 12 },
  movedWhenLeaving: { min: 1.9, max: 11 },
  followsFromShards: true,
});

// The keys of the suite, cut where an import that knows its keys would cut them.
const sample = Array.from({ length: 20_000 }, (_, at) => `key-${at}`);
placementStrategySuite(new RangeStrategy(evenSplitPoints(sample, 128)), EVEN);

placementStrategySuite(new TenantStrategy(new VirtualShardStrategy()), EVEN);
placementStrategySuite(new TenantStrategy(new RingStrategy()), NEARLY_EVEN);
