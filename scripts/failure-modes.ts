/**
 * Disturbs clusters of real processes in every way that this machine allows, judges what the
 * clients saw, and keeps the figures in docs/failure-modes.json:
 *
 *     npm run failure-modes -- --minutes 30 --seed 1
 *
 * Both parts may be measured apart (--part): a machine that does other work besides makes the times
 * of departures worthless, and those of the campaign upper bounds.
 *
 * Exit code 1 when anything was lost, stale or unequal; then nothing is kept.
 */
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { describeCommit, describeMachine } from '../bench/harness/machine.js';
import { defined } from '../src/shared/assert.js';
import { faultKinds } from '../test/support/faults/all-fault-kinds.js';
import {
  type CampaignOptions,
  type CampaignReport,
  runCampaign,
} from '../test/support/faults/campaign.js';
import { ClusterView } from '../test/support/faults/cluster-view.js';
import { DEPARTURES, measureFailovers } from '../test/support/faults/failover.js';
import { FakeClocks } from '../test/support/faults/fake-clocks.js';
import { ForgetfulDisks } from '../test/support/faults/forgetful-disks.js';
import { GROW_VOTERS, MOVE_LEADER } from '../test/support/faults/member-faults.js';
import type { FaultRecord } from '../test/support/faults/nemesis.js';
import { LoopbackNetwork } from '../test/support/faults/node-network.js';
import { openPartitionableNetwork } from '../test/support/faults/partitions.js';
import { ProxyNetwork } from '../test/support/faults/proxy-network.js';
import { SmallDisk } from '../test/support/faults/small-disk.js';
import { ProcessCluster } from '../test/support/process-cluster.js';
import { keptResult, RESULT } from './failure-modes-page.js';
import {
  type CampaignResult,
  type DepartureRow,
  type DeparturesResult,
  type Occasion,
  quantilesOf,
  type Result,
  type RunRow,
  summarize,
} from './failure-modes-result.js';

const USAGE =
  'usage: failure-modes [--minutes M] [--seed S] [--repeats N] [--part all|campaign|departures]\n';
const PARTS = ['all', 'campaign', 'departures'] as const;
const NODES = 3;
const SHARDS = 2;
const WORKERS = 8;
/** Of the one node that has a file system of its own: what half an hour writes fits many times. */
const SMALL_DISK_MEBIBYTES = 768;

const WHAT_DEPARTS = [
  ['kill', 'process killed (SIGKILL)'],
  ['pause', 'process stopped in its tracks (SIGSTOP)'],
  ['stop', 'process stopped in order (SIGTERM)'],
] as const;

interface Options {
  readonly minutes: number;
  readonly seed: number;
  /** Departures of a leader of each sort. */
  readonly repeats: number;
  /** Measured anew; the other part of the kept result stays. */
  readonly part: (typeof PARTS)[number];
}

/** One cluster and what is to happen to it. */
interface RunPlan {
  readonly what: string;
  /** Of all minutes, 0 to 1. */
  readonly share: number;
  readonly options: Pick<
    CampaignOptions,
    'network' | 'nodes' | 'kinds' | 'leases' | 'smallDiskMebibytes' | 'forgetfulDisks' | 'clocks'
  >;
}

interface Campaign {
  readonly report: CampaignReport;
  readonly row: RunRow;
}

/** What is not asked for stays as it was. */
async function run(options: Options): Promise<Result> {
  const { part } = options;
  const kept = part === 'all' ? undefined : keptResult();
  // First: the campaign leaves much behind that the machine has yet to write to its disks.
  const departures = part === 'campaign' ? undefined : await runDepartures(options);
  const campaign = part === 'departures' ? undefined : await runCampaigns(options);
  return {
    campaign: campaign ?? defined(kept, 'result').campaign,
    departures: departures ?? defined(kept, 'result').departures,
  };
}

async function runDepartures(options: Options): Promise<DeparturesResult> {
  return { ...occasion(), rows: await departures(options) };
}

async function runCampaigns(options: Options): Promise<CampaignResult> {
  const { minutes, seed } = options;
  const where = { ...occasion(), seed, minutes, shards: SHARDS, workers: WORKERS };
  const done = await campaigns(options);
  return {
    ...where,
    runs: done.map(({ row }) => row),
    ...summarize(done.map(({ report }) => report)),
  };
}

function occasion(): Occasion {
  return {
    commit: describeCommit(),
    date: new Date().toISOString(),
    machine: describeMachine(),
  };
}

const POWER_CUTS: RunPlan = {
  what: 'machines that lose power, and what was not synced',
  share: 0.1,
  options: {
    network: openPartitionableNetwork,
    kinds: faultKinds('power-cut', 'power-cut-all', 'shorter-log-votes'),
    forgetfulDisks: true,
  },
};

const WRONG_CLOCKS: readonly RunPlan[] = [
  {
    what: 'wall clocks that jump, leases on',
    share: 0.05,
    options: {
      network: openPartitionableNetwork,
      kinds: faultKinds('clock-ahead', 'clock-behind', 'cut-off-behind', 'cut-off-others-ahead'),
      leases: true,
      clocks: 'jumping',
    },
  },
  {
    what: 'one node runs 1.1 times as fast, leases on',
    share: 0.05,
    options: {
      network: openPartitionableNetwork,
      kinds: faultKinds('isolate-leader', 'pause-leader', 'kill-leader'),
      leases: true,
      clocks: { 1: 1, 2: 1.1, 3: 1 },
    },
  },
];

