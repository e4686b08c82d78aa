/**
 * Goal: what goes wrong in a run, decided by its seed.
 * Method: the n-th fault is drawn from a source of its own, so that leaving one out changes none
 * of the others.
 */
import { PARTITION_SHAPES, type PartitionShape } from '../kit/partitions.js';
import type { DiskOperation } from '../kit/sim-disk.js';
import type { SimRandom } from '../kit/sim-random.js';
import type { DamagedStore, DamageKind } from './damage.js';
import { GRAPH_DAMAGE_KINDS, type GraphDamageKind } from './graph-damage.js';

/** Whom a fault meets: the node that leads the group at that moment, else the node. */
export interface Target {
  readonly leaderOf: number | undefined;
  readonly nodeId: number;
}

export type Fault =
  /** The process dies; `silent`: with its machine, so that nobody is told. Unsynced data go. */
  | {
      readonly kind: 'crash';
      readonly target: Target;
      readonly how: 'reset' | 'silent';
      readonly durationMs: number;
    }
  /** The power goes, everywhere at once. */
  | { readonly kind: 'crash-all'; readonly durationMs: number }
  /** An orderly stop, and a start after a while. */
  | { readonly kind: 'stop'; readonly target: Target; readonly durationMs: number }
  /** SIGSTOP and SIGCONT: the clocks go on. */
  | { readonly kind: 'pause'; readonly target: Target; readonly durationMs: number }
  | {
      readonly kind: 'partition';
      readonly shape: PartitionShape;
      readonly mode: 'break' | 'hold';
      readonly durationMs: number;
    }
  /** All connections of a node break while it lives. */
  | { readonly kind: 'reset'; readonly target: Target }
  /** Nothing that the node sends arrives for a while; then all of it does. */
  | { readonly kind: 'stall'; readonly target: Target; readonly durationMs: number }
  | { readonly kind: 'slow-disk'; readonly target: Target; readonly durationMs: number }
  | { readonly kind: 'full-disk'; readonly target: Target; readonly durationMs: number }
  | { readonly kind: 'wall-jump'; readonly target: Target; readonly byMs: number }
  /** The next such operation of the machine's disk fails with EIO. */
  | { readonly kind: 'io-error'; readonly target: Target; readonly operation: DiskOperation }
  /** The same, of the operations on files of graphs. */
  | { readonly kind: 'graph-error'; readonly target: Target; readonly operation: DiskOperation }
  /** The process dies, and finds a checkpoint of a graph damaged when it comes back. */
  | {
      readonly kind: 'graph-damage';
      readonly target: Target;
      readonly how: GraphDamageKind;
      readonly durationMs: number;
    }
  /** The node hears of no changes of the topology for a while. */
  | { readonly kind: 'stale-topology'; readonly target: Target; readonly durationMs: number }
  /** The process dies, and finds its disk damaged when it comes back. */
  | {
      readonly kind: 'damage';
      readonly target: Target;
      readonly store: DamagedStore;
      readonly how: DamageKind;
      readonly durationMs: number;
    };

export type FaultKind = Fault['kind'];

/** A fault and how long after the one before it comes. */
export interface PlannedFault {
  readonly index: number;
  readonly afterMs: number;
  readonly fault: Fault;
}

export interface FaultProfile {
  /** Mean time between the beginnings of two faults. */
  readonly meanGapMs: number;
  /** How often each kind comes, against the others; 0 for never. */
  readonly weights: Readonly<Record<FaultKind, number>>;
  readonly durationMeanMs: number;
}

const COMMON_KINDS: readonly FaultKind[] = [
  'crash',
  'crash-all',
  'stop',
  'pause',
  'partition',
  'reset',
  'stall',
  'slow-disk',
  'full-disk',
  'wall-jump',
];
const KINDS: readonly FaultKind[] = [
  ...COMMON_KINDS,
  'io-error',
  'damage',
  'graph-error',
  'graph-damage',
  'stale-topology',
];

/** An old table does no harm by itself: it has to last until something changes. */
const STALE_FACTOR = 4;

/** Each run has some kinds of faults and not others: rare combinations become likely. */
export function drawFaultProfile(random: SimRandom): FaultProfile {
  const weights = Object.fromEntries(
    COMMON_KINDS.map((kind) => [kind, random.chance(0.5) ? random.integer(1, 4) : 0]),
  ) as Record<FaultKind, number>;
  if (COMMON_KINDS.every((kind) => weights[kind] === 0)) weights.crash = 1;
  // From a source of their own: seeds without them are the runs that they were before.
  const disk = random.fork('disk');
  weights['io-error'] = disk.chance(0.4) ? disk.integer(1, 3) : 0;
  weights.damage = disk.chance(0.8) ? disk.integer(1, 3) : 0;
  const graphs = random.fork('graphs');
  weights['graph-error'] = graphs.chance(0.8) ? graphs.integer(1, 3) : 0;
  weights['graph-damage'] = graphs.chance(0.8) ? graphs.integer(1, 3) : 0;
  weights['stale-topology'] = random.fork('topology').integer(6, 16);
  return {
    meanGapMs: random.pick([150, 400, 1_200]),
    weights,
    durationMeanMs: random.pick([150, 600, 2_000]),
  };
}

export function drawFault(
  random: SimRandom,
  profile: FaultProfile,
  cluster: { readonly nodes: number; readonly groups: number },
): { readonly afterMs: number; readonly fault: Fault } {
  const kinds = KINDS.flatMap((kind) => new Array<FaultKind>(profile.weights[kind]).fill(kind));
  const kind = random.pick(kinds);
  const afterMs = random.exponential(profile.meanGapMs);
  const durationMs = 20 + random.exponential(profile.durationMeanMs);
  const target: Target = {
    leaderOf: random.chance(0.6) ? random.integer(0, cluster.groups - 1) : undefined,
    nodeId: random.integer(1, cluster.nodes),
  };
  return { afterMs, fault: faultOf(random, kind, target, durationMs) };
}

function faultOf(random: SimRandom, kind: FaultKind, target: Target, durationMs: number): Fault {
  switch (kind) {
    case 'crash':
      return { kind, target, durationMs, how: random.chance(0.7) ? 'reset' : 'silent' };
    case 'crash-all':
      return { kind, durationMs };
    case 'partition': {
      const mode = random.chance(0.5) ? 'break' : 'hold';
      return { kind, shape: random.pick(PARTITION_SHAPES), mode, durationMs };
    }
    case 'reset':
      return { kind, target };
    case 'wall-jump':
      return { kind, target, byMs: random.pick([-60_000, -500, 500, 60_000]) };
    case 'io-error':
    case 'graph-error':
      return { kind, target, operation: random.pick(['read', 'write', 'sync'] as const) };
    case 'graph-damage':
      return { kind, target, durationMs, how: random.pick(GRAPH_DAMAGE_KINDS) };
    case 'damage': {
      const store = random.pick(['log', 'points'] as const);
      const how = random.pick(['flip', 'keys', 'batches'] as const);
      return { kind, target, store, how, durationMs };
    }
    case 'stop':
    case 'pause':
    case 'stall':
    case 'slow-disk':
    case 'full-disk':
      return { kind, target, durationMs };
    case 'stale-topology':
      return { kind, target, durationMs: STALE_FACTOR * durationMs };
  }
}
