/** One run: workloads and a nemesis against a cluster of processes, and the verdict. */
import { Flotilla } from '../../../src/client/index.js';
import type { Fault } from '../../history/operation.js';
import { ProcessCluster, type ProcessClusterOptions } from '../process-cluster.js';
import { seededRandom } from '../vectors.js';
import { waitUntil } from '../wait-until.js';
import { ALL_FAULT_KINDS } from './all-fault-kinds.js';
import { AppendWorkload } from './append-workload.js';
import { ClusterView, statusCommand } from './cluster-view.js';
import type { FaultKind } from './fault-scene.js';
import type { Counts, Journal } from './journal.js';
import { type FaultRecord, Nemesis } from './nemesis.js';
import type { NodeNetwork } from './node-network.js';
import { RegisterWorkload } from './register-workload.js';
import { replicaDigests } from './replica-contents.js';
import { SetWorkload } from './set-workload.js';
import { type Workload, WorkloadWorld } from './workload.js';

export interface CampaignOptions {
  readonly seed: number;
  /** @default 3 */
  readonly nodes?: number;
  /** @default 2 */
  readonly shards?: number;
  /** @default 8 */
  readonly workers?: number;
  /** Pause of a worker after each operation. @default 5 */
  readonly paceMs?: number;
  /** @default all that are possible with these options */
  readonly kinds?: readonly FaultKind[];
  /** How long a fault lasts. @default 500 to 4,000 */
  readonly holdMs?: readonly [min: number, max: number];
  /** Acknowledged calls between two faults. @default 200 */
  readonly restCalls?: number;
  /** Of the last node's own file system, for faults that fill it. @default it has none */
  readonly smallDiskMebibytes?: number | undefined;
  /** The cluster setting. @default false */
  readonly leases?: boolean;
  /** See `ProcessClusterOptions`. @default false */
  readonly forgetfulDisks?: boolean;
  /** See `ProcessClusterOptions`. @default right clocks */
  readonly clocks?: ProcessClusterOptions['clocks'];
  readonly network: (nodeIds: readonly number[]) => NodeNetwork | Promise<NodeNetwork>;
  /** Asked between two faults; each kind comes at least once. @default after one round */
  readonly isOver?: () => boolean;
  readonly onRecord?: (record: FaultRecord) => void;
}

export interface CampaignReport {
  readonly records: readonly FaultRecord[];
  readonly journal: Journal;
  readonly totals: Counts;
  readonly shards: number;
  /** What no correct cluster can have answered: has to be empty. */
  readonly violations: readonly Fault[];
  /** By shard and node; equal within a shard. */
  readonly digests: ReadonlyMap<number, ReadonlyMap<number, string>>;
  /** Exit codes of `flotilla status`, asked of every node after the healing: has to be zeros. */
  readonly statusExitCodes: readonly number[];
  /** Exit codes of the nodes' orderly stop at the end: has to be zeros. */
  readonly stopExitCodes: readonly (number | null | undefined)[];
  /** Records that the set's final reads found, and that the collection counts: equal. */
  readonly setCounts: readonly [found: number, counted: number];
}

/** Starts a cluster, disturbs it, judges it and removes it. */
export async function runCampaign(options: CampaignOptions): Promise<CampaignReport> {
  const { nodes = 3, shards = 2, network, leases = false, smallDiskMebibytes } = options;
  const { forgetfulDisks = false, clocks } = options;
  const cluster = await ProcessCluster.start({
    nodes,
    shards,
    network,
    forgetfulDisks,
    ...(clocks && { clocks }),
    flags: { 'cluster-leases': leases },
    ...(smallDiskMebibytes !== undefined && {
      smallDisk: { nodeId: nodes, sizeMebibytes: smallDiskMebibytes },
    }),
  });
  try {
    return await disturb(cluster, options);
  } finally {
    await cluster.destroy();
  }
}

async function disturb(cluster: ProcessCluster, options: CampaignOptions): Promise<CampaignReport> {
  const { seed, shards = 2, workers = 8, paceMs = 5, kinds = ALL_FAULT_KINDS } = options;
  const { holdMs = [500, 4_000], restCalls = 200, isOver = () => true, onRecord } = options;
  const clients = Array.from({ length: workers }, () => new Flotilla(cluster.addresses));
  const view = new ClusterView(cluster);
  const world = new WorkloadWorld({ clients, random: seededRandom(seed), shards });
  const set = new SetWorkload(world);
  const workloads = [new RegisterWorkload(world), set, new AppendWorkload(world)];
  for (const workload of workloads) await workload.prepare();
  const work = new Work(world, workloads, { workers, paceMs });
  const rest = async (): Promise<void> => {
    const until = work.okCount + restCalls;
    await waitUntil('the clients work undisturbed', () => work.okCount >= until);
  };
  const scene = { cluster, view, random: seededRandom(seed + 1) };
  const nemesis = new Nemesis({ scene, kinds, holdMs, rest, ...(onRecord && { onRecord }) });
  try {
    await Promise.all([nemesis.run(isOver).finally(() => work.stop()), work.run()]);
    for (const workload of workloads) await workload.finish();
    const setCounts = [set.finalCount, await set.count()] as const;
    await view.level();
    const statuses = await Promise.all(cluster.addresses.map(statusCommand));
    const stopExitCodes = await Promise.all(cluster.nodeIds.map((id) => cluster.terminate(id)));
    return {
      records: nemesis.records,
      journal: world.journal,
      totals: world.journal.counts(),
      shards,
      violations: workloads.flatMap((workload) => workload.faults()),
      digests: await replicaDigests(cluster, shards),
      statusExitCodes: statuses.map(({ exitCode }) => exitCode),
      stopExitCodes,
      setCounts,
    };
  } finally {
    await Promise.all([...clients, view].map((client) => client.close()));
  }
}

/** Workers that go on until they are stopped. */
class Work {
  readonly #world: WorkloadWorld;
  readonly #workloads: readonly Workload[];
  readonly #options: { readonly workers: number; readonly paceMs: number };
  #isStopped = false;

  constructor(
    world: WorkloadWorld,
    workloads: readonly Workload[],
    options: { readonly workers: number; readonly paceMs: number },
  ) {
    this.#world = world;
    this.#workloads = workloads;
    this.#options = options;
  }

  get okCount(): number {
    return this.#world.journal.okCount;
  }

  /** Resolves when it was stopped and no operation is under way. */
  async run(): Promise<void> {
    const { workers } = this.#options;
    await Promise.all(Array.from({ length: workers }, (_, worker) => this.#work(worker)));
  }

  stop(): void {
    this.#isStopped = true;
  }

  async #work(worker: number): Promise<void> {
    while (!this.#isStopped) {
      const workload = this.#workloads[this.#world.pick(this.#workloads.length)];
      await workload?.operate(worker);
      await new Promise((resolve) => setTimeout(resolve, this.#options.paceMs));
    }
  }
}
