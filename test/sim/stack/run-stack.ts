/**
 * Goal: one run of the full stack from one seed. Method: boot; then everything goes wrong while
 * clients work; then everything heals, and the cluster must serve, hold what it acknowledged, and
 * be the same on all replicas.
 */
import { checkRegister } from '../../history/register.js';
import { COLLECTION, TENANT_COLLECTION } from './address.js';
import type { ClientCounts } from './client.js';
import type { Finding } from './findings.js';
import type { GraphDamageKind } from './graph-damage.js';
import type { CacheCounts } from './kept-answers.js';
import { sameReplicas, settle } from './liveness.js';
import type { FaultRecord } from './nemesis.js';
import type { StackParameters } from './parameters.js';
import type { PartialCounts } from './partial-answers.js';
import { Stack } from './stack.js';
import type { GraphCounts, LogLine } from './watch.js';
import { collectionNamed } from './workload.js';

export interface StackOptions {
  /** Events of the phase in which faults happen. @default 5000 */
  readonly steps?: number;
  /** Faults to leave out, by their index in the report. @default none */
  readonly without?: readonly number[];
  /** Takes the place of what the seed draws. @default nothing */
  readonly parameters?: Partial<StackParameters>;
  /** What happens instead of the seed's faults and clients; the rest of the run stays. */
  readonly script?: (stack: Stack) => Promise<void>;
}

export interface StackReport {
  readonly seed: number;
  readonly steps: number;
  readonly without: readonly number[];
  /** The first promise that was broken; undefined where all held. */
  readonly finding: Finding | undefined;
  /** Equal for two runs of the same seed and options, or something outside of the seed counts. */
  readonly traceHash: string;
  /** Events of the whole run. */
  readonly events: number;
  readonly virtualMs: number;
  /** Of the faults' phase. */
  readonly operations: Readonly<ClientCounts>;
  /** Collections that came and went. */
  readonly collections: number;
  /** Changes of leaders and replicas that were accepted; lost disks. */
  readonly changes: number;
  readonly wipes: number;
  /** What became of changes of the tenant directory. */
  readonly tenants: TenantCounts;
  /** Snapshots that replicas were brought up by. */
  readonly installs: number;
  /** Frames whose memory was given back to their sender; 0 where links go by reference. */
  readonly framesGivenBack: number;
  readonly elections: number;
  readonly faults: readonly FaultRecord[];
  /** Records that were deleted because their time was over, and by sweeps. */
  readonly expired: number;
  readonly swept: number;
  /** Searches that nodes may answer from what they keep. */
  readonly cache: Readonly<CacheCounts>;
  /** Searches that might do without shards. */
  readonly partial: Readonly<PartialCounts>;
  /** Times that a replica was held against its log, and renewed a graph meanwhile. */
  readonly checks: number;
  readonly renewing: number;
  /** Checkpoints of graphs, and what was done to them. */
  readonly graphs: Readonly<GraphCounts & Record<GraphDamageKind, number>>;
  /** What disks did, and what the nodes made of it. */
  readonly disks: DiskCounts;
  readonly parameters: StackParameters;
  /** The last lines that the nodes logged. */
  readonly lines: readonly LogLine[];
}

export interface TenantCounts {
  /** Changes that an operator was told of: made, and refused. */
  readonly changed: number;
  readonly refused: number;
  /** Times that a shard came to own something else; what was refused for that, at replicas. */
  readonly ownerships: number;
  readonly staleWrites: number;
  readonly staleReads: number;
  /** Messages with news of the topology that never came to their node. */
  readonly withheld: number;
}

export interface DiskCounts {
  /** Operations that failed with EIO. */
  readonly failedReads: number;
  readonly failedWrites: number;
  readonly failedSyncs: number;
  /** Damage that was done while a node was down. */
  readonly flippedBits: number;
  readonly lostKeys: number;
  readonly lostBatches: number;
  /** Logs that were found damaged, at each start; states that were found lost. */
  readonly quarantined: number;
  readonly statesLost: number;
  /** Log stores that failed, on a full disk too. */
  readonly poisoned: number;
  /** What somebody had to do about replicas whose log was gone. */
  readonly repairs: number;
}

export const STACK_STEPS_DEFAULT = 5_000;
const BOOT_LIMIT_MS = 60_000;
const CREATE_TIMEOUT_MS = 10_000;

