/**
 * What one writer waits for: batches to a cluster of three node processes with one shard on all of
 * them, beside the inserts of the same vectors into the bare library.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { Flotilla } from '../../src/client/index.js';
import { ProcessCluster } from '../../test/support/process-cluster.js';
import { BareIndex } from '../harness/bare-index.js';
import { atMost } from '../harness/bars.js';
import { type Dataset, idOfRow } from '../harness/dataset.js';
import { median, round } from '../harness/statistics.js';
import { type Findings, GRAPH } from './findings.js';

const NODES = 3;
const BATCH = 100;
const SHARE_PERCENT_MAX = 25;
/** Nodes share the cores: each has put a batch into its graph after so many times its inserts. */
const PAUSE_INSERTS = 2 * NODES;
const COLLECTION = 'written';
const TIMEOUT_MS = 60_000;

export interface AcknowledgedWritesOptions {
  /** Half of its vectors are there before. */
  readonly dataset: Dataset;
  readonly batches: number;
  readonly progress: (line: string) => void;
}

interface Batch {
  readonly insertsMs: number;
  readonly acknowledgedMs: number;
}

export async function measureAcknowledgedWrites(
  options: AcknowledgedWritesOptions,
): Promise<Partial<Findings>> {
  const { dataset, progress } = options;
  const name = `${dataset.dimension}-d acknowledged batch of ${BATCH}, RF ${NODES}, one writer`;
  progress(`${name}: starting ${NODES} nodes`);
  const nodes = await ProcessCluster.start({ nodes: NODES, shards: 1, replicationFactor: NODES });
  try {
    await using client = new Flotilla(nodes.addresses, { timeoutMs: TIMEOUT_MS });
    const batches = await writeBatches(client, options);
    const insertsMs = round(median(batches.map((batch) => batch.insertsMs)), 3);
    const acknowledgedMs = round(median(batches.map((batch) => batch.acknowledgedMs)), 3);
    const share = median(batches.map((batch) => batch.acknowledgedMs / batch.insertsMs));
    return {
      quantities: [
        { name: `${name}: p50`, value: acknowledgedMs, unit: 'ms' },
        { name: `${name}: inserts into the bare library`, value: insertsMs, unit: 'ms' },
      ],
      bars: [
        atMost(
          { name: `${name}: share of its inserts`, value: 100 * share, unit: '%' },
          SHARE_PERCENT_MAX,
        ),
      ],
    };
  } finally {
    await nodes.destroy();
  }
}

/** The graphs catch up after each batch: the heads stay far from full, and idle nodes answer. */
async function writeBatches(
  client: Flotilla,
  { dataset, batches, progress }: AcknowledgedWritesOptions,
): Promise<Batch[]> {
  const { base, dimension } = dataset;
  await client.createCollection({ name: COLLECTION, dimension, metric: 'l2', ...GRAPH });
  const collection = client.collection(COLLECTION);
  const bare = new BareIndex({ dimension, ...GRAPH, capacity: base.length });
  const measured: Batch[] = [];
  const first = Math.max(0, Math.ceil((base.length - batches * BATCH) / BATCH) * BATCH);
  progress(`writing ${first} records, then ${batches} batches`);
  for (let at = 0; at < base.length; at += BATCH) {
    const vectors = base.slice(at, at + BATCH);
    const insertsMs = bare.insertAll(vectors);
    const records = vectors.map((values, offset) => ({ id: idOfRow(at + offset), values }));
    const startMs = performance.now();
    await collection.upsert(records);
    const acknowledgedMs = performance.now() - startMs;
    if (at < first) continue;
    measured.push({ insertsMs, acknowledgedMs });
    await wait(PAUSE_INSERTS * insertsMs);
  }
  return measured;
}
