/** Three node processes, four shards, three replicas each, as a client process sees them. */

import type { Collection } from '../../src/client/collection.js';
import { Flotilla } from '../../src/client/index.js';
import type { Metadata } from '../../src/client/values.js';
import { ProcessCluster } from '../../test/support/process-cluster.js';
import { BareIndex, plainArray } from '../harness/bare-index.js';
import {
  clusteredDataset,
  type Dataset,
  idOfRow,
  imageDataset,
  inTurn,
  NEIGHBOURS,
  rowOfId,
} from '../harness/dataset.js';
import { type Load, runInTurns, type Turns } from '../harness/load.js';
import type { BenchContext, Figure, Measurement, Scenario } from '../harness/scenario.js';
import { perSecond, recallOf, round } from '../harness/statistics.js';

const NODES = 3;
const SHARDS = 4;
const REPLICATION_FACTOR = 3;
const INFLIGHT = [1, 8, 64];
const GRAPH = { m: 16, efConstruction: 200 };
const EF = 64;
const LOAD_BATCH = 100;
const LOAD_INFLIGHT = 4;
/** A busy machine may take its time: no figure is lost for it. */
const TIMEOUT_MS = 60_000;

export const cluster: Scenario = {
  name: 'cluster',
  description:
    `${NODES} node processes, ${SHARDS} shards, ${REPLICATION_FACTOR} replicas: writes and ` +
    'strong searches over gRPC beside bare hnswlib-node',
  run: runCluster,
};

async function runCluster(context: BenchContext): Promise<Measurement> {
  const { quick, progress } = context;
  const turns: Turns = quick
    ? { slices: 2, sliceMs: 300 }
    : { slices: 5, sliceMs: 1_500, warmUpSlices: 3 };
  progress('making vectors and their exact neighbours');
  const datasets = quick
    ? [clusteredDataset({ count: 1_000, dimension: 128 })]
    : [clusteredDataset({ count: 10_000, dimension: 128 }), imageDataset()];
  progress(`starting ${NODES} nodes`);
  const nodes = await ProcessCluster.start({
    nodes: NODES,
    shards: SHARDS,
    replicationFactor: REPLICATION_FACTOR,
  });
  const client = new Flotilla(nodes.addresses, { timeoutMs: TIMEOUT_MS });
  try {
    const figures: Figure[] = [];
    for (const dataset of datasets) {
      figures.push(...(await measureDataset({ dataset, client, turns, progress })));
    }
    return { parameters: parametersOf(datasets, turns), figures };
  } finally {
    await client.close();
    await nodes.destroy();
  }
}

function parametersOf(datasets: readonly Dataset[], turns: Turns): Measurement['parameters'] {
  return {
    nodes: NODES,
    shards: SHARDS,
    replicationFactor: REPLICATION_FACTOR,
    vectors: datasets.map(({ base, dimension }) => `${base.length} x ${dimension}`).join(', '),
    sources: datasets.map(({ source }) => source).join(', '),
    metric: 'l2',
    ...GRAPH,
    ef: EF,
    k: NEIGHBOURS,
    freshness: 'strong',
    clientProcesses: 1,
    slices: turns.slices,
    sliceMs: turns.sliceMs,
  };
}

interface DatasetRun {
  readonly dataset: Dataset;
  readonly client: Flotilla;
  readonly turns: Turns;
  readonly progress: (line: string) => void;
}

