/**
 * What the way to the shards costs: searches over unary calls, over a stream of calls, and through
 * the SDK, on clusters of one, four and eight shards; beside them the same calls to a server with
 * nothing behind it, and the empty call. Then what a merge takes, and who was asked.
 */
import { Connections } from '../../src/client/connections.js';
import { Flotilla } from '../../src/client/index.js';
import { defined } from '../../src/shared/assert.js';
import type { ReadConsistency } from '../../src/shared/types.js';
import { ProcessCluster } from '../../test/support/process-cluster.js';
import { bareSearch, emptyCall } from '../harness/api-calls.js';
import { atLeast, atMost } from '../harness/bars.js';
import { clusteredDataset, type Dataset, idOfRow, inTurn, NEIGHBOURS } from '../harness/dataset.js';
import { type Load, runInTurns, type Turns } from '../harness/load.js';
import { mergeBesideSort } from '../harness/merge-cost.js';
import type {
  Bar,
  BenchContext,
  Figure,
  Measurement,
  Quantity,
  Scenario,
} from '../harness/scenario.js';
import { round } from '../harness/statistics.js';
import { startStub } from '../harness/stub-process.js';

const NODES = 3;
const SHARDS = [1, 4, 8];
const INFLIGHT = [1, 8, 64];
const FULL = 64;
const DIMENSION = 128;
const EF = 32;
const BATCH = 500;
const COLLECTION = 'routed';
const TIMEOUT_MS = 60_000;
const MERGED_SHARDS = 8;
const MERGED_HITS = 100;
const LOCAL_SEARCHES = 500;
const SEARCH = { collection: COLLECTION, ef: EF, consistency: 'leased' } as const;

type Transport = 'unary' | 'stream' | 'SDK';

export const router: Scenario = {
  name: 'router',
  description: `searches by transport, over ${SHARDS.join(', ')} shards on ${NODES} nodes`,
  run: runRouter,
};

const nameOf = (transport: Transport, where: string, inflight: number): string =>
  `${transport}, ${where}, ${inflight} in flight`;
const shardsName = (shards: number): string => (shards === 1 ? '1 shard' : `${shards} shards`);

interface Run {
  readonly context: BenchContext;
  readonly dataset: Dataset;
  readonly turns: Turns;
}

interface Findings {
  readonly figures: readonly Figure[];
  readonly quantities: readonly Quantity[];
  readonly bars: readonly Bar[];
}

async function runRouter(context: BenchContext): Promise<Measurement> {
  const { quick, progress } = context;
  const turns: Turns = quick
    ? { slices: 2, sliceMs: 300 }
    : { slices: 5, sliceMs: 1_000, warmUpSlices: 2 };
  const dataset = clusteredDataset({ count: quick ? 1_000 : 10_000, dimension: DIMENSION });
  const run: Run = { context, dataset, turns };
  const parts: Findings[] = [];
  for (const shards of SHARDS) parts.push(await measureCluster(run, shards));
  progress('calls that the server answers at once');
  parts.push(await measureCeiling(run));
  progress(`merging ${MERGED_SHARDS} x ${MERGED_HITS} hits`);
  parts.push(measureMerge(quick));
  const figures = parts.flatMap((part) => part.figures);
  return {
    parameters: {
      nodes: NODES,
      replicationFactor: NODES,
      vectors: `${dataset.base.length} x ${DIMENSION}`,
      source: dataset.source,
      metric: 'l2',
      ef: EF,
      k: NEIGHBOURS,
      freshness: 'leased',
      clientProcesses: 1,
      slices: turns.slices,
      sliceMs: turns.sliceMs,
    },
    figures,
    quantities: [...parts.flatMap((part) => part.quantities), ...costOfShard(figures)],
    bars: parts.flatMap((part) => part.bars),
  };
}