export async function runStack(seed: number, options: StackOptions = {}): Promise<StackReport> {
  const { steps = STACK_STEPS_DEFAULT, without = [] } = options;
  const stack = new Stack({ seed, without, parameters: options.parameters ?? {} });
  const { world, findings, nemesis, watch } = stack;
  if (await booted(stack)) {
    await (options.script?.(stack) ?? goesWrong(stack, steps));
    if (await settle(stack)) await sameReplicas(stack);
    if (findings.first === undefined) judgeHistory(stack);
  }
  const finding = findings.first;
  for (const machine of stack.machines) machine.crash('machine');
  return {
    seed,
    steps,
    without,
    finding,
    traceHash: world.trace.digest(),
    events: world.steps,
    virtualMs: world.nowMs,
    operations: total(stack),
    collections: stack.operator?.rounds ?? 0,
    changes: stack.administrator.done,
    wipes: stack.administrator.wipes,
    tenants: tenantCounts(stack),
    installs: watch.installs,
    framesGivenBack: stack.network.framesGivenBack,
    elections: watch.elections,
    faults: nemesis.records,
    ...stack.removals,
    cache: stack.cacheCounts,
    partial: stack.partials.counts,
    ...stack.shards.counts,
    graphs: { ...watch.graphs, ...nemesis.graphDamage.done },
    disks: diskCounts(stack),
    parameters: stack.parameters,
    lines: watch.lines,
  };
}

/** All nodes up, the clients' collections there; nothing goes wrong meanwhile. */
async function booted(stack: Stack): Promise<boolean> {
  const { network, machines, findings, wire } = stack;
  network.faultsOn = false;
  wire.isFaulty = false;
  for (const machine of machines) machine.start();
  const isUp = (): boolean => machines.every(({ process }) => process?.isReady === true);
  if (!(await stack.reaches(BOOT_LIMIT_MS, isUp))) {
    findings.report('liveness', 'the cluster does not come up');
    return false;
  }
  const first = stack.processes[0];
  if (first === undefined) return false;
  const { workload, tenancy } = stack.parameters;
  const names = [COLLECTION, ...(tenancy === undefined ? [] : [TENANT_COLLECTION])];
  const made = new Set<string>();
  for (const name of names) {
    wire
      .call(first, CREATE_TIMEOUT_MS, ({ admin }, options) =>
        admin.createCollection(collectionNamed(name, workload.collection), options),
      )
      .then(
        () => void made.add(name),
        (error: unknown) => findings.report('liveness', `no collection: ${String(error)}`),
      );
  }
  return stack.reaches(CREATE_TIMEOUT_MS, () => made.size === names.length);
}

async function goesWrong(stack: Stack, steps: number): Promise<void> {
  const { network, wire, nemesis, repairs, world, findings } = stack;
  network.faultsOn = true;
  wire.isFaulty = true;
  for (const client of stack.clients) void client.run();
  void stack.operator?.run();
  void stack.administrator.run();
  void stack.landlord?.run();
  if (stack.parameters.faults.weights.damage > 0) void repairs.run();
  nemesis.start();
  await world.run({ steps, isDone: () => findings.first !== undefined });
}

function judgeHistory({ history, findings }: Stack): void {
  const [fault] = checkRegister(history.operations);
  if (fault !== undefined) findings.report('linearizability', `${fault.key}: ${fault.message}`);
}

function total({ clients }: Stack): StackReport['operations'] {
  const sum: ClientCounts = { ok: 0, failed: 0, unknown: 0, conflicts: 0, swaps: 0 };
  for (const { counts } of clients) {
    sum.ok += counts.ok;
    sum.failed += counts.failed;
    sum.unknown += counts.unknown;
    sum.conflicts += counts.conflicts;
    sum.swaps += counts.swaps;
  }
  return sum;
}

function tenantCounts({ landlord, shards, staleTopology }: Stack): TenantCounts {
  const { changed, refused } = landlord?.counts ?? { changed: 0, refused: 0 };
  const { changes: ownerships, ...stale } = shards.ownership;
  return { changed, refused, ownerships, ...stale, withheld: staleTopology.withheld };
}

function diskCounts({ machines, nemesis, watch, repairs }: Stack): DiskCounts {
  const failures = machines.map(({ disk }) => disk.failures);
  const sum = (of: (failure: (typeof failures)[number]) => number): number =>
    failures.reduce((total, failure) => total + of(failure), 0);
  return {
    failedReads: sum(({ read }) => read),
    failedWrites: sum(({ write }) => write),
    failedSyncs: sum(({ sync }) => sync),
    flippedBits: nemesis.damages.flip,
    lostKeys: nemesis.damages.keys,
    lostBatches: nemesis.damages.batches,
    ...watch.found,
    repairs: repairs.done,
  };
}