/**
 * Each run has a cluster of its own; together they take all of the minutes, less where this machine
 * lacks what a run needs.
 */
function runsOf(): readonly RunPlan[] {
  const partitionable = openPartitionableNetwork;
  const smallDisk = SmallDisk.isAvailable() ? { smallDiskMebibytes: SMALL_DISK_MEBIBYTES } : {};
  return [
    { what: 'all faults', share: 0.4, options: { network: partitionable, ...smallDisk } },
    {
      what: 'all faults, leases on',
      share: 0.15,
      options: { network: partitionable, leases: true, ...smallDisk },
    },
    {
      what: 'five nodes that fall into parts',
      share: 0.1,
      options: {
        network: partitionable,
        nodes: 5,
        kinds: faultKinds('halves', 'ring', 'bridge', 'isolate-leader'),
      },
    },
    {
      what: 'changes of members, five nodes',
      share: 0.1,
      options: {
        network: (nodeIds) => LoopbackNetwork.open(nodeIds),
        nodes: 5,
        kinds: [MOVE_LEADER, GROW_VOTERS, ...faultKinds('wipe-node', 'kill-leader')],
      },
    },
    {
      what: 'late packets, which only proxies can cause',
      share: 0.05,
      options: { network: (nodeIds) => ProxyNetwork.open(nodeIds), kinds: faultKinds('delay') },
    },
    ...(ForgetfulDisks.isAvailable() ? [POWER_CUTS] : []),
    ...(FakeClocks.isAvailable() ? WRONG_CLOCKS : []),
  ];
}

async function campaigns({ minutes, seed }: Options): Promise<Campaign[]> {
  const done: Campaign[] = [];
  for (const { what, share, options } of runsOf()) {
    process.stdout.write(`${what}\n`);
    const { nodes = NODES, leases = false } = options;
    const startMs = performance.now();
    const report = await runCampaign({
      seed: seed + done.length,
      shards: SHARDS,
      workers: WORKERS,
      onRecord: say,
      isOver: overAfter(minutes * share),
      ...options,
      nodes,
    });
    const tookMinutes = Math.round((performance.now() - startMs) / 6_000) / 10;
    const faults = report.records.length;
    const { totals, violations } = report;
    const calls = totals.ok + totals.failed + totals.unknown;
    process.stdout.write(`${calls} calls, ${violations.length} violations\n`);
    done.push({ report, row: { what, nodes, leases, minutes: tookMinutes, faults } });
  }
  return done;
}

/** Without leases, then with them, where a promise that was made has to pass first. */
async function departures({ repeats }: Options): Promise<DepartureRow[]> {
  const rows: DepartureRow[] = [];
  for (const leases of [false, true]) {
    const flags = { 'cluster-leases': leases };
    const cluster = await ProcessCluster.start({ nodes: NODES, shards: SHARDS, flags });
    const view = new ClusterView(cluster);
    try {
      for (const [name, what] of WHAT_DEPARTS) {
        const gaps = await measureFailovers({ cluster, view }, DEPARTURES[name], repeats);
        process.stdout.write(`${what}: ${gaps.map(Math.round).join(' ')} ms\n`);
        rows.push({ what, leases, count: repeats, gapMs: quantilesOf(gaps) });
      }
    } finally {
      await view.close();
      await cluster.destroy();
    }
  }
  return rows;
}

function overAfter(minutes: number): () => boolean {
  const endMs = performance.now() + 60_000 * minutes;
  return () => performance.now() >= endMs;
}

function say({ kind, detail, beginMs, cureMs, levelMs }: FaultRecord): void {
  const heldMs = Math.round(cureMs - beginMs);
  process.stdout.write(
    `${kind} (${detail}): ${heldMs} ms, level ${Math.round(levelMs - cureMs)} ms\n`,
  );
}

function optionsOf(words: readonly string[]): Options | undefined {
  const options = {
    minutes: { type: 'string', default: '30' },
    seed: { type: 'string', default: '1' },
    repeats: { type: 'string', default: '20' },
    part: { type: 'string', default: 'all' },
  } as const;
  try {
    const { values } = parseArgs({ args: [...words], options });
    const minutes = Number(values.minutes);
    const seed = Number(values.seed);
    const repeats = Number(values.repeats);
    const isSound = minutes > 0 && Number.isSafeInteger(seed) && Number.isSafeInteger(repeats);
    const part = PARTS.find((one) => one === values.part);
    if (!isSound || repeats <= 0 || part === undefined) return undefined;
    return { minutes, seed, repeats, part };
  } catch {
    return undefined;
  }
}

/** Carries out a command line without the program's name. Resolves with the exit code. */
export async function main(words: readonly string[]): Promise<number> {
  const options = optionsOf(words);
  if (options === undefined) {
    process.stderr.write(USAGE);
    return 2;
  }
  const result = await run(options);
  const { violations, replicasEqual, seed, commit } = result.campaign;
  if (violations.length > 0 || !replicasEqual) {
    const figures = JSON.stringify({ violations, replicasEqual }, undefined, 2);
    process.stderr.write(`seed ${seed}, commit ${commit}: ${figures}\n`);
    return 1;
  }
  writeFileSync(RESULT, `${JSON.stringify(result, undefined, 2)}\n`);
  process.stdout.write(`kept ${RESULT}; now run: npm run docs\n`);
  return 0;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = await main(process.argv.slice(2));
}