async function measureCluster(run: Run, shards: number): Promise<Findings> {
  const { context, dataset, turns } = run;
  const where = shardsName(shards);
  context.progress(`${where}: starting ${NODES} nodes, writing ${dataset.base.length} records`);
  const nodes = await ProcessCluster.start({
    nodes: NODES,
    shards,
    replicationFactor: NODES,
    flags: { 'cluster-leases': true },
  });
  const unary = new Connections(nodes.addresses, 'unary');
  const stream = new Connections(nodes.addresses, 'stream');
  const sdk = new Flotilla(nodes.addresses, { timeoutMs: TIMEOUT_MS });
  try {
    await writeAll(sdk, dataset);
    const before = await mergeTimes(nodes);
    context.progress(`${where}: searches`);
    const loads = searchLoads(where, dataset, { unary, stream, sdk });
    const figures = await runInTurns(loads, turns);
    const quantities = spentOn(where, before, await mergeTimes(nodes));
    const bars = [sdkBar(figures, where)];
    if (shards === 1) bars.push(...(await searchesAtTheLeader(nodes, dataset)));
    return { figures, quantities, bars };
  } finally {
    unary.close();
    stream.close();
    await sdk.close();
    await nodes.destroy();
  }
}

interface Clients {
  readonly unary: Connections;
  readonly stream: Connections;
  readonly sdk: Flotilla;
}

/** The searches, and the empty call that those with most in flight are held against. */
function searchLoads(where: string, { queries }: Dataset, clients: Clients): Load[] {
  const { unary, stream, sdk } = clients;
  const collection = sdk.collection(COLLECTION);
  const empty: Load = {
    name: `empty unary call, ${where}, ${FULL} in flight`,
    inflight: FULL,
    call: () => emptyCall(unary),
  };
  const searches = INFLIGHT.flatMap((inflight) => {
    const unaryName = nameOf('unary', where, inflight);
    const load = (
      transport: Transport,
      search: (vector: Float32Array) => Promise<unknown>,
    ): Load => ({
      name: nameOf(transport, where, inflight),
      inflight,
      call: (sequence) => search(inTurn(queries, sequence)),
      ratiosOf: [
        ...(transport === 'unary' ? [] : [unaryName]),
        ...(inflight === FULL ? [empty.name] : []),
      ],
    });
    const options = { consistency: SEARCH.consistency } as const;
    return [
      load('unary', (vector) => bareSearch(unary, vector, SEARCH)),
      load('stream', (vector) => bareSearch(stream, vector, SEARCH)),
      load('SDK', (vector) =>
        collection.search({ vector, k: NEIGHBOURS, ef: EF, includeMetadata: false }, options),
      ),
    ];
  });
  return [...searches, empty];
}

async function measureCeiling({ dataset, turns }: Run): Promise<Findings> {
  const stub = await startStub();
  const unary = new Connections([stub.address], 'unary');
  const stream = new Connections([stub.address], 'stream');
  const sdk = new Flotilla(stub.address, { timeoutMs: TIMEOUT_MS });
  const where = 'a stub';
  try {
    const loads = searchLoads(where, dataset, { unary, stream, sdk });
    const figures = await runInTurns(
      loads.filter(({ inflight }) => inflight === FULL),
      turns,
    );
    return { figures, quantities: [], bars: [sdkBar(figures, where)] };
  } finally {
    unary.close();
    stream.close();
    await sdk.close();
    stub.stop();
  }
}

function sdkBar(figures: readonly Figure[], where: string): Bar {
  const of = nameOf('unary', where, FULL);
  const sdk = figures.find(({ name }) => name === nameOf('SDK', where, FULL));
  const value = sdk?.ratios?.find((ratio) => ratio.of === of)?.value;
  const name = `SDK by unary calls, ${where}, ${FULL} in flight`;
  return atLeast({ name, value: defined(value, name), unit: '' }, 2);
}

/** What each shard beyond the first adds to a search, on all processors together. */
function costOfShard(figures: readonly Figure[]): Quantity[] {
  const costUs = (shards: number): number | undefined =>
    figures.find(({ name }) => name === nameOf('SDK', shardsName(shards), FULL))?.cpuUsPerCall;
  const one = costUs(1);
  return SHARDS.filter((shards) => shards > 1).flatMap((shards) => {
    const many = costUs(shards);
    if (one === undefined || many === undefined) return [];
    const value = Math.round((many - one) / (shards - 1));
    return [{ name: `CPU of each further shard, of ${shards}`, value, unit: 'us' }];
  });
}

interface MergeTimes {
  readonly merges: number;
  readonly mergeSeconds: number;
  readonly fanOuts: number;
  readonly fanOutSeconds: number;
}

