/** Goal: every run is another cluster. Method: all sizes and speeds are drawn from the seed. */
import {
  CHECKPOINT_POLICY,
  type CheckpointPolicy,
} from '../../../src/engine/checkpoint/checkpoint-policy.js';
import type { EngineConfig, NodeConfig } from '../../../src/node/config.js';
import type { CompactionPolicy } from '../../../src/replica/log-compaction.js';
import { SNAPSHOT_SENDER_DEFAULTS } from '../../../src/replica/snapshot-sender.js';
import { deriveTiming } from '../../../src/replica/timing.js';
import { RETRY_BUDGET } from '../../../src/shared/retry-budget.js';
import type { ClusterSettings } from '../../../src/topology/document.js';
import type { SimClockOptions } from '../kit/sim-clock.js';
import type { SimDiskOptions } from '../kit/sim-disk.js';
import type { SimNetworkOptions } from '../kit/sim-network.js';
import type { SimRandom } from '../kit/sim-random.js';
import { drawFaultProfile, type FaultKind, type FaultProfile } from './faults.js';
import { GRAPH_PATHS } from './graph-damage.js';
import { drawTenancy, type Tenancy } from './tenants.js';
import { drawRepetition, drawWorkload, type Workload } from './workload.js';

export interface StackParameters {
  readonly nodes: number;
  readonly settings: ClusterSettings;
  readonly network: SimNetworkOptions;
  readonly disk: SimDiskOptions;
  readonly compaction: CompactionPolicy;
  /** Bytes of a snapshot that go in one call. */
  readonly snapshotPieceBytes: number;
  readonly clocks: readonly SimClockOptions[];
  readonly clientDelayMs: number;
  readonly answerLoss: number;
  readonly engine: EngineConfig;
  readonly checkpoints: CheckpointPolicy;
  /** How long what an engine has read may take from its thread. */
  readonly readDelayMaxMs: number;
  readonly workload: Workload;
  /** Absent where all records are nobody's. */
  readonly tenancy?: Tenancy | undefined;
  readonly faults: FaultProfile;
  /** What each node may keep of answers to searches; 0 where none keeps any. */
  readonly searchCacheBytes: number;
}

/** Half of what leases allow for: two clocks may be off in opposite directions. */
const CLOCK_DRIFT = 0.025;

export function drawParameters(random: SimRandom): StackParameters {
  const nodes = random.pick([3, 3, 3, 4, 5]);
  const electionTimeoutMs = random.pick([300, 1_000]);
  const workload = drawWorkload(random.fork('workload'));
  const faults = drawFaultProfile(random.fork('faults'));
  const tenancy = drawTenancy(random.fork('tenancy'));
  const searchCacheBytes = random.fork('search cache').pick([0, 0, 6_000, 1_000_000]);
  return {
    nodes,
    settings: {
      // Tenants need somewhere to move to.
      shards: Math.max(random.pick([1, 2, 3]), tenancy === undefined ? 1 : 2),
      replicationFactor: nodes === 5 ? random.pick([3, 5]) : 3,
      virtualNodes: 8,
      electionTimeoutMs,
      leases: random.chance(0.5),
    },
    network: {
      delayMinMs: random.pick([0.1, 1, 5]),
      delayMeanMs: random.pick([0.2, 2, electionTimeoutMs / 30]),
      breakProbability: random.pick([0, 0, 0.000_5, 0.005]),
      stallProbability: random.pick([0, 0, 0.000_5, 0.003]),
      stallMaxMs: random.pick([200, 2_000]),
      copiesFrames: random.fork('frames').chance(0.5),
    },
    disk: {
      syncMaxMs: random.pick([2, 20, 80]),
      writeMaxMs: 1,
      slowFiles: { within: GRAPH_PATHS, maxMs: random.fork('graph files').pick([1, 20, 200]) },
    },
    compaction: {
      thresholdEntries: random.pick([20, 60, 10_000]),
      thresholdBytes: random.pick([10_000, 64 * 1024 * 1024]),
      trailingEntries: random.pick([2, 10, 30]),
      transferBytesMax: 100_000,
    },
    snapshotPieceBytes: SNAPSHOT_SENDER_DEFAULTS.chunkSizeBytes,
    clocks: Array.from({ length: nodes }, () => ({
      offsetMs: random.integer(0, 1_000_000),
      rate: random.between(1 - CLOCK_DRIFT, 1 + CLOCK_DRIFT),
      wallOffsetMs: random.pick([0, 0, -3_000, 3_000]),
    })),
    clientDelayMs: random.pick([1, 10]),
    answerLoss: random.pick([0, 0.02, 0.1]),
    workload:
      searchCacheBytes === 0 ? workload : drawRepetition(workload, random.fork('repetition')),
    tenancy,
    faults: without(faults, [
      ...(takesReplicasAway(workload) ? (['damage'] as const) : []),
      ...(tenancy === undefined ? (['stale-topology'] as const) : []),
    ]),
    engine: drawEngine(random.fork('engine')),
    checkpoints: drawCheckpoints(random.fork('checkpoints')),
    readDelayMaxMs: random.fork('reads').pick([0, 1, 30, 100]),
    searchCacheBytes,
  };
}

/** Then a damaged disk would be a second loss, and two can be too many. */
function takesReplicasAway({ churn }: Workload): boolean {
  return churn === 'members' || churn === 'wipe';
}

function without(faults: FaultProfile, kinds: readonly FaultKind[]): FaultProfile {
  const none = Object.fromEntries(kinds.map((kind) => [kind, 0]));
  return { ...faults, weights: { ...faults.weights, ...none } };
}

/** Heads that are full after a few writes, too. */
function drawEngine(random: SimRandom): EngineConfig {
  return { headFloatsMax: random.pick([8, 64, 1_048_576]), exactCopy: random.chance(0.5) };
}

/** After some inserts; seldom as in production, which is never here. */
function drawCheckpoints(random: SimRandom): CheckpointPolicy {
  return {
    insertsMin: random.pick([1, 2, 4, 16, CHECKPOINT_POLICY.insertsMin]),
    closingInsertsMin: random.pick([1, 4, CHECKPOINT_POLICY.closingInsertsMin]),
  };
}

const SHUTDOWN_TIMEOUT_MS = 5_000;
const LOG_CACHE_SIZE_BYTES = 256 * 1024;

export function configOf(
  nodeId: number,
  { nodes, settings, engine, searchCacheBytes }: StackParameters,
): NodeConfig {
  const host = hostOf(nodeId);
  const addresses = { client: host, peer: host, http: host };
  return {
    nodeId,
    directory: 'data',
    listen: addresses,
    advertise: addresses,
    nodes: Array.from({ length: nodes }, (_, at) => ({
      nodeId: at + 1,
      peerAddress: hostOf(at + 1),
    })),
    bootstrap: nodeId === 1,
    settings,
    timing: deriveTiming(settings.electionTimeoutMs),
    logLevel: 'debug',
    logPretty: false,
    logCacheSizeBytes: LOG_CACHE_SIZE_BYTES,
    engine,
    router: { hedgedReads: true, retryBudget: RETRY_BUDGET, searchCacheBytes },
    shutdownTimeoutMs: SHUTDOWN_TIMEOUT_MS,
  };
}

export function hostOf(nodeId: number): string {
  return `node-${nodeId}`;
}
