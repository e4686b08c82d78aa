import { SimRandom } from '../kit/sim-random.js';

/** What may be taken out of a run to see whether it fails without it. */
export const FAULTS = [
  'loss',
  'duplication',
  'reordering',
  'clog',
  'partition',
  'crash',
  'pause',
  'drift',
  'wipe',
  'slow-disk',
  'membership',
  'transfer',
  'campaign',
  'suspicion',
  'compaction',
  'stranding',
  'leases',
] as const;
export type Fault = (typeof FAULTS)[number];

/**
 * One run's parameters, all drawn from its seed: not the average of all troubles, but another mix
 * each time, because many bugs need one of them often and another never. Rates are means, in
 * virtual milliseconds between two events of the whole cluster; 0 for never.
 */
export interface Swarm {
  readonly machines: number;
  readonly voters: number;
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
  readonly leases: boolean;
  readonly heartbeatTicks: number;
  readonly maxSizePerMessageBytes: number;
  readonly maxCommittedSizeBytes: number;
  readonly maxInflightMessages: number;
  readonly maxUncommittedBytes: number;
  readonly maxPendingReads: number;
  /** Clocks run by 1 +- this. */
  readonly driftFraction: number;
  readonly network: {
    readonly delayMinMs: number;
    readonly delayMeanMs: number;
    readonly lossProbability: number;
    readonly duplicateProbability: number;
    readonly isOrdered: boolean;
    readonly linkCapacity: number;
    readonly clogEveryMs: number;
    readonly clogMaxMs: number;
    readonly partitionEveryMs: number;
    readonly partitionMaxMs: number;
  };
  readonly disk: { readonly syncMaxMs: number; readonly applyMaxMs: number };
  readonly process: {
    readonly crashEveryMs: number;
    readonly outageMeanMs: number;
    readonly crashAllProbability: number;
    readonly pauseEveryMs: number;
    readonly pauseMeanMs: number;
    readonly wipeEveryMs: number;
  };
  readonly workload: {
    readonly clients: number;
    readonly keys: number;
    readonly thinkMeanMs: number;
    /** How long a client waits before it does not know. */
    readonly timeoutMs: number;
    readonly readShare: number;
    readonly leasedShare: number;
    readonly followerShare: number;
    readonly quietEveryMs: number;
    readonly quietMeanMs: number;
  };
  readonly admin: {
    readonly changeEveryMs: number;
    readonly transferEveryMs: number;
    readonly campaignEveryMs: number;
    readonly deposeEveryMs: number;
    readonly compactEveryMs: number;
    readonly checkpointEntries: number;
    readonly trailingEntries: number;
    readonly strandEveryMs: number;
  };
}

/** The parameters of a seed, without the faults that are left out. */
export function drawSwarm(seed: number, without: ReadonlySet<Fault>): Swarm {
  const swarm = drawAny(seed, without);
  const isAboutReads = new SimRandom(seed).fork('focus').chance(0.25);
  return isAboutReads ? focusOnReads(swarm, without) : swarm;
}

/** Many clients who read at whoever answered them last, and lose patience soon. */
const READING = {
  clients: 16,
  readShare: 0.8,
  thinkMeanMs: 100,
  timeoutMs: 500,
  quietEveryMs: 0,
};

/**
 * For stale reads: leaders that are deposed often by others who are fast, while their clients go on
 * reading. In most runs too little of that comes together.
 */
export function focusOnReads(swarm: Swarm, without: ReadonlySet<Fault> = new Set()): Swarm {
  const { workload, network, admin } = swarm;
  return {
    ...swarm,
    workload: { ...workload, ...READING },
    network: { ...network, delayMinMs: 1, delayMeanMs: 5, lossProbability: 0, linkCapacity: 200 },
    disk: { syncMaxMs: 5, applyMaxMs: 5 },
    admin: {
      ...admin,
      deposeEveryMs: without.has('suspicion') ? 0 : 1_500,
      changeEveryMs: 0,
      strandEveryMs: 0,
    },
  };
}