async function mergeTimes(nodes: ProcessCluster): Promise<MergeTimes> {
  const total = async (name: string): Promise<number> => {
    const values = await Promise.all(nodes.nodeIds.map((nodeId) => nodes.metric(nodeId, name)));
    return values.reduce((sum, value) => sum + value, 0);
  };
  return {
    merges: await total('flotilla_search_merge_duration_seconds_count'),
    mergeSeconds: await total('flotilla_search_merge_duration_seconds_sum'),
    fanOuts: await total('flotilla_search_fan_out_duration_seconds_count'),
    fanOutSeconds: await total('flotilla_search_fan_out_duration_seconds_sum'),
  };
}

function spentOn(where: string, before: MergeTimes, after: MergeTimes): Quantity[] {
  const meanUs = (seconds: number, count: number): number =>
    count === 0 ? 0 : round((1e6 * seconds) / count, 1);
  const fanOutUs = meanUs(
    after.fanOutSeconds - before.fanOutSeconds,
    after.fanOuts - before.fanOuts,
  );
  const mergeUs = meanUs(after.mergeSeconds - before.mergeSeconds, after.merges - before.merges);
  return [
    { name: `mean fan-out, ${where}, all loads`, value: fanOutUs, unit: 'us' },
    { name: `mean merge, ${where}, all loads`, value: mergeUs, unit: 'us' },
  ];
}

/**
 * Who else takes part in a search at the node that leads: replicas on other nodes that its router
 * asks, and the majority that confirms the leader. A lease needs neither (R6). As many strong
 * searches, each of which is confirmed, show that the counts would tell if there were no lease.
 */
async function searchesAtTheLeader(
  nodes: ProcessCluster,
  { queries }: Dataset,
): Promise<readonly Bar[]> {
  await using finder = new Flotilla(nodes.addresses, { timeoutMs: TIMEOUT_MS });
  const [shard] = (await finder.status()).shards;
  const leader = defined(shard?.leaderNodeId, 'a leader');
  const connections = new Connections([nodes.clientAddress(leader)]);
  const counts = async () => ({
    hops: await nodes.metric(
      leader,
      'flotilla_shard_calls_total{operation="search",place="remote"}',
    ),
    confirmed: await nodes.metric(leader, 'flotilla_reads_confirmed_total'),
  });
  const searches = async (consistency: ReadConsistency) => {
    const before = await counts();
    for (let at = 0; at < LOCAL_SEARCHES; at++) {
      await bareSearch(connections, inTurn(queries, at), { ...SEARCH, consistency });
    }
    const after = await counts();
    const what = `of ${LOCAL_SEARCHES} ${consistency} searches at the node that leads`;
    return {
      hops: { name: `hops ${what}`, value: after.hops - before.hops, unit: '' },
      confirmed: {
        name: `confirmations ${what}`,
        value: after.confirmed - before.confirmed,
        unit: '',
      },
    };
  };
  const leased = await searches('leased');
  const strong = await searches('strong');
  connections.close();
  return [
    atMost(leased.hops, 0),
    atMost(leased.confirmed, 0),
    atLeast(strong.confirmed, LOCAL_SEARCHES),
  ];
}

function measureMerge(quick: boolean): Findings {
  const { mergeUs, sortUs, ratio } = mergeBesideSort({
    lists: MERGED_SHARDS,
    hits: MERGED_HITS,
    rounds: quick ? 200 : 5_000,
  });
  const what = `${MERGED_SHARDS} x ${MERGED_HITS} hits`;
  const bar = { name: `a sort of ${what} by their merge`, value: ratio, unit: '' };
  return {
    figures: [],
    quantities: [
      { name: `merge of ${what}`, value: mergeUs, unit: 'us' },
      { name: `sort of ${what}`, value: sortUs, unit: 'us' },
    ],
    bars: [atLeast(bar, 1)],
  };
}

async function writeAll(client: Flotilla, { base }: Dataset): Promise<void> {
  await client.createCollection({ name: COLLECTION, dimension: DIMENSION, metric: 'l2' });
  const records = base.map((values, row) => ({ id: idOfRow(row), values }));
  for (let at = 0; at < records.length; at += BATCH) {
    await client.collection(COLLECTION).upsert(records.slice(at, at + BATCH));
  }
}
