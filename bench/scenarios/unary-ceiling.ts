/**
 * How much of what a unary gRPC call can do at all is left to a search. One client process calls,
 * in turns: a search on a node, an empty call of the same node, and a search on a server of the
 * same code with nothing behind it.
 */
import { Connections } from '../../src/client/connections.js';
import { Flotilla } from '../../src/client/index.js';
import { ProcessCluster } from '../../test/support/process-cluster.js';
import { bareSearch, emptyCall } from '../harness/api-calls.js';
import { clusteredDataset, type Dataset, idOfRow, inTurn, NEIGHBOURS } from '../harness/dataset.js';
import { type Load, runInTurns, type Turns } from '../harness/load.js';
import {
  costsOf,
  costTable,
  type ProfiledPhase,
  profileChildren,
  profilePhase,
} from '../harness/profiled-phase.js';
import type { BenchContext, Measurement, Scenario } from '../harness/scenario.js';
import { recallOf, round } from '../harness/statistics.js';
import { startStub } from '../harness/stub-process.js';

const DIMENSION = 128;
const INFLIGHT = 16;
const EF = 32;
const BATCH = 500;
const COLLECTION = 'ceiling';
const PROFILED_TURNS: Turns = { slices: 5, sliceMs: 1_000, warmUpSlices: 0 };

const SEARCH = 'search';
const EMPTY = 'empty call';
const STUB = 'search answered by a stub';

export const unaryCeiling: Scenario = {
  name: 'unary-ceiling',
  description: 'one node, one shard: the rate of searches beside that of empty calls',
  run: runUnaryCeiling,
};

async function runUnaryCeiling(context: BenchContext): Promise<Measurement> {
  const { quick, profileDirectory, progress } = context;
  const turns: Turns = quick
    ? { slices: 3, sliceMs: 300 }
    : { slices: 15, sliceMs: 1_000, warmUpSlices: 3 };
  const dataset = clusteredDataset({ count: quick ? 1_000 : 10_000, dimension: DIMENSION });
  if (profileDirectory !== undefined) profileChildren(profileDirectory);
  progress('starting one node and a stub');
  const node = await ProcessCluster.start({ nodes: 1, shards: 1, replicationFactor: 1 });
  const stub = await startStub();
  const nodeCalls = new Connections(node.addresses, 'unary');
  const stubCalls = new Connections([stub.address], 'unary');
  try {
    progress(`writing ${dataset.base.length} records`);
    await loadAll(node.addresses, dataset);
    const recall = await measureRecall(nodeCalls, dataset);
    const searches = searchLoad(SEARCH, nodeCalls, dataset);
    const stubbed = searchLoad(STUB, stubCalls, dataset);
    const empty = {
      name: EMPTY,
      inflight: INFLIGHT,
      call: () => emptyCall(nodeCalls),
    };
    const parameters = parametersOf(dataset, turns);
    if (profileDirectory !== undefined) {
      progress('profiling searches, then empty calls');
      const lines = await profileCalls([searches, empty], node, profileDirectory);
      return { parameters, figures: [], lines };
    }
    progress(`searches (recall ${recall}), stub and empty calls in turns`);
    const figures = await runInTurns(
      [{ ...searches, ratiosOf: [EMPTY, STUB] }, { ...stubbed, ratiosOf: [EMPTY] }, empty],
      turns,
    );
    return {
      parameters,
      figures: figures.map((figure) => (figure.name === SEARCH ? { ...figure, recall } : figure)),
    };
  } finally {
    nodeCalls.close();
    stubCalls.close();
    stub.stop();
    await node.destroy();
  }
}

function parametersOf({ base, source }: Dataset, turns: Turns): Measurement['parameters'] {
  return {
    nodes: 1,
    shards: 1,
    replicationFactor: 1,
    vectors: `${base.length} x ${DIMENSION}`,
    source,
    metric: 'l2',
    ef: EF,
    k: NEIGHBOURS,
    inflight: INFLIGHT,
    emptyCall: 'grpc.health.v1 Check',
    freshness: 'strong',
    slices: turns.slices,
    sliceMs: turns.sliceMs,
  };
}

const search = (connections: Connections, vector: Float32Array): Promise<number[]> =>
  bareSearch(connections, vector, { collection: COLLECTION, ef: EF });

function searchLoad(name: string, connections: Connections, { queries }: Dataset): Load {
  const call = (sequence: number) => search(connections, inTurn(queries, sequence));
  return { name, inflight: INFLIGHT, call };
}

async function measureRecall(connections: Connections, dataset: Dataset): Promise<number> {
  const found: number[][] = [];
  for (const vector of dataset.queries) found.push(await search(connections, vector));
  return round(recallOf(found, dataset.neighbours), 4);
}

async function loadAll(addresses: readonly string[], { base }: Dataset): Promise<void> {
  await using client = new Flotilla(addresses, { timeoutMs: 60_000 });
  await client.createCollection({ name: COLLECTION, dimension: DIMENSION, metric: 'l2' });
  const records = base.map((values, row) => ({ id: idOfRow(row), values }));
  for (let at = 0; at < records.length; at += BATCH) {
    await client.collection(COLLECTION).upsert(records.slice(at, at + BATCH));
  }
}

/** Self time by thread and file, in microseconds per call: a search beside an empty call. */
async function profileCalls(
  loads: readonly Load[],
  node: ProcessCluster,
  directory: string,
): Promise<string[]> {
  const phases: ProfiledPhase[] = [];
  for (const load of loads) phases.push(await profilePhase(load, PROFILED_TURNS));
  // Profiles are written at an orderly end.
  await node.terminate(1);
  return costTable(phases.map((phase) => costsOf(phase, directory)));
}