async function measureDataset(run: DatasetRun): Promise<Figure[]> {
  const { dataset, client, turns, progress } = run;
  const { dimension, base } = dataset;
  const settings = { dimension, metric: 'l2', ...GRAPH } as const;

  progress(`${dimension}-d: writes of single records`);
  const writtenName = `written-${dimension}`;
  await client.createCollection({ name: writtenName, ...settings });
  const writes = await runInTurns(writeLoads(client.collection(writtenName), dataset), turns);
  await client.dropCollection(writtenName);

  progress(`${dimension}-d: loading ${base.length} records in batches of ${LOAD_BATCH}`);
  const name = `searched-${dimension}`;
  await client.createCollection({ name, ...settings });
  const collection = client.collection(name);
  const loading = await loadAll(collection, dataset);

  progress(`${dimension}-d: building the bare index`);
  const bare = new BareIndex({ dimension, ...GRAPH, capacity: base.length });
  const insertsPerSecond = Math.round(perSecond(base.length, bare.insertAll(base)));
  const found: number[][] = [];
  for (const vector of dataset.queries) found.push(await searchRows(collection, vector));
  const recall = round(recallOf(found, dataset.neighbours), 4);
  const bareQueries = dataset.queries.map(plainArray);
  const bareFound = bareQueries.map((vector) => bare.search(vector, NEIGHBOURS, EF));
  const bareRecall = round(recallOf(bareFound, dataset.neighbours), 4);

  progress(`${dimension}-d: searches, recall ${recall}, bare index ${bareRecall}`);
  const bareName = `${dimension}-d bare hnswlib-node search`;
  const [bareFigure, ...searches] = await runInTurns(
    [
      {
        name: bareName,
        inflight: 1,
        call: (sequence) => bare.search(inTurn(bareQueries, sequence), NEIGHBOURS, EF),
      },
      ...searchLoads(collection, dataset, bareName),
    ],
    turns,
  );
  const inserts = {
    name: `${dimension}-d bare hnswlib-node insert`,
    perSecond: insertsPerSecond,
  };
  return [
    ...writes,
    loading,
    inserts,
    ...searches.map((figure) => ({ ...figure, recall })),
    { ...(bareFigure as Figure), recall: bareRecall },
  ];
}

/** Each write is a new record: replacing one costs more than adding one. */
function writeLoads(collection: Collection<Metadata>, { dimension, base }: Dataset): Load[] {
  return INFLIGHT.map((inflight) => ({
    name: `${dimension}-d upsert of one record, ${inflight} in flight`,
    inflight,
    call: (sequence) =>
      collection.upsert([{ id: `${inflight}-${sequence}`, values: inTurn(base, sequence) }]),
  }));
}

function searchLoads(collection: Collection<Metadata>, dataset: Dataset, bare: string): Load[] {
  return INFLIGHT.map((inflight) => ({
    name: `${dataset.dimension}-d search, ${inflight} in flight`,
    inflight,
    ratiosOf: [bare],
    call: (sequence) => searchRows(collection, inTurn(dataset.queries, sequence)),
  }));
}

/** Ids and distances only, as the bare index answers. */
async function searchRows(
  collection: Collection<Metadata>,
  vector: Float32Array,
): Promise<number[]> {
  const { hits } = await collection.search({
    vector,
    k: NEIGHBOURS,
    ef: EF,
    includeMetadata: false,
  });
  return hits.map(({ id }) => rowOfId(id));
}

/** Writes the dataset once: its rate is that of one run, not a median. */
async function loadAll(
  collection: Collection<Metadata>,
  { base, dimension }: Dataset,
): Promise<Figure> {
  const records = base.map((values, row) => ({ id: idOfRow(row), values }));
  let next = 0;
  const startMs = performance.now();
  const writer = async (): Promise<void> => {
    while (next < records.length) {
      const batch = records.slice(next, next + LOAD_BATCH);
      next += LOAD_BATCH;
      const { appliedCount } = await collection.upsert(batch);
      if (appliedCount < batch.length) throw new Error(`${appliedCount} of a batch were applied`);
    }
  };
  await Promise.all(Array.from({ length: LOAD_INFLIGHT }, writer));
  const seconds = (performance.now() - startMs) / 1_000;
  return {
    name: `${dimension}-d records in batches of ${LOAD_BATCH}, ${LOAD_INFLIGHT} in flight`,
    perSecond: Math.round(records.length / seconds),
  };
}