function drawAny(seed: number, without: ReadonlySet<Fault>): Swarm {
  const random = new SimRandom(seed).fork('swarm');
  const sometimes = (probability: number, draw: () => number): number => {
    const isOn = random.chance(probability);
    const value = draw();
    return isOn ? value : 0;
  };
  const allows = (fault: Fault, value: number): number => (without.has(fault) ? 0 : value);
  const voters = random.pick([1, 3, 3, 3, 4, 5, 5]);
  const bothChecks = random.chance(0.8);
  return {
    machines: Math.min(8, voters + random.integer(1, 3)),
    voters,
    preVote: bothChecks || random.chance(0.5),
    checkQuorum: bothChecks || random.chance(0.5),
    leases: random.chance(0.5) && !without.has('leases'),
    heartbeatTicks: random.pick([1, 2, 2, 2, 3]),
    maxSizePerMessageBytes: random.pick([0, 20, 64, 256, 4096]),
    maxCommittedSizeBytes: random.pick([16, 64, 256, 4096]),
    maxInflightMessages: random.pick([1, 2, 4, 16]),
    maxUncommittedBytes: random.pick([64, 512, 65_536]),
    maxPendingReads: random.pick([2, 16, 256]),
    driftFraction: allows('drift', random.pick([0, 0.01, 0.05, 0.05])),
    network: drawNetwork(random, sometimes, without),
    disk: {
      syncMaxMs: random.pick([0, 5, 30, without.has('slow-disk') ? 30 : 300]),
      applyMaxMs: random.pick([0, 5, 50, without.has('slow-disk') ? 50 : 500]),
    },
    process: {
      crashEveryMs: allows(
        'crash',
        sometimes(0.8, () => random.between(1_000, 20_000)),
      ),
      outageMeanMs: random.pick([100, 1_000, 10_000]),
      crashAllProbability: random.pick([0, 0, 0.1]),
      pauseEveryMs: allows(
        'pause',
        sometimes(0.5, () => random.between(3_000, 30_000)),
      ),
      pauseMeanMs: random.pick([50, 500, 3_000]),
      wipeEveryMs: allows(
        'wipe',
        sometimes(0.3, () => random.between(10_000, 60_000)),
      ),
    },
    workload: drawWorkload(random, sometimes),
    admin: {
      changeEveryMs: allows(
        'membership',
        sometimes(0.6, () => random.between(500, 15_000)),
      ),
      transferEveryMs: allows(
        'transfer',
        sometimes(0.5, () => random.between(1_000, 15_000)),
      ),
      campaignEveryMs: allows(
        'campaign',
        sometimes(0.3, () => random.between(1_000, 20_000)),
      ),
      deposeEveryMs: allows(
        'suspicion',
        sometimes(0.6, () => random.between(1_000, 15_000)),
      ),
      compactEveryMs: allows(
        'compaction',
        sometimes(0.7, () => random.between(300, 10_000)),
      ),
      checkpointEntries: random.pick([1, 10, 100]),
      trailingEntries: random.pick([0, 5, 50]),
      strandEveryMs: allows(
        'stranding',
        sometimes(0.3, () => random.between(3_000, 20_000)),
      ),
    },
  };
}

function drawNetwork(
  random: SimRandom,
  sometimes: (probability: number, draw: () => number) => number,
  without: ReadonlySet<Fault>,
): Swarm['network'] {
  const allows = (fault: Fault, value: number): number => (without.has(fault) ? 0 : value);
  const delayMinMs = random.pick([0, 1, 10, 30]);
  return {
    delayMinMs,
    delayMeanMs: random.pick([0.5, 5, 30, 100]),
    lossProbability: allows(
      'loss',
      sometimes(0.5, () => random.between(0, 0.3)),
    ),
    duplicateProbability: allows(
      'duplication',
      sometimes(0.5, () => random.between(0, 0.5)),
    ),
    isOrdered: random.chance(0.4) || without.has('reordering'),
    linkCapacity: random.integer(2, 20) * random.pick([1, 10]),
    clogEveryMs: allows(
      'clog',
      sometimes(0.5, () => random.between(300, 10_000)),
    ),
    clogMaxMs: random.pick([500, 5_000]),
    partitionEveryMs: allows(
      'partition',
      sometimes(0.7, () => random.between(2_000, 20_000)),
    ),
    partitionMaxMs: random.pick([2_000, 10_000, 20_000]),
  };
}

function drawWorkload(
  random: SimRandom,
  sometimes: (probability: number, draw: () => number) => number,
): Swarm['workload'] {
  return {
    clients: random.integer(4, 16),
    keys: random.pick([10, 50, 500]),
    thinkMeanMs: random.pick([50, 300, 1_500]),
    timeoutMs: random.pick([500, 4_000]),
    readShare: random.between(0.1, 0.7),
    leasedShare: random.between(0, 1),
    followerShare: random.between(0, 0.6),
    quietEveryMs: sometimes(0.5, () => random.between(10_000, 40_000)),
    quietMeanMs: random.between(2_000, 8_000),
  };
}
